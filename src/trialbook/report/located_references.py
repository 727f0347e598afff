"""What the references of a file lead to: studies, trials, and the commands that make it again.

A file from anywhere may carry many references of many trials: so many of them are looked at, and
that there are more is said.
"""

from __future__ import annotations

from collections.abc import Sequence

from trialbook.records.figure_references import FigureReference
from trialbook.report.carrying.carried import Carried
from trialbook.report.located import LocatedTrial, Shown
from trialbook.report.located_studies import LocatedStudies
from trialbook.report.located_trials import LocatedTrials
from trialbook.report.making_again import Commands, is_whole

_TRIALS_OF_ONE = 50
_TRIALS_OF_ALL = 500
_MORE = "it singles out more trials than are listed here"
_CUT = "the names of the params or the metric that it was drawn with are not in its reference"


class LocatedReferences:
    """Answers for references, from one open book.

    Args:
        studies: The book's studies.
        trials: The book's trials.
        commands: Makes the commands.
    """

    def __init__(self, studies: LocatedStudies, trials: LocatedTrials, commands: Commands) -> None:
        self._studies = studies
        self._trials = trials
        self._commands = commands

    def of(
        self,
        carried: Sequence[Carried],
        format: str,  # noqa: A002
    ) -> tuple[tuple[Shown, ...], tuple[str, ...]]:
        """What the references of one file lead to.

        Args:
            carried: The references, in the order of the file.
            format: The file's format, as in ``Located``.

        Returns:
            One for each of them; and what is to be said of all, one sentence each.
        """
        self._studies.look_up(study for each in carried for study in each.reference.studies)
        within = any(each.page is None and is_whole(each.reference.shows) for each in carried)
        shown: list[Shown] = []
        notes: dict[str, None] = {}
        listed: set[tuple[str, int]] = set()
        for each in carried:
            numbers = _listed(each.reference, listed)
            shown.append(self._shown(each, numbers, each.writer or format, within=within))
            if len(numbers) < len(each.reference.trials):
                notes[_MORE] = None
            if each.reference.made.cut:
                notes[_CUT] = None
        return tuple(shown), tuple(notes)

    def _shown(self, carried: Carried, numbers: Sequence[int], file: str, *, within: bool) -> Shown:
        reference = carried.reference
        studies = tuple(map(self._studies.of, reference.studies))
        names = [study.name for study in studies if study.is_here and study.name is not None]
        first = studies[0]
        trials: tuple[LocatedTrial, ...] = ()
        if first.is_here and first.name is not None:
            trials = tuple(self._trials.of(first.name, number) for number in numbers)
            if not reference.trials:
                trials = self._trials.best(first.name)
        draw = None
        if len(names) == len(studies):
            draw = self._commands.make(reference, names, file, within=within)
        return Shown(
            shows=reference.shows,
            page=carried.page,
            studies=studies,
            trials=trials,
            singled_out=bool(reference.trials),
            draw=draw,
            reference=str(reference),
        )


def _listed(reference: FigureReference, listed: set[tuple[str, int]]) -> list[int]:
    """The trials of a reference that are listed, of which ``listed`` is told."""
    numbers = []
    for number in reference.trials[:_TRIALS_OF_ONE]:
        trial = (reference.studies[0].key, number)
        if trial in listed or len(listed) < _TRIALS_OF_ALL:
            listed.add(trial)
            numbers.append(number)
    return numbers

"""Making a figure, a table or a report again: what its reference carries, and the command.

The options that are not the usual ones go into the reference when something is made; out of it and
of the file that it lies in comes the command that makes the same again, of the study as it is then.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from urllib.parse import quote_plus

from trialbook.records.figure_references import FigureReference, MadeWith
from trialbook.records.shell_words import arguments, shell_word
from trialbook.report.figures.kinds import KINDS, FigureOptions, StudyFigure, figure_kind
from trialbook.report.file_names import slug_of
from trialbook.report.venues import WIDTHS

REPORT, COMPARISON, TABLE = "report", "comparison", "table"
"""What a reference shows that shows no figure of a kind; parts are named after a colon."""

_USUAL = FigureOptions()
_LONGEST_NAMES = 16 * 1024
_PICTURES = ("png", "svg", "pdf")
_WRITTEN = ("md", "latex", "csv")
"""Files that hold a figure in words, or its numbers: reports have them, and plots have not."""
_FORMATS = ("html", "md", "latex", "pdf", "csv")
"""Of reports; the first is the usual one."""
_OF_PARTS = {"pdf": "latex", "png": "md"}
"""In which format of a report a table, or a figure of a comparison, becomes such a file."""


def is_whole(shows: str) -> bool:
    """Whether it is a document of its own, which holds figures and tables."""
    return shows in (REPORT, COMPARISON)


def made_with(options: FigureOptions, width: str | None = None) -> MadeWith:
    """What a figure's reference carries of the options that it is drawn with.

    Args:
        options: The options.
        width: Name of the width on paper that was asked for; ``None`` for the usual one.

    Returns:
        Without all names when they would make the reference longer than readers take.
    """
    metric = None if options.metric == _USUAL.metric else options.metric
    names = (*options.params, *([] if metric is None else [metric]))
    cut = sum(len(quote_plus(name)) for name in names) > _LONGEST_NAMES
    return MadeWith(
        params=() if cut else options.params,
        objective=options.objective or 0,
        metric=None if cut else metric,
        reference_point=tuple(filter(math.isfinite, options.reference_point)),
        marks=None if options.marks == _USUAL.marks else options.marks,
        seed=options.seed,
        width=width,
        cut=cut,
    )


class Commands:
    """Command lines, quoted for a POSIX shell, that lead from a book to what is in a file.

    Args:
        storage: The book, which every command names; ``None`` for the one that is found anyway.
    """

    def __init__(self, storage: str | None) -> None:
        self._storage = storage

    def rerun(self, trial: str) -> str:
        """The command that runs a trial again."""
        return self._line("rerun", (trial,))

    def make(
        self, reference: FigureReference, names: Sequence[str], file: str, *, within: bool = False
    ) -> str | None:
        """The command that makes what a reference shows, of the studies as they are now.

        Args:
            reference: The reference.
            names: What its studies are called now.
            file: What carries it: ``html``, ``png``, ``svg`` or ``pdf``; ``md``, ``latex`` or
                ``csv`` when a report of that format does; anything else when that is not known.
            within: Whether the file is a report or a comparison, of which this is a part.

        Returns:
            The command, which writes the same kind of file where it can; ``None`` when nothing of
            the name is made, or options are left out of the reference.
        """
        shows, _, part = reference.shows.partition(":")
        is_kind = reference.shows in [kind.name for kind in KINDS]
        anonymous = ["--anonymous"] if _is_opaque(reference) else []
        formats = _OF_PARTS if (part or is_kind) and not within else {}
        format = formats.get(file, file if file in _FORMATS else _FORMATS[0])  # noqa: A001
        if is_kind and file not in _WRITTEN:
            return self._plot(reference, names[0], file, anonymous)
        if is_kind or shows in (REPORT, TABLE):
            wanted = [] if format == _FORMATS[0] else ["--format", format]
            verify = ["--verify"] if reference.made.verified else []
            return self._line("report", names[:1], [*wanted, *anonymous, *verify])
        if shows == COMPARISON:
            return self._line("compare", names, ["--write", format, *anonymous])
        return None

    def _plot(
        self, reference: FigureReference, name: str, file: str, anonymous: Sequence[str]
    ) -> str | None:
        made = reference.made
        if made.cut or made.width not in (None, *(width.name for width in WIDTHS)):
            return None
        options = [*_figure_options(made), *anonymous]
        if file in _PICTURES:
            stem = "study" if anonymous else slug_of(name)
            shown = StudyFigure(figure_kind(reference.shows), made.objective or None)
            options += ["-o", f"{stem}-{shown.name}.{file}"]
        return self._line("plot", (name, reference.shows), options)

    def _line(self, command: str, of: Sequence[str], options: Sequence[str] = ()) -> str:
        words = ["trialbook", command, *options]
        if self._storage is not None:
            words += ["--storage", self._storage]
        return " ".join([*map(shell_word, words), arguments(*of)])


def _is_opaque(reference: FigureReference) -> bool:
    return all(study.name is None for study in reference.studies)


def _figure_options(made: MadeWith) -> Iterator[str]:
    """As ``trialbook plot`` takes them, in one word each: a value may begin with a hyphen."""
    yield from (f"--param={name}" for name in made.params)
    if made.objective:
        yield f"--objective={made.objective}"
    if made.metric is not None:
        yield f"--metric={made.metric}"
    yield from (f"--reference-point={value!r}" for value in made.reference_point)
    if made.width is not None:
        yield f"--width={made.width}"
    if made.marks is not None:
        yield f"--marks={made.marks}"
    if made.seed:
        yield f"--seed={made.seed}"

"""References: the names of studies and trials, and what the workers of a study are held against.

The one place where names are built and parsed: ``STUDY``, ``STUDY/12``, ``STUDY/best`` and
``STUDY/best~1`` (the second best). A study's name may hold slashes: a reference is split at its
last one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from trialbook.errors import BadReferenceError
from trialbook.records.coordinates import CoordinateDigests

_NUMBER = re.compile(r"[0-9]+")
_BEST = re.compile(r"best(?:~([0-9]+))?")


@dataclass(frozen=True, slots=True)
class TrialReference:
    """A trial of a study.

    Args:
        study: The study's name.
        number: The trial's number, or ``None`` when the trial is named by rank.
        rank: 0 for ``best``, 1 for ``best~1`` and so on, or ``None``.
    """

    study: str
    number: int | None = None
    rank: int | None = None

    def __str__(self) -> str:
        if self.number is not None:
            return f"{self.study}/{self.number}"
        return f"{self.study}/best" + (f"~{self.rank}" if self.rank else "")


@dataclass(frozen=True, slots=True)
class StudyReference:
    """What the coordinates of every worker of a study are held against.

    Args:
        coordinates: Digests of the five snapshots; all of them are in the book.
        seed: The objective's own seed, as in ``Seeds.decorator``; ``None`` when it has none.
        fixed: Whether it was written down with the study. Otherwise it is that of the study's
            newest tracked attempt, and moves with it.
    """

    coordinates: CoordinateDigests
    seed: int | None = None
    fixed: bool = False


def trial_reference(text: str) -> TrialReference:
    """Parse the reference of a trial.

    Raises:
        BadReferenceError: The text does not end in ``/NUMBER``, ``/best`` or ``/best~K``.
    """
    study, slash, selector = text.rpartition("/")
    if slash:
        if _NUMBER.fullmatch(selector):
            return TrialReference(study, number=int(selector))
        best = _BEST.fullmatch(selector)
        if best is not None:
            return TrialReference(study, rank=int(best.group(1) or 0))
    raise BadReferenceError(
        f"{text!r} does not name a trial",
        hint="write STUDY/NUMBER, STUDY/best or STUDY/best~1, as in digits/12",
    )


def study_or_trial(text: str) -> str | TrialReference:
    """A trial's reference when the text reads as one, else the name of a study."""
    try:
        return trial_reference(text)
    except BadReferenceError:
        return text

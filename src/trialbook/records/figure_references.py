"""The reference that a figure, a table or a report carries: what it shows, as one line of ASCII.

    trialbook:1?shows=history&study=digits-mlp&uid=6f1c...&seal=9a3e...&trial=25
    trialbook:1?shows=history&key=41d0...&seal=9a3e...&trial=25

The second form is opaque: it names no study, and only somebody whose book holds the study can tell
which it is. Its key is the SHA-256 of the study's random identity. The grammar is that of a URL's
query (RFC 3986, UTF-8); a figure of several studies repeats ``study``, ``uid`` or ``key``, and
``seal``, in the same order.

Options that were not the usual ones follow, such as ``&param=lr&width=icml``: ``param`` and
``point`` (of the hypervolume) once a value, ``objective``, ``metric``, ``marks``, ``seed`` and
``width`` of a figure, ``verified=yes`` of a report, and ``options=cut`` where some were left out.
A reader passes by what it does not know.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlencode

from trialbook.errors import BadReferenceError

_PREFIX = "trialbook:1?"
_LONGEST_SHOWN = 200
_KEY_SALT = b"trialbook study "
REFERENCE = re.compile(rb"trialbook:1\?[A-Za-z0-9_.~%=&+*-]+")
"""Finds references in the bytes of a file."""


@dataclass(frozen=True, slots=True)
class ShownStudy:
    """A study as a figure showed it.

    Args:
        name: Its name then; ``None`` in an opaque reference.
        uid: Its identity, likewise.
        key: ``study_key`` of the identity.
        seal: Its seal when it was shown, 64 hexadecimal digits; ``None`` where none was taken.
    """

    name: str | None
    uid: str | None
    key: str
    seal: str | None

    @classmethod
    def of(cls, name: str, uid: str, seal: str | None) -> ShownStudy:
        """The study of this name and identity."""
        return cls(name, uid, study_key(uid), seal)


@dataclass(frozen=True, slots=True)
class MadeWith:
    """The options that something was made with, where they were not the usual ones.

    Args:
        params: Only these, in this order; empty for the kind's own choice.
        objective: Index of the objective; 0 is the usual one.
        metric: Name of a series; ``None`` for what was reported.
        reference_point: Of the hypervolume, one finite value for each objective; empty for the
            worst.
        marks: How many marks at the most; ``None`` for the usual limit.
        seed: Of sampling and resampling; 0 is the usual one.
        width: Name of a width on paper; ``None`` for that of the figure.
        verified: Whether every digest was computed again for it.
        cut: Whether params or a metric are left out here, because they are too long to be carried
            or tell a name that must not be told.
    """

    params: tuple[str, ...] = ()
    objective: int = 0
    metric: str | None = None
    reference_point: tuple[float, ...] = ()
    marks: int | None = None
    seed: int = 0
    width: str | None = None
    verified: bool = False
    cut: bool = False

    def pairs(self) -> list[tuple[str, str]]:
        """Keys and values of a reference; none for the usual options."""
        pairs = [("param", name) for name in self.params]
        pairs += [("point", repr(value)) for value in self.reference_point]
        single: tuple[tuple[str, object, bool], ...] = (
            ("objective", self.objective, self.objective != 0),
            ("metric", self.metric, self.metric is not None),
            ("marks", self.marks, self.marks is not None),
            ("seed", self.seed, self.seed != 0),
            ("width", self.width, self.width is not None),
            ("verified", "yes", self.verified),
            ("options", "cut", self.cut),
        )
        return [*pairs, *((key, str(value)) for key, value, is_told in single if is_told)]


USUAL = MadeWith()
"""The usual options, of which a reference says nothing."""


@dataclass(frozen=True, slots=True)
class FigureReference:
    """What a figure, a table or a report shows.

    Args:
        shows: Kind of figure, ``table:NAME``, ``report``, ``comparison`` or ``comparison:NAME``.
        studies: Which studies; the first is the one that ``trials`` belong to.
        trials: Numbers of the trials that it singles out, such as the best one.
        made: The options that it was made with.
    """

    shows: str
    studies: tuple[ShownStudy, ...]
    trials: tuple[int, ...] = ()
    made: MadeWith = USUAL

    def __str__(self) -> str:
        pairs = [("shows", self.shows)]
        for study in self.studies:
            if study.name is not None and study.uid is not None:
                pairs += [("study", study.name), ("uid", study.uid)]
            else:
                pairs.append(("key", study.key))
            if study.seal is not None:
                pairs.append(("seal", study.seal))
        pairs += [("trial", str(number)) for number in self.trials]
        pairs += self.made.pairs()
        return _PREFIX + urlencode(pairs)

    def opaque(self) -> FigureReference:
        """The same without the names and identities of the studies."""
        return replace(self, studies=tuple(replace(s, name=None, uid=None) for s in self.studies))


def study_key(uid: str) -> str:
    """What stands for a study's identity in an opaque reference, 32 hexadecimal digits."""
    return hashlib.sha256(_KEY_SALT + uid.encode()).hexdigest()[:32]


def _digits(text: str, count: int) -> str:
    if len(text) != count or not set(text) <= set("0123456789abcdef"):
        raise ValueError("it is damaged")
    return text


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError("it is negative")
    return number


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("it is not finite")
    return number


def figure_reference(text: str) -> FigureReference:
    """Parse a reference.

    Raises:
        BadReferenceError: The text is none.
    """
    if not text.startswith(_PREFIX):
        raise BadReferenceError(f"{text[:80]!r} is no reference of a figure")
    try:
        pairs = parse_qsl(text.removeprefix(_PREFIX), keep_blank_values=True, strict_parsing=True)
        shows = next((value for key, value in reversed(pairs) if key == "shows"), "")
        studies = _studies(pairs)
        trials = tuple(int(value) for key, value in pairs if key == "trial")
        made = _made_with(pairs)
    except (ValueError, IndexError) as error:
        raise BadReferenceError(f"{text[:80]!r} is no reference of a figure") from error
    if not 0 < len(shows) <= _LONGEST_SHOWN or not studies:
        raise BadReferenceError(f"{text[:80]!r} is no reference of a figure")
    return FigureReference(shows, studies, trials, made)


def _studies(pairs: list[tuple[str, str]]) -> tuple[ShownStudy, ...]:
    """The studies; a seal belongs to the one before it."""
    studies: list[ShownStudy] = []
    name: str | None = None
    for key, value in pairs:
        match key:
            case "study":
                name = value
            case "uid":
                studies.append(ShownStudy(name, value, study_key(value), None))
            case "key":
                studies.append(ShownStudy(None, None, _digits(value, 32), None))
            case "seal":
                studies[-1] = replace(studies[-1], seal=_digits(value, 64))
    return tuple(studies)


def _made_with(pairs: list[tuple[str, str]]) -> MadeWith:
    """The options; those that a later version may know are passed by."""
    found = dict(pairs)
    return MadeWith(
        params=tuple(value for key, value in pairs if key == "param"),
        objective=_count(found.get("objective", "0")),
        metric=found.get("metric"),
        reference_point=tuple(_finite(value) for key, value in pairs if key == "point"),
        marks=_count(found["marks"]) if "marks" in found else None,
        seed=int(found.get("seed", "0")),
        width=found.get("width"),
        verified=found.get("verified") == "yes",
        cut=found.get("options") == "cut",
    )

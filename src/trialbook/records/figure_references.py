"""The reference that a figure, a table or a report carries: what it shows, as one line of ASCII.

    trialbook:1?shows=history&study=digits-mlp&uid=6f1c...&seal=9a3e...&trial=25
    trialbook:1?shows=history&key=41d0...&seal=9a3e...&trial=25

The second form is opaque: it names no study, and only somebody whose book holds the study can tell
which it is. Its key is the SHA-256 of the study's random identity. The grammar is that of a URL's
query (RFC 3986, UTF-8); a figure of several studies repeats ``study``, ``uid`` or ``key``, and
``seal``, in the same order.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlencode

from trialbook.errors import BadReferenceError

_PREFIX = "trialbook:1?"
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
class FigureReference:
    """What a figure, a table or a report shows.

    Args:
        shows: Kind of figure, ``table:NAME``, ``report`` or ``comparison``.
        studies: Which studies; the first is the one that ``trials`` belong to.
        trials: Numbers of the trials that it singles out, such as the best one.
    """

    shows: str
    studies: tuple[ShownStudy, ...]
    trials: tuple[int, ...] = ()

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


def figure_reference(text: str) -> FigureReference:
    """Parse a reference.

    Raises:
        BadReferenceError: The text is none.
    """
    if not text.startswith(_PREFIX):
        raise BadReferenceError(f"{text[:80]!r} is no reference of a figure")
    shows, trials = "", []
    studies: list[ShownStudy] = []
    name: str | None = None
    try:
        for key, value in parse_qsl(
            text.removeprefix(_PREFIX), keep_blank_values=True, strict_parsing=True
        ):
            match key:
                case "shows":
                    shows = value
                case "study":
                    name = value
                case "uid":
                    studies.append(ShownStudy(name, value, study_key(value), None))
                case "key":
                    studies.append(ShownStudy(None, None, _digits(value, 32), None))
                case "seal":
                    studies[-1] = replace(studies[-1], seal=_digits(value, 64))
                case "trial":
                    trials.append(int(value))
                case _:
                    continue  # a later version may say more
    except (ValueError, IndexError) as error:
        raise BadReferenceError(f"{text[:80]!r} is no reference of a figure") from error
    if not shows or not studies:
        raise BadReferenceError(f"{text[:80]!r} is no reference of a figure")
    return FigureReference(shows, tuple(studies), tuple(trials))

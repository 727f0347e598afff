"""The mark of trials whose process differs from their study and was let in all the same.

It is a tuple of texts, each the kind of what differs, a colon, and what: ``code: train.py``,
``data: train (sha256:ab12cd34 -> cd34ef56)``, ``environment: numpy 2.1.0 -> 2.2.0``. It lies in the
launch part of the execution coordinate (``LaunchState.differs``), so it is part of the record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trialbook.records.coordinates import Kind
from trialbook.records.verdict import CoordinateDifference

MARKED = '"differs":["'
"""What the canonical JSON of a launch holds when it is marked, and only then: a quote inside a text
has a backslash in front of it."""

_TEXTS = 50
_SHOWN = 5
_DIGEST_SHOWN = 8
_VALUE_SHOWN = 60
_PACKAGE = "package "
_BREAKS = str.maketrans({"\n": "\\n", "\r": "\\r"})


def mark_of(differences: Iterable[CoordinateDifference]) -> tuple[str, ...]:
    """The mark that says of a process in what it differs; at most some fifty texts."""
    found = list(differences)
    texts = [f"{item.kind}: {difference_text(item)}" for item in found[:_TEXTS]]
    rest: dict[str, int] = {}
    for item in found[_TEXTS:]:
        rest[item.kind] = rest.get(item.kind, 0) + 1
    return (*texts, *(f"{kind}: {count} more" for kind, count in rest.items()))


def difference_text(difference: CoordinateDifference) -> str:
    """What differs, in a few words: a file, an input with its digests, a package with versions.

    It is one line, whatever a name or a value from another machine holds.
    """
    return _text(difference).translate(_BREAKS)


def _text(difference: CoordinateDifference) -> str:
    what, before, now = difference.what, difference.recorded, difference.here
    match difference.kind:
        case Kind.CODE:
            side = " (not here)" if now is None else " (only here)" if before is None else ""
            return f"{what}{side}"
        case Kind.DATA:
            return f"{what} ({_digest(before)} -> {_digest(now)})"
        case Kind.ENVIRONMENT if what.startswith("files of "):
            return what.replace(_PACKAGE, "")
        case Kind.ENVIRONMENT if what == "cpu flags":
            return f"cpu flags: without {_value(before)}; with {_value(now)}"
        case _:
            return f"{what.removeprefix(_PACKAGE)} {_value(before)} -> {_value(now)}"


def mark_summary(mark: Sequence[str]) -> str:
    """A mark on one line: ``code (train.py), environment (numpy 2.1.0 -> 2.2.0)``; else empty."""
    kinds: dict[str, list[str]] = {}
    for text in mark:
        kind, _, what = text.partition(": ")
        kinds.setdefault(kind, []).append(what)
    return ", ".join(f"{kind} ({named(whats)})" for kind, whats in kinds.items())


def marked_kinds(mark: Sequence[str]) -> tuple[str, ...]:
    """The kinds of what a mark says, each once: ``code``, ``environment``."""
    return tuple(dict.fromkeys(text.partition(": ")[0] for text in mark))


def named(texts: Sequence[str]) -> str:
    """The first few of these, and how many more there are."""
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more


def _digest(digest: str | None) -> str:
    return "none" if digest is None else f"sha256:{digest[:_DIGEST_SHOWN]}"


def _value(text: str | None) -> str:
    if text is None:
        return "none"
    return text if len(text) <= _VALUE_SHOWN else f"{text[: _VALUE_SHOWN - 3]}..."

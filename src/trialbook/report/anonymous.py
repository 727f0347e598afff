"""A document without names, hosts, paths and remotes, whatever text they got into.

Sections leave out what they know to be telling. This is the second line: every text of the finished
document is searched for what the records say of people, machines and places, and for whatever looks
like a path, an address or an e-mail. Names of params and metrics, and the values of params, stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from typing import Any, TypeVar

from trialbook.book.identifying import Identifying
from trialbook.records.figure_references import FigureReference
from trialbook.records.shell_words import shell_word
from trialbook.report.document import Document

THE_STUDY = "the study"
REPLICATES = "the replicates"
PATH, ADDRESS, MAIL = "[path]", "[address]", "[e-mail]"

_COMMON = frozenset(
    {
        *("root", "user", "localhost", "nobody", "admin", "local", "main", "default"),
        *("study", "trial", "trials", "value", "values", "best", "report", "objective", "search"),
        *("test", "train", "data", "model", "metric", "metrics", "param", "params"),
        *("an", "as", "at", "be", "by", "in", "is", "it", "no", "of", "on", "or", "to"),
    }
)
"""Names that tell nobody from anybody else, and words that a report is made of."""
_SHORTEST = 2
_SUBSTRING = 8
"""From this length on a name is found inside of words too."""
_ADDRESSES = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
_MAILS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*(?::[^\s'\"<>]+)?")
_TAIL = r"[^\s'\"<>|,;()]*"
_PATHS = re.compile(r"(?<![\w.\-/\]])(?:~[\w.-]*(?=/))?/(?=[^\s/])[^\s'\"<>|,;()]*")
_FIXED = frozenset({"name", "kind"})
"""Fields that hold words of the program, not of the study, in the classes named below."""
_FIXED_OF = frozenset({"Section", "TableBlock", "FigureBlock", "Chart", "Macro"})

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Replacements:
    """What is replaced in every text.

    Args:
        names: Name to what stands for it.
        named: Finds any of these names; ``None`` without one.
        paths: Finds known paths, with what follows them up to a blank; ``None`` without one. They
            may hold blanks themselves.
    """

    names: dict[str, str]
    named: re.Pattern[str] | None
    paths: re.Pattern[str] | None

    def applied(self, text: str) -> str:
        """The text without what is telling."""
        text = _ADDRESSES.sub(ADDRESS, text)
        if self.paths is not None:
            text = self.paths.sub(PATH, text)
        text = _PATHS.sub(PATH, _MAILS.sub(MAIL, text))
        if self.named is not None:
            text = self.named.sub(lambda found: self.names[found.group()], text)
        return text


def replacements(
    studies: Sequence[str], book_url: str, found: Identifying, classes: Iterable[str] = ()
) -> Replacements:
    """What to replace, from what the records of a study tell.

    Args:
        studies: The study's name, then those of its replicates.
        book_url: Where the book is.
        found: Names of people, machines and places.
        classes: Dotted names of classes, which lose their modules.
    """
    exact = {name: name.rpartition(".")[2] for name in classes if "." in name}
    _number(exact, "host", _hosts(found.hosts))
    _number(exact, "user", found.users)
    _number(exact, "job", (job for job in found.jobs if not job.isdecimal() or len(job) > 3))
    exact.update(dict.fromkeys((*found.addresses, book_url), ADDRESS))
    exact.update(dict.fromkeys(studies, REPLICATES))
    exact[studies[0]] = THE_STUDY
    kept = {name: stands for name, stands in exact.items() if _tells(name)}
    # A command holds a name as the shell wants it, which is another text where it has quotes.
    quoted = {name: shell_word(name)[1:-1] for name in kept if "'" in name}
    kept.update({inner: kept[name] for name, inner in quoted.items()})
    return Replacements(
        kept,
        _any(map(_found_as, _longest_first(kept))),
        _any(re.escape(path) + _TAIL for path in _longest_first(found.paths) if _is_path(path)),
    )


def _longest_first(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (-len(name), name))


def _any(patterns: Iterable[str]) -> re.Pattern[str] | None:
    whole = "|".join(patterns)
    return re.compile(whole) if whole else None


def _is_path(text: str) -> bool:
    """Whether it has more than one part: ``/`` alone, or ``data`` under it, is in many texts."""
    return len(text.strip("/")) >= _SHORTEST and "/" in text.strip("/")


def _hosts(names: tuple[str, ...]) -> dict[str, None]:
    """Names of hosts and, of full ones, their first parts and their domains."""
    found: dict[str, None] = {}
    for name in names:
        found.setdefault(name)
        first, _, domain = name.partition(".")
        if domain and not first.isdecimal():
            found.setdefault(first)
            found.setdefault(domain)
    return found


def _number(exact: dict[str, str], what: str, names: Any) -> None:
    for index, name in enumerate(names, start=1):
        exact.setdefault(name, f"{what} {index}")


def _tells(name: str) -> bool:
    return len(name) >= _SHORTEST and name.lower() not in _COMMON


def _found_as(name: str) -> str:
    pattern = re.escape(name)
    if len(name) >= _SUBSTRING:
        return pattern
    return rf"(?<!\w){pattern}(?!\w)"


def without_names(document: Document, names: Replacements) -> Document:
    """The document with every text replaced; its numbers, digests and references stay."""
    known: dict[str, str] = {}

    def text_of(text: str) -> str:
        # A digest, a state or a choice comes thousands of times.
        if text not in known:
            known[text] = names.applied(text)
        return known[text]

    def walked(value: Any) -> Any:
        if isinstance(value, (Enum, FigureReference)):
            return value
        if isinstance(value, str):
            return text_of(value)
        if isinstance(value, tuple):
            return tuple(map(walked, value))
        if is_dataclass(value) and not isinstance(value, type):
            return _replaced(value, walked)
        return value

    found: Document = walked(document)
    return found


def _replaced(value: Any, walked: Any) -> Any:
    fixed = _FIXED if type(value).__name__ in _FIXED_OF else ()
    changes = {
        field.name: walked(getattr(value, field.name))
        for field in fields(value)
        if field.name not in fixed
    }
    return replace(value, **changes)

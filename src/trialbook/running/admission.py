"""Which differences keep a worker from joining a study, and what is said of them.

Pure: differences in, words out. ``guard.py`` finds them in the book.

Code, data and configuration that differ always weigh: the numbers of two such trials are not of one
search. Of the environment what weighs is what a user chooses and can set right in a minute: the
version of the interpreter, and the versions of packages that both sides have. Hardware, operating
system, thread counts, BLAS kernels, environment variables and packages that only one side has are
what several machines differ in by nature: they are told and recorded, and let in. So are the
versions of tools that install packages and take no part in a trial.
"""

from __future__ import annotations

import shlex
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from trialbook.records.code import GitState
from trialbook.records.coordinates import Kind
from trialbook.records.marks import difference_text, named
from trialbook.records.verdict import CoordinateDifference

Differences = tuple[CoordinateDifference, ...]

FLAGS = {
    Kind.CODE: "code",
    Kind.DATA: "data",
    Kind.CONFIG: "settings",
    Kind.ENVIRONMENT: "environment",
}
"""What ``--allow`` calls a coordinate."""

_INTERPRETER = frozenset({"python", "python implementation"})
_PACKAGE = "package "
_INSTALLERS = frozenset({"pip", "setuptools", "wheel", "uv"})
_SEARCH = "search."
_TOLD = 20
_REQUIRED = 5


@dataclass(frozen=True, slots=True)
class Weighed:
    """The differences of a worker, sorted out.

    Args:
        refused: Those that keep it out.
        allowed: Those that would, had they not been allowed.
        told: All others; the worker's user hears of them.
    """

    refused: Differences
    allowed: Differences
    told: Differences


def weighed(differences: Iterable[CoordinateDifference], allowed: Container[str]) -> Weighed:
    """Sort out differences of code, data, configuration and environment.

    Args:
        differences: All of them. What was asked of the search is left out: the study holds it.
        allowed: Which may differ, by the values of ``FLAGS``.
    """
    refused, passed, told = [], [], []
    for difference in differences:
        kind = Kind(difference.kind)
        if kind is Kind.CONFIG and difference.what.startswith(_SEARCH):
            continue
        if kind is Kind.ENVIRONMENT and not _weighs(difference):
            told.append(difference)
        elif FLAGS[kind] in allowed:
            passed.append(difference)
        else:
            refused.append(difference)
    return Weighed(tuple(refused), tuple(passed), tuple(told))


def _weighs(difference: CoordinateDifference) -> bool:
    """Whether a difference of environments is one of versions that both sides have."""
    if difference.what in _INTERPRETER:
        return True
    if not difference.what.startswith(_PACKAGE) or _package(difference) in _INSTALLERS:
        return False
    before, now = difference.recorded, difference.here
    if before is None or now is None:
        return False
    # One version from two origins reads "2.0 (index)" and "2.0 (editable file:///...)".
    return before.split(" (")[0] != now.split(" (")[0]


def _package(difference: CoordinateDifference) -> str:
    return difference.what.removeprefix(_PACKAGE)


def by_kind(differences: Differences) -> dict[Kind, Differences]:
    """The differences of each coordinate that has any, in the order of ``Kind``."""
    found = {kind: tuple(d for d in differences if d.kind == kind) for kind in Kind}
    return {kind: items for kind, items in found.items() if items}


def refusal_text(refused: Differences) -> str:
    """What differs: ``code (train.py) and data (train (sha256:... -> ...))``."""
    parts = [
        f"{kind} ({named([difference_text(item) for item in items])})"
        for kind, items in by_kind(refused).items()
    ]
    return " and ".join(parts)


def remedies(refused: Differences, git: GitState | None, *, restored: bool = False) -> str:
    """What would make the differences go, and the flags that let them in; for an error's hint.

    Args:
        refused: The differences.
        git: What git said of the study's code, ``None`` when it said nothing.
        restored: Whether the worker has run what the book kept when it began.
    """
    found = by_kind(refused)
    steps = []
    if Kind.CODE in found or Kind.CONFIG in found:
        steps.append(_remedy_of_code(found.get(Kind.CODE, ()), git, restored))
    if Kind.DATA in found:
        steps.append(_remedy_of_data(found[Kind.DATA]))
    if Kind.ENVIRONMENT in found:
        steps.append(_remedy_of_environment(found[Kind.ENVIRONMENT]))
    flags = " ".join(f"--allow {FLAGS[kind]}" for kind in found)
    return f"{'; '.join(steps)}; or {flags} to let it in and have its trials say so"


def _remedy_of_code(differences: Differences, git: GitState | None, restored: bool) -> str:
    if differences and all(":" in item.what for item in differences):
        return "install what the study's other workers have installed"
    if restored:
        return "start the worker again, with the code that the study has now"
    step = "leave out '--code here' to run the code that the book keeps"
    if git is not None and git.commit is not None and not git.dirty:
        step += f", or check out {git.commit[:12]}"
    return step


def _remedy_of_data(differences: Differences) -> str:
    # A file that was read without being declared goes by its absolute path.
    declared = [item.what.partition("/")[0] for item in differences if item.what[:1] != "/"]
    if not declared:
        return "put the study's files there"
    flags = " ".join(f"--data {shlex.quote(f'{name}=')}PATH" for name in dict.fromkeys(declared))
    return f"say where the study's data lies: {flags}"


def _remedy_of_environment(differences: Differences) -> str:
    versions = [item for item in differences if item.what.startswith(_PACKAGE)]
    parts = ["'--env recreate'"]
    if len(versions) < len(differences):
        pythons = [item.recorded for item in differences if item.what == "python"]
        parts.append(f"Python {pythons[0]}" if pythons else "the study's interpreter")
    if versions:
        wanted = [
            shlex.quote(f"{_package(item)}=={(item.recorded or '').split(' (')[0]}")
            for item in versions[:_REQUIRED]
        ]
        dots = " ..." if len(versions) > _REQUIRED else ""
        parts.append(f"pip install {' '.join(wanted)}{dots}")
    return " or ".join(parts)


def told_lines(told: Differences) -> tuple[str, ...]:
    """What a worker's user hears of its machine, a line for each difference; the rest counted."""
    lines = [f"this machine differs: {difference_text(item)}" for item in told[:_TOLD]]
    if len(told) > _TOLD:
        lines.append(f"this machine differs: {len(told) - _TOLD} more; 'trialbook diff' lists them")
    return tuple(lines)


def changed_names(refused: Sequence[CoordinateDifference]) -> str:
    """The files, inputs and keys that changed, by name alone."""
    return named([item.what for item in refused])

"""The studies that are compared, and which of them repeat one another under other seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trialbook.analysis.marks import differing_trials
from trialbook.analysis.searches.search import Search, search_of
from trialbook.analysis.searches.space import SpaceParam, space
from trialbook.book.reading import Reader
from trialbook.book.studies import Studies
from trialbook.errors import (
    BookCorruptError,
    InvalidInputError,
    NotApplicableError,
    NotFoundError,
)
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.differences import coordinate_differences
from trialbook.records.execution import LaunchState
from trialbook.records.verdict import CoordinateDifference

_SAME_IN = (Kind.CODE, Kind.DATA, Kind.CONFIG)
"""Coordinates that studies of one group share; machines may differ, and the settings say so."""
_SEED = "search.seed"


@dataclass(frozen=True, slots=True, eq=False)
class ComparedStudy:
    """A study that is compared.

    Args:
        name: What it is called here: its name, or a number in an anonymous comparison.
        search: Its search.
        space: The params of its space, in the order in which they were first asked.
        snapshots: Those of its newest tracked trial; a coordinate that was not captured is absent.
        mixed: How many of its trials ran with other code, data or configuration than the study.
    """

    name: str
    search: Search
    space: tuple[SpaceParam, ...]
    snapshots: Mapping[Kind, Snapshot]
    mixed: int = 0

    @property
    def seed(self) -> int | None:
        """The study's seed; ``None`` without one, or when it is not recorded."""
        spec = self.search.study.spec
        return None if spec is None else spec.search.seed

    @property
    def objective(self) -> str | None:
        """Name of the objective inside its module or file; ``None`` when it is not recorded."""
        snapshot = self.snapshots.get(Kind.EXECUTION)
        entry = None if snapshot is None else snapshot.state_as(LaunchState).entry
        return None if entry is None else entry.name


@dataclass(frozen=True, slots=True)
class Group:
    """Studies that asked the same of the same code and data, each under its own seed.

    Args:
        label: What it is called.
        studies: Index of each of its studies.
        same_seed: Whether some of them have the same seed: they are no independent repetitions, and
            nothing can be said of how such studies spread.
    """

    label: str
    studies: tuple[int, ...]
    same_seed: bool = False


def compared_studies(
    reader: Reader, names: Sequence[str], *, anonymous: bool = False
) -> tuple[ComparedStudy, ...]:
    """The studies of these names, in their order.

    Args:
        reader: The open book.
        names: At least two.
        anonymous: Whether to call them by numbers.

    Raises:
        InvalidInputError: Fewer than two, or one is named twice.
        NotApplicableError: Their objectives cannot be compared.
        NotFoundError: There is no such study.
    """
    if len(names) < 2:
        raise InvalidInputError("a comparison needs two studies", hint="name another study")
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise InvalidInputError(f"the study {twice[0]!r} is named twice", hint="name it once")
    studies = tuple(
        _study(reader, name, f"study {place}" if anonymous else name)
        for place, name in enumerate(names, start=1)
    )
    first = studies[0].search.study
    for other in studies[1:]:
        directions = other.search.study.directions
        if directions != first.directions:
            raise NotApplicableError(
                "studies with other directions have nothing to compare: "
                f"{first.name!r} is to {' and '.join(first.directions)}, "
                f"{other.name!r} to {' and '.join(directions)}"
            )
    return studies


def _study(reader: Reader, name: str, called: str) -> ComparedStudy:
    search = search_of(reader, name)
    digests = Studies(reader.book).tracked_coordinates(search.study.study_id, newest=True)
    snapshots = {}
    for kind in Kind:
        digest = None if digests is None else digests.of(kind)
        if digest is not None:
            try:
                snapshots[kind] = reader.snapshot(digest)
            except (NotFoundError, BookCorruptError):
                continue  # told as not recorded; 'verify' names it
    params = space(search).params if search.params else ()
    kinds = tuple(f"{kind}:" for kind in _SAME_IN)
    mixed = sum(
        any(text.startswith(kinds) for text in trial.differs)
        for trial in differing_trials(reader, name)
    )
    return ComparedStudy(called, search, params, snapshots, mixed)


def differences(
    first: ComparedStudy, other: ComparedStudy, kind: Kind
) -> tuple[CoordinateDifference, ...] | None:
    """In what a coordinate of two studies differs, their seeds apart.

    Returns:
        ``None`` when one of them did not record it.
    """
    if kind not in first.snapshots or kind not in other.snapshots:
        return None
    found = coordinate_differences(first.snapshots[kind], other.snapshots[kind])
    return tuple(d for d in found if d.what != _SEED)


def groups(studies: Sequence[ComparedStudy], *, anonymous: bool = False) -> tuple[Group, ...]:
    """Which studies repeat one another, in the order of their first studies.

    Two studies do when sampler, pruner and space are the same, and what their newest trials
    recorded of code, data and configuration too, and the name of the objective: one file may hold
    several. A study that recorded none of it is alone, and so is one whose trials did not all run
    the same.

    Args:
        studies: The studies.
        anonymous: Whether to call groups by numbers too.
    """
    members: list[list[int]] = []
    for index, study in enumerate(studies):
        for group in members:
            if _repeats(studies[group[0]], study):
                group.append(index)
                break
        else:
            members.append([index])
    if anonymous:
        labels = [f"group {place}" for place in range(1, len(members) + 1)]
    else:
        given = [_label([studies[index].name for index in group]) for group in members]
        labels = [
            label if given.count(label) == 1 else f"{label} (group {place})"
            for place, label in enumerate(given, start=1)
        ]
    return tuple(
        Group(label, tuple(group), _same_seed([studies[index].seed for index in group]))
        for label, group in zip(labels, members, strict=True)
    )


def _same_seed(seeds: Sequence[int | None]) -> bool:
    known = [seed for seed in seeds if seed is not None]
    return len(set(known)) < len(known)


def _repeats(first: ComparedStudy, other: ComparedStudy) -> bool:
    specs = (first.search.study.spec, other.search.study.spec)
    if specs[0] is None or specs[1] is None:
        return False
    asked, again = specs[0].search, specs[1].search
    if asked.sampler is None or (asked.sampler, asked.pruner) != (again.sampler, again.pruner):
        return False
    if specs[0].changes or specs[1].changes or _ranges(first) != _ranges(other):
        return False
    if first.objective != other.objective or first.mixed or other.mixed:
        return False
    return all(differences(first, other, kind) == () for kind in _SAME_IN)


def _ranges(study: ComparedStudy) -> dict[str, tuple[str, ...]]:
    return {param.name: tuple(r.text for r in param.ranges) for param in study.space}


def _label(names: list[str]) -> str:
    """What the names of a group have in common, else the first one."""
    if len(names) == 1:
        return names[0]
    least, greatest = min(names), max(names)
    until = next(
        (at for at, pair in enumerate(zip(least, greatest, strict=False)) if pair[0] != pair[1]),
        len(least),
    )
    return least[:until].rstrip("-_./ ~#:0123456789") or names[0]

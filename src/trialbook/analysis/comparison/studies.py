"""The studies that are compared, with what their trials recorded.

Which of them repeat one another is in ``repeating.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trialbook.analysis.coordinate_changes import changes_of
from trialbook.analysis.searches.search import Search, search_of
from trialbook.analysis.searches.space import SpaceParam, space
from trialbook.book.launch_rows import launched
from trialbook.book.reading import Reader
from trialbook.book.studies import Studies
from trialbook.book.study_facts import seeded
from trialbook.errors import (
    BookCorruptError,
    InvalidInputError,
    NotApplicableError,
    NotFoundError,
)
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.differences import coordinate_differences
from trialbook.records.environment import EnvironmentState
from trialbook.records.programs import BriefLaunch, brief_launch
from trialbook.records.verdict import CoordinateDifference

PROBLEM = (Kind.CODE, Kind.DATA, Kind.CONFIG)
"""Coordinates that say what problem a study searched."""
_SEED = re.compile(r"search\.(sampler\.(.*\.)?)?seed")
"""How differences call the study's seed, and one among the settings of its sampler."""


@dataclass(frozen=True, slots=True, eq=False)
class ComparedStudy:
    """A study that is compared.

    Args:
        name: What it is called here: its name, or a number in an anonymous comparison.
        search: Its search.
        space: The params of its space, in the order in which they were first asked.
        snapshots: Those of its newest tracked trial; a coordinate that was not captured is absent.
        mixed: How many of its trials ran with another objective, code, data or configuration than
            its best one.
        trial_seeds: What the seeds of its trials were derived from, where it was not the study's
            own random identity: the study's seed, else the decorator's.
    """

    name: str
    search: Search
    space: tuple[SpaceParam, ...]
    snapshots: Mapping[Kind, Snapshot]
    mixed: int = 0
    trial_seeds: frozenset[int] = frozenset()

    @property
    def searched_apart(self) -> bool:
        """Whether its trials ran with several samplers, or with several pruners."""
        return len(self.search.samplers) > 1 or len(self.search.pruners) > 1

    @property
    def seed(self) -> int | None:
        """The study's seed; ``None`` without one, or when it is not recorded."""
        spec = self.search.study.spec
        return None if spec is None else spec.search.seed

    @property
    def launch(self) -> BriefLaunch | None:
        """How the process of its newest tracked trial was started; ``None`` when unknown."""
        snapshot = self.snapshots.get(Kind.EXECUTION)
        return None if snapshot is None else brief_launch(snapshot.document)

    @property
    def objective(self) -> str | None:
        """The objective in its module or file; ``None`` when that is not recorded."""
        return None if self.launch is None else self.launch.program.objective

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the user gave the interpreter and the program on the command line.

        Empty where a worker or a notebook ran the trials (``records/programs.py``).
        """
        return () if self.launch is None else self.launch.program.arguments or ()


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
                f"{other.name!r} to {' and '.join(directions)}",
                hint="name studies with the same directions",
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
    changes = changes_of(
        reader, search.study, search.named, launched(reader.book, search.study.study_id)
    )
    ways, _ = seeded(reader.book, search.study.study_id)
    trial_seeds = {way.decorator if way.study is None else way.study for way in ways}
    return ComparedStudy(
        called,
        search,
        params,
        snapshots,
        changes.of_another_problem(PROBLEM),
        frozenset(s for s in trial_seeds if s is not None),
    )


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
    return tuple(d for d in found if not _SEED.fullmatch(d.what))


def environment_differences(
    first: ComparedStudy, other: ComparedStudy, *, anonymous: bool = False
) -> tuple[CoordinateDifference, ...]:
    """In what the environments of two studies differ, as far as both recorded them.

    Args:
        first: A study.
        other: Another one.
        anonymous: Whether to leave out what tells of places: variables, locale, time zone, and
            packages that came from no index.
    """
    found = differences(first, other, Kind.ENVIRONMENT) or ()
    if not anonymous or not found:
        return found
    withheld = {"locale", "timezone"}
    for study in (first, other):
        for package in study.snapshots[Kind.ENVIRONMENT].state_as(EnvironmentState).packages:
            if package.origin != "index":
                withheld |= {f"package {package.name}", f"files of package {package.name}"}
    return tuple(d for d in found if not d.what.startswith("$") and d.what not in withheld)

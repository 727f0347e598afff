"""What was asked of each study, row by row, and in what their coordinates differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trialbook.analysis.columns import Cell, Column, Holds, Table
from trialbook.analysis.comparison.repeating import Group
from trialbook.analysis.comparison.studies import (
    ComparedStudy,
    differences,
    environment_differences,
)
from trialbook.analysis.searches.asked import ComponentUse, uses_text
from trialbook.records.code import CodeState
from trialbook.records.coordinates import Kind
from trialbook.records.data import DataState
from trialbook.records.environment import EnvironmentState
from trialbook.records.verdict import CoordinateDifference

NOT_RECORDED = "not recorded"
_NOT_ASKED = "not asked"
_SHORT = 12
_LISTED = 20
"""How many differences of one coordinate get a row of their own."""


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One thing that was asked or recorded.

    Args:
        what: What it is.
        values: One for each study.
        matters: Whether studies that differ in it did not search the same problem.
    """

    what: str
    values: tuple[str, ...]
    matters: bool = False

    @property
    def differs(self) -> bool:
        """Whether the studies do not all have the same."""
        return len(set(self.values)) > 1


def settings(
    studies: Sequence[ComparedStudy], *, anonymous: bool = False
) -> tuple[SettingRow, ...]:
    """What was asked of each study, from the search down to the machine.

    Args:
        studies: The studies.
        anonymous: Whether to number objectives, and to leave out of the environment what tells of
            places.
    """
    found = (_search(studies), _space(studies), _coordinates(studies, anonymous=anonymous))
    return tuple(
        row
        for part in found
        for row in part
        if any(value not in ("", NOT_RECORDED) for value in row.values)
    )


def settings_table(rows: Sequence[SettingRow], groups: Sequence[Group]) -> Table:
    """One row a setting, one column a group; what differs inside a group is told one by one."""
    return Table(
        (
            Column("setting"),
            *(Column(group.label, Holds.CODE) for group in groups),
            Column("differs"),
        ),
        tuple(
            (
                row.what,
                *("; ".join(_told([row.values[i] for i in group.studies])) for group in groups),
                "differs" if row.differs else "",
            )
            for row in rows
        ),
    )


def best_table(studies: Sequence[ComparedStudy]) -> Table:
    """The best configuration of each study with one objective: a row a study, a column a param."""
    names = dict.fromkeys(param.name for study in studies for param in study.search.params)
    return Table(
        (
            Column("study", Holds.CODE),
            Column("trial", Holds.INTEGER),
            Column("value", Holds.EXACT),
            *(Column(name, Holds.CODE) for name in names),
        ),
        tuple(_best(study, tuple(names)) for study in studies),
    )


def _told(values: Sequence[str]) -> Sequence[str]:
    """The values as they are; one when all are the same."""
    return values[:1] if len(set(values)) == 1 else values


def _search(studies: Sequence[ComparedStudy]) -> Iterator[SettingRow]:
    specs = [study.search.study.spec for study in studies]
    asked = [None if spec is None else spec.search for spec in specs]
    counts = [study.search.study.states for study in studies]
    yield SettingRow(
        "trials",
        tuple(
            ", ".join(f"{n} {state.lower()}" for state, n in sorted(states.items()) if n) or "none"
            for states in counts
        ),
    )
    yield SettingRow("sampler", tuple(_ran_with(study.search.samplers) for study in studies))
    yield SettingRow("pruner", tuple(_ran_with(study.search.pruners) for study in studies))
    yield SettingRow(
        "seed",
        tuple(NOT_RECORDED if s is None else _text(s.seed, "none") for s in asked),
    )
    yield SettingRow(
        "budget",
        tuple(NOT_RECORDED if s is None else _budget(s.trials, s.hours) for s in asked),
    )
    yield SettingRow(
        "changed in mid-study",
        tuple("" if spec is None else "; ".join(spec.change_texts) for spec in specs),
    )


def _ran_with(uses: Sequence[ComponentUse]) -> str:
    """The sampler or pruner of a study's trials, each with its trials where there are several."""
    if not uses:
        return NOT_RECORDED
    return uses[0].component.text if len(uses) == 1 else uses_text(uses)


def _space(studies: Sequence[ComparedStudy]) -> Iterator[SettingRow]:
    names = dict.fromkeys(param.name for study in studies for param in study.space)
    for name in names:
        values = []
        for study in studies:
            found = [param for param in study.space if param.name == name]
            ranges = [one.text for param in found for one in param.ranges]
            values.append(", then ".join(ranges) if ranges else _NOT_ASKED)
        yield SettingRow(f"param {name}", tuple(values))


def _coordinates(studies: Sequence[ComparedStudy], *, anonymous: bool) -> Iterator[SettingRow]:
    names = tuple(study.objective or NOT_RECORDED for study in studies)
    if anonymous:
        names = _numbered("objective", names)
    yield SettingRow("objective", names, matters=True)
    yield SettingRow("commit", tuple(_commit(study) for study in studies))
    yield SettingRow("loaded files", tuple(_code(study) for study in studies), matters=True)
    for name in dict.fromkeys(name for study in studies for name in _inputs(study)):
        yield SettingRow(
            f"data {name}",
            tuple(_inputs(study).get(name, NOT_RECORDED) for study in studies),
            matters=True,
        )
    for kind in (Kind.CONFIG, Kind.ENVIRONMENT):
        yield from _differing(studies, kind, anonymous=anonymous)
    yield SettingRow("Python", tuple(_python(study) for study in studies))


def _numbered(what: str, values: Sequence[str]) -> tuple[str, ...]:
    """Numbers in the place of values that nobody may read; the same value has the same one."""
    told = [value for value in dict.fromkeys(values) if value != NOT_RECORDED]
    numbers = {value: f"{what} {number}" for number, value in enumerate(told, start=1)}
    return tuple(numbers.get(value, value) for value in values)


def _differing(
    studies: Sequence[ComparedStudy], kind: Kind, *, anonymous: bool
) -> Iterator[SettingRow]:
    """A row for each thing in which any study differs from the first one, the first ones only."""
    found: dict[str, dict[int, str]] = {}
    first: dict[str, str] = {}
    for index, study in enumerate(studies[1:], start=1):
        for difference in _differences(studies[0], study, kind, anonymous=anonymous):
            if difference.what.startswith("search."):
                continue  # has rows of its own
            first[difference.what] = _text(difference.recorded, "none")
            found.setdefault(difference.what, {})[index] = _text(difference.here, "none")
    for what in list(found)[:_LISTED]:
        values = [found[what].get(index, first[what]) for index in range(len(studies))]
        yield SettingRow(f"{kind} {what}", tuple(values), matters=kind is Kind.CONFIG)
    if len(found) > _LISTED:
        counts = [str(sum(index in by for by in found.values())) for index in range(len(studies))]
        yield SettingRow(f"{kind}: differences from the first study", tuple(counts))


def _differences(
    first: ComparedStudy, other: ComparedStudy, kind: Kind, *, anonymous: bool
) -> tuple[CoordinateDifference, ...]:
    if kind is Kind.ENVIRONMENT:
        return environment_differences(first, other, anonymous=anonymous)
    return differences(first, other, kind) or ()


def _commit(study: ComparedStudy) -> str:
    snapshot = study.snapshots.get(Kind.CODE)
    git = None if snapshot is None else snapshot.state_as(CodeState).git
    if git is None or git.commit is None:
        return NOT_RECORDED
    return git.commit[:_SHORT] + (" with changes" if git.dirty else "")


def _code(study: ComparedStudy) -> str:
    snapshot = study.snapshots.get(Kind.CODE)
    return NOT_RECORDED if snapshot is None else snapshot.state_as(CodeState).identity[:_SHORT]


def _inputs(study: ComparedStudy) -> dict[str, str]:
    snapshot = study.snapshots.get(Kind.DATA)
    if snapshot is None:
        return {}
    inputs = snapshot.state_as(DataState).inputs
    return {item.name: (item.digest or NOT_RECORDED)[:_SHORT] for item in inputs}


def _python(study: ComparedStudy) -> str:
    snapshot = study.snapshots.get(Kind.ENVIRONMENT)
    if snapshot is None:
        return NOT_RECORDED
    return snapshot.state_as(EnvironmentState).interpreter.version


def _budget(trials: int | None, hours: float | None) -> str:
    limits = [f"{trials} trials"] * (trials is not None) + [f"{hours!r} h"] * (hours is not None)
    return ", ".join(limits) or "no limit"


def _best(study: ComparedStudy, names: Sequence[str]) -> tuple[Cell, ...]:
    search = study.search
    best = search.best
    if best is None:
        return (study.name, None, None, *(_NOT_ASKED for _ in names))
    given = {column.name: column for column in search.params if column.given[best]}
    params = [_choice(given[name].value(best)) if name in given else _NOT_ASKED for name in names]
    return (study.name, int(search.numbers[best]), float(search.values[best, 0]), *params)


def _choice(value: object) -> str:
    return value if isinstance(value, str) else repr(value)


def _text(value: object, missing: str) -> str:
    return missing if value is None else str(value)

"""The selected configuration in full: params, exact, what was fixed, and the resolved config."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from trialbook.analysis.columns import Cell, Column, Holds, Table
from trialbook.analysis.details import TrialDetail
from trialbook.analysis.searches.search import ParamColumn, Search
from trialbook.records.config import ConfigState
from trialbook.records.coordinates import Kind
from trialbook.report.document import Block, Fact, Facts, Notice, Section
from trialbook.report.source import ReportSource, snapshot_state
from trialbook.report.wording import counted

_FIXED = "fixed_params"
"""The system attribute in which Optuna keeps what ``enqueue_trial`` fixed."""
_SHOWN = 40


def configuration_title(source: ReportSource) -> str:
    """The heading of the section: of several objectives no configuration is the best."""
    return "Best configuration" if source.front_first is None else "A configuration of the front"


def configuration(source: ReportSource) -> Section:
    """Params of the selected trial, exact, and the configuration as it was recorded."""
    shown = source.selected or source.front_first
    if shown is None:
        blocks: tuple[Block, ...] = (
            Notice("No trial is selected, so there is no configuration to show."),
        )
        return Section("configuration", configuration_title(source), blocks)
    trial = shown.trial
    first: list[Block] = []
    if source.selected is None:
        first.append(
            Notice(
                f"No trial is the best of several objectives. Shown is trial {trial.number}, the "
                "first of the front; the table of all trials has the others."
            )
        )
    if trial.params:
        first.append(
            source.table(
                "best-params",
                f"Params of trial {trial.number}, with all their digits.",
                params_table(shown, source.search),
                trials=(trial.number,),
            )
        )
    else:
        first.append(Notice("The trial has asked for no param."))
    return Section("configuration", configuration_title(source), (*first, *_config(source, shown)))


def params_table(shown: TrialDetail, search: Search) -> Table:
    """Params, exact, in the order in which they were asked, each with how it came about."""
    fixed = shown.trial.system_attrs.get(_FIXED)
    given = fixed if isinstance(fixed, dict) else {}
    return Table(
        (Column("param", Holds.CODE), Column("value", Holds.EXACT), Column("came from")),
        tuple(
            (param.name, plain(param.value), _origin(param.name, search.param(param.name), given))
            for param in shown.trial.params
        ),
    )


def _origin(name: str, column: ParamColumn, given: dict[str, Any]) -> str:
    if name in given:
        return "fixed when the trial was enqueued"
    if all(distribution.single() for distribution in column.distributions):
        return "fixed: its range holds one value"
    return "searched"


def _config(source: ReportSource, shown: TrialDetail) -> Iterator[Block]:
    state = snapshot_state(shown, Kind.CONFIG, ConfigState)
    if state is None:
        yield Notice("The resolved configuration was not recorded: the trial was not tracked.")
        return
    if state.source is None and not state.resolved:
        yield Notice("The objective declared no configuration: what it fixed is in its code alone.")
        return
    if state.source is not None:
        name = "withheld" if source.anonymous else state.source
        yield Facts(
            (
                Fact("file", name, Holds.CODE),
                Fact("digest of the file", state.source_digest, Holds.DIGEST),
            )
        )
    table = config_table(state)
    yield source.table(
        "best-config",
        "The resolved configuration: what the objective saw beside its params.",
        table,
        trials=(shown.trial.number,),
        shown=_SHOWN,
    )
    if state.redacted:
        yield Notice(
            f"{counted(len(state.redacted), 'value')} looked like credentials and were never "
            f"recorded: {', '.join(state.redacted)}."
        )


def config_table(state: ConfigState) -> Table:
    """One row a value of the resolved configuration, by its dotted key."""
    changed = set(state.overrides)
    base = "code" if state.source is None else "file"
    return Table(
        (Column("key", Holds.CODE), Column("value", Holds.EXACT), Column("came from")),
        tuple(
            (key, plain(value), "override" if _overridden(key, changed) else base)
            for key, value in flattened(state.as_seen)
        ),
    )


def _overridden(key: str, changed: set[str]) -> bool:
    return any(key == name or key.startswith(name + ".") for name in changed)


def flattened(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of every leaf; an empty mapping is one."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from flattened(item, f"{key}.{name}" if key else str(name))
    elif key:
        yield key, value


def plain(value: object) -> Cell:
    """A value as a cell; what is no plain value as JSON, else as Python writes it."""
    if value is None:
        return "null"
    if isinstance(value, (str, int, float, bool)):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return repr(value)

"""The switch that turns tracking into replaying: in a rerun's process nothing is captured.

While a replay is active, a tracked objective neither captures nor wants a book. It is seeded as
recorded, sees the recorded configuration and the mapped data, and tells the replay's sink.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna

from trialbook.records.execution import Seeds
from trialbook.tracking.sink import Sink


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replayed objective gets.

    Args:
        sink: Where its observations go.
        seeds: The recorded seeds; the same global generators are set.
        config: The recorded configuration.
        data: Input name to path.
        directory: The attempt's own directory.
        study: The scratch study that ``trialbook.create_study`` and ``load_study`` give.
        raised: Called with the exception that left the objective, before it goes on.
    """

    sink: Sink
    seeds: Seeds
    directory: Path
    config: dict[str, Any] = field(default_factory=dict)
    data: Mapping[str, Path] = field(default_factory=dict)
    study: optuna.Study | None = None
    raised: Callable[[BaseException], None] | None = None


_active: Replay | None = None


def active_replay() -> Replay | None:
    """The replay under way in this process, ``None`` when trials are tracked."""
    return _active


@contextmanager
def replaying(replay: Replay) -> Iterator[Replay]:
    """Replay instead of tracking, in the whole process, until the block ends."""
    global _active
    before, _active = _active, replay
    try:
        yield replay
    finally:
        _active = before

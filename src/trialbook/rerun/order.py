"""What a child process is told to replay, and the file that tells it. Values only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from trialbook.records.canonical import parsed, tagged
from trialbook.records.code import EntryPoint
from trialbook.records.environment import ThreadPool
from trialbook.records.execution import Seeds
from trialbook.records.study import Direction, ParamRecord
from trialbook.restoring.search_path import SearchPath


@dataclass(frozen=True, slots=True)
class RecordedTrial:
    """The identity of a recorded trial and of its study.

    Args:
        study: The study's name.
        directions: One for each objective.
        number: The trial's number.
        trial_id: The book's id, which ``trial._trial_id`` was.
        study_attrs: The study's user attributes.
        attrs: User attributes that the trial had before it started (it was enqueued with them).
    """

    study: str
    directions: tuple[Direction, ...]
    number: int
    trial_id: int
    study_attrs: Mapping[str, Any] = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReplayOrder:
    """Everything that the child needs.

    Args:
        trial: Which trial of which study.
        params: Its params.
        prune_answers: Each recorded answer of ``should_prune``.
        seeds: Its seeds.
        config: Its configuration.
        entry: How the objective is found.
        module: The module of a script that was started with ``-m``, else ``None``.
        argv: ``sys.argv`` for the code.
        cwd: Working directory, inside the restored code.
        path: Where modules come from.
        data: Input name to absolute path.
        thread_pools: Libraries whose threads are set as recorded.
        determinism: Flags of numerical libraries that are set as recorded.
        cpus: Number of processors that the trial could use.
        directory: The attempt's own directory, empty.
        results: Directory for the outcome.
    """

    trial: RecordedTrial
    params: tuple[ParamRecord, ...]
    prune_answers: tuple[bool, ...]
    seeds: Seeds
    config: dict[str, Any]
    entry: EntryPoint
    module: str | None
    argv: tuple[str, ...]
    cwd: str
    path: SearchPath
    data: dict[str, str]
    thread_pools: tuple[ThreadPool, ...]
    determinism: dict[str, Any]
    cpus: int
    directory: str
    results: str


def write_order(order: ReplayOrder, path: Path) -> None:
    """Write the order as JSON in the tagged form, mappings in their own order."""
    path.write_text(json.dumps(tagged(msgspec.to_builtins(order))))


def read_order(path: Path) -> ReplayOrder:
    """The order that was written there."""
    return msgspec.convert(parsed(path.read_bytes()), ReplayOrder)

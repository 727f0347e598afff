"""A study as its book has it: everything that a worker needs who has nothing else of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trialbook.book.storage import BookStorage
from trialbook.errors import RestoreError
from trialbook.records.code import CodeState
from trialbook.records.config import ConfigState
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.data import DataState
from trialbook.records.environment import EnvironmentState
from trialbook.records.execution import LaunchState
from trialbook.records.references import StudyReference
from trialbook.records.study import StudyRecord, StudySpec
from trialbook.running.study import load_study


@dataclass(frozen=True, slots=True)
class RecordedStudy:
    """A study that has run, or was pinned for workers.

    Args:
        record: The study.
        spec: What it was asked to be.
        reference: What its workers are held against.
        code_snapshot: The code as it is stored.
        code: What ran.
        data: On which inputs.
        config: With which configuration.
        environment: In which environment.
        launch: How its process was started.
        earlier_paths: Input name to where the study's first trial found it.
    """

    record: StudyRecord
    spec: StudySpec
    reference: StudyReference
    code_snapshot: Snapshot
    code: CodeState
    data: DataState
    config: ConfigState
    environment: EnvironmentState
    launch: LaunchState
    earlier_paths: dict[str, Path]


def recorded_study(storage: BookStorage, name: str) -> RecordedStudy:
    """A study for a worker that joins it.

    Args:
        storage: The book.
        name: Name of the study.

    Raises:
        NotFoundError: There is no such study.
        RestoreError: Nothing was recorded that a worker could run.
    """
    study_id = storage.get_study_id_from_name(name)
    record = storage.get_study_record(study_id)
    reference = storage.reference(study_id)
    if reference is None:
        raise RestoreError(
            f"study {name!r} has no tracked trial yet, so the book holds no code for a worker",
            where=storage.url,
            hint="run its first trial with 'trialbook run', or place workers with "
            "'trialbook launch' from its study file",
        )
    if record.spec is None:
        raise RestoreError(
            f"study {name!r} was made by plain Optuna, which records neither sampler nor pruner, "
            "so another process cannot search on as it does",
            where=storage.url,
            hint="make studies with trialbook.create_study, or with 'trialbook run'",
        )
    found = _snapshots(storage, reference, name)
    return RecordedStudy(
        record=record,
        spec=record.spec,
        reference=reference,
        code_snapshot=found[Kind.CODE],
        code=found[Kind.CODE].state_as(CodeState),
        data=found[Kind.DATA].state_as(DataState),
        config=found[Kind.CONFIG].state_as(ConfigState),
        environment=found[Kind.ENVIRONMENT].state_as(EnvironmentState),
        launch=found[Kind.EXECUTION].state_as(LaunchState),
        earlier_paths=_earlier_paths(storage, study_id),
    )


def require_search(storage: BookStorage, study: RecordedStudy) -> None:
    """See that the sampler and the pruner can be built from the record.

    Raises:
        SettingsDifferError: One is an object that only its owner can build.
    """
    load_study(study_name=study.record.name, storage=storage).require_components()


def _snapshots(storage: BookStorage, reference: StudyReference, name: str) -> dict[Kind, Snapshot]:
    found: dict[Kind, Snapshot] = {}
    for kind in Kind:
        digest = reference.coordinates.of(kind)
        if digest is None:
            raise RestoreError(
                f"no {kind} is recorded of study {name!r}, so no worker can join it",
                where=storage.url,
                hint="run a trial of it with 'trialbook run'",
            )
        found[kind] = storage.snapshot(digest)
    return found


def _earlier_paths(storage: BookStorage, study_id: int) -> dict[str, Path]:
    """Where inputs lay at first: the reference may be a worker's of another machine."""
    first = storage.first_coordinates(study_id)
    if first is None or first.data is None:
        return {}
    data = storage.snapshot(first.data).state_as(DataState)
    return {item.name: Path(item.path) for item in data.inputs}

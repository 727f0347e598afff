"""A study that has everything that can be recorded, and everything that a book holds of one."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from sqlalchemy import Table, select

from trialbook.book import schema
from trialbook.book.attempt import Attempt
from trialbook.book.blobs import BlobStore
from trialbook.book.book import Book
from trialbook.book.reading import Reader
from trialbook.book.removal import remove_trial
from trialbook.book.reruns import add_rerun
from trialbook.book.retrying import Fate
from trialbook.book.storage import BookStorage
from trialbook.records.blobs import Blob
from trialbook.records.checkpoints import Told
from trialbook.records.code import CodeState, FileEntry
from trialbook.records.config import ConfigState
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.execution import Console, EndReason, OutcomeState, Seeds
from trialbook.records.launches import LaunchRecord, PlacedJob
from trialbook.records.retries import RetryBudgets
from trialbook.records.study import StudySpec
from trialbook.records.verdict import RerunReport, Verdict
from trialbook.records.workers import Claim, Holder, WorkerIdentity

UNIT = FloatDistribution(0, 1)
KINDS = CategoricalDistribution(("=1+1", None, 3))
MODEL = b"model " * 30_000
LOST = OutcomeState(EndReason.LOST)
NOTHING = Told({}, {}, {})
WORKER = WorkerIdentity("0" * 31 + "1", "node1", 4711, "slurm", "99_1", "boot", 5, "0a1b2c3d/1")


def _snapshots() -> tuple[list[Snapshot], list[Blob]]:
    sources = [Blob.of(b"def objective(trial): ...\n"), Blob.of(b"large " * 20_000)]
    files = tuple(
        FileEntry(f"f{n}.py", "100644", blob.size_bytes, blob.digest, loaded=n == 0)
        for n, blob in enumerate(sources)
    )
    code = Snapshot.of(Kind.CODE, Coverage.of(()), CodeState(None, files))
    config = Snapshot.of(Kind.CONFIG, Coverage.of(()), ConfigState(resolved={"layers": "\u00e4"}))
    return [code, config], sources


def _begun(storage: BookStorage, study_id: int, trial_id: int | None = None) -> Attempt:
    if trial_id is None:
        trial_id = storage.create_new_trial(study_id)
    snapshots, blobs = _snapshots()
    return storage.begin_attempt(
        trial_id, snapshots=snapshots, blobs=blobs, seeds=Seeds(trial=trial_id)
    )


def _stretch(attempt: Attempt, first: int, end: int) -> None:
    for step in range(first, end):
        attempt.log({"loss": 1 / (step + 1), "nan": math.nan, "inf": -math.inf}, step, 1e9 + step)
        attempt.report(step, -0.0, 1e9)
        attempt.answered(step % 2 == 0)


def _finish(storage: BookStorage, attempt: Attempt, value: float) -> None:
    console = Blob.of(b"trial %d\n" % attempt.trial_id)
    out = Console(console.digest, console.size_bytes, console.size_bytes)
    attempt.end(OutcomeState(EndReason.COMPLETE, stdout=out, cpu_s=1.25), [console])
    storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [value])


def _lost(storage: BookStorage, attempt: Attempt, directory: Path, content: bytes) -> None:
    """The attempt saves a checkpoint and is lost with its process."""
    path = directory / "state"
    path.write_bytes(content)
    assert attempt.save_checkpoint(path, NOTHING)
    storage.flush()
    storage._held.pop(attempt.trial_id)
    assert storage.end_dead_attempt(attempt.trial_id, LOST) is Fate.RETRIED


def make_study(storage: BookStorage, directory: Path, name: str = "digits") -> int:
    """A study of nine trials; number 4 is a tombstone, 7 and 8 are WAITING; its id."""
    other = storage.create_new_study([StudyDirection.MINIMIZE], "other")  # so that ids differ
    _finish(storage, _begun(storage, other), 1.0)
    study_id = storage.create_new_study([StudyDirection.MAXIMIZE], name)
    spec = StudySpec(retries=RetryBudgets(lost=10, backoff_s=0.0))
    storage.set_study_spec(study_id, spec, origin="f" * 64)
    storage.set_study_user_attr(study_id, "note", {"z": [1, 2.5, None], "a": "\u00e4"})
    storage.set_study_system_attr(study_id, "system", math.inf)
    storage.set_reference(study_id, *_snapshots())
    jobs = (PlacedJob(0, "99_0", "node1", "log"),)
    storage.launches.add(
        LaunchRecord("0a1b2c3d", study_id, name, "slurm", 1.5, "login", None, 2, {"p": "gpu"})
    )
    storage.launches.set_jobs("0a1b2c3d", jobs)
    # A trial that was continued after two losses, begun before and finished after others.
    continued = _begun(storage, study_id)
    storage.set_trial_param(continued.trial_id, "x", 0.5, UNIT)
    _stretch(continued, 0, 3)
    _lost(storage, continued, directory, b"first" * 40_000)
    (directory / "model").write_bytes(MODEL)
    for number in range(1, 4):
        attempt = _begun(storage, study_id)
        storage.set_trial_param(attempt.trial_id, "x", 0.25 * number, UNIT)
        storage.set_trial_param(attempt.trial_id, "kind", number % 3, KINDS)
        storage.set_trial_user_attr(attempt.trial_id, "n", [number])
        _stretch(attempt, 0, 5)
        attempt.add_artifact("models/m.bin", directory / "model", "application/octet-stream")
        if number == 3:
            attempt.end(OutcomeState(EndReason.FAILED, traceback="ValueError: no luck"))
            storage.set_trial_state_values(attempt.trial_id, TrialState.FAIL)
        else:
            _finish(storage, attempt, (math.nan, -0.0)[number - 1] if number == 2 else 0.5)
    assert storage.set_trial_state_values(continued.trial_id, TrialState.RUNNING)
    again = _begun(storage, study_id, continued.trial_id)
    again.load_checkpoint(lambda: directory)
    _stretch(again, 3, 6)
    _finish(storage, again, 0.75)
    removed = _begun(storage, study_id)
    _finish(storage, removed, 0.1)
    remove_trial(storage.book, Reader(storage.book).trial(f"{name}/4"))
    storage.create_new_trial(
        study_id, create_trial(value=-0.0, params={"x": 1.0}, distributions={"x": UNIT})
    )
    # A worker's trial, and one that was given back with a checkpoint and waits.
    storage.leases.register(WORKER, study_id)
    claim = storage.claim(study_id, holder=Holder(WORKER))
    assert isinstance(claim, Claim)
    held = storage.begin_attempt(
        claim.trial_id, snapshots=_snapshots()[0], seeds=Seeds(trial=1), claimed=claim.attempt
    )
    _finish(storage, held, math.inf)
    waits = _begun(storage, study_id)
    _stretch(waits, 0, 2)
    _lost(storage, waits, directory, b"to go on" * 20_000)
    storage.create_new_trial(study_id, create_trial(state=TrialState.WAITING))
    report = RerunReport(f"{name}/1", Verdict.IDENTICAL, points=20)
    for host in ("a", "b"):
        add_rerun(storage.book, _attempt_id(storage, f"{name}/1"), report, host)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return study_id


def _attempt_id(storage: BookStorage, reference: str) -> int:
    attempt = Reader(storage.book).trial(reference).attempt
    assert attempt is not None
    return attempt.attempt_id


Rows = list[dict[str, Any]]


def whole(book: Book, name: str = "digits") -> dict[str, Any]:
    """Everything that a book holds of a study, by table, with numbers in the place of ids."""
    s, t, a = schema.study.c, schema.trial.c, schema.attempt.c
    with book.reading() as connection:

        def rows(table: Table, *conditions: Any) -> Rows:
            keys = table.primary_key.columns.values()
            query = select(table).where(*conditions).order_by(*keys)
            return [_plain(row._mapping) for row in connection.execute(query)]

        (study,) = rows(schema.study, s.name == name, s.deleted.is_(None))
        mine = study["study_id"]
        trials = rows(schema.trial, t.study_id == mine)
        number = {row["trial_id"]: row["number"] for row in trials}
        attempts = rows(schema.attempt, a.trial_id.in_(number))
        called = {row["attempt_id"]: (number[row["trial_id"]], row["number"]) for row in attempts}
        workers = {row["worker_id"] for row in attempts}
        w = schema.worker.c
        found = {
            "study": [study],
            "trial": trials,
            "attempt": attempts,
            "worker": rows(schema.worker, (w.study_id == mine) | w.worker_id.in_(workers)),
            "trial_value": rows(schema.trial_value, schema.trial_value.c.trial_id.in_(number)),
        }
        for table in (schema.study_attr, schema.launch):
            found[table.name] = rows(table, table.c.study_id == mine)
        for table in (schema.series, schema.checkpoint, schema.artifact, schema.rerun):
            found[table.name] = rows(table, table.c.attempt_id.in_(called))
        saved = {
            row["checkpoint_id"]: (called[row["attempt_id"]], row["number"])
            for row in found["tb_checkpoint"]
        }
        found["snapshot"] = rows(schema.snapshot)
        digests = list(connection.scalars(select(schema.blob.c.digest)))
    for table_rows in found.values():
        for row in table_rows:
            row.pop("study_id", None)
            row.pop("rerun_id", None)
            if "trial_id" in row:
                row["trial_id"] = number[row["trial_id"]]
            if "attempt_id" in row:
                row["attempt_id"] = called[row["attempt_id"]]
            for key in ("checkpoint_id", "resumed_from"):
                if row.get(key) is not None:
                    row[key] = saved[row[key]]
        # Ids keep the order in which the rows came, so what is sorted by them stays sorted.
    store = BlobStore(book)
    contents = {d: hashlib.sha256(b"".join(store.chunks(d))).hexdigest() for d in digests}
    return {**found, "blob": contents}


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: bytes(value) if isinstance(value, (bytes, memoryview)) else value
        for key, value in row.items()
    }

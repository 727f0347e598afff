"""Make the frozen books that the tests of migration open: one of each released revision.

    PYTHONPATH=CHECKOUT/src python tests/book/frozen/make.py

CHECKOUT is a checkout of the last commit whose tables are of that revision. Beside itself it
writes ``book-REVISION.db.gz`` (an SQLite book, zipped), ``book-REVISION.db.blobs`` (its larger
blobs), ``book-REVISION.sql.gz`` (such a book on PostgreSQL, by ``pg_dump --inserts``) and
``book-REVISION.seals.json`` (the seals of both). A book that is there is never made again: what a
released program wrote is what has to be read.

It holds one study, ``digits``: COMPLETE, PRUNED and FAIL trials that were tracked, one with an
artifact that is a file on SQLite, an added template, trials that are RUNNING and WAITING, and a
launch with a worker.
"""

from __future__ import annotations

import gzip
import json
import math
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import optuna
from optuna.trial import TrialState, create_trial

from trialbook.book.migration import REVISIONS
from trialbook.book.seals import seal_of
from trialbook.book.storage import BookStorage
from trialbook.records.blobs import Blob
from trialbook.records.code import CodeState, FileEntry
from trialbook.records.config import ConfigState
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.execution import Console, EndReason, OutcomeState, Seeds
from trialbook.records.launches import DRAIN, LaunchPin, LaunchRecord, PlacedJob
from trialbook.records.workers import WorkerIdentity

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from tests.postgres import Server

HERE = Path(__file__).resolve().parent
MODEL = b"model " * 11_000
UNIT = optuna.distributions.FloatDistribution(0.0, 1.0)
KINDS = optuna.distributions.CategoricalDistribution(("=1+1", None, 3))


def fill(url: str, model: Path) -> str:
    """Write the study into a new book; its seal."""
    storage = BookStorage(url)
    study_id = storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE], "digits")
    storage.set_study_user_attr(study_id, "dataset", "mnist")
    storage.set_study_system_attr(study_id, "note", [1, 2.5, None])
    source = Blob.of(b"def objective(trial): ...\n")
    file = FileEntry("train.py", "100644", source.size_bytes, source.digest, loaded=True)
    snapshots = [
        Snapshot.of(Kind.CODE, Coverage.of(()), CodeState(None, (file,))),
        Snapshot.of(Kind.CONFIG, Coverage.of(()), ConfigState(resolved={"layers": 2})),
    ]
    ends = [
        (TrialState.COMPLETE, EndReason.COMPLETE, [0.5]),
        (TrialState.COMPLETE, EndReason.COMPLETE, [math.inf]),
        (TrialState.PRUNED, EndReason.PRUNED, None),
        (TrialState.FAIL, EndReason.FAILED, None),
    ]
    for number, (state, reason, values) in enumerate(ends):
        trial_id = storage.create_new_trial(study_id)
        attempt = storage.begin_attempt(
            trial_id, snapshots=snapshots, blobs=[source], seeds=Seeds(trial=number)
        )
        storage.set_trial_param(trial_id, "x", 0.25 * number, UNIT)
        storage.set_trial_param(trial_id, "kind", number % 3, KINDS)
        for step in range(5):
            attempt.log({"loss": 1.0 / (step + 1), "nan": math.nan}, step, 1e9 + step)
            storage.set_trial_intermediate_value(trial_id, step, float(step))
            attempt.answered(step == 4 and state is TrialState.PRUNED)
        storage.set_trial_user_attr(trial_id, "nested", {"z": [1, None], "a": "\u00e4"})
        if number == 1:
            attempt.add_artifact("models/model.bin", model, "application/octet-stream")
        console = Blob.of(b"trial %d\n" % number)
        out = Console(console.digest, console.size_bytes, console.size_bytes)
        failed = "ValueError: no luck" if state is TrialState.FAIL else None
        attempt.end(OutcomeState(reason, traceback=failed, stdout=out), [console])
        storage.set_trial_state_values(trial_id, state, values)
    added = create_trial(value=-0.0, params={"x": 1.0}, distributions={"x": UNIT})
    storage.create_new_trial(study_id, added)
    running = storage.create_new_trial(study_id)
    storage.set_trial_param(running, "x", 0.125, UNIT)
    storage.set_trial_intermediate_value(running, 0, 1.5)
    storage.create_new_trial(study_id, create_trial(state=TrialState.WAITING))
    storage.fix_reference(study_id)
    code = snapshots[0].digest
    storage.launches.add(
        LaunchRecord(
            launch_id="0a1b2c3d",
            study_id=study_id,
            study="digits",
            engine="ssh",
            created_s=1e9,
            host="desk",
            user="ann",
            workers=2,
            options={"hosts": ["node1", "node2"]},
            place="/nowhere",
            pin=LaunchPin(storage.book.book_id, code),
            jobs=(PlacedJob(0, "node1 4711", "node1"),),
        )
    )
    worker = WorkerIdentity("1" * 32, "node1", 4711, "ssh", "0a1b2c3d/0", launch="0a1b2c3d/0")
    storage.leases.register(worker, study_id)
    storage.launches.ask("0a1b2c3d", DRAIN)
    seal = seal_of(storage.book, study_id)
    storage.close()
    return seal


def main() -> None:
    """Make what is missing."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore")
    revision = REVISIONS[-1]
    base = HERE / f"book-{revision}"
    if list(HERE.glob(f"{base.name}.*")):
        sys.exit(f"the book of revision {revision} is there already")
    with tempfile.TemporaryDirectory() as name, Server() as server:
        place = Path(name) / "book.db"
        model = Path(name) / "model.bin"
        model.write_bytes(MODEL)
        seals = {"sqlite": fill(f"sqlite:///{place}", model)}
        base.with_name(base.name + ".db.gz").write_bytes(
            gzip.compress(place.read_bytes(), 9, mtime=0)
        )
        shutil.copytree(f"{place}.blobs", f"{base}.db.blobs")
        database = server.new_database()
        seals["postgresql"] = fill(server.url(database), model)
        dump = subprocess.run(
            [
                server.bin / "pg_dump",
                *("--inserts", "--no-owner", "--no-privileges", "--dbname", server.url(database)),
            ],
            check=True,
            capture_output=True,
        ).stdout
        # Lines for psql alone; the rest is SQL.
        lines = [line for line in dump.splitlines() if not line.startswith((b"\\", b"--"))]
        sql = b"\n".join(line for line in lines if line) + b"\n"
        base.with_name(base.name + ".sql.gz").write_bytes(gzip.compress(sql, 9, mtime=0))
    base.with_name(base.name + ".seals.json").write_text(json.dumps(seals, indent=2) + "\n")


if __name__ == "__main__":
    main()

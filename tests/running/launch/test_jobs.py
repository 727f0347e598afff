"""Engine and book side by side: each line of the table in ``docs/design/launchers.md``."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from optuna.study import StudyDirection

from trialbook.book.storage import BookStorage
from trialbook.errors import LaunchError, NotFoundError
from trialbook.records.launches import DRAIN, JobState, JobStatus, LaunchRecord, PlacedJob
from trialbook.records.workers import Claim, Holder, WorkerIdentity
from trialbook.running.launch import jobs as jobs_module
from trialbook.running.launch.asking import cancel, drain, remaining, to_cancel, wait_until_left
from trialbook.running.launch.contract import Launcher, Placed, WorkerOrder
from trialbook.running.launch.jobs import JobRow, Remark, Seen, jobs
from trialbook.running.launch.selecting import selected

LAUNCH = "0badcafe"
PENDING, RUNNING, ENDED, UNKNOWN = JobState


class Engine(Launcher):
    """An engine that says what it is told to say."""

    engine = "local"
    says: JobState | None = RUNNING

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.cancelled: list[int] = []

    def submit(self, order: WorkerOrder, workers: int, placed: Placed) -> None:
        raise AssertionError("nothing is placed here")

    def status(self, jobs: Sequence[PlacedJob]) -> dict[int, JobStatus]:
        if self.says is None:
            raise LaunchError("the host does not answer")
        return {job.index: JobStatus(self.says, "its word") for job in jobs}

    def log(self, job: PlacedJob, *, follow: bool = False) -> Iterator[bytes]:
        raise LaunchError("there is no log")

    def cancel(self, jobs: Sequence[PlacedJob]) -> dict[int, str | None]:
        if self.says is None:
            raise LaunchError("the host does not answer")
        return {job.index: None for job in jobs}


class Scene:
    """A book with a launch of one job, whose worker and engine do as the test says."""

    def __init__(self, storage: BookStorage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.storage = storage
        self.study_id = storage.create_new_study([StudyDirection.MINIMIZE], "s")
        self.engine = Engine({})
        self.launch(LAUNCH)
        for module in ("jobs", "asking"):
            monkeypatch.setattr(
                f"trialbook.running.launch.{module}.launcher", lambda *_: self.engine
            )

    def launch(self, launch_id: str, workers: int = 1, placed: int = 1) -> None:
        self.storage.launches.add(
            LaunchRecord(launch_id, self.study_id, "s", "local", time.time(), "h", None, workers)
        )
        taken = [PlacedJob(index, f"id-{index}", "h") for index in range(placed)]
        self.storage.launches.set_jobs(launch_id, taken)

    def worker(self, job: str = f"{LAUNCH}/0", lease_s: float = 600.0) -> Holder:
        holder = Holder(WorkerIdentity(secrets.token_hex(16), "h", 1, launch=job), lease_s)
        self.storage.leases.register(holder.worker, self.study_id)
        return holder

    def holding(self, lease_s: float = 600.0) -> Holder:
        holder = self.worker(lease_s=lease_s)
        claim = self.storage.claim(self.study_id, holder=holder)
        assert isinstance(claim, Claim)
        return holder

    def silent(self, holder: Holder) -> None:
        """A worker that was last seen long ago."""
        book = self.storage.book
        with book.writing() as connection:
            connection.exec_driver_sql(
                "UPDATE tb_worker SET seen = seen - 1000 WHERE worker_id = ?",
                (holder.worker.worker_id,),
            )

    def row(self, says: JobState | None) -> JobRow:
        self.engine.says = says
        (row,) = jobs(self.storage, f"{LAUNCH}/0")
        return row


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    storage = BookStorage(tmp_path / "book.db")
    yield Scene(storage, monkeypatch)
    storage.close()


def nobody(scene: Scene) -> None:
    pass


def working(scene: Scene) -> None:
    scene.holding()


def idle(scene: Scene) -> None:
    scene.worker()


def drained(scene: Scene) -> None:
    scene.holding()
    scene.storage.launches.ask(LAUNCH, DRAIN)


def silent(scene: Scene) -> None:
    scene.silent(scene.worker())


def overdue(scene: Scene) -> None:
    scene.silent(scene.holding(lease_s=-5.0))


def left(scene: Scene) -> None:
    scene.storage.leases.leave(scene.worker().worker.worker_id)


def dead(scene: Scene) -> None:
    scene.storage.leases.leave(scene.worker().worker.worker_id, dead=True)


def again(scene: Scene) -> None:
    left(scene)
    scene.holding()


@pytest.mark.parametrize(
    ("says", "known", "remark", "words"),
    [
        (PENDING, nobody, None, None),
        (PENDING, left, None, None),
        (PENDING, working, Remark.SEEN_UNKNOWN, "says that it waits, but its worker was seen"),
        (UNKNOWN, working, Remark.SEEN_UNKNOWN, "is unknown, but its worker was seen 0 s ago"),
        (RUNNING, nobody, Remark.NOT_COME, "has not come to the book yet"),
        (RUNNING, working, None, None),
        (RUNNING, idle, None, None),
        (RUNNING, again, None, None),
        (RUNNING, drained, Remark.DRAINING, "it leaves after trial 0"),
        (RUNNING, silent, Remark.SILENT, "no sign of life for 1000 s"),
        (RUNNING, overdue, Remark.SILENT, "holds trial 0: its lease is over"),
        (RUNNING, left, Remark.ENDING, "has left; the process has still to end"),
        (RUNNING, dead, Remark.ENDING, "was found dead"),
        (ENDED, nobody, Remark.NEVER_CAME, f"'trialbook logs {LAUNCH}/0'"),
        (ENDED, working, Remark.HOLDS_AFTER_END, "trial 0: its lease ends in 600 s"),
        (ENDED, overdue, Remark.HOLDS_AFTER_END, "'trialbook reap' takes it over"),
        (ENDED, idle, Remark.NOT_LEFT, "holds no trial"),
        (ENDED, silent, Remark.NOT_LEFT, "holds no trial"),
        (ENDED, left, None, None),
        (ENDED, dead, None, None),
        (UNKNOWN, silent, Remark.UNKNOWN, "does not know it; its worker gave no sign of life"),
        (UNKNOWN, nobody, Remark.UNKNOWN, "no worker has come"),
        (UNKNOWN, left, None, None),
        (None, working, Remark.ENGINE_SILENT, "the host does not answer"),
        (None, nobody, Remark.ENGINE_SILENT, "the host does not answer"),
    ],
)
def test_where_the_engine_and_the_book_disagree_the_row_says_so(
    scene: Scene,
    says: JobState | None,
    known: Callable[[Scene], None],
    remark: Remark | None,
    words: str | None,
) -> None:
    known(scene)
    row = scene.row(says)
    assert row.remark is remark
    assert (words or "") in (row.text or "")
    assert (row.text is None) == (remark is None)


def test_an_engine_ends_no_lease(scene: Scene) -> None:
    scene.holding()
    assert scene.row(ENDED).worker is not None
    assert scene.storage.reap(scene.study_id) == []
    (trial,) = scene.storage.get_all_trials(scene.study_id)
    assert trial.state.name == "RUNNING"


def test_the_newest_worker_of_a_job_counts(scene: Scene) -> None:
    left(scene)
    holder = scene.holding()
    row = scene.row(RUNNING)
    assert row.came == 2
    assert row.worker is not None
    assert row.worker.record.identity.worker_id == holder.worker.worker_id
    assert row.worker.seen is Seen.WORKING
    assert [trial.number for trial in row.worker.holds] == [0]


def test_what_was_not_placed_is_listed_with_the_rest(scene: Scene) -> None:
    scene.launch("0badbeef", workers=3, placed=2)
    rows = jobs(scene.storage, "0badbeef")
    assert [str(row.job) for row in rows] == ["0badbeef/0", "0badbeef/1", "0badbeef/2"]
    assert [row.remark for row in rows] == [Remark.NOT_COME, Remark.NOT_COME, Remark.NOT_PLACED]


def test_an_engine_that_breaks_is_named_too(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Launcher:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(jobs_module, "launcher", broken)
    (row,) = jobs(scene.storage)
    assert row.remark is Remark.ENGINE_SILENT
    assert row.text == "asking the engine failed: ZeroDivisionError: a bug"


def test_one_engine_that_cannot_be_asked_does_not_hide_the_others(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.launch("0badbeef")
    good, bad = Engine({}), Engine({})
    bad.says = None
    engines = iter([good, bad])
    monkeypatch.setattr(jobs_module, "launcher", lambda *_: next(engines))
    rows = jobs(scene.storage)
    assert sorted(str(row.remark) for row in rows) == ["engine silent", "not come"]


@pytest.mark.parametrize(
    ("says", "known", "over"),
    [
        (ENDED, left, True),
        (ENDED, nobody, True),
        (ENDED, working, False),
        (UNKNOWN, overdue, False),
        (UNKNOWN, silent, True),
        (RUNNING, left, False),
        (PENDING, nobody, False),
        (PENDING, left, False),
        (None, left, True),
        (None, nobody, False),
        (None, working, False),
    ],
)
def test_a_job_is_over_when_nothing_is_to_be_expected_of_it(
    scene: Scene, says: JobState | None, known: Callable[[Scene], None], over: bool
) -> None:
    known(scene)
    assert scene.row(says).is_over is over


def test_a_study_a_launch_and_a_job_are_told_apart(scene: Scene) -> None:
    scene.launch("0badbeef", workers=2, placed=2)
    assert len(selected(scene.storage, None).launches) == 2
    assert selected(scene.storage, "s").is_study
    (launch,) = selected(scene.storage, "0badbeef").launches
    assert launch.launch_id == "0badbeef"
    assert selected(scene.storage, "0badbeef/1").index == 1
    for name in ("0badbeef/2", "nothing", "0badbee5", "0badbee5/0"):
        with pytest.raises(NotFoundError):
            selected(scene.storage, name)
    # Whoever calls a study so means the study.
    scene.storage.create_new_study([StudyDirection.MINIMIZE], "0badbeef")
    assert selected(scene.storage, "0badbeef").is_study


def asked(scene: Scene, holder: Holder) -> str | None:
    return scene.storage.launches.asked(holder.worker.worker_id)


def test_a_drained_launch_asks_its_workers_and_those_to_come(scene: Scene) -> None:
    before, other = scene.worker(), scene.worker("0badbeef/0")
    assert drain(scene.storage, LAUNCH) == 1
    after = scene.worker()
    assert [asked(scene, holder) for holder in (before, after, other)] == [DRAIN, DRAIN, None]
    assert drain(scene.storage, LAUNCH, undo=True) == 2
    assert [asked(scene, holder) for holder in (before, after)] == [None, None]


def test_a_drained_study_asks_those_that_are_there(scene: Scene) -> None:
    placed, own = scene.worker(), scene.worker("")
    gone = scene.worker()
    scene.storage.leases.leave(gone.worker.worker_id)
    assert drain(scene.storage, "s") == 2
    later = scene.worker()
    assert [asked(scene, holder) for holder in (placed, own, later)] == [DRAIN, DRAIN, None]
    assert drain(scene.storage, "s", undo=True) == 3
    assert asked(scene, placed) is None


def test_undoing_for_a_study_takes_back_what_its_launches_were_asked(scene: Scene) -> None:
    worker = scene.worker()
    drain(scene.storage, LAUNCH)
    drain(scene.storage, "s", undo=True)
    assert asked(scene, worker) is None


def test_a_drained_job_asks_its_own_worker(scene: Scene) -> None:
    scene.launch("0badbeef", workers=2, placed=2)
    first, second = scene.worker("0badbeef/0"), scene.worker("0badbeef/1")
    assert drain(scene.storage, "0badbeef/1") == 1
    assert [asked(scene, holder) for holder in (first, second)] == [None, DRAIN]


def test_waiting_for_drained_workers_ends_when_they_left_or_are_silent(scene: Scene) -> None:
    leaving, lost = scene.worker(), scene.worker()
    scene.silent(lost)
    assert [w.identity for w in remaining(scene.storage, LAUNCH)] == [leaving.worker]
    heard: list[int] = []

    def changed(count: int) -> None:
        heard.append(count)
        if count:
            scene.storage.leases.leave(leaving.worker.worker_id)

    wait_until_left(scene.storage, LAUNCH, changed)
    assert heard == [1, 0]


def test_cancelling_asks_for_what_is_not_over_and_says_what_could_not_be(scene: Scene) -> None:
    scene.launch("0badbeef", workers=2, placed=1)
    scene.holding()
    rows = to_cancel(scene.storage, "s")
    assert [str(row.job) for row in rows] == [f"{LAUNCH}/0", "0badbeef/0"]
    assert [result.failure for result in cancel(scene.storage, rows)] == [None, None]
    scene.engine.says = None
    results = cancel(scene.storage, rows)
    assert [result.failure for result in results] == ["the host does not answer"] * 2

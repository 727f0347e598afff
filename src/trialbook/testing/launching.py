"""The contract of a launcher: what holds with every engine, as a suite for pytest.

To hold an engine to it, with real workers on a real book::

    from trialbook.testing.launching import LauncherContract

    class TestMyEngine(LauncherContract):
        engine = "slurm"

        @pytest.fixture(scope="class")
        @classmethod                    # pytest wants it for a fixture of a class
        def options(cls):               # as 'trialbook launch' gives them to the engine;
            return {"partition": "cpu"} # put hostile texts wherever the engine takes text

        @pytest.fixture(scope="class")
        @classmethod
        def book(cls, ...):            # a storage URL that workers reach, with its password
            return "postgresql://..."

Further hooks, each with a default that suits an engine whose workers run on this machine, in this
pid namespace, and share its files: ``place`` (a directory that all of them see), ``environment``
(variables on top of those that the suite gives the workers), ``launcher``, ``lose`` (a worker, its
process or its whole node dies at once), ``half_failing`` (a launch of which one worker cannot be
placed), ``stranger`` (a job that the engine never had), and ``ended_well`` (what the engine says of
a worker that left by itself).

The tests of the class run in their order and share two launches of two workers each, since engines
are slow to start. The study's name, a path and what the workers are told are hostile: whatever
hands them to a shell leaves a file behind.
"""

from __future__ import annotations

import hashlib
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest

from trialbook.book.location import book_files
from trialbook.book.storage import BookStorage
from trialbook.errors import LaunchError
from trialbook.records.execution import EndReason
from trialbook.records.launches import (
    DRAIN,
    JobState,
    JobStatus,
    LaunchRecord,
    PlacedJob,
)
from trialbook.records.workers import WorkerRecord
from trialbook.running.launch.contract import Launcher, WorkerOrder
from trialbook.running.launch.engines import launcher as launcher_of
from trialbook.running.launch.jobs import jobs
from trialbook.testing import invariants
from trialbook.testing.laboratory import WORKERS, Laboratory, Launched, until


class LaunchCase:
    """Fixtures and hooks for tests of a launcher; see the module."""

    engine: ClassVar[str]
    ended_well: ClassVar[tuple[str | None, ...]] = ("exit 0",)

    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A directory that the workers see too."""
        return tmp_path_factory.mktemp("launch").resolve()

    @pytest.fixture(scope="class")
    @classmethod
    def book(cls, place: Path) -> str:
        """The storage URL, as the workers and this process reach it."""
        return f"sqlite:///{place / 'book.db'}"

    @pytest.fixture(scope="class")
    @classmethod
    def options(cls) -> Mapping[str, Any]:
        """The engine's options."""
        return {}

    @pytest.fixture(scope="class")
    @classmethod
    def environment(cls) -> Mapping[str, str]:
        """What else the workers need in their environment."""
        return {}

    @pytest.fixture(scope="class")
    @classmethod
    def launcher(cls, options: Mapping[str, Any]) -> Launcher:
        """The launcher."""
        return launcher_of(cls.engine, options)

    @pytest.fixture(scope="class")
    @classmethod
    def lab(
        cls, place: Path, book: str, environment: Mapping[str, str], launcher: Launcher
    ) -> Iterator[Laboratory]:
        """The study; whatever was launched has ended when the tests are over."""
        own = {
            "XDG_CACHE_HOME": str(place / "cache"),
            "XDG_STATE_HOME": str(place / "state"),
            **environment,
        }
        storage = BookStorage(book)
        lab = Laboratory(place, book, storage, own)
        try:
            lab.make()
            yield lab
        finally:
            lab.open()
            for launch in lab.launches:
                with suppress(LaunchError):
                    launcher.cancel(launch.jobs)
                    until(partial(has_ended, launcher, launch.jobs))
            storage.close()

    @pytest.fixture(scope="class")
    @classmethod
    def first(cls, lab: Laboratory, launcher: Launcher, options: Mapping[str, Any]) -> Launched:
        """Two workers, each in the middle of a trial when the first test looks."""
        return cls.launched(lab, launcher, options)

    @pytest.fixture(scope="class")
    @classmethod
    def second(
        cls, lab: Laboratory, launcher: Launcher, options: Mapping[str, Any], first: Launched
    ) -> Launched:
        """Two more, once the first have left."""
        cls.let_leave(lab, launcher, first)
        return cls.launched(lab, launcher, options)

    @staticmethod
    def let_leave(lab: Laboratory, launcher: Launcher, launch: Launched) -> None:
        """Wait until the workers of a launch have finished their trials and left.

        Tests have ended them already, unless a parallel run gave those to another process.
        """
        lab.storage.launches.ask(launch.order.launch_id, DRAIN)
        lab.open()
        until(lambda: has_ended(launcher, launch.jobs), lambda: launcher.status(launch.jobs))
        lab.close()

    @classmethod
    def launched(cls, lab: Laboratory, launcher: Launcher, options: Mapping[str, Any]) -> Launched:
        """A launch of two workers that hold a trial each."""
        launch = Launched(lab.order())
        lab.launches.append(launch)
        cls.announce(lab, launch.order, options)
        launcher.submit(launch.order, WORKERS, launch.jobs.append)
        launch.jobs.sort(key=lambda job: job.index)  # hosts answer in any order
        lab.storage.launches.set_jobs(launch.order.launch_id, launch.jobs)
        until(
            lambda: len(lab.running(launch)) == WORKERS,
            lambda: (launcher.status(launch.jobs), cls.printed(launcher, launch)),
        )
        return launch

    @classmethod
    def announce(cls, lab: Laboratory, order: WorkerOrder, options: Mapping[str, Any]) -> None:
        """Let the book know of a launch, as ``trialbook launch`` does before it places anything."""
        lab.storage.launches.add(
            LaunchRecord(
                launch_id=order.launch_id,
                study_id=lab.study_id,
                study=order.study,
                engine=cls.engine,
                created_s=time.time(),
                host="here",
                user=None,
                workers=WORKERS,
                options=dict(options),
                place=str(order.directory),
            )
        )

    @staticmethod
    def printed(launcher: Launcher, launch: Launched) -> list[bytes]:
        """What the workers of a launch have printed, as far as there are logs."""
        found = []
        for job in launch.jobs:
            with suppress(LaunchError):
                found.append(b"".join(launcher.log(job)))
        return found

    def lose(self, worker: WorkerRecord, job: PlacedJob) -> None:
        """Let a worker die at once, with everything that supervises it and that it started."""
        command = psutil.Process(worker.identity.pid).parent()
        assert command is not None
        for process in [command, *command.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)

    def half_failing(self, launcher: Launcher, order: WorkerOrder) -> None:
        """Arrange that the second of two workers cannot be placed, or skip."""
        pytest.skip("this engine takes all workers of a launch or none")

    def stranger(self, job: PlacedJob) -> PlacedJob:
        """A job that the engine never had, made from one that it has."""
        return PlacedJob(job.index, "999999999", job.place, f"{job.log}-of-nobody")


def has_ended(launcher: Launcher, jobs: list[PlacedJob]) -> bool:
    """Whether the engine says of every job that it has ended."""
    return all(s.state is JobState.ENDED for s in launcher.status(jobs).values())


class LauncherContract(LaunchCase):
    """Everything that a launcher promises; see the module."""

    def test_each_job_is_placed_and_its_worker_comes_to_the_book(
        self, lab: Laboratory, first: Launched
    ) -> None:
        assert [job.index for job in first.jobs] == list(range(WORKERS))
        assert len({job.engine_id for job in first.jobs}) == WORKERS
        workers = lab.workers(first)
        assert sorted(workers) == list(range(WORKERS))
        assert all(worker.study_id == lab.study_id for worker in workers.values())

    def test_an_attempt_leads_to_the_engines_job_and_back(
        self, lab: Laboratory, first: Launched
    ) -> None:
        workers = lab.workers(first)
        launch = lab.storage.launches.one(first.order.launch_id)
        for index, trial in lab.running(first).items():
            attempt = trial.attempt
            assert attempt is not None
            assert attempt.worker_id == workers[index].identity.worker_id
            assert launch.jobs[index] == first.jobs[index]

    def test_the_engine_says_that_they_run(self, launcher: Launcher, first: Launched) -> None:
        found = launcher.status(first.jobs)
        assert {index: status.state for index, status in found.items()} == dict.fromkeys(
            range(WORKERS), JobState.RUNNING
        )

    def test_a_later_command_asks_the_same_engine_and_sees_the_same(
        self, lab: Laboratory, first: Launched
    ) -> None:
        rows = jobs(lab.storage, first.order.launch_id)
        assert [row.placed for row in rows] == first.jobs
        assert [row.remark for row in rows] == [None] * WORKERS
        for row in rows:
            assert row.status is not None
            assert row.status.state is JobState.RUNNING
            assert row.worker is not None
            assert [t.number for t in row.worker.holds] == [
                lab.running(first)[row.job.index].number
            ]

    def test_hostile_texts_execute_nothing_and_arrive_unchanged(
        self, lab: Laboratory, first: Launched
    ) -> None:
        for trial in lab.running(first).values():
            assert until(partial(lab.attr, trial.number, "train")) == str(lab.train)
        assert lab.executed == []

    def test_what_is_secret_reaches_the_workers_and_nobody_else(
        self, lab: Laboratory, first: Launched
    ) -> None:
        for trial in lab.running(first).values():
            digest = hashlib.sha256(lab.secret.encode()).hexdigest()
            assert until(partial(lab.attr, trial.number, "secret")) == digest
        for process in psutil.process_iter(["cmdline"]):
            assert not any(lab.secret in text for text in process.info["cmdline"] or [])
        for file in lab.place.rglob("*"):
            # Whoever opens a file of a book takes away SQLite's locks.
            if file.is_file() and file not in book_files(lab.url):
                assert lab.secret.encode() not in file.read_bytes(), file

    def test_a_job_of_nobody_is_unknown(self, launcher: Launcher, first: Launched) -> None:
        stranger = self.stranger(first.jobs[0])
        assert launcher.status([stranger])[stranger.index].state is JobState.UNKNOWN
        with pytest.raises(LaunchError):
            list(launcher.log(stranger))

    def test_drained_workers_finish_their_trials_and_leave(
        self, lab: Laboratory, launcher: Launcher, first: Launched
    ) -> None:
        held = [trial.number for trial in lab.running(first).values()]
        lab.storage.launches.ask(first.order.launch_id, DRAIN)
        lab.open()
        until(lambda: has_ended(launcher, first.jobs), lambda: launcher.status(first.jobs))
        found = launcher.status(first.jobs)
        assert {status.says for status in found.values()} <= set(self.ended_well), found
        assert [lab.trial(number).state for number in held] == ["COMPLETE"] * WORKERS
        assert all(w.state == "left" for w in lab.workers(first).values())

    def test_the_log_has_what_a_worker_printed_and_ends_with_it(
        self, launcher: Launcher, first: Launched
    ) -> None:
        for job in first.jobs:
            text = b"".join(launcher.log(job)).decode()
            assert "trial" in text
            assert b"".join(launcher.log(job, follow=True)).decode() == text

    def test_ending_a_job_that_has_ended_is_no_fault(
        self, launcher: Launcher, first: Launched
    ) -> None:
        assert launcher.cancel(first.jobs) == dict.fromkeys(range(WORKERS))

    def test_the_trial_of_a_lost_worker_is_done_by_another(
        self, lab: Laboratory, launcher: Launcher, second: Launched
    ) -> None:
        held = lab.running(second)
        self.lose(lab.workers(second)[0], second.jobs[0])
        until(lambda: self.is_lost(launcher.status(second.jobs)[0]))
        # The engine's word changes nothing in the book: the lease does.
        lost = held[0].number
        until(lambda: lab.trial(lost).state == "WAITING")
        lab.open(held[1].number)
        until(lambda: len(lab.trial(lost).attempts) == 2)
        before, after = lab.trial(lost).attempts
        assert before.end_reason is EndReason.LOST
        assert after.worker_id == lab.workers(second)[1].identity.worker_id
        assert lab.trial(held[1].number).state == "COMPLETE"

    def test_a_cancelled_worker_gives_its_trial_back(
        self, lab: Laboratory, launcher: Launcher, second: Launched
    ) -> None:
        held = until(lambda: lab.running(second))[1]
        assert launcher.cancel(second.jobs[1:]) == {1: None}
        until(lambda: has_ended(launcher, second.jobs[1:]), lambda: launcher.status(second.jobs))
        trial = lab.trial(held.number)
        assert (trial.state, trial.attempts[-1].end_reason) == ("WAITING", EndReason.PREEMPTED)
        assert 1 not in lab.running(second)
        assert invariants(lab.url, lab.study) == []
        assert lab.executed == []

    def test_what_was_placed_is_known_when_another_could_not_be(
        self, lab: Laboratory, launcher: Launcher, options: Mapping[str, Any], second: Launched
    ) -> None:
        self.let_leave(lab, launcher, second)  # an engine may have no place for more
        launch = Launched(lab.order())
        self.half_failing(launcher, launch.order)
        lab.launches.append(launch)
        self.announce(lab, launch.order, options)
        lab.storage.launches.ask(launch.order.launch_id, DRAIN)
        with pytest.raises(LaunchError, match="1"):
            launcher.submit(launch.order, WORKERS, launch.jobs.append)
        assert [job.index for job in launch.jobs] == [0]
        until(lambda: has_ended(launcher, launch.jobs))

    @staticmethod
    def is_lost(status: JobStatus) -> bool:
        """Whether this is what the engine says of a worker that is lost; it may be put off."""
        return status.state is JobState.ENDED

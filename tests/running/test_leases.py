"""Leases of workers: renewed whatever the child does, lost to a reaper, left at the end."""

import itertools
import os
import signal
import sys
from pathlib import Path

import optuna
import pytest

from trialbook.book.retrying import Fate
from trialbook.book.storage import BookStorage
from trialbook.records.execution import EndReason
from trialbook.running.leasing import LeaseKeeper
from trialbook.running.reaping import reap

from ..stopping import stop_outside_a_transaction

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

PATIENT = """
    import os, time
    from pathlib import Path
    def parent_of(pid):
        with open(f"/proc/{pid}/stat") as stat:
            return int(stat.read().rsplit(")", 1)[1].split()[1])
    def objective(trial):
        place = Path(__file__).parent
        began = place / f"began-{trial.number}-{len(list(place.glob('began-*')))}"
        began.with_suffix(".part").write_text(f"{os.getpid()} {parent_of(os.getppid())}")
        began.with_suffix(".part").rename(began)
        while not (place / "go").exists():
            time.sleep(0.01)
        return 1.0
"""


def began(lab, count: int = 1) -> tuple[int, int]:
    """Process ids of the newest trial and of its worker."""

    def markers() -> list[Path]:
        found = lab.place.glob("began-*-*")
        return sorted((p for p in found if p.suffix == ""), key=lambda path: path.stat().st_mtime)

    lab.wait_until(lambda: len(markers()) == count)
    trial, worker = markers()[-1].read_text().split()
    return int(trial), int(worker)


@pytest.fixture
def storage(lab):
    opened = BookStorage(lab.book)
    yield opened
    opened.close()


NOW = "(julianday('now') - 2440587.5) * 86400.0"


def lease_ends_s(storage: BookStorage) -> float:
    """When the lease that runs ends, by the book's clock."""
    with storage.book.reading() as connection:
        query = "SELECT lease FROM tb_attempt WHERE ended IS NULL"
        return float(connection.exec_driver_sql(query).one()[0])


def lapse_s(storage: BookStorage) -> float:
    """For how many seconds the lease that runs is over; negative while it lasts."""
    with storage.book.reading() as connection:
        query = f"SELECT {NOW} - lease FROM tb_attempt WHERE ended IS NULL"
        return float(connection.exec_driver_sql(query).one()[0])


def test_a_lease_is_renewed_whatever_the_trial_does_and_after_it_expired_unreaped(
    lab, storage
) -> None:
    """Nothing that happens to the trial's process holds the worker up, and it may sleep."""
    lab.write(PATIENT)
    process = lab.started("--lease", "4", budget=1)
    trial, worker = began(lab)
    os.kill(trial, signal.SIGSTOP)
    ends_s = {lease_ends_s(storage)}
    lab.wait_until(lambda: ends_s.add(lease_ends_s(storage)) or len(ends_s) == 4)
    assert reap(storage) == ()
    apart_s = [later - sooner for sooner, later in itertools.pairwise(sorted(ends_s))]
    assert max(apart_s) < 4, "it was over before it was renewed"

    stop_outside_a_transaction(storage, worker)
    lab.wait_until(lambda: lapse_s(storage) > 0.2)
    for pid in (trial, worker):
        os.kill(pid, signal.SIGCONT)
    lab.wait_until(lambda: lapse_s(storage) < 0)
    (lab.place / "go").touch()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    (only,) = lab.trials()
    assert (only.state, len(only.attempts)) == ("COMPLETE", 1)
    study_id = storage.get_study_id_from_name("s")
    assert [worker.state for worker in storage.leases.workers(study_id)] == ["left"]


def test_a_worker_that_lost_its_lease_ends_the_trial_and_goes_on(lab, storage) -> None:
    lab.write(PATIENT)
    process = lab.started("--lease", "1", "--retries", "backoff_s=0.01", budget=1)
    trial, worker = began(lab)
    stop_outside_a_transaction(storage, worker)
    lab.wait_until(lambda: lapse_s(storage) > 0)
    (reaped,) = reap(storage)
    assert (reaped.number, reaped.attempt, reaped.fate) == (0, 1, Fate.RETRIED)
    os.kill(worker, signal.SIGCONT)
    again, same_worker = began(lab, 2)
    assert (again != trial, same_worker) == (True, worker)
    lab.wait_until(lambda: not Path(f"/proc/{trial}").exists())
    (lab.place / "go").touch()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "trial 0 was taken over by another worker" in err
    (only,) = lab.trials()
    assert [a.end_reason for a in only.attempts] == [EndReason.LOST, EndReason.COMPLETE]


def test_a_renewal_that_fails_in_whatever_way_is_told_and_tried_again(
    lab, storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "s")
    keeper = LeaseKeeper(storage, study_id, "a" * 32, 0.2)
    renew, calls = storage.leases.renew, []

    def renew_but_not_at_first(*arguments) -> set[int]:
        calls.append(arguments)
        if len(calls) == 1:
            raise ValueError("unexpected")
        return renew(*arguments)

    monkeypatch.setattr(storage.leases, "renew", renew_but_not_at_first)
    keeper.start()
    lab.wait_until(lambda: len(calls) >= 3)
    keeper.stop()
    assert keeper.troubles() == ["a lease could not be renewed: ValueError('unexpected')"]


def test_workers_of_another_host_are_reaped_when_their_lease_is_over(lab, storage) -> None:
    lab.write(PATIENT)
    process = lab.started("--lease", "3600", budget=1)
    trial, worker = began(lab)
    with storage.book.writing() as connection:
        connection.exec_driver_sql("UPDATE tb_worker SET host = 'elsewhere'")
    stop_outside_a_transaction(storage, process.pid, worker)
    for pid in (process.pid, worker):
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    lab.wait_until(lambda: not Path(f"/proc/{trial}").exists())
    assert reap(storage) == (), "it may be there still"
    with storage.book.writing() as connection:
        connection.exec_driver_sql(f"UPDATE tb_attempt SET lease = {NOW} - 1")
    (reaped,) = reap(storage, "s")
    assert reaped.fate is Fate.RETRIED
    (only,) = lab.trials()
    assert only.state == "WAITING"
    assert "no sign of life" in only.attempts[0].outcome.message


def test_workers_reap_each_others_trials(lab, storage) -> None:
    """The second run does it by itself, without a command, and while it runs a trial."""
    lab.write(PATIENT)
    first = lab.started("--lease", "3600", "--retries", "backoff_s=0.01", budget=1)
    _, worker = began(lab)
    with storage.book.writing() as connection:
        connection.exec_driver_sql("UPDATE tb_worker SET host = 'elsewhere'")
    stop_outside_a_transaction(storage, first.pid, worker)
    second = lab.started("--lease", "2", budget=2)
    began(lab, 2)
    with storage.book.writing() as connection:
        connection.exec_driver_sql(
            f"UPDATE tb_attempt SET lease = {NOW} - 1 WHERE ended IS NULL AND lease > {NOW} + 60"
        )
    lab.wait_until(lambda: lab.trials()[0].attempts[0].end_reason is EndReason.LOST)
    (lab.place / "go").touch()
    _, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    for pid in (worker, first.pid):
        os.kill(pid, signal.SIGKILL)
    first.communicate()
    trials = lab.trials()
    assert [trial.state for trial in trials] == ["COMPLETE"] * 2
    assert [len(trial.attempts) for trial in trials] == [2, 1]


def test_a_worker_holds_one_connection(lab, postgres, postgres_url: str) -> None:
    """Its trial's: it opens one for each renewal, four times a second here, and closes it."""
    lab.write(
        """
        import time
        from pathlib import Path
        def objective(trial):
            place = Path(__file__).parent
            (place / "began-0-0").touch()
            while not (place / "go").exists():
                trial.log({"loss": 0.5})
                time.sleep(0.05)
            return 1.0
        """
    )
    lab.book = postgres_url
    process = lab.started("--lease", "1", budget=1)
    lab.wait_until((lab.place / "began-0-0").exists)
    with postgres.connection() as connection:

        def count() -> int:
            name = postgres_url.rpartition("/")[2].partition("?")[0]
            query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
            return connection.execute(query, (name,)).fetchone()[0]

        for _ in range(2):
            lab.wait_until(lambda: count() == 2)  # the command's and the trial's
            lab.wait_until(lambda: count() == 3)  # a renewal's
        lab.wait_until(lambda: count() == 2)
    (lab.place / "go").touch()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err

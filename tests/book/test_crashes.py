"""Processes killed with SIGKILL: what they had acknowledged is there, and little else is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from optuna.trial import TrialState

from trialbook.book.reading import Reader
from trialbook.book.storage import BookStorage
from trialbook.book.verification import verify

PREAMBLE = """
import os, signal, sys, time
import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from trialbook.book.storage import BookStorage
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.records.blobs import Blob
storage = BookStorage(sys.argv[1])
study_id = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "digits")
def begin():
    trial_id = storage.create_new_trial(study_id)
    return storage.begin_attempt(trial_id, snapshots=[], blobs=[], seeds=Seeds(trial=1))
def die():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _killed(url: str, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + code, url],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout


def _sound(url: str) -> BookStorage:
    """The book after the crash: it opens, verifies, and takes a new trial."""
    storage = BookStorage(url, create=False)
    assert verify(storage.book).mismatches == ()
    study_id = storage.get_study_id_from_name("digits")
    storage.set_trial_state_values(storage.create_new_trial(study_id), TrialState.COMPLETE, [0.0])
    return storage


def test_an_acknowledged_result_is_there(url: str) -> None:
    _killed(
        url,
        """
for number in range(20):
    attempt = begin()
    storage.set_trial_param(attempt.trial_id, "x", number / 20, FloatDistribution(0, 1))
    attempt.log({"loss": float(number)}, 0, 0.0)
    attempt.end(OutcomeState(EndReason.COMPLETE))
    storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [float(number)])
die()
""",
    )
    storage = _sound(url)
    trials = list(Reader(storage.book).trials("digits"))[:20]
    assert [trial.values for trial in trials] == [(float(n),) for n in range(20)]
    assert [trial.params[0].value for trial in trials] == [n / 20 for n in range(20)]
    assert all(trial.attempt and trial.attempt.series[0].count == 1 for trial in trials)
    storage.close()


def test_a_killed_process_loses_at_most_the_flush_interval(url: str) -> None:
    said = _killed(
        url,
        """
attempt = begin()
began = time.monotonic()
step = 0
while (elapsed := time.monotonic() - began) < 2.0:
    attempt.log({"elapsed": elapsed}, step, elapsed)
    storage.set_trial_intermediate_value(attempt.trial_id, step, elapsed)
    step += 1
    time.sleep(0.002)
print(elapsed)
sys.stdout.flush()
die()
""",
    )
    storage = _sound(url)
    attempt = Reader(storage.book).trial("digits/0").attempt
    assert attempt is not None
    series = Reader(storage.book).series(attempt.attempt_id)
    for name in ("elapsed", "objective"):
        kept = series[name]
        assert kept.steps.tolist() == list(range(len(kept)))  # no holes: only the end is missing
        assert float(said) - kept.last <= 0.55
    storage.close()


@pytest.mark.parametrize(
    "point",
    [
        "insert INTO tb_attempt",
        "insert INTO tb_series",
        "UPDATE tb_attempt SET",
        "INSERT INTO tb_trial_value",
        "UPDATE tb_study SET finished",
        "UPDATE tb_trial SET state",
        "COMMIT",
    ],
)
def test_killed_inside_a_transaction_leaves_all_or_nothing(url: str, point: str) -> None:
    """Kill between two statements of a transaction: the whole of it is gone."""
    _killed(
        url,
        f"""
attempt = begin()
storage.set_trial_param(attempt.trial_id, "x", 0.5, FloatDistribution(0, 1))
attempt.log({{"loss": 1.0}}, 0, 0.0)
storage.flush()
attempt.log({{"loss": 2.0}}, 1, 0.0)
from trialbook.book import statements
point = {point!r}
class Fatal:
    def __init__(self, cursor): self.cursor = cursor
    def __getattr__(self, name): return getattr(self.cursor, name)
    def execute(self, text, *args):
        if point.lower() in text.lower(): die()  # a server is told several at once
        return self.cursor.execute(text, *args)
    def executemany(self, text, *args):
        if point.lower() in text.lower(): die()  # a server is told several at once
        return self.cursor.executemany(text, *args)
import sqlalchemy.pool
plain = sqlalchemy.pool.base._ConnectionFairy.cursor
sqlalchemy.pool.base._ConnectionFairy.cursor = lambda self, *a: Fatal(plain(self, *a))
if point == "COMMIT":
    import sqlalchemy.engine.default
    sqlalchemy.engine.default.DefaultDialect.do_commit = lambda self, connection: die()
if point == "insert INTO tb_attempt":
    begin()
storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [1.0])
""",
    )
    storage = _sound(url)
    trial = Reader(storage.book).trial("digits/0")
    assert (trial.state, trial.values, trial.record_digest) == ("RUNNING", None, None)
    assert [param.value for param in trial.params] == [0.5]
    assert trial.attempt is not None
    assert [s.count for s in trial.attempt.series] == [1]
    storage.close()


def test_writers_killed_at_any_moment_leave_a_sound_book(url: str) -> None:
    """Several writers at once, each killed while it writes."""
    BookStorage(url).close()
    code = (
        PREAMBLE.replace(
            'study_id = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "digits")',
            'study_id = storage.get_study_id_from_name("digits")',
        )
        + """
print("ready", flush=True)
while True:
    attempt = begin()
    for step in range(30):
        attempt.log({"loss": float(step)}, step, 0.0)
        if step % 10 == 0:
            storage.flush()
    storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [1.0])
    print(attempt.trial_id, flush=True)
"""
    )
    storage = BookStorage(url)
    study_id = storage.create_new_study([], "digits")
    acknowledged = []
    for round_ in range(3):
        writers = [
            subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        time.sleep(0.2 + 0.05 * round_)
        for writer in writers:
            writer.kill()
        for writer in writers:
            lines = writer.communicate()[0].split("\n")
            acknowledged += [int(line) for line in lines[:-1]]
    assert len(acknowledged) > 3  # on a busy machine; a quiet one does dozens
    trials = {trial._trial_id: trial for trial in storage.get_all_trials(study_id)}
    assert all(trials[trial_id].state is TrialState.COMPLETE for trial_id in acknowledged)
    storage.close()
    _sound(url).close()

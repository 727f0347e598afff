"""Processes killed with SIGKILL: what they had acknowledged is there, and little else is lost."""

from __future__ import annotations

from optuna.trial import TrialState

from trialbook.book.reading import Reader
from trialbook.book.storage import BookStorage
from trialbook.book.verification import verify

from .forked import in_processes

PREAMBLE = """
import os, signal, sys, time
import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from trialbook.book.storage import BookStorage
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.records.blobs import Blob
storage = BookStorage(sys.argv[1])
def made(study):
    return storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], study)
def begin(study_id):
    trial_id = storage.create_new_trial(study_id)
    return storage.begin_attempt(trial_id, snapshots=[], blobs=[], seeds=Seeds(trial=1))
def die():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _sound(url: str) -> BookStorage:
    """The book after a crash: it opens, verifies, and takes a new trial of every study."""
    storage = BookStorage(url, create=False)
    assert verify(storage.book).mismatches == ()
    for study in storage.get_all_studies():
        trial_id = storage.create_new_trial(study._study_id)
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.0])
    return storage


ACKNOWLEDGED = """
study_id = made("told")
for number in range(20):
    attempt = begin(study_id)
    storage.set_trial_param(attempt.trial_id, "x", number / 20, FloatDistribution(0, 1))
    attempt.log({"loss": float(number)}, 0, 0.0)
    attempt.end(OutcomeState(EndReason.COMPLETE))
    storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [float(number)])
die()
"""

LOGGING = """
attempt = begin(made("logging"))
began = time.monotonic()
step = 0
while (elapsed := time.monotonic() - began) < 2.0:
    attempt.log({"elapsed": elapsed}, step, elapsed)
    storage.set_trial_intermediate_value(attempt.trial_id, step, elapsed)
    step += 1
    time.sleep(0.002)
say(elapsed)
die()
"""


def test_a_killed_process_loses_no_result_and_at_most_the_flush_interval(url: str) -> None:
    BookStorage(url).close()
    _, (said,) = in_processes([PREAMBLE + ACKNOWLEDGED, PREAMBLE + LOGGING], url, killed=True)
    storage = _sound(url)
    trials = list(Reader(storage.book).trials("told"))[:20]
    assert [trial.values for trial in trials] == [(float(n),) for n in range(20)]
    assert [trial.params[0].value for trial in trials] == [n / 20 for n in range(20)]
    assert all(trial.attempt and trial.attempt.series[0].count == 1 for trial in trials)
    losses_s = [_lost_s(storage, "logging", float(said))]
    while losses_s[-1] > 0.55:  # where every core is busy, the flusher may be late
        study = f"logging {len(losses_s)}"
        assert len(losses_s) < 8, losses_s
        again = LOGGING.replace('"logging"', repr(study))
        ((said,),) = in_processes([PREAMBLE + again], url, killed=True)
        losses_s.append(_lost_s(storage, study, float(said)))
    storage.close()


def _lost_s(storage: BookStorage, study: str, died_s: float) -> float:
    """How old the oldest point is that a killed process has lost."""
    reader = Reader(storage.book)
    attempt = reader.trial(f"{study}/0").attempt
    assert attempt is not None
    series = reader.series(attempt.attempt_id)
    for name in ("elapsed", "objective"):
        kept = series[name]
        assert kept.steps.tolist() == list(range(len(kept)))  # no holes: only the end is missing
    return died_s - min(series[name].last for name in ("elapsed", "objective"))


POINTS = [
    "insert INTO tb_attempt",
    "insert INTO tb_series",
    "UPDATE tb_attempt SET",
    "INSERT INTO tb_trial_value",
    "UPDATE tb_study SET finished",
    "UPDATE tb_trial SET state",
    "COMMIT",
]

DYING = """
import sqlalchemy.engine.default
import sqlalchemy.pool
point = {point!r}
study_id = made(point)
attempt = begin(study_id)
storage.set_trial_param(attempt.trial_id, "x", 0.5, FloatDistribution(0, 1))
attempt.log({{"loss": 1.0}}, 0, 0.0)
storage.flush()
attempt.log({{"loss": 2.0}}, 1, 0.0)
class Fatal:
    def __init__(self, cursor): self.cursor = cursor
    def __getattr__(self, name): return getattr(self.cursor, name)
    def execute(self, text, *args):
        if point.lower() in text.lower(): die()  # a server is told several at once
        return self.cursor.execute(text, *args)
    def executemany(self, text, *args):
        if point.lower() in text.lower(): die()  # a server is told several at once
        return self.cursor.executemany(text, *args)
plain = sqlalchemy.pool.base._ConnectionFairy.cursor
sqlalchemy.pool.base._ConnectionFairy.cursor = lambda self, *a: Fatal(plain(self, *a))
if point == "COMMIT":
    sqlalchemy.engine.default.DefaultDialect.do_commit = lambda self, connection: die()
if point == "insert INTO tb_attempt":
    begin(study_id)
storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [1.0])
"""


def test_killed_inside_a_transaction_leaves_all_or_nothing(url: str) -> None:
    """Kill between two statements of a transaction: the whole of it is gone.

    All die at one moment, each in a study of its own.
    """
    BookStorage(url).close()
    in_processes([PREAMBLE + DYING.format(point=point) for point in POINTS], url, killed=True)
    storage = _sound(url)
    for point in POINTS:
        trial = Reader(storage.book).trial(f"{point}/0")
        assert (trial.state, trial.values, trial.record_digest) == ("RUNNING", None, None), point
        assert [param.value for param in trial.params] == [0.5], point
        assert trial.attempt is not None, point
        assert trial.attempt.end_reason is None, point
        assert [s.count for s in trial.attempt.series] == [1], point
    storage.close()


WRITING = """
study_id = storage.get_study_id_from_name("digits")
ready()
while True:
    attempt = begin(study_id)
    for step in range(30):
        attempt.log({"loss": float(step)}, step, 0.0)
        if step % 10 == 0:
            storage.flush()
    storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [1.0])
    say(attempt.trial_id)
"""


def test_writers_killed_at_any_moment_leave_a_sound_book(url: str) -> None:
    """Several writers at once, killed while they write."""
    storage = BookStorage(url)
    study_id = storage.create_new_study([], "digits")
    said = in_processes([PREAMBLE + WRITING] * 5, url, killed_after=12)
    acknowledged = [int(trial_id) for lines in said for trial_id in lines]
    assert len(acknowledged) >= 12
    trials = {trial._trial_id: trial for trial in storage.get_all_trials(study_id)}
    assert all(trials[trial_id].state is TrialState.COMPLETE for trial_id in acknowledged)
    storage.close()
    _sound(url).close()

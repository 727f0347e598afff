"""Many processes optimize one study: no trial is lost, none is run twice, all is well recorded."""

from __future__ import annotations

from collections import Counter

from optuna.trial import TrialState

from trialbook.book.reading import Reader
from trialbook.book.storage import BookStorage
from trialbook.book.verification import verify

from .forked import in_processes

WORKER = """
import sys, warnings
import optuna
from trialbook import BookStorage, tracked_objective
warnings.simplefilter("ignore")
study = optuna.load_study(
    study_name="digits",
    storage=BookStorage(sys.argv[1], create=False),
    sampler=optuna.samplers.TPESampler(n_startup_trials=3, constant_liar=True),
    pruner=optuna.pruners.MedianPruner(n_startup_trials=2),
)

@tracked_objective()
def objective(trial):
    say(trial.number)
    x = trial.suggest_float("x", -1, 1)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    for step in range(4):
        trial.log({"loss": x * x + step}, step=step)
        trial.report(x * x + step, step)
        if trial.should_prune():
            raise optuna.TrialPruned()
    return x * x + (kind == "a")

ready()
study.optimize(objective, n_trials=int(sys.argv[2]))
"""


def test_processes_share_a_study(url: str, storage: BookStorage, study_id: int) -> None:
    workers, each = 3, 8
    said = in_processes([WORKER] * workers, url, each)
    ran = Counter(int(number) for numbers in said for number in numbers)
    assert ran == dict.fromkeys(range(workers * each), 1)
    trials = storage.get_all_trials(study_id)
    assert [trial.number for trial in trials] == list(range(workers * each))
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    found = verify(storage.book)
    assert (found.mismatches, found.trials) == ((), workers * each)
    for record in Reader(storage.book).trials("digits"):
        attempt = record.attempt
        assert attempt is not None
        assert [a.number for a in record.attempts] == [1]
        points = {series.metric: series.count for series in attempt.series}
        reported = len(trials[record.number].intermediate_values)
        assert points == {"loss": reported, "objective": reported}
        assert reported == 4 or record.state == "PRUNED"

"""Records into tables and series for people: typed results, no drawing.

What can be asked of a book from Python::

    from trialbook import analysis

    analysis.studies()                          # list[StudyRecord]
    analysis.study("digits")                    # StudyRecord
    analysis.trial("digits/best")               # TrialRecord
    analysis.trials("digits")                   # Iterator[TrialRecord]
    analysis.best("digits", 3)                  # list[TrialRecord]
    analysis.diff("digits/12", "digits/best")   # TrialDifferences
    analysis.detail("digits/12")                # TrialDetail: coordinates, coverage, console
    analysis.status("digits")                   # StudyStatus: workers, pace, what waits
    analysis.compute("digits")                  # ComputeUse: CPU and GPU time by host and device
    analysis.failures("digits")                 # Failures: why attempts came to no result
    analysis.replication("digits")              # Replication: means, intervals, winner's curse
    analysis.compare(["tpe", "random"])         # StudyComparison: settings, curves, tests
    analysis.coordinate_changes("digits")       # CoordinateChanges: trials with other code, data
    analysis.differing("digits")                # trials of workers that were let in all the same
    analysis.reveal_test_metrics("digits/best") # test metrics; the book counts that you looked
    analysis.frame("digits")                    # pandas.DataFrame; needs pip install pandas

What a whole search did is read once and then looked at, each time giving arrays and a table::

    found = analysis.search("digits")           # Search: every trial as columns
    analysis.space(found)                       # Space: ranges, changes in mid-study, conditions
    analysis.selection(found)                   # Selection: the rule, the best trial, ties
    analysis.history(found)                     # History: best value so far against trials
    analysis.compute_history(found)             # ComputeHistory: the same against worker-hours
    analysis.learning_curves(found)             # LearningCurves: of what was reported
    analysis.pruning_audit(found)               # PruningAudit: pruned trials against the rule
    analysis.timeline(found)                    # Timeline: spans and utilisation by worker
    analysis.value_distribution(found)          # ValueDistribution: empirical, with a band
    analysis.expected_performance(found)        # ExpectedPerformance: of so many random trials
    analysis.pareto_front(found)                # ParetoFront, with several objectives
    analysis.hypervolume(found)                 # Hypervolume against trials, likewise
    analysis.slices(found)                      # Slices: params, value and rank of each trial
    analysis.contours(found)                    # Contours: value over pairs of params
    analysis.importances(found)                 # Importances: PED-ANOVA and fANOVA, intervals
    analysis.sensitivity(found)                 # Sensitivity: around the best trial

Two need more of the book: ``metric_points(found, "loss")`` reads the points of another metric for
``learning_curves``, ``attempt_gpus(found)`` the GPUs of attempts for ``compute_history``.

Whatever names a study or a trial takes ``storage=`` as every command does; where a study's name is
asked for, an Optuna study that lies in a book will do too.
"""

from trialbook.analysis.comparison.comparison import StudyComparison, compare
from trialbook.analysis.compute import ComputeUse, compute
from trialbook.analysis.coordinate_changes import CoordinateChanges, coordinate_changes
from trialbook.analysis.details import CoordinateDetail, TrialDetail, detail
from trialbook.analysis.differences import TrialDifferences, diff
from trialbook.analysis.failures import Failures, failures
from trialbook.analysis.frames import frame
from trialbook.analysis.looking import best, front, studies, study, trial, trials
from trialbook.analysis.marks import differing
from trialbook.analysis.replication import Replication, replication
from trialbook.analysis.searches.compute_history import (
    ComputeHistory,
    attempt_gpus,
    compute_history,
)
from trialbook.analysis.searches.contours import Contours, contours
from trialbook.analysis.searches.curves import LearningCurves, learning_curves
from trialbook.analysis.searches.distribution import ValueDistribution, value_distribution
from trialbook.analysis.searches.expected import ExpectedPerformance, expected_performance
from trialbook.analysis.searches.history import History, history
from trialbook.analysis.searches.importance import Importances, importances
from trialbook.analysis.searches.metrics import MetricPoints, metric_points
from trialbook.analysis.searches.pareto import Hypervolume, ParetoFront, hypervolume, pareto_front
from trialbook.analysis.searches.pruning import PruningAudit, pruning_audit
from trialbook.analysis.searches.search import Search, search
from trialbook.analysis.searches.sensitivity import Sensitivity, sensitivity
from trialbook.analysis.searches.slices import Slices, slices
from trialbook.analysis.searches.space import Space, space
from trialbook.analysis.searches.timeline import Timeline, timeline
from trialbook.analysis.selection import Selection, selection
from trialbook.analysis.status import StudyStatus, status
from trialbook.analysis.tables import StudySummary, TrialRow, study_summaries, trial_rows
from trialbook.analysis.test_metrics import Exposure, reveal_test_metrics

__all__ = [
    "ComputeHistory",
    "ComputeUse",
    "Contours",
    "CoordinateChanges",
    "CoordinateDetail",
    "ExpectedPerformance",
    "Exposure",
    "Failures",
    "History",
    "Hypervolume",
    "Importances",
    "LearningCurves",
    "MetricPoints",
    "ParetoFront",
    "PruningAudit",
    "Replication",
    "Search",
    "Selection",
    "Sensitivity",
    "Slices",
    "Space",
    "StudyComparison",
    "StudyStatus",
    "StudySummary",
    "Timeline",
    "TrialDetail",
    "TrialDifferences",
    "TrialRow",
    "ValueDistribution",
    "attempt_gpus",
    "best",
    "compare",
    "compute",
    "compute_history",
    "contours",
    "coordinate_changes",
    "detail",
    "diff",
    "differing",
    "expected_performance",
    "failures",
    "frame",
    "front",
    "history",
    "hypervolume",
    "importances",
    "learning_curves",
    "metric_points",
    "pareto_front",
    "pruning_audit",
    "replication",
    "reveal_test_metrics",
    "search",
    "selection",
    "sensitivity",
    "slices",
    "space",
    "status",
    "studies",
    "study",
    "study_summaries",
    "timeline",
    "trial",
    "trial_rows",
    "trials",
    "value_distribution",
]

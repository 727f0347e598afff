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
    analysis.replication("digits")              # Replication: means, intervals, winner's curse
    analysis.compare(["tpe", "random"])         # Comparison: settings, curves, tests
    analysis.differing("digits")                # trials whose worker differed from the study
    analysis.reveal_test_metrics("digits/best") # test metrics; the book counts that you looked
    analysis.frame("digits")                    # pandas.DataFrame

What a whole search did is read once and then looked at, each time giving arrays and a table::

    found = analysis.search("digits")           # Search: every trial as columns
    analysis.space(found)                       # Space: ranges, changes in mid-study, conditions
    analysis.slices(found)                      # Slices: params, value and rank of each trial
    analysis.contours(found)                    # Contours: value over pairs of params
    analysis.importances(found)                 # Importances: PED-ANOVA and fANOVA, intervals
    analysis.sensitivity(found)                 # Sensitivity: around the best trial

Whatever names a study or a trial takes ``storage=`` as every command does; where a study's name is
asked for, an Optuna study that lies in a book will do too.
"""

from trialbook.analysis.comparison.comparison import Comparison, compare
from trialbook.analysis.compute import ComputeUse, compute
from trialbook.analysis.details import CoordinateDetail, TrialDetail, detail
from trialbook.analysis.differences import TrialDifferences, diff
from trialbook.analysis.frames import frame
from trialbook.analysis.looking import best, front, studies, study, trial, trials
from trialbook.analysis.marks import differing
from trialbook.analysis.replication import Replication, replication
from trialbook.analysis.search.contours import Contours, contours
from trialbook.analysis.search.importance import Importances, importances
from trialbook.analysis.search.search import Search, search
from trialbook.analysis.search.sensitivity import Sensitivity, sensitivity
from trialbook.analysis.search.slices import Slices, slices
from trialbook.analysis.search.space import Space, space
from trialbook.analysis.status import StudyStatus, status
from trialbook.analysis.tables import StudySummary, TrialRow, study_summaries, trial_rows
from trialbook.analysis.test_metrics import Exposure, reveal_test_metrics

__all__ = [
    "Comparison",
    "ComputeUse",
    "Contours",
    "CoordinateDetail",
    "Exposure",
    "Importances",
    "Replication",
    "Search",
    "Sensitivity",
    "Slices",
    "Space",
    "StudyStatus",
    "StudySummary",
    "TrialDetail",
    "TrialDifferences",
    "TrialRow",
    "best",
    "compare",
    "compute",
    "contours",
    "detail",
    "diff",
    "differing",
    "frame",
    "front",
    "importances",
    "replication",
    "reveal_test_metrics",
    "search",
    "sensitivity",
    "slices",
    "space",
    "status",
    "studies",
    "study",
    "study_summaries",
    "trial",
    "trial_rows",
    "trials",
]

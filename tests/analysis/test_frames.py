"""A study as a pandas frame."""

from __future__ import annotations

import builtins
import math
import sys

import optuna
import pandas as pd
import pytest

from trialbook import analysis
from trialbook.book.storage import BookStorage
from trialbook.errors import MissingPackageError, NotFoundError


def test_a_row_a_trial_with_the_columns_that_are_documented(recorded):
    frame = analysis.frame("digits", storage=recorded.storage)
    assert list(frame.columns) == [
        "number", "state", "value", "datetime_start", "datetime_complete", "duration",
        "params_x", "params_depth", "params_kind",
        "metrics_loss", "metrics_nan", "metrics_objective",
        "differs", "coverage", "coverage_code", "coverage_data", "coverage_config",
        "coverage_environment", "coverage_execution",
    ]  # fmt: skip
    assert frame["number"].tolist() == list(range(8))
    assert frame.index.tolist() == list(range(8))
    assert frame["state"].tolist()[:3] == ["COMPLETE", "PRUNED", "FAIL"]
    assert math.isnan(frame["value"][2])
    assert str(frame["params_x"].dtype) == str(frame["metrics_loss"].dtype) == "float64"
    assert frame["coverage_code"].isin(["complete", "partial"]).all()
    assert (frame["duration"].dropna() > pd.Timedelta(0)).all()


def test_columns_agree_with_those_of_optuna(recorded):
    storage = BookStorage(recorded.storage)
    study = optuna.load_study(study_name="digits", storage=storage)
    ours, theirs = analysis.frame(study), study.trials_dataframe()
    storage.close()
    shared = [name for name in theirs.columns if name in ours.columns]
    assert {"number", "value", "state", "params_x", "datetime_start", "duration"} <= set(shared)
    for name in shared:
        pd.testing.assert_series_equal(
            ours[name], theirs[name], check_dtype=False, check_index_type=False
        )


def test_several_objectives_odd_values_and_trials_without_a_result(recorded):
    two = analysis.frame("two", storage=recorded.storage)
    assert two[["values_0", "values_1"]].to_numpy().tolist() == [[1, 1], [2, 2], [2, 0]]
    assert two["coverage"].isna().all()
    odd = analysis.frame(recorded.odd, storage=recorded.storage)
    assert odd["value"][0] == math.inf
    assert math.isnan(odd["value"][2])
    assert odd["state"].tolist() == ["COMPLETE", "RUNNING", "WAITING"]
    assert odd["user_attrs_@note"][0] == "\x07\n=cmd"
    assert pd.isna(odd["datetime_start"][2])


def test_an_empty_study_is_a_frame_without_rows(recorded):
    frame = analysis.frame("empty", storage=recorded.storage)
    assert frame.empty
    assert {"number", "state", "value", "coverage"} <= set(frame.columns)


def test_an_unknown_study_is_an_error(recorded):
    with pytest.raises(NotFoundError):
        analysis.frame("nothing", storage=recorded.storage)


def test_without_pandas_the_error_says_what_to_install(recorded, monkeypatch):
    real = builtins.__import__

    def without_pandas(name, *arguments, **settings):
        if name.partition(".")[0] == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name="pandas")
        return real(name, *arguments, **settings)

    monkeypatch.setattr(builtins, "__import__", without_pandas)
    monkeypatch.delitem(sys.modules, "pandas")
    with pytest.raises(MissingPackageError, match="pandas") as caught:
        analysis.frame("digits", storage=recorded.storage)
    assert isinstance(caught.value, ImportError)
    assert caught.value.hint == "pip install pandas"

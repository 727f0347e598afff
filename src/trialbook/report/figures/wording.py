"""What axes and legends say of a study, the same in every kind of figure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trialbook.analysis.searches.search import Floats, Search
from trialbook.report.charts import Chart, Scale

_DECADES = 1e2


def objective_label(search: Search, objective: int = 0) -> str:
    """The axis of an objective: what it is called, and which way is better."""
    return f"{objective_name(search, objective)} ({better(search, objective)})"


def objective_name(search: Search, objective: int = 0) -> str:
    """What an objective is called in running text: its name, else that it is the objective."""
    if search.study.metric_names is not None:
        return search.study.metric_names[objective]
    return "objective" if search.objectives == 1 else f"objective {objective}"


def better(search: Search, objective: int = 0) -> str:
    """Which way is better."""
    maximize = search.study.directions[objective] == "maximize"
    return "higher is better" if maximize else "lower is better"


def of_one_objective(chart: Chart, search: Search, objective: int) -> Chart:
    """A figure of one objective of several: its title and its caption say of which."""
    name = objective_name(search, objective)
    text = f"Objective {name.removeprefix('objective ')} ({better(search, objective)})"
    text += f", one of {search.objectives}"
    if chart.trials:
        text += "; what is best in it may be bad in another"
    return replace(chart, title=f"{chart.title}: {name}", caption=f"{text}. {chart.caption}")


def objective_scale(search: Search, values: Floats, objective: int = 0) -> Scale:
    """The scale of an axis with these values of an objective.

    Logarithmic for what is minimized, never 0 or less, and spread over decades by most values and
    not only by a few: losses of a million would else flatten everything that matters.
    """
    seen = values[np.isfinite(values)]
    if search.study.directions[objective] == "maximize" or not len(seen) or seen.min() <= 0:
        return Scale.LINEAR
    low, high = np.quantile(seen, [0.05, 0.95])
    return Scale.LOG if high > _DECADES * low else Scale.LINEAR

"""Importance of each param by each evaluator, with intervals from resampling."""

from __future__ import annotations

import numpy as np

from trialbook.analysis.searches.evaluated_importance import EvaluatedImportance
from trialbook.analysis.searches.importance import Importances, importances
from trialbook.report.charts import Axis, Bars, Chart, Floats, Labels, Panel, Scale
from trialbook.report.figures.kinds import FigureSource
from trialbook.report.figures.wording import objective_name

MOST_PARAMS = 20


def importance(source: FigureSource) -> Chart:
    """How much each param matters: one panel an evaluator, with the same params in both."""
    options = source.options
    found = importances(source.search, source.objective, options.params, seed=options.seed)
    # PED-ANOVA's, when it says something: it takes every param.
    names = (*found.parts[0].names, *(name for name, _ in found.parts[0].left_out))
    notes = _notes(found)
    if len(names) > MOST_PARAMS:
        notes.append(f"{len(names) - MOST_PARAMS} params of less importance are in the table only")
        names = names[:MOST_PARAMS]
    # A panel says of itself how many trials it rests on: the two may differ.
    panels = tuple(_panel(part, names) for part in found.parts)
    return Chart(
        kind="importance",
        title="Importance of each param",
        panels=(panels,),
        table=found.table(),
        caption=_caption(source, found),
        notes=tuple(notes),
        share_y=True,
        height=max(0.6, 0.12 * len(names) + 0.3),
    )


def _panel(part: EvaluatedImportance, names: tuple[str, ...]) -> Panel:
    known = {name: at for at, name in enumerate(part.names)}
    rows = [row for row, name in enumerate(names) if name in known]
    places = [known[names[row]] for row in rows]
    shares = part.shares[places]
    absent = np.array([row for row, name in enumerate(names) if name not in known], np.float64)
    left_out = Labels(np.zeros(len(absent)), absent, ("left out",) * len(absent), "right")
    return Panel(
        Axis("share of importance", limits=(0.0, _end(part))),
        Axis("", Scale.CATEGORY, names, (-0.5, len(names) - 0.5), reverse=True),
        (
            Bars(
                np.array(rows, dtype=np.float64),
                shares,
                # An interval that does not hold the share (the notes say of which) is drawn to it.
                np.minimum(part.low[places], shares) if part.resamples else None,
                np.maximum(part.high[places], shares) if part.resamples else None,
                texts=tuple(_text(part, place) for place in places),
            ),
            *([left_out] if len(absent) else []),
        ),
        title=f"{part.evaluator}, {part.trials} trials",
    )


def _end(part: EvaluatedImportance) -> float:
    ends: Floats = np.concatenate([part.shares, part.high[~np.isnan(part.high)]])
    return min(1.0, float(ends.max()) * 1.05)


def _text(part: EvaluatedImportance, place: int) -> str:
    said = f"{part.names[place]}: {part.shares[place]:.3g}"
    if np.isnan(part.low[place]):
        return said
    return f"{said}, interval {part.low[place]:.3g} to {part.high[place]:.3g}"


def _caption(source: FigureSource, found: Importances) -> str:
    said = [
        f"Importance of each param for {_objective(source, found)}, "
        "normalized to the sum 1 by evaluator."
    ]
    for part in found.parts:
        settings = ", ".join(f"{name}={value}" for name, value in part.settings)
        sampled = f" drawn from {part.of}" if part.of > part.trials else ""
        said.append(
            f"{part.evaluator} ({settings}) over {part.trials} complete trials{sampled}; bars "
            f"are {100 * found.level:g} % percentile intervals of {part.resamples} bootstrap "
            f"resamples of them (seed {found.seed})."
        )
    versions = f"Optuna {found.optuna_version}"
    if found.sklearn_version is not None:
        versions += f", scikit-learn {found.sklearn_version}"
    said.append(f"Computed by {versions}.")
    return " ".join(said)


def _objective(source: FigureSource, found: Importances) -> str:
    name = objective_name(source.search, found.objective)
    return f"the {name}" if name == "objective" else name


def _notes(found: Importances) -> list[str]:
    notes = [f"{name} says nothing: {reason}" for name, reason in found.refused]
    for part in found.parts:
        notes += [f"{part.evaluator} leaves out {name}: {why}" for name, why in part.left_out]
        notes += [f"{part.evaluator}: {note}" for note in part.notes]
    for branch in found.branches:
        settings = ", ".join(f"{name}={value}" for name, value in branch.settings)
        notes.append(f"the table has fANOVA ({settings}) among {branch.among} too")
    return notes

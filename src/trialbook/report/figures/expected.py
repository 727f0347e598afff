"""Expected validation performance."""

from __future__ import annotations

from trialbook.analysis.searches.expected import ExpectedPerformance, expected_performance
from trialbook.report.charts import Axis, Band, Chart, Line, Panel, Role, Scale
from trialbook.report.figures.kinds import FigureSource
from trialbook.report.figures.wording import objective_label
from trialbook.report.wording import counted

_DECADE = 20


def expected(source: FigureSource) -> Chart:
    """The best value that each number of random trials is expected to give, with its band."""
    options = source.options
    found = expected_performance(source.search, source.objective, seed=options.seed)
    budgets = found.budgets.astype(float)
    level = f"{found.level * 100:g} % band"
    scale = Scale.LOG if found.trials > _DECADE else Scale.LINEAR
    return Chart(
        kind="expected",
        title="Expected validation performance",
        panels=(
            (
                Panel(
                    Axis("random trials", scale, integer=True),
                    Axis(objective_label(source.search, found.objective)),
                    (
                        Band(budgets, found.low, found.high, Role.LEADING, level),
                        Line(budgets, found.expected, Role.LEADING, "expected best"),
                    ),
                ),
            ),
        ),
        table=found.table(),
        caption=(
            f"Expected best value of so many random trials (Dodge et al., 2019), estimated from "
            f"{found.trials} independent trials. The {level} is for each number of trials by "
            f"itself (percentile bootstrap, {found.resamples} resamples, seed {found.seed}). "
            "It is too narrow towards the right: in simulations such a band of 95 % held the "
            "truth in about 90 % of cases at a tenth of the trials, 75 % at a third and 50 % at "
            "all of them."
        ),
        notes=_left_out(found),
    )


def _left_out(found: ExpectedPerformance) -> tuple[str, ...]:
    notes = []
    for count, why in (
        (found.failed, "failed"),
        (found.infeasible, "broke a constraint"),
        (found.enqueued, "had params that somebody chose"),
    ):
        if count:
            notes.append(f"left out: {counted(count, 'trial')} that {why}")
    return tuple(notes)

"""Best value so far, against trials and against compute."""

from __future__ import annotations

import numpy as np

from trialbook.analysis.search.history import history as best_so_far
from trialbook.report.charts import Axis, Chart, Line, Panel, Points, Role
from trialbook.report.figures.kinds import FigureSource
from trialbook.report.figures.wording import objective_label


def history(source: FigureSource) -> Chart:
    """The value of each complete trial and the best so far, in the order in which they finished."""
    found = best_so_far(source.search, source.options.objective)
    finished = found.finished.astype(float)
    marks: list[Points | Line] = [
        Points(
            finished,
            found.values,
            Role.COMPLETE,
            "complete",
            texts=tuple(f"trial {number}" for number in found.numbers),
        ),
        Line(finished, found.best, Role.LEADING, "best so far", step=True),
    ]
    trials: tuple[int, ...] = ()
    if found.best_number is not None:
        at = int(np.flatnonzero(found.numbers == found.best_number)[0])
        marks.append(
            Points(
                finished[at : at + 1],
                found.values[at : at + 1],
                Role.BEST,
                f"best (trial {found.best_number})",
                size=1.6,
            )
        )
        trials = (found.best_number,)
    counted = int(np.sum(~np.isnan(found.values)))
    return Chart(
        kind="history",
        title="Best value so far",
        panels=(
            (
                Panel(
                    Axis("finished trials", integer=True),
                    Axis(objective_label(source.search, found.objective)),
                    tuple(marks),
                    empty="" if counted else "no complete trial",
                ),
            ),
        ),
        table=found.table(),
        caption=(
            f"Value of each of {counted} complete trials and the best so far, in the order in "
            f"which the {len(finished)} trials finished. Pruned, failed and infeasible trials take "
            "their place on the axis and have no point."
        ),
        trials=trials,
    )

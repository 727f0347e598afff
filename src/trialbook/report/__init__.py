"""Draw and write: figures, tables, documents.

What can be asked for from Python::

    from trialbook import report

    report.plot("digits", "history", "best.pdf")  # the file's Path
    report.figure("digits", "slice").show()     # a figure of plotly, in a notebook
    report.chart("digits", "slice").table       # the numbers behind it
    report.write("digits", ["html", "latex"])   # WrittenReport: paths, notices
    report.compare(["tpe", "random"])           # the same for studies side by side
    report.locate("figure.pdf")                 # Located: study, trials, commands

Each name is imported when it is used first: asking for one does not load what another needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trialbook.report.located import Located
    from trialbook.report.locating import locate
    from trialbook.report.plotting import chart, figure, plot
    from trialbook.report.writing import WrittenReport, compare, write

__all__ = ["Located", "WrittenReport", "chart", "compare", "figure", "locate", "plot", "write"]

_HOMES = {
    "Located": "trialbook.report.located",
    "locate": "trialbook.report.locating",
    "chart": "trialbook.report.plotting",
    "figure": "trialbook.report.plotting",
    "plot": "trialbook.report.plotting",
    "WrittenReport": "trialbook.report.writing",
    "compare": "trialbook.report.writing",
    "write": "trialbook.report.writing",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)

"""The search in pictures: how the best value came about, and where it lies in the space."""

from __future__ import annotations

from trialbook.report.document import Notice, Section
from trialbook.report.source import ReportSource

_COURSE = ("history", "compute", "edf", "expected")
_FRONT = ("front", "hypervolume")
_TRAINING = ("curves", "pruning")
_SPACE = ("importance", "sensitivity", "slice", "parallel", "contour", "rank")
_EMPTY = Notice("The study has no trial yet.")


def course(source: ReportSource) -> Section:
    """The best value so far against trials and compute; with several objectives the front."""
    kinds = (*_FRONT, *_COURSE) if source.search.objectives > 1 else _COURSE
    return _figures(source, "search", "The course of the search", kinds)


def training(source: ReportSource) -> Section:
    """Learning curves, and what pruned trials had reached."""
    return _figures(source, "training", "Learning curves and pruning", _TRAINING)


def sensitivity(source: ReportSource) -> Section:
    """Which params mattered, and what happens around the best configuration."""
    return _figures(source, "sensitivity", "Importance and sensitivity", _SPACE)


def _figures(source: ReportSource, name: str, title: str, kinds: tuple[str, ...]) -> Section:
    if not len(source.search):
        return Section(name, title, (_EMPTY,))
    return Section(name, title, tuple(source.figures(*kinds)))

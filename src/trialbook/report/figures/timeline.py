"""When each worker ran what, coloured by outcome, and how many attempts ran at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trialbook.analysis.search.search import Floats, Ints
from trialbook.analysis.search.timeline import RUNNING, Timeline
from trialbook.analysis.search.timeline import timeline as timeline_of
from trialbook.report.charts import Axis, Chart, Line, Mark, Panel, Role, Scale, Spans, Style
from trialbook.report.figures.kinds import FigureSource
from trialbook.report.figures.wording import counted, listed

_ROWS = 64
"""More rows than this cannot be told apart."""
_MOMENTS = 400
_LEAST_BINS = 40


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Outcomes that are drawn in one way.

    Args:
        label: In the legend.
        style: How.
        reasons: Why the attempts ended.
    """

    label: str
    style: Style
    reasons: tuple[str, ...]


_OUTCOMES = (
    _Outcome("complete", Role.COMPLETE, ("complete",)),
    _Outcome("pruned", Role.PRUNED, ("pruned",)),
    _Outcome("failed", Role.FAILED, ("failed", "out_of_memory", "timed_out", "stalled")),
    _Outcome("running", Role.RUNNING, (RUNNING,)),
    _Outcome("preempted", 5, ("preempted",)),
    _Outcome("lost", 4, ("lost", "fenced", "abandoned", "unknown")),
)


def timeline(source: FigureSource) -> Chart:
    """Spans by worker, and below them how many attempts ran at once."""
    found = timeline_of(source.search)
    rows, per_row = _rows(found)
    spans, notes = _spans(found, rows, source.options.marks)
    if per_row > 1:
        notes.append(f"{len(found.workers)} workers, {per_row} to a row, by their first start")
    if found.untracked:
        notes.append(
            f"{counted(found.untracked, 'trial')} left out: nobody ran them under tracking"
        )
    running = found.outcomes.count(RUNNING)
    if running:
        notes.append(
            f"{counted(running, 'attempt')} had not ended, drawn up to the last moment on record"
        )
    labels = _labels(found, per_row, anonymous=source.options.anonymous)
    time = Axis("time (UTC)", Scale.TIME)
    moments, count, averaged = _at_once(found)
    if averaged:
        notes.append(f"how many ran at once is averaged over {_MOMENTS} intervals")
    busy = Line(moments, count, Role.LEADING, step=True)
    workers = Axis("", Scale.CATEGORY, labels, reverse=True)
    return Chart(
        kind="timeline",
        title="When each worker ran what",
        panels=(
            (Panel(time, workers, tuple(spans)),),
            (Panel(time, Axis("running at once", integer=not averaged), (busy,)),),
        ),
        table=found.table(named=not source.options.anonymous),
        caption=_caption(found),
        notes=tuple(notes),
        share_x=True,
        row_heights=(min(3.0, max(0.5, len(labels) / 12)), 0.6),
    )


def _rows(found: Timeline) -> tuple[Ints, int]:
    """Shape (n,): the row of each attempt, and how many workers share one."""
    per_row = -(-len(found.workers) // _ROWS)
    return found.worker // per_row, per_row


def _spans(found: Timeline, rows: Ints, limit: int) -> tuple[list[Mark], list[str]]:
    """One span an attempt, or shares of time where that would be too many."""
    kinds = np.array([_kind(outcome) for outcome in found.outcomes], np.int64)
    count = int(rows.max()) + 1
    begin, end = float(found.start_s.min()), float(found.end_s.max())
    if (len(found) <= limit and count == len(found.workers)) or begin == end:
        marks: list[Mark] = []
        for kind, outcome in enumerate(_OUTCOMES):
            own = np.flatnonzero(kinds == kind)
            if len(own):
                texts = tuple(
                    f"trial {number}, attempt {attempt}: {found.outcomes[at]}, {took:.3g} s"
                    for at, number, attempt, took in zip(
                        own.tolist(),
                        found.numbers[own].tolist(),
                        found.attempts[own].tolist(),
                        (found.end_s - found.start_s)[own].tolist(),
                        strict=True,
                    )
                )
                marks.append(
                    Spans(
                        found.start_s[own],
                        found.end_s[own],
                        rows[own].astype(float),
                        outcome.style,
                        outcome.label,
                        texts,
                    )
                )
        return marks, []
    bins = max(_LEAST_BINS, limit // (count * 2))
    edges = np.linspace(begin, end, bins + 1)
    marks = _shares(found, rows, kinds, edges, count)
    width = (end - begin) / bins
    note = (
        f"{len(found)} attempts: bars are not single ones but, within each of {bins} intervals of "
        f"{width:.3g} s, the share of a row's time by outcome"
    )
    return marks, [note]


def _shares(found: Timeline, rows: Ints, kinds: Ints, edges: Floats, count: int) -> list[Mark]:
    """Spans as long as the share of each outcome in each interval, one behind the other."""
    bins, width = len(edges) - 1, float(edges[1] - edges[0])
    workers = np.bincount(np.unique(np.stack([rows, found.worker]), axis=1)[0], minlength=count)
    start = np.tile(edges[:-1], (count, 1))
    marks: list[Mark] = []
    for kind, outcome in enumerate(_OUTCOMES):
        own = np.flatnonzero(kinds == kind)
        busy_s = np.zeros((count, bins))
        for row in np.unique(rows[own]).tolist():
            mine = own[rows[own] == row]
            busy_s[row] = _time_in(found.start_s[mine], found.end_s[mine], edges)
        share = np.minimum(busy_s / workers[:, None], width)
        row, at = np.nonzero(share > width * 1e-3)
        if len(row):
            begins = start[row, at]
            ends = np.minimum(begins + share[row, at], edges[at + 1])
            marks.append(Spans(begins, ends, row.astype(float), outcome.style, outcome.label))
        start = start + share
    return marks


def _time_in(start_s: Floats, end_s: Floats, edges: Floats) -> Floats:
    """Shape (edges - 1,): how many seconds of these spans lie in each interval."""
    # The time of a span before an edge, summed over spans, is a difference of sorted sums.
    before = np.zeros(len(edges))
    for times, sign in ((start_s, 1.0), (end_s, -1.0)):
        ordered = np.sort(times) - edges[0]
        place = np.searchsorted(ordered, edges - edges[0])
        sums = np.concatenate([[0.0], np.cumsum(ordered)])
        before += sign * (place * (edges - edges[0]) - sums[place])
    return np.diff(before)


def _at_once(found: Timeline) -> tuple[Floats, Floats, bool]:
    """Moments, attempts that run from each on, and whether these are averages of intervals."""
    moments, count = found.at_once()
    if len(moments) <= _MOMENTS:
        return moments, count, False
    edges = np.linspace(moments[0], moments[-1], _MOMENTS + 1)
    mean = _time_in(found.start_s, found.end_s, edges) / (edges[1] - edges[0])
    return edges, np.append(mean, 0.0), True


def _labels(found: Timeline, per_row: int, *, anonymous: bool) -> tuple[str, ...]:
    """A label for each row: host and the beginning of the worker's id, or numbers."""
    if per_row > 1:
        firsts = range(0, len(found.workers), per_row)
        last = len(found.workers)
        return tuple(f"workers {at + 1} to {min(at + per_row, last)}" for at in firsts)
    if anonymous:
        return tuple(f"worker {at + 1}" for at in range(len(found.workers)))
    return tuple(
        "no worker recorded"
        if worker.worker_id is None
        else f"{worker.host} {worker.worker_id[:6]}"
        for worker in found.workers
    )


def _kind(outcome: str) -> int:
    return next(
        (at for at, known in enumerate(_OUTCOMES) if outcome in known.reasons), len(_OUTCOMES) - 1
    )


def _caption(found: Timeline) -> str:
    counts = [
        f"{found.outcomes.count(outcome)} {outcome.replace('_', ' ')}"
        for outcome in dict.fromkeys(found.outcomes)
    ]
    idle = max(found.workers, key=lambda worker: worker.longest_gap_s)
    text = (
        f"{counted(len(found), 'attempt')} ({listed(counts)}) of "
        f"{counted(len(found.workers), 'worker')}, which were busy for {found.utilisation:.1%} of "
        "the time between their first start and their last end, by their own clocks."
    )
    if idle.longest_gap_s > 0:
        text += f" The longest that one of them was idle in between is {idle.longest_gap_s:.3g} s."
    return text

"""When each worker ran what, coloured by outcome, and how many attempts ran at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trialbook.analysis.searches.search import Floats, Ints
from trialbook.analysis.searches.timeline import RUNNING, Timeline
from trialbook.analysis.searches.timeline import timeline as timeline_of
from trialbook.report.charts import Axis, Chart, Line, Mark, Panel, Role, Scale, Spans, Style
from trialbook.report.figures.kinds import FigureSource
from trialbook.report.wording import counted, listed

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
    lanes = _lanes(found)
    per_row = -(-len(lanes.workers) // _ROWS)
    spans, notes = _spans(found, lanes, per_row, source.options.marks)
    if per_row > 1:
        notes.append(f"{len(lanes.workers)} workers, {per_row} to a row, by their first start")
    elif len(lanes.workers) > len(found.workers):
        notes.append("a worker that ran several attempts at once has several rows")
    if found.untracked:
        notes.append(
            f"{counted(found.untracked, 'trial')} left out: nobody ran them under tracking"
        )
    running = found.outcomes.count(RUNNING)
    if running:
        notes.append(
            f"{counted(running, 'attempt')} had not ended, drawn up to the last moment on record"
        )
    labels = _labels(found, lanes, per_row, anonymous=source.options.anonymous)
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


@dataclass(frozen=True, slots=True, eq=False)
class _Lanes:
    """What takes one attempt at a time: a worker, or one of the threads of it.

    Args:
        lane: Shape (attempts,): the lane of each.
        workers: Of each lane, the index of its worker; growing.
    """

    lane: Ints
    workers: Ints


def _lanes(found: Timeline) -> _Lanes:
    """The lanes of a timeline: as many for a worker as it ever ran attempts at once."""
    ends: list[list[float]] = [[] for _ in found.workers]
    own = np.zeros(len(found), np.int64)
    starts, stops = found.start_s.tolist(), found.end_s.tolist()
    for at, worker in enumerate(found.worker.tolist()):
        lanes = ends[worker]
        free = next((lane for lane, end in enumerate(lanes) if end <= starts[at]), len(lanes))
        lanes[free : free + 1] = [stops[at]]
        own[at] = free
    counts = np.array([len(lanes) for lanes in ends])
    first = np.cumsum(counts) - counts
    return _Lanes(first[found.worker] + own, np.repeat(np.arange(len(counts)), counts))


def _spans(
    found: Timeline, lanes: _Lanes, per_row: int, limit: int
) -> tuple[list[Mark], list[str]]:
    """One span an attempt, or shares of time where that would be too many."""
    rows = lanes.lane // per_row
    kinds = np.array([_kind(outcome) for outcome in found.outcomes], np.int64)
    count = int(rows.max()) + 1
    begin, end = float(found.start_s.min()), float(found.end_s.max())
    if (len(found) <= limit and per_row == 1) or begin == end:
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
    marks = _shares(found, rows, kinds, edges, _sizes(len(lanes.workers), per_row))
    width = (end - begin) / bins
    note = (
        f"{len(found)} attempts: bars are not single ones but, within each of {bins} intervals of "
        f"{width:.3g} s, the share of a row's time by outcome"
    )
    return marks, [note]


def _sizes(lanes: int, per_row: int) -> Ints:
    """How many lanes each row holds."""
    firsts = np.arange(0, lanes, per_row)
    return np.minimum(per_row, lanes - firsts)


def _shares(found: Timeline, rows: Ints, kinds: Ints, edges: Floats, lanes: Ints) -> list[Mark]:
    """Spans as long as the share of each outcome in each interval, one behind the other.

    Args:
        found: The timeline.
        rows: Shape (attempts,).
        kinds: Shape (attempts,): index into ``_OUTCOMES``.
        edges: Shape (intervals + 1,).
        lanes: Shape (rows,): how many lanes share a row.
    """
    count, bins, width = len(lanes), len(edges) - 1, float(edges[1] - edges[0])
    start = np.tile(edges[:-1], (count, 1))
    marks: list[Mark] = []
    for kind, outcome in enumerate(_OUTCOMES):
        own = np.flatnonzero(kinds == kind)
        busy_s = np.zeros((count, bins))
        for row in np.unique(rows[own]).tolist():
            mine = own[rows[own] == row]
            busy_s[row] = _time_in(found.start_s[mine], found.end_s[mine], edges)
        share = np.minimum(busy_s / lanes[:, None], width)
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


def _labels(found: Timeline, lanes: _Lanes, per_row: int, *, anonymous: bool) -> tuple[str, ...]:
    """A label for each row: host and the beginning of the worker's id, or numbers."""
    if per_row > 1:
        last = len(lanes.workers)
        firsts = range(0, last, per_row)
        return tuple(f"workers {at + 1} to {min(at + per_row, last)}" for at in firsts)
    labels: list[str] = []
    for worker in lanes.workers.tolist():
        owner = found.workers[worker]
        if anonymous:
            label = f"worker {worker + 1}"
        elif owner.worker_id is None:
            label = "no worker recorded"
        else:
            label = f"{owner.host} {owner.worker_id[:6]}"
        again = lanes.workers.tolist()[: len(labels)].count(worker)
        labels.append(f"{label} ({again + 1})" if again else label)
    return tuple(labels)


def _kind(outcome: str) -> int:
    return next(
        (at for at, known in enumerate(_OUTCOMES) if outcome in known.reasons), len(_OUTCOMES) - 1
    )


def _caption(found: Timeline) -> str:
    counts = [
        f"{found.outcomes.count(outcome)} {outcome.replace('_', ' ')}"
        for outcome in dict.fromkeys(found.outcomes)
    ]
    alone = len(found.workers) == 1
    were, their, clocks = ("was", "its", "clock") if alone else ("were", "their", "clocks")
    one = "it" if alone else "one of them"
    idle = max(found.workers, key=lambda worker: worker.longest_gap_s)
    text = (
        f"{counted(len(found), 'attempt')} ({listed(counts)}) of "
        f"{counted(len(found.workers), 'worker')}, which {were} busy for "
        f"{100 * found.utilisation:.1f} % of the time between {their} first start and {their} "
        f"last end, by {their} own {clocks}."
    )
    if idle.longest_gap_s > 0:
        text += f" The longest that {one} was idle in between is {idle.longest_gap_s:.3g} s."
    return text

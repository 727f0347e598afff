"""How counts, lists and moments read in sentences, the same in sections and figures.

How numbers are set is in ``numbers.py``, what axes say of a study in ``figures/wording.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime


def counted(count: int, one: str, many: str = "") -> str:
    """``1 trial``, ``2 trials``; ``many`` where an ``s`` is not enough."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def listed(items: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def are(count: int) -> str:
    """``is`` of one, ``are`` of several."""
    return "is" if count == 1 else "are"


def state_text(state: str) -> str:
    """What a report calls a state of Optuna: ``complete``, ``pruned``, ``failed``."""
    return "failed" if state == "FAIL" else state.lower()


def moment(seconds: float | None) -> str | None:
    """Seconds since the epoch as date and time in UTC; ``None`` for ``None`` and NaN."""
    if seconds is None or seconds != seconds:
        return None
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

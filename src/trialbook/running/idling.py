"""What a worker does that finds no trial to claim: look again for a while, or leave."""

from __future__ import annotations

from collections.abc import Callable

_FIRST_LOOK_S = 0.5
_LAST_LOOK_S = 5.0


class Idling:
    """How long a run goes on without a trial to claim.

    Args:
        exit_s: Leave after so many seconds in which there was none. ``None``: leave as soon as
            nothing is left, and wait for trials that are to be tried again.
        budget: The study's total of trials as the book has it now; ``None`` to keep to the run's.
    """

    def __init__(
        self, exit_s: float | None = None, budget: Callable[[], int | None] | None = None
    ) -> None:
        self._exit_s = exit_s
        self._budget = budget
        self._since_s: float | None = None
        self._look_s = _FIRST_LOOK_S

    @property
    def waits(self) -> bool:
        """Whether to begin although nothing is left to do: more may come."""
        return self._exit_s is not None

    def budget(self, known: int | None) -> int | None:
        """The total of trials to claim by.

        Args:
            known: The run's own; while there are trials to claim, it is as good.
        """
        return known if self._budget is None or self._since_s is None else self._budget()

    def busy(self) -> None:
        """A trial was claimed."""
        self._since_s, self._look_s = None, _FIRST_LOOK_S

    def pause_s(self, now_s: float, retry_s: float | None) -> float | None:
        """Seconds until the next look, ``None`` to leave.

        Args:
            now_s: The monotonic clock.
            retry_s: Seconds until a trial may be tried again, ``None`` when nothing is left.
        """
        if self._exit_s is None:
            return retry_s
        if self._since_s is None:
            self._since_s = now_s
        left_s = self._exit_s - (now_s - self._since_s)
        if left_s <= 0:
            return None
        pause_s, self._look_s = self._look_s, min(1.5 * self._look_s, _LAST_LOOK_S)
        return min(pause_s, left_s, *(() if retry_s is None else (retry_s,)))

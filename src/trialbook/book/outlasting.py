"""Outlasting a server that cannot be reached for a while: doing a thing again until it is back.

A transaction's outcome is always definite (``postgres_engine.py``), so whatever is one transaction
may be done again when it was not committed. Methods of the storage are decorated with
``outlasting``.
"""

from __future__ import annotations

import inspect
import logging
import random
import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from trialbook.errors import BookConflictError, BookUncertainError, BookUnreachableError

PATIENCE_S = 600.0
"""How long an open storage waits for its server."""

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 3.0
_CONFLICTS = 10
"""How often a transaction is tried that the server gives up for others."""

_T = TypeVar("_T")
_P = ParamSpec("_P")
_C = TypeVar("_C", bound=type)
_logger = logging.getLogger(__name__)


class Outage:
    """Whether a book's server is away, said once when it goes and once when it is back.

    Args:
        where: The book's URL without its password.
        patience_s: How long to wait for the server; 0 to fail at once.

    Attributes:
        given_up: Whether nobody wants to wait any more.
    """

    def __init__(self, where: str, patience_s: float) -> None:
        self.where = where
        self.patience_s = patience_s
        self.given_up = False
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._since: float | None = None

    def after_fork(self) -> None:
        """In a forked child: know of no outage."""
        self._start()

    def noticed(self, error: BookUnreachableError) -> None:
        """The server is away, and somebody waits for it."""
        with self._lock:
            if self._since is not None:
                return
            self._since = time.monotonic()
        _logger.warning(
            "%s: %s; waiting for it up to %.0f s", self.where, error.what, self.patience_s
        )

    def over(self) -> None:
        """The server was reached."""
        if self._since is None:
            return
        with self._lock:
            since, self._since = self._since, None
        if since is not None:
            _logger.warning(
                "%s: the server is back after %.1f s", self.where, time.monotonic() - since
            )

    def give_up(self) -> None:
        """Wait no longer, now and later on; a signal handler may call it."""
        self.given_up = True

    def outlast(self, act: Callable[[], _T], patience_s: float | None = None) -> _T:
        """Do a thing, again and again while the server cannot be reached.

        Args:
            act: What to do; one transaction, or things that may be done twice.
            patience_s: How long to go on; ``None`` for the patience of the book.

        Raises:
            BookUnreachableError: The server was away for longer than that.
            BookConflictError: The server gave the transaction up again and again.
        """
        try:
            return act()
        except (BookUnreachableError, BookConflictError) as error:
            failure: BookUnreachableError | BookConflictError = error
        pauses = Pauses(self.patience_s if patience_s is None else patience_s)
        conflicts = 0
        while True:
            self._pause(failure, pauses, conflicts)
            conflicts += isinstance(failure, BookConflictError)
            try:
                return act()
            except (BookUnreachableError, BookConflictError) as error:
                failure = error

    def _pause(
        self, failure: BookUnreachableError | BookConflictError, pauses: Pauses, conflicts: int
    ) -> None:
        """Wait before the next try, or raise when there is to be none."""
        if getattr(failure, "outlasted", False) or isinstance(failure, BookUncertainError):
            raise failure  # waited for in vain inside, or what became of it must be known first
        if isinstance(failure, BookConflictError):
            if conflicts == _CONFLICTS:
                raise failure
            time.sleep(random.uniform(0, 0.02 * (conflicts + 1)))
            return
        if self.given_up or not pauses.left:
            failure.outlasted = True
            raise failure
        self.noticed(failure)
        pauses.take()


class Pauses:
    """Growing pauses between the tries of something, until a time is over.

    Args:
        patience_s: That time.
    """

    def __init__(self, patience_s: float) -> None:
        self._until = time.monotonic() + patience_s
        self._next_s = _FIRST_PAUSE_S

    @property
    def left(self) -> bool:
        """Whether there is time for another try."""
        return time.monotonic() < self._until

    def take(self) -> None:
        """Wait; an interrupt gets through."""
        left_s = max(0.0, self._until - time.monotonic())
        time.sleep(min(left_s, self._next_s * random.uniform(0.5, 1.0)))
        self._next_s = min(_LONGEST_PAUSE_S, self._next_s * 2)


def outlasting(
    method: Callable[Concatenate[Any, _P], _T],
) -> Callable[Concatenate[Any, _P], _T]:
    """Do a method of something that has an ``outage`` again until the server is back."""

    @wraps(method)
    def again(self: Any, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        outage: Outage = self.outage
        return outage.outlast(lambda: method(self, *args, **kwargs))

    return again


def all_outlasting(*excepted: str) -> Callable[[_C], _C]:
    """Decorate every public method that a class defines with ``outlasting``.

    Args:
        excepted: Methods that are left as they are.
    """

    def decorated(kind: _C) -> _C:
        for name, found in list(vars(kind).items()):
            if inspect.isfunction(found) and name[0] != "_" and name not in excepted:
                setattr(kind, name, outlasting(found))
        return kind

    return decorated

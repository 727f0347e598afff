"""What stands in the way of writing a report or figure, told with its place and the next step."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trialbook.errors import OutputError, TrialbookError


@contextmanager
def placing(what: str, place: Path) -> Iterator[None]:
    """Around the writing of ``what``, as in ``the report``, at a place that the user chose.

    Raises:
        OutputError: The operating system refused.
    """
    try:
        yield
    except TrialbookError:
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise OutputError(
            f"{what} cannot be written: {error.strerror or error}",
            where=str(place),
            hint="make room there, or name another place" if full else "name another place",
        ) from error

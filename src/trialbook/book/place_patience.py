"""Asking a place that may be away: what is tried again, for how long, and what is told at once.

A network that fails is tried again with growing pauses. What will not change by itself (no
permission, no such bucket, a full disk) is told at once.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from typing import TypeVar

from trialbook.book.blob_places import NotMadeError, Place
from trialbook.book.outlasting import Pauses
from trialbook.errors import ArtifactLocationError, TrialbookError

_T = TypeVar("_T")
_logger = logging.getLogger(__name__)

_FOR_GOOD = (
    PermissionError,
    FileNotFoundError,
    NotADirectoryError,
    IsADirectoryError,
    NotMadeError,
    NotImplementedError,
    ImportError,
    TypeError,
    ValueError,
    AttributeError,
)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FOR_GOOD_NUMBERS = (*_FULL, errno.EINVAL, errno.EROFS, errno.ENAMETOOLONG, errno.EFBIG)


def is_for_good(error: Exception) -> bool:
    """Whether trying again would not help."""
    if isinstance(error, OSError) and error.errno in _FOR_GOOD_NUMBERS:
        return True
    # Backends have errors of their own: botocore's NoCredentialsError and others like it.
    return isinstance(error, _FOR_GOOD) or "Credential" in type(error).__name__


class Patience:
    """How long one process waits for one place.

    Once a place was waited for in vain, it is tried once each time, until it is back.

    Args:
        longest_s: How long to wait.
        hurried: Whether nobody wants to wait any more.
    """

    def __init__(self, longest_s: float, hurried: Callable[[], bool]) -> None:
        self.longest_s = longest_s
        self._hurried = hurried
        self._in_vain = False

    def ask(
        self, place: Place, what: str, act: Callable[[], _T], *, longest_s: float | None = None
    ) -> _T:
        """Do a thing with a place, again and again while it is away.

        Args:
            place: The place.
            what: What cannot be done if it fails, as in ``a content cannot be written``.
            act: It; may be done twice.
            longest_s: How long to wait at the most, ``None`` for as long as usual.

        Raises:
            ArtifactLocationError: It cannot be done there, or the place was away for too long.
        """
        allowed_s = self.longest_s if longest_s is None else min(longest_s, self.longest_s)
        pauses = Pauses(0.0 if self._in_vain else allowed_s)
        waited = False
        while True:
            try:
                found = act()
            except TrialbookError:
                raise
            except Exception as error:
                if is_for_good(error):
                    raise _refused(place, what, error) from error
                if not pauses.left or self._hurried():
                    self._in_vain = True
                    raise _away(place, what, error) from error
                if not waited:
                    waited = True
                    _logger.warning(
                        "%s: %s (%s); trying again for up to %.0f s",
                        place.name,
                        what,
                        reason_of(error),
                        allowed_s,
                    )
                pauses.take()
            else:
                if waited:
                    _logger.warning("%s: it is back", place.name)
                self._in_vain = False
                return found


def reason_of(error: Exception) -> str:
    """What an error of any system says, on one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _refused(place: Place, what: str, error: Exception) -> ArtifactLocationError:
    if isinstance(error, NotMadeError):
        hint = (
            "mount the share here; if it lies elsewhere by now, run "
            "'trialbook storage init --artifacts URL'"
        )
    elif isinstance(error, OSError) and error.errno in _FULL:
        hint = "free some space there, or name another place with 'trialbook storage init'"
    elif isinstance(error, FileNotFoundError):
        hint = "make the bucket or directory first, or name another place with --artifacts"
    elif isinstance(error, PermissionError) or "Credential" in type(error).__name__:
        hint = "give this process the right to write there (AWS_ACCESS_KEY_ID, file modes, ...)"
    else:
        hint = "run 'trialbook doctor' to try the location"
    return ArtifactLocationError(f"{what}: {reason_of(error)}", where=place.name, hint=hint)


def _away(place: Place, what: str, error: Exception) -> ArtifactLocationError:
    return ArtifactLocationError(
        f"{what}, its location cannot be reached: {reason_of(error)}",
        where=place.name,
        hint="look at the network and its server; 'trialbook doctor' tries the location",
    )

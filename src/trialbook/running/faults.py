"""An error that another process met, as the error that it was."""

from __future__ import annotations

from trialbook import errors
from trialbook.errors import TrialbookError
from trialbook.running.messages import Fault


def error_of(fault: Fault) -> TrialbookError:
    """The error that a fault was in another process; its traceback there is a note."""
    kind = getattr(errors, fault.kind, TrialbookError)
    if not (isinstance(kind, type) and issubclass(kind, TrialbookError)):
        kind = TrialbookError
    error: TrialbookError = kind(fault.what, where=fault.where, hint=fault.hint)
    if fault.traceback:
        error.add_note(fault.traceback)
    return error

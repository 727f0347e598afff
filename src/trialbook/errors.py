"""Every error that Trialbook raises on purpose.

Each one says what happened, where, and the next step, and also inherits the builtin that a
caller would expect::

    TrialbookError
    ├── InvalidInputError (ValueError)       a value or setting that cannot be accepted
    │   ├── InvalidMetricError (TypeError)     a metric name or value that is no number
    │   ├── BadReferenceError (ValueError)     text that names no study, trial or best trial
    │   ├── ConfigError (ValueError)           a configuration file or override
    │   └── SpecError (ValueError)             a study file, with every fault it has
    ├── NotFoundError (KeyError)             a study, trial or artifact that is not in the book
    ├── NotApplicableError (ValueError)      an analysis that this study has nothing for, or refuses
    ├── ObjectiveError
    │   ├── ObjectiveNotFoundError (ImportError)
    │   └── ObjectiveSignatureError (TypeError)
    ├── BookError (RuntimeError)             the store
    │   ├── BookNotFoundError (FileNotFoundError)
    │   ├── BookCorruptError                   not a database, or a damaged one
    │   ├── BookForeignError                   a database that holds something else
    │   ├── BookVersionError                   a schema that this program does not know
    │   ├── BookReadOnlyError (PermissionError)
    │   ├── BookFullError (OSError)
    │   ├── BookBusyError (TimeoutError)
    │   │   └── BookConflictError              the server gave the transaction up for another one
    │   ├── BookUnreachableError (ConnectionError)
    │   │   └── BookUncertainError             lost in a commit whose outcome is not known yet
    │   ├── BookNetworkError                   SQLite on a network file system
    │   ├── ArtifactLocationError (OSError)    where larger contents go: none, or not to be reached
    │   └── AttemptFencedError                 a write of an attempt that is no longer current
    ├── OutputError (OSError)                a report or figure that cannot be written there
    ├── UnreadableFileError (OSError)        a file that is there and cannot be read
    ├── MissingPackageError (ImportError)    a package that this function needs is not installed
    ├── NotABookError (TypeError)            a tracked objective under another storage
    ├── CaptureError (RuntimeError)          a coordinate that could not be observed: no run
    │   └── DataMissingError (FileNotFoundError)
    ├── SettingsDifferError (ValueError)     resuming with another sampler, pruner or seed
    ├── InputsChangedError (RuntimeError)    code or data differ from the study's last trial
    ├── TooManyFailuresError (RuntimeError)  the first trials of a run all failed
    ├── UntrustedCodeError (PermissionError) code of a book that was not made here
    ├── LaunchError (RuntimeError)           an engine refused workers or cannot be asked
    │   └── MissingEngineError                 the engine is not installed or not to be reached here
    ├── RestoreError (RuntimeError)          what the book holds cannot be put back here
    │   ├── RestoreDataError                   an input is missing or has other content
    │   └── RestoreEnvironmentError            the environment cannot be recreated
    └── RerunError (RuntimeError)            a recorded trial that cannot be executed again
"""

from __future__ import annotations


class TrialbookError(Exception):
    """Root of the tree.

    Args:
        what: What happened, one sentence without a full stop.
        where: The file, study, key or row concerned; ``None`` when ``what`` says it.
        hint: The next step, as a command or an imperative sentence.
    """

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        """The message on one to three lines: what, where, next step."""
        lines = [self.what]
        if self.where is not None:
            lines.append(f"  at: {self.where}")
        if self.hint is not None:
            lines.append(f"  try: {self.hint}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the keyword arguments, so that errors cross processes whole."""
        return (_restored, (type(self), self.what, self.where, self.hint, self.__dict__.copy()))


def _restored(
    kind: type[TrialbookError],
    what: str,
    where: str | None,
    hint: str | None,
    attributes: dict[str, object],
) -> TrialbookError:
    error = kind(what, where=where, hint=hint)
    error.__dict__.update(attributes)
    return error


class InvalidInputError(TrialbookError, ValueError):
    """A value or setting that cannot be accepted."""


class InvalidMetricError(InvalidInputError, TypeError):
    """A metric name or value that is no number."""


class BadReferenceError(InvalidInputError):
    """Text that names no study, trial or best trial."""


class ConfigError(InvalidInputError):
    """A configuration file or an override that cannot be used."""


class SpecError(InvalidInputError):
    """A study file that cannot be used; ``problems`` lists every fault found.

    Args:
        what: What happened.
        problems: Every fault, one line each.
        where: The file.
        hint: The next step.
    """

    def __init__(
        self,
        what: str,
        *,
        problems: tuple[str, ...] = (),
        where: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.problems = problems

    def __str__(self) -> str:
        """The message, with one line a fault after the first."""
        first, *rest = super().__str__().split("\n")
        return "\n".join([first, *(f"  - {problem}" for problem in self.problems), *rest])


class NotFoundError(TrialbookError, KeyError):
    """A study, trial or artifact that is not in the book."""


class NotApplicableError(TrialbookError, ValueError):
    """An analysis that a study has nothing for, or that would mislead; ``what`` is the reason."""


class ObjectiveError(TrialbookError):
    """An objective that cannot be used."""


class ObjectiveNotFoundError(ObjectiveError, ImportError):
    """The file, module or name of an objective does not exist or cannot be imported."""


class ObjectiveSignatureError(ObjectiveError, TypeError):
    """The objective does not accept a trial."""


class BookError(TrialbookError, RuntimeError):
    """The store refused."""


class BookNotFoundError(BookError, FileNotFoundError):
    """There is no book at that place."""


class BookCorruptError(BookError):
    """The file is not a database, or a damaged one."""


class BookForeignError(BookError):
    """The database exists and holds something that is no book."""


class BookVersionError(BookError):
    """The book's schema is newer or older than this program."""


class BookReadOnlyError(BookError, PermissionError):
    """The book cannot be written."""


class BookFullError(BookError, OSError):
    """No space is left for the book."""


class BookBusyError(BookError, TimeoutError):
    """Another process held the book for too long."""


class BookConflictError(BookBusyError):
    """The server gave the transaction up for another one; nothing of it is stored."""


class BookUnreachableError(BookError, ConnectionError):
    """The server cannot be reached, or went away; what was to be written is not stored.

    Attributes:
        outlasted: Whether it was waited for as long as the book's patience says.
    """

    outlasted = False


class BookUncertainError(BookUnreachableError):
    """The server went away in a commit and did not come back to say whether it was done.

    Args:
        what: What happened.
        receipt: For ``Book.settled``, which finds it out later.
        where: The book.
        hint: The next step.
    """

    def __init__(
        self,
        what: str,
        *,
        receipt: object = None,
        where: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.receipt = receipt


class BookNetworkError(BookError):
    """An SQLite book on a network file system, where its locks do not hold."""


class ArtifactLocationError(BookError, OSError):
    """A large content has no place: the book has none for it, or it cannot be reached."""


class AttemptFencedError(BookError):
    """A write named an attempt that is no longer the trial's current one."""


class OutputError(TrialbookError, OSError):
    """A report or figure cannot be written where it was asked for."""


class UnreadableFileError(TrialbookError, OSError):
    """A file is there, and the operating system does not let it be read."""


class MissingPackageError(TrialbookError, ImportError):
    """An optional package that a function needs is not installed."""


class NotABookError(TrialbookError, TypeError):
    """A tracked objective runs under a storage that is not a book."""


class CaptureError(TrialbookError, RuntimeError):
    """A coordinate could not be observed, so the trial does not run."""


class DataMissingError(CaptureError, FileNotFoundError):
    """A declared input does not exist."""


class SettingsDifferError(TrialbookError, ValueError):
    """A study is resumed with another sampler, pruner, seed or direction."""


class InputsChangedError(TrialbookError, RuntimeError):
    """The loaded code or the data differ from the study's last trial."""


class TooManyFailuresError(TrialbookError, RuntimeError):
    """The first trials of a run all failed."""


class UntrustedCodeError(TrialbookError, PermissionError):
    """Running code from a book or study that was not created on this machine."""


class LaunchError(TrialbookError, RuntimeError):
    """An engine refused workers, or cannot be asked about them."""


class MissingEngineError(LaunchError):
    """The engine is not installed, or cannot be reached from here."""


class RestoreError(TrialbookError, RuntimeError):
    """What the book holds of a trial cannot be put back on this machine."""


class RestoreDataError(RestoreError):
    """A recorded input is missing here or has other content."""


class RestoreEnvironmentError(RestoreError):
    """The recorded environment cannot be recreated."""


class RerunError(TrialbookError, RuntimeError):
    """A recorded trial cannot be executed again."""


class TrialbookWarning(UserWarning):
    """Something was not recorded, or is recorded as not counted; the message says what."""

"""What the book could not keep of a trial, for a warning and for the trial's record.

A large file that has no place must not cost the result of hours: the objective goes on, and what
was not kept is recorded as not kept.
"""

from __future__ import annotations

from trialbook.errors import TrialbookError
from trialbook.records.blobs import size_text
from trialbook.records.study import ArtifactRecord


class NotKept:
    """The artifacts and checkpoints of one attempt that the book could not keep."""

    def __init__(self) -> None:
        self._artifacts: dict[str, str] = {}
        self._checkpoints: dict[str, int] = {}

    def artifact(self, artifact: ArtifactRecord, error: TrialbookError) -> str:
        """Note an artifact; what to warn of."""
        gap = (
            f"artifact {artifact.name} ({size_text(artifact.size_bytes)}, sha256 "
            f"{artifact.digest}) was not kept: {_why(error)}"
        )
        self._artifacts[artifact.name] = gap
        return _warning(gap, error)

    def kept(self, name: str) -> None:
        """A name holds an artifact after all: the last one kept under it."""
        self._artifacts.pop(name, None)

    def checkpoint(self, error: TrialbookError) -> str | None:
        """Note a checkpoint; what to warn of, ``None`` when the same was warned of before."""
        why = _why(error)
        before = self._checkpoints.get(why, 0)
        self._checkpoints[why] = before + 1
        if before:
            return None
        return _warning(f"the checkpoint is not kept: {why}", error)

    @property
    def gaps(self) -> tuple[str, ...]:
        """One sentence each, for the record."""
        checkpoints = (
            f"{count} {'checkpoint was' if count == 1 else 'checkpoints were'} not kept: {why}"
            for why, count in self._checkpoints.items()
        )
        return (*self._artifacts.values(), *checkpoints)


def _why(error: TrialbookError) -> str:
    return error.what if error.where is None else f"{error.what} ({error.where})"


def _warning(gap: str, error: TrialbookError) -> str:
    return gap if error.hint is None else f"{gap}\n  try: {error.hint}"

"""Trials behind a file: their results, what identifies them, and the command that runs them again.

Files of one study lead to the same few trials, and these to fewer snapshots: each is read once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from trialbook.book.reading import Reader
from trialbook.errors import BookCorruptError, NotFoundError
from trialbook.records.coordinates import CoordinateDigests
from trialbook.records.references import TrialReference
from trialbook.records.study import TrialRecord
from trialbook.report.located import CoordinatesInShort, LocatedTrial
from trialbook.report.making_again import Commands

_State = TypeVar("_State")


class LocatedTrials:
    """The trials of one open book.

    Args:
        reader: The open book.
        commands: Makes the command that runs a trial again.
    """

    def __init__(self, reader: Reader, commands: Commands) -> None:
        self._reader = reader
        self._commands = commands
        self._trials: dict[tuple[str, int, int | None], LocatedTrial] = {}
        self._coordinates: dict[CoordinateDigests, CoordinatesInShort] = {}
        self._best: dict[str, tuple[LocatedTrial, ...]] = {}

    def best(self, study: str) -> tuple[LocatedTrial, ...]:
        """A study's best trial now; none without one."""
        if study not in self._best:
            leader = self._reader.leader(self._reader.study(study))
            self._best[study] = () if leader is None else (self.of(study, leader.number),)
        return self._best[study]

    def of(self, study: str, number: int, attempt: int | None = None) -> LocatedTrial:
        """A trial, with the coordinates of this attempt; of the one that counts by default."""
        key = (study, number, attempt)
        if key not in self._trials:
            name = TrialReference(study, number)
            try:
                self._trials[key] = self._of_record(self._reader.trial(name), attempt)
            except NotFoundError as error:
                self._trials[key] = LocatedTrial(str(name), None, missing=error.what)
        return self._trials[key]

    def _of_record(self, record: TrialRecord, number: int | None) -> LocatedTrial:
        attempt = record.attempt
        if number is not None:
            attempt = next((a for a in record.attempts if a.number == number), attempt)
        tracked = attempt is not None and attempt.seeds is not None
        coordinates = None
        if attempt is not None and tracked:
            coordinates = self._in_short(attempt.coordinates)
        return LocatedTrial(
            reference=record.reference,
            state=record.state,
            values=record.values,
            attempt=None if attempt is None else attempt.number,
            coordinates=coordinates,
            rerun=self._commands.rerun(record.reference) if tracked else None,
            missing="" if tracked else "it was not tracked, so it cannot be run again",
        )

    def _in_short(self, digests: CoordinateDigests) -> CoordinatesInShort:
        key = CoordinateDigests(digests.code, digests.data, None, digests.environment, None)
        if key not in self._coordinates:
            git = self._state(key.code, _Code).git
            inputs = self._state(key.data, _Data).inputs
            self._coordinates[key] = CoordinatesInShort(
                commit=None if git is None else git.commit,
                dirty=None if git is None else git.dirty,
                code=key.code,
                data=tuple((each.name, each.digest) for each in inputs),
                environment=key.environment,
            )
        return self._coordinates[key]

    def _state(self, digest: str | None, kind: type[_State]) -> _State:
        if digest is None:
            return kind()
        try:
            return self._reader.snapshot(digest).state_as(kind)
        except (NotFoundError, BookCorruptError):
            return kind()  # 'verify' names it; here it is not known


@dataclass(frozen=True, slots=True)
class _Git:
    commit: str | None = None
    dirty: bool | None = None


@dataclass(frozen=True, slots=True)
class _Code:
    """Of the code's state only what git said; the files are long to read."""

    git: _Git | None = None


@dataclass(frozen=True, slots=True)
class _Input:
    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class _Data:
    """Of the data's state only the declared inputs."""

    inputs: tuple[_Input, ...] = ()

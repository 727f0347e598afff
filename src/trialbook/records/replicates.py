"""Replicates: chosen configurations that are run again under fresh seeds, as a study of their own.

Such a study is linked to the one whose configurations it has. The link, and what each trial of it
is, are system attributes of Optuna, so that they go wherever the study goes. Here are their keys,
their forms, and how they are read; they are made in ``running/replicating``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from trialbook.errors import BookCorruptError
from trialbook.records.config import SearchSettings

_Value = TypeVar("_Value")

REPLICATE = "trialbook:replicate"
"""System attribute of a trial that is a replicate."""

REPLICATES = "trialbook:replicates"
"""System attribute of a study of replicates."""

GIVEN_PARAMS = "trialbook.running.given_params.GivenParamsSampler"
"""The sampler of a study of replicates, as its settings name it."""

DEFAULT = "default"
"""What the default configuration is called."""


@dataclass(frozen=True, slots=True)
class GivenParam:
    """One param of a configuration.

    Args:
        name: Its name.
        value: What the objective is to see, as JSON has it.
        internal: Optuna's internal value, ``None`` for a value that no trial has had.
        distribution: What it was taken from, as text; ``None`` likewise.
    """

    name: str
    value: Any
    internal: float | None = None
    distribution: str | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """Params that are run again, and where they come from.

    Args:
        name: What it is called: ``best``, ``best:2``, ``default``, ``trial 12``.
        params: Every param that its trial asked for, in that order.
        trial: Number of its trial in the source, ``None`` for params that no trial stands for.
        rank: Its rank among the source's trials when it was chosen, 1 for the best; ``None`` when
            it was not chosen by rank.
        values: What its trial came to, one for each objective; ``None`` when to nothing.
        record: Digest of that trial's record, ``None`` without one.
        remarks: In what its trial differed from what the replicates run, one sentence each.
    """

    name: str
    params: tuple[GivenParam, ...]
    trial: int | None = None
    rank: int | None = None
    values: tuple[float, ...] | None = None
    record: str | None = None
    remarks: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Which configuration it is, in one study of replicates."""
        return DEFAULT if self.trial is None else f"trial {self.trial}"


@dataclass(frozen=True, slots=True)
class Replicate:
    """What a trial is a replicate of.

    Args:
        configuration: What it runs.
        index: Number of its seed: equal for replicates of all configurations with one seed.
        seed: Its seed, 0 <= seed < 2**32.
    """

    configuration: Configuration
    index: int
    seed: int

    @property
    def key(self) -> tuple[str, int]:
        """Which replicate it is, in its study."""
        return self.configuration.key, self.index


@dataclass(frozen=True, slots=True)
class ReplicationLink:
    """What a study of replicates belongs to.

    Args:
        uid: Identity of the source study.
        study: Its name.
        chosen: Key of the configuration that was chosen; the others are there to compare with.
        entropy: What the replicates' seeds are derived from; the study's seed.
        seal: Seal of the source when the link was made.
        trials: Number of the source's trials then, deleted ones too.
    """

    uid: str
    study: str
    chosen: str
    entropy: int
    seal: str
    trials: int


@dataclass(frozen=True, slots=True)
class ReplicationSource:
    """The study that replicates are of, as a book has it now: found by its identity.

    Args:
        then: Its name when the link was made.
        now: Its name now; ``None`` when the book has no living study of that identity.
        deleted: Whether the book says that it was deleted.
    """

    then: str
    now: str | None
    deleted: bool = False

    @property
    def text(self) -> str:
        """Its name, and what became of it if it is not as it was."""
        if self.now is not None:
            same = self.now == self.then
            return self.now if same else f"{self.now} (called {self.then} when it was replicated)"
        return (
            f"{self.then}, which {'was deleted since' if self.deleted else 'is not in this book'}"
        )


def as_attribute(value: Replicate | ReplicationLink) -> dict[str, Any]:
    """The value as a JSON object, for an attribute."""
    plain: dict[str, Any] = msgspec.to_builtins(value)
    return plain


def replicate_of(system_attrs: Mapping[str, Any]) -> Replicate | None:
    """What a trial with these attributes is a replicate of, ``None`` when it is none.

    Raises:
        BookCorruptError: The attribute is damaged.
    """
    return _read(system_attrs, REPLICATE, Replicate)


def link_of(system_attrs: Mapping[str, Any]) -> ReplicationLink | None:
    """The link of a study with these attributes, ``None`` when it has no replicates.

    Raises:
        BookCorruptError: The attribute is damaged.
    """
    return _read(system_attrs, REPLICATES, ReplicationLink)


def runs_given_trials(search: SearchSettings) -> bool:
    """Whether workers of a study run the trials that were placed in it, and make none."""
    return search.sampler is not None and search.sampler.name == GIVEN_PARAMS


def _read(attrs: Mapping[str, Any], key: str, kind: type[_Value]) -> _Value | None:
    value = attrs.get(key)
    if value is None:
        return None
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise BookCorruptError(
            f"the attribute {key} cannot be read: {error}",
            hint="run 'trialbook verify' to list everything that is damaged",
        ) from error

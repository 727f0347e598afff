"""The linked study: made once, with what its trials run on, and its replicates placed in it.

Every step may be the last one before a crash; the same call goes on from there.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.study import StudyDirection

from trialbook.book.reading import Reader
from trialbook.book.replicates import Withdrawn, link, replicates, withdraw
from trialbook.book.seals import seal_of
from trialbook.book.storage import BookStorage
from trialbook.errors import InvalidInputError, SettingsDifferError
from trialbook.records.config import ComponentSettings, SearchSettings
from trialbook.records.coordinates import Kind
from trialbook.records.replicates import (
    GIVEN_PARAMS,
    REPLICATES,
    Configuration,
    Replicate,
    ReplicationLink,
    as_attribute,
)
from trialbook.records.study import StudyRecord, StudySpec
from trialbook.running.replicating.choosing import Choice
from trialbook.running.study import is_bare
from trialbook.running.trust import created_here, origin_of
from trialbook.tracking.seeding import replicate_entropy, replicate_seeds, study_entropy

SEEDS = 10
"""Under how many seeds a configuration is run when nobody says."""

SUFFIX = ".replicates"
_METRIC_NAMES = "study:metric_names"
"""Optuna's system attribute with the names of the objectives."""


@dataclass(frozen=True, slots=True)
class Placed:
    """What was placed in a linked study.

    Args:
        study: Its name.
        study_id: Its id.
        added: How many replicates were added now; others were there.
        total: How many it has in all.
        notes: What the user should know, one sentence each.
    """

    study: str
    study_id: int
    added: int
    total: int
    notes: tuple[str, ...] = ()


def placed(
    storage: BookStorage, choice: Choice, *, name: str | None, count: int | None, seed: int | None
) -> Placed:
    """See that a linked study exists and has so many replicates of each configuration.

    Args:
        storage: The open book.
        choice: What is replicated.
        name: Name of the linked study, ``None`` for the source's with ``.replicates``.
        count: How many seeds each configuration is to have run under, ``None`` for as many as were
            asked for before; those of more that have not begun are withdrawn.
        seed: What the seeds are derived from, ``None`` for the rule of ``docs/replicates.md``.

    Raises:
        InvalidInputError: There is another study of that name.
        SettingsDifferError: The linked study replicates another choice, or has other seeds.
    """
    source = choice.source
    name = source.name + SUFFIX if name is None else name
    study_id = _made(storage, choice, name, seed)
    there = replicates(storage.book, study_id)
    linked = link(storage.book, study_id)
    assert linked is not None
    _require_same_choice(linked, there, choice, name)
    notes: tuple[str, ...] = ()
    if count is None:
        count = max((replicate.index + 1 for replicate in there), default=SEEDS)
    elif any(replicate.index >= count for replicate in there):
        notes = tuple(_withdrawn(withdraw(storage.book, study_id, count), count))
    seeds = _seeds(linked, there, choice.seeds, count)
    known = {replicate.configuration.key: replicate.configuration for replicate in there}
    wanted = [
        Replicate(known.get(configuration.key, configuration), index, value)
        for index, value in enumerate(seeds)
        for configuration in choice.configurations
    ]
    added = storage.place_replicates(study_id, wanted)
    return Placed(name, study_id, added, len(replicates(storage.book, study_id)), notes)


def _withdrawn(found: Withdrawn, count: int) -> Iterator[str]:
    """What is said when fewer seeds are asked for than were before."""
    if found.removed:
        yield (
            f"fewer seeds than before ({count}): withdrew "
            f"{_replicates(found.removed)} that had not begun; more --seeds place them again"
        )
    if found.begun:
        yield f"{_replicates(found.begun)} of further seeds began before, and will be finished"


def _replicates(count: int) -> str:
    return "1 replicate" if count == 1 else f"{count} replicates"


def require_searched(storage: BookStorage, source: StudyRecord) -> None:
    """Refuse to replicate replicates.

    Raises:
        InvalidInputError: The study holds replicates itself.
    """
    if link(storage.book, source.study_id) is not None:
        raise InvalidInputError(
            f"study {source.name!r} holds replicates itself; the best of them is a matter of luck",
            hint="replicate a trial of the study that was searched",
        )


def _made(storage: BookStorage, choice: Choice, name: str, seed: int | None) -> int:
    """The linked study's id; whatever of it is missing is made."""
    source = choice.source
    with suppress(DuplicatedStudyError):
        optuna.create_study(
            storage=storage,
            study_name=name,
            directions=[StudyDirection[d.upper()] for d in source.directions],
        )
    study_id = storage.get_study_id_from_name(name)
    record = storage.get_study_record(study_id)
    linked = link(storage.book, study_id)
    if linked is None:
        if not is_bare(storage, record) or record.directions != source.directions:
            raise InvalidInputError(
                f"there is a study {name!r} already, and it holds no replicates",
                hint="--study NAME for another name",
            )
        linked = _new_link(storage, choice, seed)
        storage.set_study_system_attr(study_id, REPLICATES, as_attribute(linked))
    if linked.uid != source.uid:
        raise InvalidInputError(
            f"study {name!r} holds replicates of another study, {linked.study!r}",
            hint="--study NAME for another name",
        )
    if seed is not None and seed != linked.entropy:
        raise SettingsDifferError(
            f"the seeds of study {name!r} are derived from {linked.entropy}, not from {seed}",
            hint="leave --seed out to go on, or --study NAME for another set of replicates",
        )
    if record.spec is None:
        _equip(storage, study_id, choice, record, linked)
    return study_id


def _new_link(storage: BookStorage, choice: Choice, seed: int | None) -> ReplicationLink:
    source = choice.source
    search = (source.spec or StudySpec()).search
    seeds = choice.attempt.seeds
    declared = None if seeds is None else seeds.decorator
    own = study_entropy(search.seed, declared, source.uid)
    return ReplicationLink(
        uid=source.uid,
        study=source.name,
        chosen=choice.chosen.key,
        entropy=replicate_entropy(own) if seed is None else seed,
        seal=seal_of(storage.book, source.study_id),
        trials=sum(source.states.values()),
    )


def _equip(
    storage: BookStorage,
    study_id: int,
    choice: Choice,
    record: StudyRecord,
    linked: ReplicationLink,
) -> None:
    """Let the linked study run what the chosen trial ran, as the source's workers would."""
    reader = Reader(storage.book)
    attempt, source = choice.attempt, choice.source
    snapshots = [reader.snapshot(str(attempt.coordinates.of(kind))) for kind in Kind]
    names = storage.get_study_system_attrs(source.study_id).get(_METRIC_NAMES)
    if names is not None:
        storage.set_study_system_attr(study_id, _METRIC_NAMES, names)
    declared = None if attempt.seeds is None else attempt.seeds.decorator
    storage.set_reference(study_id, snapshots, seed=declared)
    spec = replace(
        source.spec or StudySpec(),
        search=SearchSettings(
            ComponentSettings(GIVEN_PARAMS), ComponentSettings("NopPruner"), linked.entropy
        ),
        changes=(),
        adjustments=(),
        keeps_adjustments=True,
        seed_from_sampler=False,
        source=None,
    )
    # Code that is not trusted in the source is not to be trusted here.
    origin = origin_of(record.uid) if created_here(source) else None
    storage.set_study_spec(study_id, spec, origin=origin)


def _require_same_choice(
    linked: ReplicationLink, there: Sequence[Replicate], choice: Choice, name: str
) -> None:
    """Refuse to mix two choices: a best that has moved on, or another default."""
    own_name = f"--study NAME for a new study, or name the trial: {choice.source.name}/NUMBER"
    if linked.chosen != choice.chosen.key:
        raise SettingsDifferError(
            f"study {name!r} replicates {linked.chosen} of study {choice.source.name!r}, which was "
            f"chosen when it was made; {choice.chosen.name} is {choice.chosen.key} now",
            hint=own_name,
        )
    known = {replicate.configuration.key: replicate.configuration for replicate in there}
    for asked in choice.configurations:
        before = known.get(asked.key)
        if before is not None and _values(before) != _values(asked):
            raise SettingsDifferError(
                f"study {name!r} has another configuration {asked.name!r}: {_shown(before)}",
                hint="leave --default out to go on with it, or --study NAME for a new study",
            )
        for one in known.values():
            if one.name == asked.name and one.key != asked.key:
                raise SettingsDifferError(
                    f"study {name!r} has {one.key} as {asked.name!r}; it is {asked.key} now",
                    hint=f"name it by its number, or {own_name}",
                )


def _values(configuration: Configuration) -> dict[str, str]:
    # As JSON has them: a tuple of the objective is a list in the record.
    return {param.name: json.dumps(param.value) for param in configuration.params}


def _shown(configuration: Configuration) -> str:
    return ", ".join(f"{name}={value}" for name, value in _values(configuration).items())


def _seeds(
    linked: ReplicationLink, there: Sequence[Replicate], used: Collection[int], count: int
) -> list[int]:
    """The seeds by index: those that are there already as they are, then new ones."""
    known = {replicate.index: replicate.seed for replicate in there}
    derived = replicate_seeds(linked.entropy, count, used)
    return [known.get(index, value) for index, value in enumerate(derived)]

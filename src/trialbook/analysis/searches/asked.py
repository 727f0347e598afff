"""With which sampler and pruner the trials of a study ran, as each trial recorded it.

A study's settings say what was asked when it was created. ``study.sampler = ...``, or a program
that passes another sampler to ``load_study``, changes what later trials are drawn by; of that only
the config coordinate of each trial tells. Trials that were not tracked tell nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from trialbook.analysis.trial_numbers import numbers_text
from trialbook.book.coordinate_rows import NamedCoordinates
from trialbook.book.reading import Reader
from trialbook.errors import BookCorruptError, NotFoundError
from trialbook.records.config import ComponentSettings, ConfigState, SearchSettings
from trialbook.records.study import StudyRecord

Part = Literal["sampler", "pruner"]


@dataclass(frozen=True, slots=True)
class AskedSearch:
    """Trials that ran with one sampler and one pruner.

    Args:
        sampler: The sampler, ``None`` when it is not recorded.
        pruner: The pruner, likewise.
        trials: Their numbers, ascending.
    """

    sampler: ComponentSettings | None
    pruner: ComponentSettings | None
    trials: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ComponentUse:
    """Trials that ran with one sampler, or with one pruner."""

    component: ComponentSettings
    trials: tuple[int, ...]


def asked_searches(reader: Reader, named: Iterable[NamedCoordinates]) -> tuple[AskedSearch, ...]:
    """What trials ran with, those of the first trial first.

    Args:
        reader: The open book.
        named: The coordinates that the trials name.
    """
    trials: dict[str, list[int]] = {}
    for row in named:
        if row.digests.config is not None:
            trials.setdefault(row.digests.config, []).extend(row.trials)
    found: dict[tuple[str, str], tuple[SearchSettings, list[int]]] = {}
    for digest, numbers in trials.items():
        try:
            search = reader.snapshot(digest).state_as(ConfigState).search
        except (NotFoundError, BookCorruptError):
            continue  # not recorded then; 'verify' names it
        if search.sampler is not None or search.pruner is not None:
            key = (_key(search.sampler), _key(search.pruner))
            found.setdefault(key, (search, []))[1].extend(numbers)
    return tuple(
        AskedSearch(search.sampler, search.pruner, tuple(sorted(numbers)))
        for search, numbers in sorted(found.values(), key=lambda one: min(one[1]))
    )


def component_uses(
    study: StudyRecord, asked: Iterable[AskedSearch], part: Part
) -> tuple[ComponentUse, ...]:
    """The samplers, or the pruners, of a study's trials, that of the first trial first.

    Returns:
        The one of the study's settings, without trials, when no trial recorded any; empty when the
        settings are not known either.
    """
    spec = study.spec
    created = None
    if spec is not None:
        created = spec.search.sampler if part == "sampler" else spec.search.pruner
    found: dict[str, tuple[ComponentSettings, list[int]]] = {}
    for one in asked:
        component = one.sampler if part == "sampler" else one.pruner
        if component is not None:
            # The study's settings are in the order of the constructor, those of a snapshot sorted.
            first = created if same_component(component, created) and created else component
            found.setdefault(_key(component), (first, []))[1].extend(one.trials)
    if found:
        return tuple(
            ComponentUse(component, tuple(sorted(trials))) for component, trials in found.values()
        )
    return () if created is None else (ComponentUse(created, ()),)


def same_component(first: ComponentSettings | None, other: ComponentSettings | None) -> bool:
    """Whether two samplers, or pruners, are of one class and have the same settings."""
    return _key(first) == _key(other)


def uses_text(uses: Iterable[ComponentUse], *, whole: bool = True) -> str:
    """As in ``RandomSampler() in trials 0-7, TPESampler(...) in trials 8-15``.

    Args:
        uses: Samplers or pruners.
        whole: Whether with their settings, else by name alone.
    """
    return ", ".join(
        f"{use.component.text if whole else use.component.name} in "
        f"{'trial' if len(use.trials) == 1 else 'trials'} {numbers_text(use.trials)}"
        for use in uses
    )


def _key(component: ComponentSettings | None) -> str:
    if component is None:
        return ""
    return f"{component.name} {json.dumps(component.settings, sort_keys=True)}"

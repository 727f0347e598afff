"""With which sampler and pruner the trials of a study ran, as each trial recorded it.

A study's settings say what was asked when it was created. ``study.sampler = ...``, or a program
that passes another sampler to ``load_study``, changes what later trials are drawn by; of that only
the config coordinate of each trial tells. Trials that were not tracked tell nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from trialbook.analysis.trial_numbers import numbers_text
from trialbook.book.reading import Reader
from trialbook.errors import BookCorruptError, NotFoundError
from trialbook.records.config import ComponentSettings, ConfigState
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


def asked_searches(
    reader: Reader, named: Iterable[tuple[int, str | None]]
) -> tuple[AskedSearch, ...]:
    """What trials ran with, those of the first trial first.

    Args:
        reader: The open book.
        named: Number and config digest of each trial; ``None`` for one that named none.
    """
    trials: dict[str, list[int]] = {}
    for number, digest in named:
        if digest is not None:
            trials.setdefault(digest, []).append(number)
    found: dict[tuple[str, str], list[int]] = {}
    components: dict[
        tuple[str, str], tuple[ComponentSettings | None, ComponentSettings | None]
    ] = {}
    for digest, numbers in trials.items():
        try:
            search = reader.snapshot(digest).state_as(ConfigState).search
        except (NotFoundError, BookCorruptError):
            continue  # not recorded then; 'verify' names it
        if search.sampler is None and search.pruner is None:
            continue
        key = (_text(search.sampler), _text(search.pruner))
        found.setdefault(key, []).extend(numbers)
        components.setdefault(key, (search.sampler, search.pruner))
    return tuple(
        AskedSearch(*components[key], tuple(sorted(found[key])))
        for key in sorted(found, key=lambda key: min(found[key]))
    )


def component_uses(
    study: StudyRecord, asked: Iterable[AskedSearch], part: Part
) -> tuple[ComponentUse, ...]:
    """The samplers, or the pruners, of a study's trials, that of the first trial first.

    Returns:
        The one of the study's settings, without trials, when no trial recorded any; empty when the
        settings are not known either.
    """
    found: dict[str, tuple[ComponentSettings, list[int]]] = {}
    for one in asked:
        component = one.sampler if part == "sampler" else one.pruner
        if component is not None:
            found.setdefault(component.text, (component, []))[1].extend(one.trials)
    if found:
        return tuple(
            ComponentUse(component, tuple(sorted(trials))) for component, trials in found.values()
        )
    spec = study.spec
    if spec is None:
        return ()
    component = spec.search.sampler if part == "sampler" else spec.search.pruner
    return () if component is None else (ComponentUse(component, ()),)


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


def _text(component: ComponentSettings | None) -> str:
    return "" if component is None else component.text

"""The random states that a sampler holds: seeded before each trial, and asked what seed they had.

Every ``LazyRandomState`` is seeded from the study's entropy, the trial's number and the attribute
path, so that a resumed sequential study equals an uninterrupted one and parallel workers do not
repeat each other.

A sampler is seeded anew for each trial, so the seed that its owner built it with would be lost.
It becomes the study's seed instead, when nobody gave the study one. Optuna keeps that number
nowhere; it is read from the generators, whose state it still is. How samplers are built is
elsewhere.
"""

from __future__ import annotations

import hashlib
import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

import numpy as np
from optuna.samplers import BaseSampler, GridSampler
from optuna.samplers._lazy_random_state import LazyRandomState

from trialbook.errors import TrialbookWarning
from trialbook.records.config import ComponentSettings
from trialbook.records.study import StudySpec


@dataclass(frozen=True, slots=True)
class SamplerSeed:
    """The seed that a sampler brings with it.

    Args:
        seed: 0 <= seed < 2**32.
        is_given: Whether it is the very number that the sampler was built with; else it is a
            digest of several such numbers, or of the state of its generators.
        is_fresh: Whether it tells how the sampler was built: nothing was drawn from it since.
    """

    seed: int
    is_given: bool = True
    is_fresh: bool = True


def reseed(sampler: BaseSampler, entropy: int, number: int) -> None:
    """Seed every random state that a sampler holds, for one trial.

    Args:
        sampler: Any sampler; one that holds no ``LazyRandomState`` is left as it is.
        entropy: The study's own non-negative integer.
        number: The trial's number.
    """
    for path, state in _parts(sampler, "", set()):
        if not isinstance(state, LazyRandomState):
            continue
        key = (number, zlib.crc32(path.encode()))
        words = np.random.SeedSequence(entropy, spawn_key=key).generate_state(4)
        state.rng.seed(words)


def seed_of_sampler(sampler: BaseSampler) -> SamplerSeed | None:
    """The seed that a sampler was built with; ``None`` when it was built without one.

    Where its generators were built with one number, or it keeps that number itself, it is this
    number. Several numbers, a generator that has been drawn from, and the order into which a
    grid was put are digested to one.

    Args:
        sampler: Any sampler, new or used.
    """
    given: set[int] = set()
    others: list[str] = []
    grids: set[str] = set()
    is_fresh = True
    for path, part in _parts(sampler, "", set()):
        if isinstance(part, GridSampler):
            others += _order(part)
            grids.add(path)
        elif not isinstance(part, LazyRandomState):
            own = getattr(part, "__dict__", {})
            kept = own.get("_seed", own.get("seed"))
            if _is_seed(kept):
                given.add(kept)
        elif part._rng is not None and path.rpartition(".")[0] not in grids:
            seed = _seed_of(part._rng)
            if seed is not None:
                given.add(seed)
            else:
                others.append(f"{path} {_digest(part._rng)}")
                is_fresh = False
    return _together(given, others, is_fresh)


def seed_of_settings(settings: ComponentSettings) -> SamplerSeed | None:
    """The same for a sampler by name, from its settings and those of samplers inside it."""
    return _together(set(_named_seeds(settings.settings)), [], True)


def with_sampler_seed(asked: StudySpec, given: SamplerSeed | None) -> StudySpec:
    """What is asked of a new study, with the sampler's seed where the study was given none.

    Warns when both were given and differ: the study's counts.

    Args:
        asked: What is asked.
        given: The sampler's seed.
    """
    seed = asked.search.seed
    if given is None:
        return asked
    if seed is None:
        search = replace(asked.search, seed=given.seed)
        return replace(asked, search=search, seed_from_sampler=True)
    if given.is_given and given.seed != seed:
        _warn(
            f"the study has seed {seed}, and its sampler was built with seed {given.seed}: "
            f"sampling follows {seed}. Give one of them only"
        )
    return asked


def resumed_with_seed(
    asked: StudySpec, given: SamplerSeed | None, recorded: StudySpec | None, *, may_change: bool
) -> StudySpec:
    """What is asked of a study that is there, when a sampler with a seed is passed again.

    The recorded seed stands. Warns when the sampler was built with another.

    Args:
        asked: What is asked.
        given: The sampler's seed.
        recorded: What is recorded of the study; ``None`` when Optuna made it.
        may_change: Whether other settings are allowed: then its seed becomes the study's.
    """
    if recorded is None or given is None or asked.search.seed is not None:
        return asked
    seed = recorded.search.seed
    if given.seed == seed:
        return asked
    if not given.is_fresh or not (given.is_given or recorded.seed_from_sampler):
        return asked  # whether it is another one cannot be told
    if may_change:
        return with_sampler_seed(asked, given)
    other = f"with seed {given.seed}" if given.is_given else "with another seed"
    own = "its own random identity, without a seed" if seed is None else f"its seed {seed}"
    _warn(
        f"the sampler was built {other}, but the study goes on with {own}, as recorded. "
        "Use a new study name, or allow 'settings' to change it on the record"
    )
    return asked


def _warn(message: str) -> None:
    # Over the function that says it and create_study or load_study to who called that.
    warnings.warn(TrialbookWarning(message), stacklevel=4)


def _together(given: set[int], others: list[str], is_fresh: bool) -> SamplerSeed | None:
    if len(given) == 1 and not others:
        return SamplerSeed(given.pop())
    if not given and not others:
        return None
    text = "\n".join([*map(str, sorted(given)), *others])
    digest = hashlib.sha256(text.encode()).digest()
    return SamplerSeed(int.from_bytes(digest[:4], "little"), False, is_fresh)


def _named_seeds(settings: Mapping[str, Any]) -> Iterator[int]:
    for key, value in settings.items():
        if key == "seed" and _is_seed(value):
            yield value
        elif isinstance(value, Mapping) and "name" in value:
            yield from _named_seeds(value.get("settings") or {})


def _is_seed(value: object) -> TypeGuard[int]:
    # Without a seed QMCSampler draws one of 64 bits and keeps it in its place.
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32


def _seed_of(generator: np.random.RandomState) -> int | None:
    """The number that a generator was seeded with, ``None`` once it has been drawn from.

    The first word of the state is the seed (Matsumoto and Nishimura's ``init_genrand``).
    """
    seed = int(generator.get_state(legacy=False)["state"]["key"][0])
    return seed if _digest(np.random.RandomState(seed)) == _digest(generator) else None


def _digest(generator: np.random.RandomState) -> str:
    state = generator.get_state(legacy=False)
    words = state["state"]["key"].astype("<u4").tobytes()
    rest = f"{state['state']['pos']} {state['has_gauss']} {float(state['gauss']).hex()}"
    return hashlib.sha256(words + rest.encode()).hexdigest()


def _order(grid: GridSampler) -> list[str]:
    """The order of a grid's points, which is all that its seed decides; empty without a seed.

    Its generator tells nothing: the grid was shuffled with it, and it is seeded with 0 when no
    seed is given.
    """
    points = [repr(point) for point in grid._all_grids]
    unseeded = [repr(point) for point in GridSampler(grid._search_space)._all_grids]
    return [] if points == unseeded else points


def _parts(part: object, path: str, seen: set[int]) -> Iterator[tuple[str, object]]:
    """A sampler, all samplers inside it, and their random states, with the attributes' path."""
    if id(part) in seen:
        return
    seen.add(id(part))
    yield path, part
    for name, value in getattr(part, "__dict__", {}).items():
        inner = f"{path}.{name}"
        if isinstance(value, LazyRandomState):
            if id(value) not in seen:
                seen.add(id(value))
                yield inner, value
        elif isinstance(value, BaseSampler) or type(value).__module__.startswith("optuna.samplers"):
            yield from _parts(value, inner, seen)

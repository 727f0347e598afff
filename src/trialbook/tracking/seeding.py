"""Seeds of a trial, and the global generators that are set from them.

A trial's seed is a word of ``numpy.random.SeedSequence`` (O'Neill's ``seed_seq``) over the study's
entropy with the trial's number as spawn key: the same study and number give the same seed in any
process, and different numbers give independent ones.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import random
import sys
import zlib
from collections.abc import Collection, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from trialbook.records.execution import Seeds


def trial_seed(entropy: int, number: int) -> int:
    """The seed of a trial, 0 <= seed < 2**32.

    Args:
        entropy: The study's seed, or any other non-negative integer that is the study's own.
        number: The trial's number.
    """
    return int(np.random.SeedSequence(entropy, spawn_key=(number,)).generate_state(1)[0])


def replicate_entropy(entropy: int) -> int:
    """What the seeds of a study's replicates are derived from, 0 <= entropy < 2**32.

    Another branch of the same tree of seeds than the study's trials are on.

    Args:
        entropy: The study's own, see ``study_entropy``.
    """
    key = zlib.crc32(b"trialbook replicates")
    return int(np.random.SeedSequence(entropy, spawn_key=(key, 0)).generate_state(1)[0])


def replicate_seeds(entropy: int, count: int, used: Collection[int] = ()) -> list[int]:
    """The seeds of a study's replicates: ``trial_seed(entropy, 0)``, ``(entropy, 1)``, ...

    One that is there already, or is in ``used``, is passed over for the next.

    Args:
        entropy: The study of replicates's seed.
        count: How many.
        used: Seeds that are to be avoided: those of the search.
    """
    seeds: list[int] = []
    number = 0
    while len(seeds) < count:
        seed = trial_seed(entropy, number)
        number += 1
        if seed not in used and seed not in seeds:
            seeds.append(seed)
    return seeds


def study_entropy(study_seed: int | None, decorator_seed: int | None, study_uid: str) -> int:
    """What trial seeds are derived from: the study's seed, the decorator's, or the study's uid."""
    for seed in (study_seed, decorator_seed):
        if seed is not None:
            return seed if seed >= 0 else 2**64 + seed
    return int(study_uid, 16)


def seeds_of_trial(
    *,
    number: int,
    study_seed: int | None,
    decorator_seed: int | None,
    study_uid: str,
    given: int | None = None,
) -> Seeds:
    """The seeds of one trial, before any generator is set.

    Args:
        number: The trial's number.
        study_seed: The study's seed.
        decorator_seed: The decorator's seed.
        study_uid: The study's random identity.
        given: The seed that a replicate was placed with; ``None`` to derive the trial's seed.
    """
    if given is not None:
        return Seeds(given, study_seed, decorator_seed)
    entropy = study_entropy(study_seed, decorator_seed, study_uid)
    return Seeds(trial_seed(entropy, number), study_seed, decorator_seed)


def seedable() -> tuple[str, ...]:
    """The names of the global generators that ``seed_globals`` sets, for the record."""
    torch = "torch" if "torch" in sys.modules else "torch (on import)"
    return ("random", "numpy", torch)


def seed_globals(seed: int) -> None:
    """Seed ``random``, NumPy's legacy generator and PyTorch, the latter on its import if need be.

    Args:
        seed: 0 <= seed < 2**32.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)
        return
    _TorchSeeder.wanted = seed
    if not any(isinstance(finder, _TorchSeeder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _TorchSeeder())


class _TorchSeeder(importlib.abc.MetaPathFinder):
    """Seeds PyTorch right after its first import with the seed of the trial that runs then."""

    wanted: int | None = None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec("torch")
        if spec is not None and spec.loader is not None:
            spec.loader = _SeedingLoader(spec.loader)
        return spec


class _SeedingLoader(importlib.abc.Loader):
    """Loads as the loader that it wraps, then seeds."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        if _TorchSeeder.wanted is not None:
            module.manual_seed(_TorchSeeder.wanted)

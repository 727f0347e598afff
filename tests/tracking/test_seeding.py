"""Seeds of replicates: one rule, none of them twice, none that the search had."""

from __future__ import annotations

import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trialbook.tracking.seeding import (
    replicate_entropy,
    replicate_seeds,
    seeds_of_trial,
    trial_seed,
)

entropies = st.integers(0, 2**128 - 1)


@given(entropies)
def test_the_rule_is_the_one_that_is_documented(entropy: int):
    key = (zlib.crc32(b"trialbook replicates"), 0)
    own = int(np.random.SeedSequence(entropy, spawn_key=key).generate_state(1)[0])
    assert replicate_entropy(entropy) == own
    first = int(np.random.SeedSequence(own, spawn_key=(0,)).generate_state(1)[0])
    assert replicate_seeds(own, 1) == [first]


@given(entropies, st.integers(0, 40), st.integers(0, 40), st.sets(st.integers(0, 50), max_size=9))
def test_seeds_are_fresh_distinct_and_added_to(
    entropy: int, fewer: int, more: int, used_numbers: set[int]
):
    used = {trial_seed(entropy, number) for number in used_numbers}
    seeds = replicate_seeds(entropy, fewer + more, used)
    assert len(set(seeds)) == len(seeds) == fewer + more
    assert not used & set(seeds)
    assert replicate_seeds(entropy, fewer, used) == seeds[:fewer]
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_a_seed_that_was_given_is_the_trials():
    seeds = seeds_of_trial(number=3, study_seed=5, decorator_seed=7, study_uid="0" * 32, given=11)
    assert (seeds.trial, seeds.study, seeds.decorator) == (11, 5, 7)

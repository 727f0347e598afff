"""States of random generators: taken, written as JSON, and set again."""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np
import pytest

from trialbook.records.canonical import canonical_bytes, parsed
from trialbook.tracking.generators import RNG, set_again, taken


def through_json(states: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = parsed(canonical_bytes(states))
    return found


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_every_bit_generator_of_numpy_goes_on(kind: str) -> None:
    rng = np.random.Generator(getattr(np.random, kind)(7))
    rng.normal(size=3)
    rng.integers(10, dtype=np.uint32)  # half of a 64-bit word is left over
    found = taken(rng, global_ones=False)
    assert found.kinds == {RNG: kind}
    expected = rng.normal(size=5).tolist()
    other = np.random.Generator(getattr(np.random, kind)(8))
    assert set_again(through_json(found.states), lambda: other, global_ones=False) == []
    assert other.normal(size=5).tolist() == expected


def test_global_generators_go_on() -> None:
    random.gauss()  # the second of a pair is left over
    np.random.normal()
    found = taken(None, global_ones=True)
    expected = (random.gauss(), random.random(), np.random.normal(size=3).tolist())
    random.seed(99)
    np.random.seed(99)
    gaps = set_again(through_json(found.states), pytest.fail, global_ones=True)
    assert gaps == []
    assert (random.gauss(), random.random(), np.random.normal(size=3).tolist()) == expected


def test_looking_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    before = taken(rng, global_ones=True)
    assert taken(rng, global_ones=True) == before


def test_another_bit_generator_is_said() -> None:
    found = taken(np.random.default_rng(1), global_ones=False)
    other = np.random.Generator(np.random.Philox(1))
    (gap,) = set_again(found.states, lambda: other, global_ones=False)
    assert gap.startswith("trial.rng could not be set as in the checkpoint")


def test_a_missing_pytorch_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    states = {**taken(None, global_ones=True).states, "torch": b"\0" * 16}
    (gap,) = set_again(states, pytest.fail, global_ones=True)
    assert gap.startswith("torch could not be set as in the checkpoint")


def test_shared_generators_are_left_alone_and_said() -> None:
    states = taken(None, global_ones=True).states
    random.seed(3)
    expected = random.getstate()
    gaps = set_again(states, pytest.fail, global_ones=False)
    assert random.getstate() == expected
    assert [gap.split()[0] for gap in gaps][:2] == ["random", "numpy"]


def test_states_that_were_never_taken_are_said() -> None:
    (gap,) = set_again({}, pytest.fail, global_ones=True)
    assert "no states of random and numpy" in gap


def test_pytorch_goes_on() -> None:
    torch = pytest.importorskip("torch")
    found = taken(None, global_ones=True)
    expected = torch.randn(4).tolist()
    torch.manual_seed(99)
    assert set_again(through_json(found.states), pytest.fail, global_ones=True) == []
    assert torch.randn(4).tolist() == expected

"""The states of random generators: taken for a checkpoint, and set again from one.

Everything is written as JSON; nothing is pickled. Covered are ``random``, NumPy's global generator,
``trial.rng``, and PyTorch's generators of the CPU and of CUDA devices. Generators that the user
made are the user's to save.
"""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

RNG = "trial.rng"
"""The name under which ``trial.rng`` is kept."""

State = Any
"""What canonical JSON takes: numbers, text, bytes, lists and objects of such."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The states of generators.

    Args:
        states: By name.
        kinds: Name to what kind of generator it is.
    """

    states: dict[str, State]
    kinds: dict[str, str]


def taken(rng: np.random.Generator | None, *, global_ones: bool) -> Taken:
    """The states as they are now; looking changes none.

    Args:
        rng: ``trial.rng``, ``None`` while nobody has used it.
        global_ones: Whether the global generators belong to this trial alone.
    """
    states: dict[str, State] = {}
    kinds: dict[str, str] = {}
    if global_ones:
        version, words, gauss = random.getstate()
        states["random"] = [version, list(words), gauss]
        kinds["random"] = "MT19937"
        own = np.random.get_state(legacy=False)
        states["numpy"] = _plain(own)
        kinds["numpy"] = str(own["bit_generator"])
        for name, state in _torch_states():
            states[name] = state
            kinds[name] = "torch"
    if rng is not None:
        states[RNG] = _plain(rng.bit_generator.state)
        kinds[RNG] = type(rng.bit_generator).__name__
    return Taken(states, kinds)


def _torch_states() -> Iterator[tuple[str, State]]:
    torch = sys.modules.get("torch")
    if torch is None:
        return
    yield "torch", _tensor_bytes(torch.get_rng_state())
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        yield "torch.cuda", [_tensor_bytes(state) for state in torch.cuda.get_rng_state_all()]


def _tensor_bytes(tensor: Any) -> bytes:
    return bytes(tensor.cpu().numpy())


def _plain(value: Any) -> State:
    """A state of NumPy's, with arrays as objects of their type and items."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return {"dtype": value.dtype.str, "items": value.tolist()}
    return value.item() if isinstance(value, np.generic) else value


def _unplain(value: State) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"dtype", "items"}:
            return np.array(value["items"], dtype=value["dtype"])
        return {key: _unplain(item) for key, item in value.items()}
    return value


def set_again(
    states: dict[str, State], rng: Callable[[], np.random.Generator], *, global_ones: bool
) -> list[str]:
    """Set generators to these states.

    Args:
        states: As ``taken`` gave them.
        rng: Gives ``trial.rng``; it is called only when its state is among them.
        global_ones: Whether the global generators belong to this trial alone.

    Returns:
        What could not be set, one sentence each.
    """
    gaps: list[str] = []
    setters: dict[str, Callable[[State], None]] = {
        "random": _set_random,
        "numpy": lambda state: np.random.set_state(_unplain(state)),
        "torch": _set_torch,
        "torch.cuda": _set_cuda,
        RNG: lambda state: _set_rng(rng(), state),
    }
    for name, state in states.items():
        if name != RNG and not global_ones:
            gaps.append(f"{name} was not set as in the checkpoint: trials share its generator here")
            continue
        try:
            setters[name](state)
        except (ImportError, ValueError, TypeError, KeyError, RuntimeError) as error:
            gaps.append(f"{name} could not be set as in the checkpoint: {error}")
    if global_ones and "random" not in states:
        gaps.append("the checkpoint has no states of random and numpy: trials shared them")
    return gaps


def _set_random(state: State) -> None:
    version, words, gauss = state
    random.setstate((version, tuple(words), gauss))


def _set_rng(rng: np.random.Generator, state: State) -> None:
    rng.bit_generator.state = _unplain(state)


def _set_torch(state: bytes) -> None:
    # Imported now when it is not yet: on its own import it would be seeded from the start.
    torch = importlib.import_module("torch")
    torch.set_rng_state(torch.tensor(list(state), dtype=torch.uint8))


def _set_cuda(states: list[bytes]) -> None:
    torch = importlib.import_module("torch")
    if not torch.cuda.is_available() or torch.cuda.device_count() != len(states):
        raise RuntimeError(f"it was taken with {len(states)} CUDA devices")
    torch.cuda.set_rng_state_all([torch.tensor(list(state), dtype=torch.uint8) for state in states])

"""Distributions as text: Optuna's JSON, which also remembers that choices were tuples.

JSON has no tuples, so that a choice such as ``(64, 64)`` would come back as a list and no longer be
one of the choices that the objective names. Where every sequence inside the choices is a tuple,
the text says so with ``"tuples": true`` beside Optuna's own keys; Optuna itself passes over it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_FLAG = "tuples"


def distribution_text(distribution: BaseDistribution) -> str:
    """The text of a distribution.

    Raises:
        TypeError: A choice of it is not JSON.
    """
    from optuna.distributions import CategoricalDistribution, distribution_to_json

    text = distribution_to_json(distribution)
    if isinstance(distribution, CategoricalDistribution):
        kinds = {kind for choice in distribution.choices for kind in _sequences(choice)}
        if kinds == {tuple}:
            return json.dumps({**json.loads(text), _FLAG: True})
    return text


def distribution_of(text: str) -> BaseDistribution:
    """The distribution of a text.

    Raises:
        ValueError: The text is of no distribution.
    """
    from optuna.distributions import CategoricalDistribution, json_to_distribution

    value = json.loads(text) if f'"{_FLAG}"' in text else {}
    if value.get(_FLAG) is True:
        return CategoricalDistribution(_tupled(value["attributes"]["choices"]))
    return json_to_distribution(text)


def _sequences(choice: object) -> set[type]:
    """The kinds of sequence in a choice; a mapping counts as its own kind."""
    if isinstance(choice, (list, tuple)):
        inner = {kind for item in choice for kind in _sequences(item)}
        return {tuple if isinstance(choice, tuple) else list, *inner}
    return {dict} if isinstance(choice, dict) else set()


def _tupled(value: Any) -> Any:
    return tuple(_tupled(item) for item in value) if isinstance(value, list) else value

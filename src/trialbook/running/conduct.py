"""How a study's trials are to be run: retries, limits of time and the lease, as asked for.

A study file has them under ``retries``, ``limits`` and ``lease``, the command line as flags. Only
what is asked for is named, so that a later run keeps the rest as the study has it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

from trialbook.errors import InvalidInputError

Fault = Callable[[tuple[str, ...], str], None]
RefuseUnknown = Callable[[tuple[str, ...], Mapping[Any, Any], tuple[str, ...]], None]

MIN_LEASE_S = 1.0
"""A shorter lease would be lost to a pause that any machine makes now and then."""

_BUDGETS = ("lost", "out_of_memory", "failed")
_RETRIES = (*_BUDGETS, "backoff_s")
_LIMITS = ("trial_s", "progress_s")


def conduct_of(
    top: Mapping[str, Any], fault: Fault, refuse_unknown: RefuseUnknown
) -> dict[str, Any]:
    """The fields ``retries``, ``limits`` and ``lease_s`` of a ``RunSpec`` from a study file.

    Args:
        top: The document.
        fault: Takes the place and the text of a fault.
        refuse_unknown: Takes a place, a mapping and its known keys.
    """
    return {
        "retries": _retries(top.get("retries"), fault, refuse_unknown),
        "limits": _limits(top.get("limits"), fault, refuse_unknown),
        "lease_s": _lease(top.get("lease"), fault),
    }


def retries_of(texts: tuple[str, ...]) -> dict[str, Any]:
    """Fields of ``RetryBudgets`` from ``lost=5`` and the like.

    Raises:
        InvalidInputError: A text has another form.
    """
    asked: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        name, value = name.strip(), value.strip()
        number = _number_of(value)
        whole = number is not None and number == int(number)
        if name not in _RETRIES or number is None or (name in _BUDGETS and not whole):
            raise InvalidInputError(
                f"--retries {text!r} is no budget",
                hint=f"write NAME=NUMBER; the names are {', '.join(_RETRIES)}",
            )
        asked[name] = int(number) if name in _BUDGETS else number
    return asked


def _number_of(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _mapping(key: str, value: object, example: str, fault: Fault) -> Mapping[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        fault((key,), f"must be a mapping such as {example}, not {value!r}")
        return {}
    return value


def _retries(value: object, fault: Fault, refuse_unknown: RefuseUnknown) -> dict[str, Any]:
    given = _mapping("retries", value, "{lost: 3}", fault)
    refuse_unknown(("retries",), given, _RETRIES)
    asked: dict[str, Any] = {}
    for name in _RETRIES:
        number = given.get(name)
        if number is None:
            continue
        if name in _BUDGETS and (not isinstance(number, int) or isinstance(number, bool)):
            fault(("retries", name), f"must be a whole number from 0 up, not {number!r}")
        elif not _is_seconds(number, 0):
            fault(("retries", name), f"must be a number from 0 up, not {number!r}")
        else:
            asked[name] = number if name in _BUDGETS else float(number)
    return asked


def _limits(value: object, fault: Fault, refuse_unknown: RefuseUnknown) -> dict[str, float | None]:
    given = _mapping("limits", value, "{trial_s: 7200}", fault)
    refuse_unknown(("limits",), given, _LIMITS)
    asked: dict[str, float | None] = {}
    for name in _LIMITS:
        if name not in given:
            continue
        seconds = given[name]
        if seconds is None:
            asked[name] = None
        elif not _is_seconds(seconds, 0) or seconds == 0:
            fault(("limits", name), f"must be a number of seconds above 0, not {seconds!r}")
        else:
            asked[name] = float(seconds)
    return asked


def _lease(value: object, fault: Fault) -> float | None:
    if value is None:
        return None
    if not _is_seconds(value, MIN_LEASE_S):
        fault(("lease",), f"must be {MIN_LEASE_S:g} or more seconds, not {value!r}")
        return None
    return float(cast(float, value))


def _is_seconds(value: object, least: float) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(cast(float, value)) and cast(float, value) >= least

"""Optuna's ``FrozenTrial`` as the book gives it out: its reports are read when they are looked at.

Everything else of a trial is there from the start. Copies and pickles are whole.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from optuna.trial import FrozenTrial

Reports = dict[int, float]


class _Reports:
    """A descriptor without ``__set__``: once read, the instance's own attribute stands."""

    def __get__(self, trial: StoredTrial | None, kind: type | None = None) -> Any:
        if trial is None:
            return self
        source = trial._source
        if source is None:
            raise AttributeError("intermediate_values")
        values = source(trial._trial_id)
        if trial._is_copy:
            values = dict(values)
        trial.__dict__["intermediate_values"] = values
        return values


class StoredTrial(FrozenTrial):
    """A trial of a book.

    It compares equal to the ``FrozenTrial`` of the same content, whatever has been read of it.
    """

    __slots__ = ("_is_copy", "_source")
    _source: Callable[[int], Reports] | None
    _is_copy: bool

    intermediate_values = _Reports()

    @classmethod
    def of(cls, reports: Reports | Callable[[int], Reports], **fields: Any) -> StoredTrial:
        """A trial of these fields.

        Args:
            reports: The intermediate values, or a function of the trial's id that reads them.
            fields: The other arguments of ``FrozenTrial``.
        """
        trial = cls.__new__(cls)
        known = {} if callable(reports) else reports
        FrozenTrial.__init__(trial, intermediate_values=known, **fields)
        trial._is_copy = False
        if callable(reports):
            trial._source = reports
            del trial.__dict__["intermediate_values"]
        else:
            trial._source = None
        return trial

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FrozenTrial):
            return NotImplemented
        for trial in (self, other):
            _ = trial.intermediate_values  # now it is in the instance's dictionary
        return bool(self.__dict__ == other.__dict__)

    __hash__ = FrozenTrial.__hash__

    def __repr__(self) -> str:
        _ = self.intermediate_values
        return FrozenTrial.__repr__(self).replace("StoredTrial(", "FrozenTrial(", 1)

    def __copy__(self) -> StoredTrial:
        twin = StoredTrial.__new__(StoredTrial)
        twin.__dict__.update(self.__dict__)
        twin._source = self._source
        twin._is_copy = self._is_copy
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> StoredTrial:
        twin = self.__copy__()
        twin._is_copy = True
        memo[id(self)] = twin
        fields = twin.__dict__
        for name, value in fields.items():
            if name == "_distributions":
                fields[name] = dict(value)  # distributions are values: nothing changes one
            elif isinstance(value, (dict, list)):
                fields[name] = copy.deepcopy(value, memo) if value else type(value)()
        return twin

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        _ = self.intermediate_values
        return _plain, (dict(self.__dict__),)


def _plain(fields: dict[str, Any]) -> FrozenTrial:
    trial = FrozenTrial.__new__(FrozenTrial)
    trial.__dict__.update(fields)
    return trial

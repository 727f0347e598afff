"""Changes of a study's budget and of how its trials are run: each allowed, and each on the record.

Who raises a budget after having seen values may have searched on until they liked what they saw,
so a reader must be able to tell. Changes of sampler, pruner and seed are text in
``StudySpec.changes``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trialbook.records.study import StudySpec


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One such change.

    Args:
        setting: What was changed, as a study file calls it: ``budget.trials``, ``limits.trial_s``.
        before: Its value until then, as JSON has it; ``None`` for no limit, or for no default.
        after: Its value from then on, likewise.
        finished: How many trials of the study had finished by then, deleted ones too.
        at_s: When, in seconds since the epoch on the book's clock.
    """

    setting: str
    before: Any
    after: Any
    finished: int
    at_s: float

    @property
    def texts(self) -> tuple[str, str]:
        """The values before and after, as text."""
        return _text(self.before), _text(self.after)

    @property
    def text(self) -> str:
        """As in ``after 5 trials: budget.trials 5 is now 12``."""
        before, after = self.texts
        trials = "1 trial" if self.finished == 1 else f"{self.finished} trials"
        return f"after {trials}: {self.setting} {before} is now {after}"


def adjustments(
    before: StudySpec, after: StudySpec, finished: int, at_s: float
) -> tuple[Adjustment, ...]:
    """In what two settings of one study differ, in the order of the study file.

    Args:
        before: What was recorded.
        after: What is recorded from now on.
        finished: As in ``Adjustment``.
        at_s: Likewise.
    """
    old, new = _values(before), _values(after)
    return tuple(
        Adjustment(name, old[name], new[name], finished, at_s)
        for name in old
        if old[name] != new[name]
    )


def _values(spec: StudySpec) -> dict[str, Any]:
    """What may be changed by a run, by its name in a study file."""
    found: dict[str, Any] = {
        "budget.trials": spec.search.trials,
        "budget.hours": spec.search.hours,
    }
    for group, value in (("retries", spec.retries), ("limits", spec.limits)):
        found |= {f"{group}.{one.name}": getattr(value, one.name) for one in fields(value)}
    return found | {"lease": spec.lease_s, "default": spec.default or None}


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"  # 60 and not 60.0; never rounded, since it is a record
    return json.dumps(value, ensure_ascii=False)

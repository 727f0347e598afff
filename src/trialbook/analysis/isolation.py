"""How the trials of a study were kept apart, beside what was asked for.

A study's settings say what its workers are asked to do. ``study.optimize`` runs trials in the
process that called it, whatever they say: there nobody supervises, so the limits of a trial do not
hold either, and only a lost trial is tried again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from trialbook.book.launch_rows import Launched
from trialbook.records.execution import Isolation
from trialbook.records.study import StudyRecord

_SAID: dict[Isolation, str] = {
    "fork": "a fork for each trial",
    "fresh": "a fresh interpreter for each trial",
    "none": "none: trials shared their worker's process",
}
_OWN = "none: in the process that called study.optimize"


@dataclass(frozen=True, slots=True)
class IsolationUse:
    """How trials were kept apart.

    Args:
        asked: What workers are asked to do; ``None`` for a study that plain Optuna made.
        trials: How many trials ran in which way, by the attempt that counts; empty when no trial
            was tracked.
    """

    asked: str | None
    trials: dict[Isolation, int]

    @property
    def unsupervised(self) -> int:
        """How many trials ran in the process that called ``study.optimize``.

        Workers share a process between trials only when they are asked to: where they were, it is
        not known who ran these, and none counts.
        """
        return 0 if self.asked == "none" else self.trials.get("none", 0)

    @property
    def is_unsupervised(self) -> bool:
        """Whether all tracked trials ran there."""
        return bool(self.trials) and self.unsupervised == sum(self.trials.values())

    @property
    def text(self) -> str | None:
        """What held; what is asked for where no trial was tracked."""
        said = _SAID | ({"none": _OWN} if self.unsupervised else {})
        if len(self.trials) == 1:
            return said[next(iter(self.trials))]
        return ", ".join(f"{said[way]} ({n})" for way, n in self.trials.items()) or self.asked


def isolation_of(study: StudyRecord, launched: Sequence[Launched]) -> IsolationUse:
    """How the trials of a study were kept apart.

    Args:
        study: The study.
        launched: How its trials were launched.
    """
    ways: Counter[Isolation] = Counter()
    for way in launched:
        ways[way.isolation] += len(way.trials)
    asked = None if study.spec is None else study.spec.isolation
    return IsolationUse(asked, dict(ways))

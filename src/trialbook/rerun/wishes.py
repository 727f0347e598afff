"""What the caller of a rerun asked for: every argument checked, every fault named at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from trialbook.errors import InvalidInputError
from trialbook.rerun.compare import Tolerance

Environment = Literal["here", "recreate"]
ALLOWED = ("data",)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller asked for.

    Args:
        data: Input name to path.
        supply: Recorded file (``PATH`` or ``BASE:PATH``) that the book does not hold, to a copy.
        allow_data: Whether data may differ from the record.
        env: ``here`` or ``recreate``.
        tolerance: What is accepted as the same number.
        times: How often.
        trust: Whether to run code of a study that was created elsewhere.
        keep: Directory for everything that the rerun made; ``None`` removes it.
        tell: Called with a line about each step.
    """

    data: Mapping[str, Path]
    supply: Mapping[str, Path]
    allow_data: bool
    env: Environment
    tolerance: Tolerance
    times: int
    trust: bool
    keep: Path | None
    tell: Callable[[str], None]

    @classmethod
    def of(
        cls,
        *,
        data: Mapping[str, str | Path] | None,
        supply: Mapping[str, str | Path] | None,
        allow: Collection[str],
        env: str,
        rtol: float,
        atol: float,
        times: int,
        trust: bool,
        keep: str | Path | None,
        tell: Callable[[str], None] | None,
    ) -> Wishes:
        """Check the arguments of ``rerun``.

        Raises:
            InvalidInputError: Some cannot be used; every one is named.
        """
        allowed = {allow} if isinstance(allow, str) else set(allow)
        faults = [
            f"allow={item!r} is none of {', '.join(ALLOWED)}" for item in allowed - set(ALLOWED)
        ]
        if env not in ("here", "recreate"):
            faults.append(f"env={env!r} is neither 'here' nor 'recreate'")
        if times < 1:
            faults.append(f"times={times} is less than 1")
        kept = None if keep is None else Path(keep).expanduser().absolute()
        if kept is not None and kept.exists() and (not kept.is_dir() or any(kept.iterdir())):
            faults.append(f"the directory to keep the rerun in is not empty: {kept}")
        tolerance = Tolerance()
        try:
            tolerance = Tolerance(rtol, atol)
        except InvalidInputError as error:
            faults.append(error.what)
        if faults:
            raise InvalidInputError("; ".join(faults), hint="see 'trialbook rerun --help'")
        return cls(
            data=_absolute(data),
            supply=_absolute(supply),
            allow_data="data" in allowed,
            env="recreate" if env == "recreate" else "here",
            tolerance=tolerance,
            times=times,
            trust=trust,
            keep=kept,
            tell=tell or (lambda line: None),
        )

    def trusting(self) -> Wishes:
        """The same, with the book's code trusted."""
        return replace(self, trust=True)


def _absolute(paths: Mapping[str, str | Path] | None) -> dict[str, Path]:
    return {name: Path(path).expanduser().absolute() for name, path in (paths or {}).items()}

"""How a run shows itself on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from trialbook.cli.output import duration_text, number_text, write_note
from trialbook.cli.text import coloured, printable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from trialbook.running.progress import Progress, RunState, TrialEnd

_STATES = (("COMPLETE", "complete"), ("PRUNED", "pruned"), ("FAIL", "failed"))


def run_progress() -> Progress:
    """The progress that suits stderr."""
    return BarProgress() if sys.stderr.isatty() else LineProgress()


def opening_text(state: RunState) -> str:
    """The first line of a run: ``12 done, 28 to go``."""
    if state.to_go is None:
        return f"{state.study}: {state.done} done, no budget; Ctrl-C ends the run"
    return f"{state.study}: {state.done} done, {state.to_go} to go"


def best_text(state: RunState) -> str:
    """``best 0.981 (trial 12)``, empty while there is none."""
    if state.best is None:
        return ""
    return f"best {number_text(state.best.value, brief=True)} (trial {state.best.number})"


def states_text(state: RunState) -> str:
    """``30 complete, 9 pruned, 1 failed, 2 running, 1 waiting``."""
    counts = [
        f"{state.states[name]} {shown}"  # type: ignore[index]
        for name, shown in _STATES
        if state.states.get(name)  # type: ignore[call-overload]
    ]
    if state.running:
        counts.append(f"{state.running} running")
    if state.states.get("WAITING"):
        counts.append(f"{state.states['WAITING']} waiting")
    return ", ".join(counts)


def trial_text(trial: TrialEnd) -> str:
    """``trial 12 complete: 0.981`` or ``trial 12 failed: ValueError: ...``."""
    shown = dict(_STATES).get(trial.state, trial.state.lower())
    detail = trial.error
    if detail is None and trial.values is not None:
        detail = ", ".join(number_text(value, brief=True) for value in trial.values)
    return f"trial {trial.number} {shown}" + (f": {detail}" if detail else "")


class LineProgress:
    """A line for each trial, for logs."""

    def began(self, state: RunState) -> None:
        """The first line."""
        write_note(opening_text(state))

    def changed(self, state: RunState) -> None:
        """Nothing: a log is no place for an animation."""

    def trial_ended(self, trial: TrialEnd, state: RunState) -> None:
        """One line."""
        parts = [trial_text(trial)]
        if state.best is not None:
            parts.append(best_text(state))
        parts.append(f"{state.done} done")
        if state.to_go is not None:
            parts.append(f"{state.to_go} to go")
        if state.left_s is not None and state.to_go:
            parts.append(f"{duration_text(state.left_s)} left")
        write_note(parts[0] + "  [" + ", ".join(parts[1:]) + "]")

    def said(self, text: str) -> None:
        """One line."""
        write_note(text)

    def ended(self, state: RunState) -> None:
        """The last line."""
        if state.states:
            took = duration_text(state.elapsed_s)
            write_note(f"{state.study}: {states_text(state)}; {took}")


class BarProgress:
    """One bar that moves, with best value, states and time left; failures stay above it."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._task: int | None = None

    def began(self, state: RunState) -> None:
        """The first line, and the bar when there is something to do."""
        write_note(opening_text(state))
        if state.to_go == 0:
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}", markup=False),
            console=Console(
                stderr=True, no_color=not coloured(sys.stderr), highlight=False, markup=False
            ),
            refresh_per_second=4,
        )
        self._task = self._bar.add_task(
            "", total=state.budget, completed=state.done, facts="importing the objective"
        )
        self._bar.start()

    def changed(self, state: RunState) -> None:
        """Move the bar."""
        if self._bar is None or self._task is None:
            return
        facts = [best_text(state), states_text(state)]
        if state.left_s is not None and state.to_go:
            facts.append(f"{duration_text(state.left_s)} left")
        self._bar.update(
            self._task,  # type: ignore[arg-type]
            completed=state.done,
            facts="  ".join(printable(fact) for fact in facts if fact) or "importing the objective",
        )

    def trial_ended(self, trial: TrialEnd, state: RunState) -> None:
        """Move the bar; a failure gets a line."""
        if trial.error is not None:
            self.said(trial_text(trial))
        self.changed(state)

    def said(self, text: str) -> None:
        """One line above the bar."""
        if self._bar is None:
            write_note(text)
        else:
            self._bar.console.print(printable(text), markup=False, highlight=False)

    def ended(self, state: RunState) -> None:
        """The bar stands still, and the last line is said."""
        if self._bar is not None:
            self.changed(state)
            self._bar.stop()
        if state.states:
            took = duration_text(state.elapsed_s)
            write_note(f"{state.study}: {states_text(state)}; {took}")

"""Records as short text for tables: one place for how a value, a state or a coordinate reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trialbook.cli.output import duration_text, json_text, number_text

if TYPE_CHECKING:
    from trialbook.analysis.coordinate_changes import CoordinateChanges
    from trialbook.book.marks import MarkedTrial
    from trialbook.records.coordinates import Kind
    from trialbook.records.execution import OutcomeState
    from trialbook.records.study import StudyRecord, TrialRecord
    from trialbook.records.verdict import RerunReport

_STATES = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING")
DIGEST_SHOWN = 12
_MARKS_NAMED = 3


def counted(count: int, noun: str) -> str:
    """``1 trial``, ``2 trials``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def given_back_text(numbers: Sequence[int]) -> str:
    """``2 trials (3, 5) were given back to be tried again``."""
    named, was = ", ".join(map(str, numbers)), "was" if len(numbers) == 1 else "were"
    return f"{counted(len(numbers), 'trial')} ({named}) {was} given back to be tried again"


def values_text(values: Sequence[float] | None, *, brief: bool) -> str:
    """Objective values, separated by commas."""
    return ", ".join(number_text(value, brief=brief) for value in values or ())


def scalar_text(value: Any, *, brief: bool = False) -> str:
    """A param or attribute: text as it is, numbers as numbers, the rest as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return number_text(value, brief=brief)
    return json_text(value, indent=None)


def params_text(params: Mapping[str, Any], *, brief: bool) -> str:
    """``lr=0.1  layers=3``."""
    return "  ".join(f"{name}={scalar_text(value, brief=brief)}" for name, value in params.items())


def states_text(study: StudyRecord) -> str:
    """``40: 31 complete, 9 pruned``."""
    counts = [
        f"{study.states[state]:,} {state.lower()}"  # type: ignore[index]
        for state in _STATES
        if study.states.get(state)  # type: ignore[call-overload]
    ]
    total = sum(study.states.values())
    return f"{total:,}: {', '.join(counts)}" if counts else "none"


def params_of(trial: TrialRecord) -> dict[str, Any]:
    """Name to value, in the order in which they were asked."""
    return {param.name: param.value for param in trial.params}


def duration_s(trial: TrialRecord) -> float | None:
    """Seconds from start to completion, ``None`` while unfinished."""
    if trial.started is None or trial.completed is None:
        return None
    return (trial.completed - trial.started).total_seconds()


def distribution_text(text: str) -> str:
    """Optuna's JSON of a distribution as ``0.0001 .. 0.1, log`` or ``{a, b, null}``."""
    import json

    attributes = json.loads(text).get("attributes", {})
    if "choices" in attributes:
        return "{" + ", ".join(scalar_text(choice) for choice in attributes["choices"]) + "}"
    if not {"low", "high"} <= attributes.keys():
        return text
    shown = f"{number_text(attributes['low'])} .. {number_text(attributes['high'])}"
    if attributes.get("log"):
        shown += ", log"
    if attributes.get("step") not in (None, 1):
        shown += f", step {number_text(attributes['step'])}"
    return shown


def short_digest(digest: str | None) -> str:
    """The beginning of a digest, for tables; JSON and CSV have it whole."""
    return "" if digest is None else digest[:DIGEST_SHOWN]


def verdict_text(report: RerunReport) -> str:
    """A stored verdict in one sentence."""
    compared = (
        f"{counted(report.points, 'point')}, {counted(report.params, 'param')}, "
        f"{counted(report.artifacts, 'artifact')} compared"
    )
    parts = [compared]
    first = next((d for d in report.differences if not d.tolerated), None)
    if first is not None:
        at = "" if first.step is None else f" at step {first.step}"
        parts.append(
            f"first: {first.what} {first.name}{at}: "
            f"{scalar_text(first.recorded)}, now {scalar_text(first.rerun)}"
        )
    if report.reason:
        parts.append(report.reason)
    return "; ".join(parts)


def differs_text(differs: Sequence[str]) -> str:
    """In what a trial differs from its study; empty when in nothing."""
    from trialbook.records.marks import mark_summary

    return f"from the study: {mark_summary(differs)}" if differs else ""


def differing_text(trials: Sequence[MarkedTrial]) -> str:
    """How many trials differ from their study, and in what: ``3 trials: code (train.py)``."""
    from collections import Counter

    from trialbook.records.marks import mark_summary

    counts = Counter(mark_summary(trial.differs) for trial in trials)
    parts = [f"{counted(n, 'trial')}: {text}" for text, n in counts.most_common(_MARKS_NAMED)]
    if len(counts) > _MARKS_NAMED:
        rest = len(trials) - sum(n for _, n in counts.most_common(_MARKS_NAMED))
        parts.append(f"{counted(rest, 'trial')} otherwise")
    return "; ".join(parts)


def changes_text(changes: CoordinateChanges) -> str:
    """The same of trials whose coordinates differ, and which trial they were held against."""
    from trialbook.records.marks import mark_summary

    if changes.reference is None or not changes.groups:
        return ""
    groups = sorted(changes.groups, key=lambda group: -len(group.trials))
    parts = [
        f"{counted(len(group.trials), 'trial')}: {mark_summary(group.texts)}"
        for group in groups[:_MARKS_NAMED]
    ]
    rest = sum(len(group.trials) for group in groups[_MARKS_NAMED:])
    if rest:
        parts.append(f"{counted(rest, 'trial')} otherwise")
    return f"{'; '.join(parts)}; against {changes.reference.text}"


def outcome_text(outcome: OutcomeState | None) -> str:
    """How an attempt ended beyond its reason: exit, signal, exception or what is said of it."""
    if outcome is None:
        return ""
    parts = []
    if outcome.signal is not None:
        parts.append(outcome.signal)
    if outcome.exit_code is not None:
        parts.append(f"exit {outcome.exit_code}")
    if outcome.exception is not None:
        message = f": {outcome.message}" if outcome.message else ""
        parts.append(outcome.exception + message)
    elif outcome.message:
        # It may name the signal already: "... was killed by SIGKILL".
        parts = [part for part in parts if part not in outcome.message]
        parts.append(outcome.message)
    return ", ".join(parts)


def resources_text(outcome: OutcomeState | None) -> str:
    """CPU time and peak memory."""
    from trialbook.cli.output import size_text

    if outcome is None:
        return ""
    parts = []
    if outcome.cpu_s is not None:
        parts.append(f"{duration_text(outcome.cpu_s)} of CPU")
    if outcome.peak_memory_bytes is not None:
        parts.append(f"{size_text(outcome.peak_memory_bytes)} peak memory")
    if outcome.gpu_memory_bytes is not None:
        parts.append(f"{size_text(outcome.gpu_memory_bytes)} GPU memory")
    return ", ".join(parts)


def coordinate_text(kind: Kind, state: Mapping[str, Any]) -> str:
    """What a coordinate says, in a few words; ``state`` is a snapshot's ``state``."""
    return _WORDING[kind.value](state)


def _code(state: Mapping[str, Any]) -> str:
    files = state["files"]
    loaded = sum(1 for entry in files if entry["loaded"])
    text = f"{counted(len(files), 'file')}, {loaded:,} loaded"
    git = state["git"]
    if git is None:
        return f"no git; {text}"
    head = "no commit yet" if git["commit"] is None else git["commit"][:DIGEST_SHOWN]
    branch = f" on {git['branch']}" if git["branch"] else " (detached)"
    return f"git {head}{branch}{', dirty' if git['dirty'] else ''}; {text}"


def _data(state: Mapping[str, Any]) -> str:
    inputs = [f"{item['name']} ({short_digest(item['digest'])})" for item in state["inputs"]]
    text = ", ".join(inputs) or "no inputs"
    undeclared = len(state["undeclared"])
    return f"{text}; {counted(undeclared, 'undeclared file')}" if undeclared else text


def _config(state: Mapping[str, Any]) -> str:
    parts = [state["source"] or "no file", counted(len(state["resolved"]), "key")]
    if state["overrides"]:
        parts.append(counted(len(state["overrides"]), "override"))
    sampler = state["search"]["sampler"]
    if sampler:
        parts.append(sampler["name"])
    return ", ".join(parts)


def _environment(state: Mapping[str, Any]) -> str:
    interpreter, machine = state["interpreter"], state["machine"]
    parts = [
        f"{interpreter['implementation']} {interpreter['version']}",
        f"{machine['system']} {machine['architecture']}",
        counted(len(state["packages"]), "package"),
    ]
    if machine["gpus"]:
        parts.append(counted(len(machine["gpus"]), "GPU"))
    return ", ".join(parts)


def _execution(state: Mapping[str, Any]) -> str:
    entry = state["entry"]
    place = entry["module"] or entry["path"] or entry["reason"] or ""
    name = f":{entry['name']}" if entry["name"] and entry["how"] in ("module", "file") else ""
    return f"{entry['how']} {place}{name}, isolation {state['isolation']}, on {state['host']}"


_WORDING = {
    "code": _code,
    "data": _data,
    "config": _config,
    "environment": _environment,
    "execution": _execution,
}

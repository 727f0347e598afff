"""Which of the compared studies repeat one another under other seeds, and why others do not.

Studies are pooled when what they asked and what their newest trials recorded is the same, see
``RULE``. Nothing that can change a result is passed over: where studies look like repetitions and
are none, the difference is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from trialbook.analysis.comparison.studies import (
    PROBLEM,
    ComparedStudy,
    differences,
    environment_differences,
)
from trialbook.records.config import ComponentSettings
from trialbook.records.coordinates import Kind
from trialbook.records.marks import difference_text, named
from trialbook.records.programs import is_same_objective

RULE = (
    "Studies count as repetitions of one another when these are the same: sampler and pruner with "
    "their settings, the search space, the objective and its file or module, the contents of all "
    "code files that were loaded, data, configuration, and the arguments of the program. Where "
    "these give the study's own name or a seed of its own, they may differ. So may machines, "
    "environments, budgets and numbers of workers."
)
_SEPARATORS = re.compile(r"([=/,:])")
"""What separates the parts of an argument: ``--seed=3``, ``runs/tpe-3``."""


@dataclass(frozen=True, slots=True)
class Group:
    """Studies that asked the same of the same code and data, each under its own seed.

    Args:
        label: What it is called.
        studies: Index of each of its studies.
        same_seed: Whether some of them have the same seed: they are no independent repetitions, and
            nothing can be said of how such studies spread.
    """

    label: str
    studies: tuple[int, ...]
    same_seed: bool = False


def groups(studies: Sequence[ComparedStudy], *, anonymous: bool = False) -> tuple[Group, ...]:
    """Which studies repeat one another by ``RULE``, in the order of their first studies.

    A study that recorded no code and data is alone, and so is one whose trials did not all run the
    same, or whose objective is in no file of the record.

    Args:
        studies: The studies.
        anonymous: Whether to call groups by numbers too.
    """
    members: list[list[int]] = []
    for index, study in enumerate(studies):
        for group in members:
            if _same_search(studies[group[0]], study) and not _apart(studies[group[0]], study):
                group.append(index)
                break
        else:
            members.append([index])
    if anonymous:
        labels = [f"group {place}" for place in range(1, len(members) + 1)]
    else:
        given = [_label([studies[index].name for index in group]) for group in members]
        labels = [
            label if given.count(label) == 1 else f"{label} (group {place})"
            for place, label in enumerate(given, start=1)
        ]
    return tuple(
        Group(label, tuple(group), _same_seed([studies[index].seed for index in group]))
        for label, group in zip(labels, members, strict=True)
    )


def repetition_notes(
    studies: Sequence[ComparedStudy], found: Sequence[Group], *, anonymous: bool = False
) -> Iterator[str]:
    """What a reader must know of who repeats whom, one sentence each.

    Args:
        studies: The studies.
        found: Their groups.
        anonymous: Whether to leave out what arguments and files are called.
    """
    for group in found:
        yield from _pooled(group, [studies[index] for index in group.studies], anonymous)
    heads = [studies[group.studies[0]] for group in found]
    for at, other in enumerate(heads):
        for first in heads[:at]:
            reasons = _apart(first, other) if _same_search(first, other) else ()
            if reasons and first.snapshots and other.snapshots:
                what = [reason if anonymous else f"{reason}{said}" for reason, said in reasons]
                yield (
                    f"{first.name} and {other.name} searched alike and are not taken for "
                    f"repetitions of one another: they differ in {', '.join(what)}."
                )
                break


def _pooled(group: Group, studies: Sequence[ComparedStudy], anonymous: bool) -> Iterator[str]:
    first, *others = studies
    seeds = [study.trial_seeds for study in studies]
    if group.same_seed:
        yield f"Studies of {group.label} share a seed, so they are no independent repetitions."
    elif len(frozenset[int]().union(*seeds)) < sum(map(len, seeds)):
        yield (
            f"Trials of one number have the same seed in studies of {group.label}, that of the "
            "decorator: how these studies spread tells of the search, and not of training."
        )
    if any(study.arguments != first.arguments for study in others):
        yield (
            f"The arguments of the studies of {group.label} differ where they give the study's "
            "name or its seed, and nowhere else."
        )
    environment = {
        difference.what: None
        for other in others
        for difference in environment_differences(first, other, anonymous=anonymous)
    }
    if environment:
        yield (
            f"Studies of {group.label} ran in different environments: they differ in "
            f"{named(list(environment))}."
        )


def _same_seed(seeds: Sequence[int | None]) -> bool:
    known = [seed for seed in seeds if seed is not None]
    return len(set(known)) < len(known)


def _same_search(first: ComparedStudy, other: ComparedStudy) -> bool:
    """Whether sampler, pruner and space are known and the same."""
    specs = (first.search.study.spec, other.search.study.spec)
    if specs[0] is None or specs[1] is None:
        return False
    asked, again = _components(first), _components(other)
    if not first.search.samplers or asked != again:
        return False
    return not (specs[0].changes or specs[1].changes) and _ranges(first) == _ranges(other)


def _components(study: ComparedStudy) -> list[list[tuple[str, dict[str, Any], bool]]]:
    """The samplers and the pruners that its trials ran with."""
    search = study.search
    return [
        [_seedless(use.component) for use in search.samplers],
        [_seedless(use.component) for use in search.pruners],
    ]


def _seedless(sampler: ComponentSettings) -> tuple[str, dict[str, Any], bool]:
    """A sampler without the seed that it was built with, as QMC's is among its settings."""
    settings = {
        key: {**value, "settings": _seedless(ComponentSettings("", value["settings"]))}
        if isinstance(value, dict) and isinstance(value.get("settings"), dict)
        else value
        for key, value in sampler.settings.items()
        if key != "seed"
    }
    return sampler.name, settings, sampler.by_name


def _apart(first: ComparedStudy, other: ComparedStudy) -> tuple[tuple[str, str], ...]:
    """Why studies that searched alike are no repetitions: each reason, and what exactly."""
    return tuple(_reasons(first, other))


def _reasons(first: ComparedStudy, other: ComparedStudy) -> Iterator[tuple[str, str]]:
    mixed = [study.name for study in (first, other) if study.mixed]
    if mixed:
        yield "what their own trials ran with", f" ({', '.join(mixed)})"
    apart = [study.name for study in (first, other) if study.searched_apart]
    if apart:
        yield "the sampler or pruner of their own trials", f" ({', '.join(apart)})"
    if not _is_same_objective(first, other):
        yield "objective", f" ({first.objective}, {other.objective})"
    elif any(
        study.launch is not None and study.launch.entry.how == "none" for study in (first, other)
    ):
        yield "code", " (the objective is in no file of the record)"
    for kind in PROBLEM:
        found = differences(first, other, kind)
        called = "configuration" if kind is Kind.CONFIG else str(kind)
        if found is None:
            yield called, " (not recorded)"
        elif found:
            yield called, f" ({named([difference_text(one) for one in found])})"
    if not _same_arguments(first, other):
        yield "arguments", f" ({_shown(first)}; {_shown(other)})"


def _is_same_objective(first: ComparedStudy, other: ComparedStudy) -> bool:
    """As ``is_same_objective``; studies that record none are told apart by nothing of it."""
    if first.launch is None or other.launch is None or first.objective is None:
        return first.objective == other.objective
    return is_same_objective(first.launch.program, other.launch.program)


def _same_arguments(first: ComparedStudy, other: ComparedStudy) -> bool:
    """Whether arguments are equal, but where both give the study's own name, or both its seed."""
    own, others = _own(first), _own(other)
    parts, again = _parts(first), _parts(other)
    return len(parts) == len(again) and all(
        part == beside or (part in own and own[part] == others.get(beside))
        for part, beside in zip(parts, again, strict=True)
    )


def _own(study: ComparedStudy) -> dict[str, str]:
    """What in a study's arguments is its own: its seeds, that of the decorator too, and its name.

    Returns:
        Text of a part of an argument to the word that stands for it.
    """
    seeds = study.trial_seeds | ({study.seed} if study.seed is not None else set())
    return {**{str(seed): "SEED" for seed in seeds}, study.search.study.name: "STUDY"}


def _parts(study: ComparedStudy) -> list[str]:
    """All parts of its arguments and what separates them, each argument with its end."""
    name = study.search.study.name  # may hold what separates parts elsewhere
    found: list[str] = []
    for argument in study.arguments:
        option, is_given, value = argument.partition("=")
        if argument == name:
            found.append(name)
        elif value == name:
            found += (option, is_given, name)
        else:
            found += _SEPARATORS.split(argument)
        found.append("\0")
    return found


def _shown(study: ComparedStudy) -> str:
    own = _own(study)
    text = "".join(own.get(part, part) for part in _parts(study))
    return text.replace("\0", " ").strip() or "none"


def _ranges(study: ComparedStudy) -> dict[str, tuple[str, ...]]:
    return {param.name: tuple(r.text for r in param.ranges) for param in study.space}


def _label(names: list[str]) -> str:
    """What the names of a group have in common, else the first one."""
    if len(names) == 1:
        return names[0]
    least, greatest = min(names), max(names)
    until = next(
        (at for at, pair in enumerate(zip(least, greatest, strict=False)) if pair[0] != pair[1]),
        len(least),
    )
    return least[:until].rstrip("-_./ ~#:0123456789") or names[0]

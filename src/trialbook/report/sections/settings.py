"""What was asked of the search: sampler, pruner, seeds, budget, and every later change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from trialbook.analysis.columns import Column, Holds, Table
from trialbook.analysis.isolation import IsolationUse
from trialbook.analysis.searches.asked import ComponentUse, Part, same_component
from trialbook.analysis.trial_numbers import numbers_text
from trialbook.book.study_facts import SeededTrials
from trialbook.records.config import ComponentSettings
from trialbook.records.study import StudySpec
from trialbook.report.document import Block, Fact, Facts, Notice, Paragraph, Section, Tone
from trialbook.report.source import ReportSource
from trialbook.report.wording import counted, listed, moment

_UNKNOWN = "the study was not made by Trialbook, so it is not known"
_SEEDED_FROM = "trials are seeded from it where the objective has none"
_FROM_SAMPLER = f"taken from the sampler; {_SEEDED_FROM}"
_FROM_GRID = f"a digest of the order of the sampler's grid; {_SEEDED_FROM}"


def settings(source: ReportSource) -> Section:
    """Sampler, pruner, their settings, seeds, budget, and changes in mid-study."""
    spec = source.study.spec
    blocks: list[Block] = []
    if spec is None:
        told = ", but trials recorded theirs" if source.search.asked else ""
        blocks.append(
            Notice(
                "The study was made by plain Optuna, which does not record its sampler, pruner, "
                f"seed and budget{told}. Create it with trialbook.create_study, and they are."
            )
        )
    blocks.append(Facts(tuple(_search_facts(source, spec))))
    blocks += _seeds(source)
    blocks.append(Facts(tuple(_budget_facts(source, spec))))
    if spec is not None:
        blocks += _changes(source, spec)
        blocks.append(Facts(tuple(_running_facts(source, spec))))
    return Section("settings", "Sampler, pruner, seeds and budget", tuple(blocks))


def _component_text(source: ReportSource, component: ComponentSettings | None) -> str | None:
    if component is None:
        return None
    return replace(component, name=source.class_name(component.name)).text


def _component_facts(
    source: ReportSource, part: Part, uses: Sequence[ComponentUse]
) -> Iterator[Fact]:
    """The samplers or pruners that trials ran with; what was asked for when no trial says."""
    if not uses:
        yield Fact(part, None, Holds.CODE, note=_UNKNOWN)
    for use in uses:
        notes = [] if use.component.by_name else ["an object that the user made"]
        if use.component.lacks_seed:
            notes.append("the seed that put its grid in order is not recorded")
        if len(uses) > 1:
            notes.append(f"{counted(len(use.trials), 'trial')}: {numbers_text(use.trials)}")
        elif not use.trials and source.account.gaps.untracked:
            notes.append("when the study was created; no trial recorded its own")
        if part == "pruner" and source.search.objectives > 1:
            notes.append("without effect: Optuna prunes trials of studies with one objective only")
        yield Fact(part, _component_text(source, use.component), Holds.CODE, note="; ".join(notes))


def _set_later(source: ReportSource, spec: StudySpec) -> dict[Part, bool]:
    """Whether trials ran with another sampler or pruner than the study was created with.

    A part is absent when nobody can tell, as no trial was tracked.
    """
    found: dict[Part, bool] = {}
    asked: tuple[tuple[Part, ComponentSettings | None, Sequence[ComponentUse]], ...] = (
        ("sampler", spec.search.sampler, source.search.samplers),
        ("pruner", spec.search.pruner, source.search.pruners),
    )
    begun = bool((source.search.states != "WAITING").any())
    for part, created, uses in asked:
        if any(use.trials for use in uses) or not begun:
            found[part] = created is not None and any(
                use.trials and not same_component(use.component, created) for use in uses
            )
    return found


def _search_facts(source: ReportSource, spec: StudySpec | None) -> list[Fact]:
    search = None if spec is None else spec.search
    facts = [
        *_component_facts(source, "sampler", source.search.samplers),
        *_component_facts(source, "pruner", source.search.pruners),
    ]
    seed = None if search is None else search.seed
    if spec is not None and seed is None:
        facts.append(Fact("study seed", "none"))
    else:
        note = _UNKNOWN if spec is None else _origin(spec)
        facts.append(Fact("study seed", seed, Holds.INTEGER, note=note))
    return facts


def _origin(spec: StudySpec) -> str:
    """Where the study's seed came from, when it was not given."""
    if not spec.seed_from_sampler:
        return ""
    sampler = spec.search.sampler
    return _FROM_GRID if sampler is not None and sampler.lacks_seed else _FROM_SAMPLER


def _seeds(source: ReportSource) -> list[Block]:
    ways, different = source.account.seeds, source.account.different_seeds
    if not ways:
        return [Notice("No seed of a trial is recorded: no trial was tracked.")]
    trials = sum(way.trials for way in ways)
    counts = f"{counted(different, 'different seed')} in {counted(trials, 'trial')}"
    bases = listed(list(dict.fromkeys(map(_base, ways))))
    if source.holds_replicates:
        text = f"Replicates of one number have one seed, whatever they run: {counts}."
    elif different == trials:
        text = (
            f"Each tracked trial had a seed of its own, derived from its number and {bases}: "
            f"{counts}."
        )
    else:
        text = f"Some trials had the same seed: {counts}."
    table = Table(
        (
            Column("study seed", Holds.INTEGER),
            Column("seed of the objective", Holds.INTEGER),
            Column("global generators that were seeded"),
            Column("trials", Holds.INTEGER),
        ),
        tuple(
            (way.study, way.decorator, ", ".join(way.set_globals) or "none", way.trials)
            for way in ways
        ),
    )
    return [Paragraph(text), source.table("seeds", "How the trials were seeded.", table)]


def _base(way: SeededTrials) -> str:
    """What seeds of trials were derived from."""
    if way.study is not None:
        return f"the study's seed {way.study}"
    if way.decorator is not None:
        return f"the objective's seed {way.decorator}"
    return "the identity of the study, which has no seed"


def _budget_facts(source: ReportSource, spec: StudySpec | None) -> list[Fact]:
    search = source.search
    budget = [Fact("budget", None, note=_UNKNOWN)]
    if spec is not None:
        asked = spec.search
        # Whoever called study.optimize gave it a number of trials, or seconds, that nobody kept.
        apart = source.account.isolation.unsupervised
        note = "of the study; what study.optimize was called with is not recorded" if apart else ""
        budget = [
            Fact("budget in trials", asked.trials, Holds.INTEGER, note=note)
            if asked.trials is not None
            else Fact("budget in trials", "no limit", note=note),
            Fact("budget in hours", asked.hours, Holds.EXACT, "h", note)
            if asked.hours is not None
            else Fact("budget in hours", "no limit", note=note),
        ]
    started, ended = search.started_s, search.ended_s
    spent = None
    if not np.isnan(started).all() and not np.isnan(ended).all():
        spent = float(np.nanmax(ended) - np.nanmin(started)) / 3600
    return [
        *budget,
        Fact("trials begun", int(np.count_nonzero(search.states != "WAITING")), Holds.INTEGER),
        Fact("from the first start to the last end", spent, Holds.NUMBER, "h"),
    ]


def _changes(source: ReportSource, spec: StudySpec) -> list[Block]:
    blocks: list[Block] = []
    if spec.changes:
        changes = spec.changes
        blocks += [
            Notice(
                f"{counted(len(changes), 'change')} of the settings after the study was created, "
                "the oldest first:"
            ),
            *(Paragraph(f"{index}. {change}") for index, change in enumerate(changes, start=1)),
        ]
    if spec.adjustments:
        blocks += [
            Notice(
                f"{counted(len(spec.adjustments), 'change')} of budget, retries, limits, lease or "
                "default after the study was created. Who searches on after having seen values can "
                "stop where they look good."
            ),
            source.table(
                "settings-changed",
                "Each of these changes, the oldest first, and how many trials had finished by "
                "then.",
                _adjusted(spec),
            ),
        ]
    later = _set_later(source, spec)
    blocks += _told_of_components(
        source, spec, [part for part, is_other in later.items() if is_other]
    )
    unchanged: list[str] = []
    if not spec.changes:
        unchanged = [*(part for part, is_other in later.items() if not is_other), "seed"]
    if not spec.adjustments and spec.keeps_adjustments:
        unchanged += ["budget", "retries", "limits", "lease", "default"]
    if unchanged:
        blocks.append(Paragraph(f"Not changed after the study was created: {listed(unchanged)}."))
    if not spec.keeps_adjustments:
        blocks.append(
            Notice(
                "Whether budget, retries, limits, lease and default were changed "
                f"{'earlier' if spec.adjustments else 'since'} is not known: the study was created "
                "by a version of Trialbook that did not record it."
            )
        )
    return blocks


def _told_of_components(
    source: ReportSource, spec: StudySpec, parts: Sequence[Part]
) -> Iterator[Block]:
    """Which samplers and pruners are not those of the study's settings."""
    for part in parts:
        uses = source.search.samplers if part == "sampler" else source.search.pruners
        created = spec.search.sampler if part == "sampler" else spec.search.pruner
        others = [use for use in uses if not same_component(use.component, created)]
        numbers = sorted(number for use in others for number in use.trials)
        # A change on the record leaves only what was asked for last.
        changed = any(f"{part} " in change for change in spec.changes)
        than = "is set to now, which is" if changed else "was created with, which was"
        yield Notice(
            f"{counted(len(numbers), 'trial')} ({numbers_text(numbers)}) ran with another {part} "
            f"than the study {than} {_component_text(source, created)}.",
            Tone.WARNING,
        )


def _adjusted(spec: StudySpec) -> Table:
    return Table(
        (
            Column("setting", Holds.CODE),
            Column("before"),
            Column("after"),
            Column("finished trials", Holds.INTEGER),
            Column("when"),
        ),
        tuple(
            (one.setting, *one.texts, one.finished, moment(one.at_s)) for one in spec.adjustments
        ),
    )


def _running_facts(source: ReportSource, spec: StudySpec) -> list[Fact]:
    retries, limits, isolation = spec.retries, spec.limits, source.account.isolation
    workers = {a.worker_id for a in source.search.attempts if a.worker_id is not None}
    facts = [
        Fact("workers", len(workers), Holds.INTEGER, note="processes that ran trials"),
        Fact("isolation", isolation.text, note=_not_kept_apart(isolation)),
        Fact(
            "tries again",
            f"{retries.lost} after a lost worker"
            if isolation.is_unsupervised
            else f"{retries.lost} after a lost worker, {retries.out_of_memory} out of memory, "
            f"{retries.failed} after an exception",
        ),
        _limit("limit of a trial", limits.trial_s, isolation),
        _limit("limit without progress", limits.progress_s, isolation),
    ]
    if spec.objective is not None and not source.anonymous:
        facts.insert(0, Fact("objective", spec.objective, Holds.CODE))
    return facts


def _not_kept_apart(isolation: IsolationUse) -> str:
    """What is asked of workers, where no worker ran the trials."""
    if not isolation.trials:
        return "asked for; no trial was tracked"
    return f"{isolation.asked} is asked of workers alone" if isolation.unsupervised else ""


def _limit(label: str, seconds: float | None, isolation: IsolationUse) -> Fact:
    if seconds is None:
        return Fact(label, "none")
    if isolation.is_unsupervised:
        return Fact(label, "none", note=f"{seconds:g} s is asked of workers, and none ran a trial")
    note = "trials in the process that called study.optimize had none"
    return Fact(label, seconds, Holds.EXACT, "s", note if isolation.unsupervised else "")

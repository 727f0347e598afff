"""What a report says of trials with another sampler or pruner than the study was made with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from trialbook.analysis.opening import opened
from trialbook.analysis.searches.asked import AskedSearch
from trialbook.book.storage import BookStorage
from trialbook.records.config import ComponentSettings
from trialbook.report.document import Fact, Facts, Notice, Paragraph, Section, Tone
from trialbook.report.evidence import evidence
from trialbook.report.sections.settings import settings
from trialbook.report.source import ReportOptions, ReportSource, report_source

from .tracked import MARK, STUDY, tracked

TPE = ComponentSettings("TPESampler", {"n_startup_trials": 4})
RANDOM = ComponentSettings("RandomSampler", by_name=False)
OWN = ComponentSettings(f"{MARK}lab.pruners.Own", {}, by_name=False)


@pytest.fixture
def of(tmp_path: Path) -> Callable[..., ReportSource]:
    """The source of a report on a study made with TPESampler, whose trials recorded these."""

    def _source(*asked: AskedSearch) -> ReportSource:
        storage = BookStorage(tmp_path / "book.db")
        tracked(storage)
        with opened(storage.url) as reader:
            source = report_source(reader, STUDY, ReportOptions(figures=False))
        storage.close()
        return replace(source, search=replace(source.search, asked=asked))

    return _source


def _facts(section: Section, label: str) -> list[tuple[object, str]]:
    facts: list[Fact] = [f for b in section.blocks if isinstance(b, Facts) for f in b.facts]
    return [(fact.value, fact.note) for fact in facts if fact.label == label]


def _said(section: Section) -> list[str]:
    return [b.text for b in section.blocks if isinstance(b, (Notice, Paragraph))]


def test_each_sampler_is_listed_with_its_trials(of):
    source = of(AskedSearch(TPE, OWN, (0, 1)), AskedSearch(RANDOM, OWN, (2, 3)))
    section = settings(source)

    assert _facts(section, "sampler") == [
        ("TPESampler(n_startup_trials=4)", "2 trials: 0, 1"),
        ("RandomSampler()", "an object that the user made; 2 trials: 2, 3"),
    ]
    (warning,) = [b for b in section.blocks if isinstance(b, Notice) and b.tone is Tone.WARNING]
    assert warning.text == (
        "2 trials (2, 3) ran with another sampler than the study was created with, which was "
        "TPESampler(n_startup_trials=4)."
    )
    assert not any("Not changed" in text and "sampler" in text for text in _said(section))
    assert evidence(source).method.text.startswith(
        "TPESampler in trials 0, 1, RandomSampler in trials 2, 3, "
    )


def test_a_sampler_that_no_trial_ran_with_is_not_reported_as_used(of):
    section = settings(of(AskedSearch(RANDOM, OWN, (0, 1, 2, 3))))

    assert _facts(section, "sampler") == [("RandomSampler()", "an object that the user made")]
    assert any("4 trials (0-3) ran with another sampler" in text for text in _said(section))


def test_after_a_change_on_the_record_no_trial_is_said_to_differ_from_the_first_settings(of):
    source = of(AskedSearch(RANDOM, OWN, (0, 1)), AskedSearch(TPE, OWN, (2, 3)))
    spec = source.study.spec
    changed = replace(spec, changes=("after 2 trials: sampler RandomSampler is now TPESampler",))
    study = replace(source.study, spec=changed)
    section = settings(replace(source, study=study))

    assert (
        "2 trials (0, 1) ran with another sampler than the study is set to now, which is "
        "TPESampler(n_startup_trials=4)."
    ) in _said(section)


def test_the_same_settings_in_another_order_are_the_same(of):
    first = ComponentSettings("TPESampler", {"a": 1, "b": 2})
    other = ComponentSettings("TPESampler", {"b": 2, "a": 1}, by_name=False)
    found = of(AskedSearch(first, OWN, (0,)), AskedSearch(other, OWN, (1,))).search.samplers

    assert [use.trials for use in found] == [(0, 1)]


def test_without_a_record_of_any_trial_nothing_is_said_to_be_unchanged(of):
    source = of()
    section = settings(
        replace(
            source,
            account=replace(source.account, gaps=replace(source.account.gaps, tracked=0)),
        )
    )

    ((_, note),) = _facts(section, "sampler")
    assert note == "when the study was created; no trial recorded its own"
    assert not any("Not changed" in text and "sampler" in text for text in _said(section))

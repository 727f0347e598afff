"""What a report says of trials that ran with other code, data or configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from trialbook.analysis.coordinate_changes import ChangedTrials, CoordinateChanges, Reference
from trialbook.analysis.opening import opened
from trialbook.book.storage import BookStorage
from trialbook.records.coordinates import CoordinateDigests, Kind
from trialbook.records.verdict import CoordinateDifference
from trialbook.report.document import Notice, Paragraph, Section, TableBlock, Tone
from trialbook.report.evidence import evidence
from trialbook.report.proofs.recorded import code
from trialbook.report.sections.differing import differing
from trialbook.report.sections.trials import exclusions
from trialbook.report.source import ReportOptions, ReportSource, report_source

from .tracked import STUDY, tracked


def _texts(section: Section) -> str:
    return "\n".join(b.text for b in section.blocks if isinstance(b, (Notice, Paragraph)))


def _tables(section: Section) -> dict[str, TableBlock]:
    return {block.name: block for block in section.blocks if isinstance(block, TableBlock)}


def test_edits_between_two_runs_are_told_with_their_trials(recorded):
    with opened(recorded.storage) as reader:
        source = report_source(reader, "digits", ReportOptions(figures=False))
        section, found = exclusions(source), evidence(source)
        hidden = report_source(reader, "digits", ReportOptions(figures=False, anonymous=True))
        withheld = _tables(exclusions(hidden))["differing"].table

    said = "4 of 8 tracked trials did not run with the code, data and configuration of trial 3, the"
    assert said in _texts(section)
    table = _tables(section)["differing"].table
    assert [column.name for column in table.columns[2:]] == [
        "other code",
        "other data",
        "other configuration",
    ]
    ((trials, count, code, data, config),) = table.rows
    assert (trials, count, code, config) == ("4-7", 4, "search.py", "model.epochs 5 -> 6")
    assert str(data).startswith("train (sha256:")
    assert withheld.rows[0] == ("4-7", 4, *["1 difference"] * 3)
    for proof in (found.code, found.data):
        assert proof.found
        assert proof.text.startswith("2 different")
        assert "trials 0-3 " in proof.text
        assert "trials 4-7 " in proof.text
    assert found.data.text.count("train ") == 2
    assert "another" not in found.environment.text


@pytest.fixture
def of(tmp_path: Path) -> Callable[[CoordinateChanges], ReportSource]:
    """From what was found to the source of a report on four tracked trials."""

    def _source(changes: CoordinateChanges) -> ReportSource:
        storage = BookStorage(tmp_path / "book.db")
        tracked(storage)
        with opened(storage.url) as reader:
            source = report_source(reader, STUDY, ReportOptions(figures=False))
        storage.close()
        return replace(source, account=replace(source.account, changes=changes))

    return _source


def test_other_machines_are_told_without_alarm(of):
    cpu = CoordinateDifference(str(Kind.ENVIRONMENT), "cpu model", "EPYC", "Xeon")
    source = of(
        CoordinateChanges(
            Reference(1, True, CoordinateDigests()), 4, (ChangedTrials((2, 3), (cpu,)),), {}, {}
        )
    )

    text, table = differing(source)
    assert isinstance(text, Paragraph)
    assert text.text.startswith("2 trials ran on another machine than trial 1, the best")
    assert isinstance(table, TableBlock)
    assert table.table.rows == (("2, 3", 2, "cpu model EPYC -> Xeon"),)


def test_other_versions_of_packages_are_a_warning(of):
    numpy = CoordinateDifference(str(Kind.ENVIRONMENT), "package numpy", "2.1.0", "2.2.0")
    source = of(
        CoordinateChanges(
            Reference(0, False, CoordinateDigests()), 4, (ChangedTrials((3,), (numpy,)),), {}, {}
        )
    )

    warning, table = differing(source)
    assert isinstance(warning, Notice)
    assert warning.tone is Tone.WARNING
    assert "1 of 4 tracked trials did not run with the environment of trial 0, the first" in (
        warning.text
    )
    assert isinstance(table, TableBlock)
    assert table.table.rows == (("3", 1, "numpy 2.1.0 -> 2.2.0"),)


def test_another_objective_is_a_warning_and_other_arguments_are_told(of):
    one, two = (
        CoordinateDifference(str(Kind.EXECUTION), "objective", "t.py:easy", "t.py:hard"),
        CoordinateDifference(str(Kind.EXECUTION), "arguments", "--model a", "--model b"),
    )
    groups = ChangedTrials((1,), (one,)), ChangedTrials((2, 3), (two,))
    source = of(CoordinateChanges(Reference(0, True, CoordinateDigests()), 4, groups, {}, {}))

    warning, told, table = differing(source)
    assert isinstance(warning, Notice)
    assert warning.tone is Tone.WARNING
    assert "1 of 4 tracked trials did not run with the program of trial 0, the best" in warning.text
    assert isinstance(told, Notice)
    assert told.text.startswith("The program of 2 trials was given other arguments than that of")
    assert isinstance(table, TableBlock)
    assert table.table.rows == (
        ("1", 1, "objective t.py:easy -> t.py:hard"),
        ("2, 3", 2, "arguments --model a -> --model b"),
    )


def test_code_that_is_the_same_is_not_said_to_be_without_its_other_objectives(tmp_path: Path):
    storage = BookStorage(tmp_path / "book.db")
    tracked(storage)
    other = CoordinateDifference(str(Kind.EXECUTION), "objective", "t.py:easy", "t.py:hard")
    with opened(storage.url) as reader:
        source = report_source(reader, STUDY, ReportOptions(figures=False))
        changes = replace(source.account.changes, groups=(ChangedTrials((1,), (other,)),))
        proof = code(replace(source, account=replace(source.account, changes=changes)))
    storage.close()

    assert proof.text.startswith("the same in all 4 trials")
    assert proof.text.endswith("; 1 trial ran another objective of it (section Exclusions)")


def test_trials_that_ran_alike_are_said_to_and_what_is_not_known_is_too(of):
    source = of(CoordinateChanges(None, 0, (), {}, {}))
    assert [block.text for block in differing(source)] == ["No trial has run yet."]

    with_unknown = CoordinateChanges(
        Reference(0, True, CoordinateDigests()), 4, (), dict.fromkeys(Kind, ()), {Kind.DATA: (2, 3)}
    )
    (notice,) = differing(replace(source, account=replace(source.account, changes=with_unknown)))
    assert notice.text == (
        "The data of 2 tracked trials cannot be compared, since its record is missing: 2, 3."
    )


def test_a_study_that_was_not_changed_is_said_to_be_the_same(tmp_path: Path):
    storage = BookStorage(tmp_path / "book.db")
    tracked(storage)
    with opened(storage.url) as reader:
        section = exclusions(report_source(reader, STUDY, ReportOptions(figures=False)))
    storage.close()

    texts = _texts(section)
    assert "4 tracked trials ran with the same code, data, configuration and environment" in texts
    assert "packages, the objective, and the arguments of the program" in texts

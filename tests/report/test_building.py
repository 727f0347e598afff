"""The document of a report: every state that a study can be in, and that it is the same twice."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

import trialbook
from trialbook.analysis.opening import opened
from trialbook.book.copying import copy_study
from trialbook.book.reading import Reader
from trialbook.book.removal import remove_trial
from trialbook.book.seals import seal_of
from trialbook.book.storage import BookStorage
from trialbook.errors import NotFoundError
from trialbook.report import shown_studies
from trialbook.report.building import SECTIONS, build
from trialbook.report.document import (
    Checklist,
    Command,
    Document,
    Fact,
    Facts,
    FigureBlock,
    Notice,
    Paragraph,
    Section,
    TableBlock,
    Tone,
)
from trialbook.report.place_of_commands import PLACE_OF_COMMANDS
from trialbook.report.source import ReportOptions
from trialbook.report.writing import told
from trialbook.running.replicating.choosing import choice

from .conftest import Shelf
from .studies import ALL, plain
from .tracked import COMMIT, STUDY, Lacking, replicated, tracked, tracked_once_more

NO_FIGURES = ReportOptions(figures=False)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[BookStorage]:
    storage = BookStorage(tmp_path / "book.db")
    yield storage
    storage.close()


def report(storage: BookStorage, study: str, **options: bool) -> Document:
    storage.flush()
    wanted = ReportOptions(**{"figures": False, **options})
    reader = Reader(storage.book)
    return told(reader, build(reader, study, wanted), anonymous=wanted.anonymous)


def kinds(found: Section) -> list[type]:
    return [type(block) for block in found.blocks]


def section(document: Document, name: str) -> Section:
    (found,) = [section for section in document.sections if section.name == name]
    return found


def said(part: Section | Document) -> str:
    """All text of a section or document, without tables."""
    sections = part.sections if isinstance(part, Document) else (part,)
    texts = []
    for one in sections:
        for block in one.blocks:
            if isinstance(block, (Notice, Paragraph, Command)):
                texts.append(block.text)
            elif isinstance(block, Facts):
                texts += [f"{fact.label}: {fact.value} {fact.note}" for fact in block.facts]
    return "\n".join(texts)


def fact(part: Section, label: str) -> Fact:
    facts = [f for block in part.blocks if isinstance(block, Facts) for f in block.facts]
    (found,) = [one for one in facts if one.label == label]
    return found


def rows(part: Section, name: str) -> list[tuple[object, ...]]:
    (found,) = [b for b in part.blocks if isinstance(b, TableBlock) and b.name == name]
    return list(found.table.rows)


def valued(storage: BookStorage, study_id: int, value: float, constraint: float) -> None:
    """A complete trial; Optuna's own templates refuse NaN, its storages do not."""
    trial_id = storage.create_new_trial(study_id)
    storage.set_trial_system_attr(trial_id, "constraints", [constraint])
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [value])


@pytest.mark.parametrize("study", [fill.__name__ for fill in ALL])
@pytest.mark.parametrize("anonymous", [False, True])
def test_every_study_gives_a_report_that_is_the_same_twice(
    shelf: Shelf, study: str, anonymous: bool
) -> None:
    options = ReportOptions(figures=False, anonymous=anonymous)
    with opened(shelf.storage) as reader:
        first, second = (
            told(reader, build(reader, shelf.names[study], options), anonymous=anonymous)
            for _ in range(2)
        )
    assert first == second
    assert len(first.sections) == len(SECTIONS)
    for names in (
        [section.name for section in first.sections],
        [b.name for s in first.sections for b in s.blocks if isinstance(b, TableBlock)],
        [macro.name.lower() for macro in first.macros],
    ):
        assert len(set(names)) == len(names)
    assert all(section.blocks for section in first.sections)
    assert all(macro.name.isascii() and macro.name.isalpha() for macro in first.macros)


@pytest.mark.parametrize("study", ["empty", "single", "all_failed", "all_pruned"])
def test_studies_with_little_give_figures_or_say_why_not(shelf: Shelf, study: str) -> None:
    with opened(shelf.storage) as reader:
        document = build(reader, shelf.names[study])
    figures = [b for s in document.sections for b in s.blocks if isinstance(b, FigureBlock)]
    text = said(document)
    if study == "empty":
        assert not figures
        assert "The study has no trial yet." in text
        assert "No trial is selected" in text
    else:
        assert figures
        assert "not shown, because" in text


def test_trials_that_run_or_wait(storage: BookStorage) -> None:
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "begun")
    storage.create_new_trial(study_id)
    storage.create_new_trial(study_id, create_trial(state=TrialState.WAITING))
    document = report(storage, "begun")
    text = said(document)
    assert "2: 1 running, 1 waiting" in text
    assert "No trial of the study is complete" in text
    assert "not final" in text
    assert "2 trials can still end" in str(section(document, "checklist").blocks[1])


def test_what_cannot_be_selected_is_counted_with_its_reason(storage: BookStorage) -> None:
    study = optuna.create_study(storage=storage, study_name="left out")
    for value, constraint in ((1.0, -1.0), (0.1, 1.0), (math.nan, -1.0), (0.5, -1.0), (0.2, 0.0)):
        valued(storage, study._study_id, value, constraint)
    study.add_trial(create_trial(state=TrialState.FAIL))
    study.add_trial(create_trial(state=TrialState.PRUNED))
    storage.flush()
    before = seal_of(storage.book, study._study_id)
    remove_trial(storage.book, Reader(storage.book).trial("left out/4"))
    document = report(storage, "left out")
    left = section(document, "exclusions")
    assert [row for row in rows(left, "exclusions") if row[1]] == [
        ("pruned before it ended", 1, "6"),
        ("failed", 1, "5"),
        ("breaks a constraint", 1, "1"),
        ("its value is NaN", 1, "2"),
        ("deleted from the book", 1, "4"),
    ]
    assert "Of 7 trials that the study ever had, 2 can be selected." in said(left)
    assert rows(left, "deleted")[0][:2] == (4, "complete")
    assert fact(section(document, "selection"), "selected trial").value == 3
    assert fact(section(document, "selection"), "next value").value == 1.0
    assert fact(section(document, "seal"), "of these deleted").value == 1
    assert before in said(section(document, "seal")), "the seal covers the deleted trial as it was"


def test_a_trial_whose_value_is_no_number_is_not_selected(storage: BookStorage) -> None:
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "nan")
    valued(storage, study_id, math.nan, 0.0)
    document = report(storage, "nan")
    assert "No trial can be selected." in said(section(document, "selection"))
    assert all(macro.name != "BestValue" for macro in document.macros)


def test_of_several_objectives_the_front_is_shown(shelf: Shelf) -> None:
    with opened(shelf.storage) as reader:
        document = build(reader, shelf.names["two_objectives"], NO_FIGURES)
        members = [trial.number for trial in reader.front(shelf.names["two_objectives"])]
    assert [row[0] for row in rows(section(document, "selection"), "pareto-front")] == members
    assert f"Shown is trial {members[0]}" in said(section(document, "configuration"))


def test_a_tracked_study_is_told_in_full(storage: BookStorage) -> None:
    tracked(storage)
    document = report(storage, STUDY, verify=True)
    assert document.verified is True
    code = section(document, "coordinates")
    assert fact(code, "commit").value == COMMIT
    assert fact(code, "differs from the commit").value is True
    assert rows(code, "data") == [("train", "file", 1234, 1, True, "d" * 64)]
    assert rows(code, "packages")[0][:2] == ("numpy", "2.2.0")
    assert rows(code, "versions") == [("0.1.0", "5.0.0", 4)]
    assert rows(section(document, "configuration"), "best-params")[0] == ("lr", 0.05, "searched")
    config = rows(section(document, "configuration"), "best-config")
    assert ("epochs", 3, "override") in config
    settings = said(section(document, "settings"))
    assert "isolation: a fork for each trial" in settings
    assert "TPESampler(n_startup_trials=4)" in settings
    assert "trials: 3 -> 4" in settings
    metrics = rows(section(document, "metrics"), "best-metrics")
    assert ("val_loss", 3, 0.25, 2, 0.25, 2, 0.5, 0) in metrics
    assert [row[0] for row in rows(section(document, "metrics"), "test-metrics")] == ["accuracy"]
    failures = rows(section(document, "trials"), "failures")
    assert [row[:6] for row in failures] == [
        ("failed", "exception", "zqmarklab.errors.Diverged", 1, 1, 3)
    ]
    assert fact(section(document, "compute"), "CPU time").value == pytest.approx(6 / 3600)
    assert rows(section(document, "coverage"), "coverage")[3] == ("environment", 0, 4, 0)
    assert "no driver" in str(rows(section(document, "coverage"), "gaps"))
    rerun = section(document, "rerun")
    assert f"trialbook rerun {STUDY}/1" in said(rerun)
    # Pasted elsewhere a command finds no book, so where it runs is told before it; once at first,
    # and again where readers go straight to.
    first = next(one for one in document.sections if Command in kinds(one))
    assert first.blocks[kinds(first).index(Command) - 1] == PLACE_OF_COMMANDS
    assert said(document).count("--storage names") == 1
    assert "--storage names, else the one found from" in said(rerun)
    assert f"(see {first.title!r})" in said(rerun)
    assert fact(rerun, "last verdict").value == "identical"
    assert "The records were verified for this report, and all hold" in said(
        section(document, "seal")
    )
    macros = {macro.name: macro.value for macro in document.macros}
    assert macros["BestValue"] == 0.91
    assert macros["Commit"] == COMMIT
    assert macros["BestUnitsOne"] == 9
    assert (macros["Trials"], macros["Complete"], macros["Failed"]) == (4, 2, 1)


def test_a_seed_that_came_with_the_sampler_is_said_to(storage: BookStorage) -> None:
    trialbook.create_study(
        study_name="s", storage=storage, sampler=optuna.samplers.RandomSampler(seed=4)
    )
    seed = fact(section(report(storage, "s"), "settings"), "study seed")
    assert (seed.value, seed.note.partition(";")[0]) == (4, "taken from the sampler")


def test_that_a_grids_own_seed_is_not_recorded_is_said(storage: BookStorage) -> None:
    sampler = optuna.samplers.GridSampler({"x": [1, 2, 3, 4]}, seed=5)
    trialbook.create_study(study_name="s", storage=storage, sampler=sampler)
    document = report(storage, "s")
    settings = section(document, "settings")
    assert fact(settings, "sampler").note == (
        "an object that the user made; the seed that put its grid in order is not recorded"
    )
    seed = fact(settings, "study seed")
    assert (seed.value == 5, seed.note.partition(";")[0]) == (
        False,
        "a digest of the order of the sampler's grid",
    )
    assert "without the seed that put the sampler's grid in order" in str(
        section(document, "checklist")
    )


def test_a_report_is_one_showing_of_test_metrics_however_often_it_is_written(
    storage: BookStorage,
) -> None:
    tracked(storage)
    for _ in range(3):
        document = report(storage, STUDY)
        metrics = section(document, "metrics")
        assert fact(metrics, "times that test metrics were shown").value == 1
    texts = [block.text for block in metrics.blocks if isinstance(block, Paragraph)]
    assert "Test metrics of 1 trial have been shown so far" in texts[-1]
    assert "The search did not go on afterwards" in texts[-1]

    tracked_once_more(storage)
    document = report(storage, STUDY)
    texts = [b.text for b in section(document, "metrics").blocks if isinstance(b, Paragraph)]
    assert "The search went on afterwards: 1 trial began after" in texts[-1]
    (held,) = [
        item
        for block in section(document, "checklist").blocks
        if isinstance(block, Checklist)
        for item in block.items
        if "held-out" in item.source
    ]
    assert "those of 1 trial were shown, and 1 trial began afterwards" in held.evidence[0]


def test_a_study_that_is_not_there(storage: BookStorage) -> None:
    with pytest.raises(NotFoundError):
        report(storage, "nowhere")


def test_an_infinite_best_value_is_doubtful(storage: BookStorage) -> None:
    study = optuna.create_study(storage=storage, study_name="inf", direction="maximize")
    study.add_trials([create_trial(value=value) for value in (0.5, math.inf)])
    found = section(report(storage, "inf"), "selection")
    (notice,) = [block for block in found.blocks if isinstance(block, Notice)]
    assert notice.tone is Tone.WARNING
    assert "trial 1 first" in notice.text


def test_a_command_that_replicates_names_only_what_can_be(storage: BookStorage) -> None:
    tracked(storage)  # with no default configuration, and two complete trials
    found = section(report(storage, STUDY), "replicates")
    (command,) = [block.text for block in found.blocks if isinstance(block, Command)]
    assert command == f"trialbook replicate --seeds 10 --also best:2 {STUDY}/1"
    choice(Reader(storage.book), f"{STUDY}/1", ["best:2"])


def test_what_ran_without_tracking_is_not_said_to_be_replicable(storage: BookStorage) -> None:
    document = report(storage, plain(storage, 3))
    assert "data and environment is not known: 3 of them" in said(section(document, "exclusions"))
    assert "by local clocks where untracked" in said(section(document, "overview"))
    found = section(document, "replicates")
    assert not [block for block in found.blocks if isinstance(block, Command)]
    assert "cannot be replicated: it was never executed under tracking" in said(found)


def test_replicates_are_told_with_their_study_and_on_their_own(storage: BookStorage) -> None:
    tracked(storage)
    none = said(section(report(storage, STUDY), "replicates"))
    assert f"trialbook replicate --seeds 10 --also best:2 {STUDY}/1" in none
    own = replicated(storage)
    document = report(storage, STUDY)
    (summary,) = rows(section(document, "replicates"), "replicates-summary")
    assert "best (trial 1)" in summary
    assert len(rows(section(document, "replicates"), "replicates-runs")) == 3
    assert "the data that the search selected by" in said(section(document, "replicates"))
    macros = {macro.name: macro.value for macro in document.macros}
    assert macros["ReplicateMean"] == pytest.approx((0.89 + 0.9 + 0.92) / 3)
    assert macros["Replicates"] == 3
    assert "luckiest seed" not in said(document)
    alone = report(storage, own, anonymous=True)
    assert "luckiest seed" in said(alone)
    assert "not the selected trial" not in said(alone)
    assert STUDY not in str(alone)


def test_a_copied_study_has_the_same_report_but_for_its_book(
    storage: BookStorage, tmp_path: Path
) -> None:
    tracked(storage, Lacking(test=True))
    storage.flush()
    before = report(storage, STUDY)
    copy = BookStorage(tmp_path / "copy.db")
    copy_study(storage.book, copy.book, STUDY)
    assert report(copy, STUDY) == before
    copy.close()


def test_what_replicates_show_leads_to_their_study_too(
    storage: BookStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracked(storage)
    assert report(storage, STUDY).verified is None
    linked = replicated(storage)
    taken = Mock(wraps=shown_studies.seal_of)
    monkeypatch.setattr(shown_studies, "seal_of", taken)
    with opened(storage) as reader:
        uid = reader.study(linked).uid
        document = build(reader, STUDY)
    blocks = [block for part in document.sections for block in part.blocks]
    shown = {
        block.name: [study.uid for study in block.reference.studies]
        for block in blocks
        if isinstance(block, (FigureBlock, TableBlock))
    }
    for name in ("", "-summary", "-metrics", "-runs"):
        assert shown[f"replicates{name}"][1:] == [uid], name
    assert len(shown["history"]) == 1
    assert taken.call_count == 1

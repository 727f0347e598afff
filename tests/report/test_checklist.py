"""Answers of the checklist: Yes rests on evidence, and without it becomes MISSING."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import create_trial
from sqlalchemy import text

from trialbook.analysis.estimates import Estimate
from trialbook.analysis.opening import opened
from trialbook.book.reading import Reader
from trialbook.book.reruns import add_rerun
from trialbook.book.storage import BookStorage
from trialbook.records.coordinates import Kind
from trialbook.records.verdict import RerunReport, Verdict
from trialbook.report.checklist import ITEMS, Item, answered
from trialbook.report.document import Answer
from trialbook.report.evidence import PROOFS, Evidence, evidence
from trialbook.report.macros import macros
from trialbook.report.proofs.proof import Proof
from trialbook.report.source import ReportOptions, ReportSource, report_source

from .conftest import Shelf
from .tracked import STUDY, Lacking, replicated, tracked

WHOLE = Evidence(*(Proof(f"figures of {name}") for name in PROOFS))
BOUND = [(item, name) for item in ITEMS for name in item.proofs]


def of(storage: BookStorage, study: str = STUDY) -> Evidence:
    storage.flush()
    return evidence(report_source(Reader(storage.book), study, ReportOptions(figures=False)))


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.source)
def test_what_no_book_can_know_is_for_the_authors(item: Item) -> None:
    answer = answered(item, WHOLE).answer
    assert answer is (Answer.AUTHORS if item.authors else Answer.YES)
    assert item.authors or item.proofs


@pytest.mark.parametrize(("item", "name"), BOUND, ids=lambda part: getattr(part, "source", part))
def test_an_item_without_one_of_its_proofs_is_missing(item: Item, name: str) -> None:
    without = replace(WHOLE, **{name: Proof("do this", found=False)})
    found = answered(item, without)
    assert found.answer is Answer.MISSING
    assert found.evidence[0] == "missing: do this"
    assert len(found.evidence) == len(item.proofs)


def test_evidence_against_an_item_is_a_no() -> None:
    item = next(item for item in ITEMS if "rerun" in item.proofs)
    against = replace(WHOLE, rerun=Proof("it came out different", against=True))
    assert answered(item, against).answer is Answer.NO


def test_every_proof_is_there_for_an_item() -> None:
    assert {name for _, name in BOUND} == set(PROOFS)


def test_a_study_of_which_everything_is_recorded_has_every_proof(tmp_path: Path) -> None:
    storage = BookStorage(tmp_path / "book.db")
    tracked(storage, Lacking(gaps=True))
    replicated(storage)
    found = of(storage)
    storage.close()
    assert {
        name: getattr(found, name).text for name in PROOFS if not getattr(found, name).found
    } == {}
    assert "mean 0.9" in found.replicates.text
    assert all(answered(item, found).answer is not Answer.MISSING for item in ITEMS)


@pytest.mark.parametrize(
    ("lacking", "lost"),
    [
        (Lacking(), "coverage"),
        (Lacking(kinds=(Kind.CODE,), gaps=True), "code coverage"),
        (Lacking(contents=True, gaps=True), "code"),
        (Lacking(kinds=(Kind.DATA,), gaps=True), "data coverage"),
        (Lacking(inputs=True, gaps=True), "data"),
        (Lacking(config=True, gaps=True), "configuration"),
        (Lacking(kinds=(Kind.CONFIG,), gaps=True), "configuration coverage"),
        (
            Lacking(kinds=(Kind.ENVIRONMENT,), gaps=True),
            "environment hardware coverage compute",
        ),
        (Lacking(spec=True, gaps=True), "method"),
        (Lacking(cpu=True, gaps=True), "compute"),
        (Lacking(rerun=True, gaps=True), "rerun"),
        (Lacking(artifact=True, gaps=True), "artifacts"),
        (Lacking(test=True, gaps=True), "test"),
        (
            Lacking(ended=True, gaps=True),
            "code data environment method runs seeds coverage compute",
        ),
        (
            Lacking(complete=True, gaps=True),
            "selection configuration rerun test artifacts",
        ),
    ],
    ids=lambda part: part.replace(" ", "-") if isinstance(part, str) else "without",
)
def test_evidence_that_is_not_recorded_is_missing(
    tmp_path: Path, lacking: Lacking, lost: str
) -> None:
    storage = BookStorage(tmp_path / "book.db")
    tracked(storage, lacking)
    found = of(storage)
    storage.close()
    missing = {name for name in PROOFS if not getattr(found, name).found}
    assert missing - {"replicates"} == set(lost.split())
    assert all(len(getattr(found, name).text) > 20 for name in missing)


@pytest.mark.parametrize(
    ("verdict", "answer"),
    [
        (Verdict.IDENTICAL, Answer.YES),
        (Verdict.WITHIN_TOLERANCE, Answer.YES),
        (Verdict.DIFFERENT, Answer.NO),
        (Verdict.NOT_COMPARABLE, Answer.MISSING),
    ],
)
def test_the_verdict_of_a_rerun_decides(tmp_path: Path, verdict: Verdict, answer: Answer) -> None:
    storage = BookStorage(tmp_path / "book.db")
    tracked(storage, verdict=verdict)
    found = of(storage)
    storage.close()
    assert answered(ITEMS[0], found).answer is answer


def test_a_rerun_that_came_out_the_same_does_not_undo_one_that_did_not(tmp_path: Path) -> None:
    storage = BookStorage(tmp_path / "book.db")
    tracked(storage, verdict=Verdict.DIFFERENT)
    attempt = Reader(storage.book).trial(f"{STUDY}/1").attempts[0]
    again = RerunReport(f"{STUDY}/1", Verdict.WITHIN_TOLERANCE, points=3, params=3, rtol=1e9)
    add_rerun(storage.book, attempt.attempt_id, again, "elsewhere")
    found = of(storage)
    storage.close()
    assert answered(ITEMS[0], found).answer is Answer.NO
    assert "relative 1e+09" in found.rerun.text
    assert "1 of 1 before it came out different" in found.rerun.text


def test_records_that_do_not_hold_prove_nothing(tmp_path: Path) -> None:
    storage = BookStorage(tmp_path / "book.db")
    tracked(storage, Lacking(gaps=True))
    storage.flush()
    changed = "UPDATE tb_trial SET record_digest = :digest WHERE number = 0"
    with storage.book.writing() as connection:
        connection.execute(text(changed), {"digest": "0" * 64})
    options = ReportOptions(figures=False, verify=True)
    found = evidence(report_source(Reader(storage.book), STUDY, options))
    storage.close()
    assert not any(getattr(found, name).found for name in PROOFS)
    assert found.code.text.startswith("the records do not hold (1 mismatch, section The seal)")


def test_compute_that_is_not_all_known_is_no_total(tmp_path: Path) -> None:
    storage = BookStorage(tmp_path / "book.db")
    tracked(storage)
    storage.flush()
    source = report_source(Reader(storage.book), STUDY, ReportOptions(figures=False))
    account = source.account
    gaps = replace(account.gaps, trials=account.gaps.trials + 2)
    found = evidence(replace(source, account=replace(account, gaps=gaps)))
    storage.close()
    assert not found.compute.found
    assert found.compute.text.endswith("not all known of 2 untracked trials")


def test_replicates_of_the_selected_trial_are_found_among_others(tmp_path: Path) -> None:
    storage = BookStorage(tmp_path / "book.db")
    tracked(storage)
    replicated(storage, trial=0)
    replicated(storage, own=f"{STUDY}-replicates-anew")
    found = of(storage)
    storage.close()
    assert found.replicates.found


def test_replicates_with_an_interval_of_one_objective_only_are_no_yes(tmp_path: Path) -> None:
    storage = BookStorage(tmp_path / "book.db")
    tracked(storage)
    replicated(storage)
    source = report_source(Reader(storage.book), STUDY, ReportOptions(figures=False))
    storage.close()
    (found,) = source.replications
    known = found.chosen.estimates[0]

    def of_two(*estimates: Estimate) -> ReportSource:
        chosen = replace(found.chosen, estimates=estimates)
        several = replace(found, objectives=("accuracy", "cost"), configurations=(chosen,))
        return replace(source, replications=(several,))

    def proof(*estimates: Estimate) -> Proof:
        return evidence(of_two(*estimates)).replicates

    means = [one for one in macros(of_two(known, known)) if "ReplicateMean" in one.name]
    assert [(one.name, one.says) for one in means] == [
        ("ReplicateMeanZero", "their mean, accuracy"),
        ("ReplicateMeanOne", "their mean, cost"),
    ]
    both = proof(known, known)
    assert both.found
    assert both.text.startswith("mean of accuracy 0.9033 of 3 replicates, ")
    assert "; mean of cost 0.9033" in both.text
    one = proof(known, replace(known, interval=None, lacking="all are infinite"))
    assert not one.found
    assert one.text.startswith("the replicates give no interval of cost: all are infinite; mean of")


def test_replicates_are_no_search_that_could_be_answered_for(tmp_path: Path) -> None:
    storage = BookStorage(tmp_path / "book.db")
    tracked(storage)
    found = of(storage, replicated(storage))
    storage.close()
    assert found.replicates.found
    assert not any(proof.found for proof in (found.space, found.method, found.selection))


def test_replicates_of_another_trial_prove_nothing(tmp_path: Path) -> None:
    storage = BookStorage(tmp_path / "book.db")
    tracked(storage)
    replicated(storage, trial=0)
    found = of(storage)
    source = report_source(Reader(storage.book), STUDY, ReportOptions(figures=False))
    assert not [macro.name for macro in macros(source) if macro.name.startswith("Replicate")]
    storage.close()
    assert not found.replicates.found
    assert "was not replicated, but" in found.replicates.text


def test_a_study_of_plain_optuna_says_what_is_missing(shelf: Shelf) -> None:
    with opened(shelf.storage) as reader:
        found = evidence(report_source(reader, shelf.names["plain"], ReportOptions(figures=False)))
    there = {name for name in PROOFS if getattr(found, name).found}
    assert there == {"space", "selection"}


def test_trials_that_were_added_are_no_runs_of_this_study(tmp_path: Path) -> None:
    storage = BookStorage(tmp_path / "book.db")
    tracked(storage)
    study = optuna.load_study(study_name=STUDY, storage=storage)
    study.add_trials([create_trial(value=0.1)] * 2)
    found = of(storage).runs
    storage.close()

    assert not found.found
    assert "6 trials" in found.text
    assert "4 ran here under tracking, in 4 attempts; 2 were added or ran without it" in found.text

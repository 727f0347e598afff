"""From a file back to its run: by what it carries, by its content, by where it lies."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import create_trial

from trialbook import analysis, report
from trialbook.book.book import Book
from trialbook.book.reading import Reader
from trialbook.book.removal import remove_study, remove_trial
from trialbook.book.seals import sealed
from trialbook.book.storage import BookStorage
from trialbook.errors import InvalidInputError, NotFoundError, UnreadableFileError
from trialbook.records.figure_references import FigureReference, ShownStudy
from trialbook.report.carrying import text
from trialbook.report.located import Standing
from trialbook.report.writers import csv as csv_writer

NOT_HERE = FigureReference("history", (ShownStudy.of("elsewhere", "f" * 32, "5e" * 32),), (1,))


def carrying(directory: Path, *references: FigureReference, name: str = "fragment.tex") -> Path:
    """A small file that carries references."""
    path = directory / name
    path.write_text("".join(text.latex(each) + "\n" for each in references))
    return path


def reference(storage: str, study: str, shows: str = "history", *trials: int) -> FigureReference:
    """Of a study as it is now."""
    book = Book.open(storage, create=False, read_only=True)
    try:
        record = Reader(book).study(study)
        seal = sealed(book, record.study_id).seal
    finally:
        book.close()
    return FigureReference(shows, (ShownStudy.of(record.name, record.uid, seal),), trials)


@pytest.fixture
def own(recorded: Any, tmp_path: Path) -> str:
    """A copy of the recorded book, to be changed."""
    shutil.copytree(Path(recorded.storage).parent, tmp_path / "book")
    return str(tmp_path / "book" / "book.db")


def test_a_figure_leads_to_study_trials_coordinates_and_commands(recorded, tmp_path):
    path = carrying(tmp_path, reference(recorded.storage, "digits", "history", 3))

    found = report.locate(path, storage=recorded.storage)

    (shown,) = found.shown
    (study,), (trial,) = shown.studies, shown.trials
    assert found.is_found
    assert found.format == "text"
    assert found.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (shown.shows, shown.page) == ("history", None)
    assert (study.name, study.standing, study.trials) == ("digits", Standing.UNCHANGED, 8)
    assert (trial.reference, trial.state, trial.attempt) == ("digits/3", "COMPLETE", 1)
    digest = hashlib.sha256(b"a,b\n").hexdigest()
    assert trial.coordinates.data == (("train", digest),)
    assert trial.coordinates.commit is None  # it lay in no repository
    assert len(trial.coordinates.code) == len(trial.coordinates.environment) == 64
    url = f"sqlite:///{recorded.storage}"
    assert trial.rerun == f"trialbook rerun --storage {url} digits/3"
    assert shown.draw == f"trialbook report --format latex --storage {url} digits"
    assert found.notes == ()


def test_the_book_is_named_in_commands_only_when_it_was_named_in_the_question(
    recorded, tmp_path, monkeypatch
):
    path = carrying(tmp_path, reference(recorded.storage, "digits", "table:trials", 3))
    monkeypatch.chdir(recorded.directory)

    (shown,) = report.locate(path).shown

    assert shown.trials[0].rerun == "trialbook rerun digits/3"
    assert shown.draw == "trialbook report --format latex digits"


def test_an_opaque_reference_is_resolved_by_the_book_that_holds_the_study(recorded, tmp_path):
    opaque = reference(recorded.storage, recorded.odd, "report").opaque()
    path = carrying(tmp_path, opaque)

    (shown,) = report.locate(path, storage=recorded.storage).shown

    assert (shown.studies[0].name, shown.studies[0].carried_name) == (recorded.odd, None)
    assert not shown.studies[0].was_renamed
    assert shown.reference == str(opaque)
    # What is hostile in the name reaches the shell as it is, and the terminal not at all.
    words = subprocess.run(
        ["bash", "-c", f"trialbook() {{ printf '%s\\0' \"$@\"; }}; {shown.draw}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert words.stdout.split("\0")[-2] == recorded.odd
    assert shown.draw.isprintable()


def test_trials_that_were_added_are_counted_and_changed_ones_are_told(own, tmp_path):
    path = carrying(tmp_path, reference(own, "two", "front"))
    storage = BookStorage(own)
    try:
        study = optuna.load_study(study_name="two", storage=storage)
        for values in ([3.0, 3.0], [4.0, 4.0]):
            study.add_trial(create_trial(values=values))
    finally:
        storage.close()
    (grown,) = report.locate(path, storage=own).shown[0].studies
    assert (grown.standing, grown.added, grown.trials) == (Standing.GROWN, 2, 5)

    other = replace(reference(own, "two").studies[0], seal="5e" * 32)
    path = carrying(tmp_path, FigureReference("front", (other,)))
    (different,) = report.locate(path, storage=own).shown[0].studies
    assert (different.standing, different.added) == (Standing.DIFFERENT, None)

    unsealed = FigureReference("front", (replace(other, seal=None),))
    found = report.locate(carrying(tmp_path, unsealed), storage=own)
    assert found.shown[0].studies[0].standing is Standing.NOT_SEALED
    assert found.is_found


def test_a_study_that_was_renamed_is_known_by_its_identity(recorded, tmp_path):
    known = reference(recorded.storage, "digits").studies[0]
    renamed = FigureReference("history", (replace(known, name="numbers"),))

    (study,) = report.locate(carrying(tmp_path, renamed), storage=recorded.storage).shown[0].studies

    assert (study.name, study.carried_name, study.was_renamed) == ("digits", "numbers", True)
    assert study.standing is Standing.UNCHANGED


def test_a_study_or_trial_that_was_deleted_is_said_to_be(own, tmp_path):
    both = [reference(own, "digits", "history", 0), reference(own, "two", "front", 1)]
    path = carrying(tmp_path, *both)
    book = Book.open(own, create=False)
    reader = Reader(book)
    remove_trial(book, reader.trial("digits/0"))
    remove_study(book, reader.study("two"))
    book.close()

    found = report.locate(path, storage=own)

    first, second = found.shown
    assert first.studies[0].standing is Standing.UNCHANGED  # a tombstone keeps the seal
    assert first.trials[0].state is None
    assert "was deleted" in first.trials[0].missing
    assert second.studies[0].standing is Standing.DELETED
    assert second.studies[0].deleted_s is not None
    assert (second.trials, second.draw, found.is_found) == ((), None, False)


def test_a_figure_of_another_book_is_said_to_be_of_another_book(recorded, tmp_path):
    here = reference(recorded.storage, "digits", "slice", 3)

    alone = report.locate(carrying(tmp_path, NOT_HERE), storage=recorded.storage)
    both = report.locate(carrying(tmp_path, here, NOT_HERE), storage=recorded.storage)

    (study,) = alone.shown[0].studies
    assert (study.carried_name, study.name, study.seal) == ("elsewhere", None, "5e" * 32)
    assert study.standing is Standing.NOT_HERE
    assert (alone.is_found, both.is_found) == (False, False)
    assert both.shown[0].is_here


def test_a_figure_that_singles_out_no_trial_leads_to_the_best_one_now(recorded, tmp_path):
    all_trials = reference(recorded.storage, "digits", "edf")
    front = reference(recorded.storage, "two", "front")

    found = report.locate(carrying(tmp_path, all_trials, front), storage=recorded.storage)

    first, second = found.shown
    best = analysis.best("digits", storage=recorded.storage)[0]
    assert [trial.reference for trial in first.trials] == [best.reference]
    assert (first.singled_out, second.singled_out, second.trials) == (False, False, ())


def test_a_comparison_leads_to_all_of_its_studies(recorded, tmp_path):
    studies = [reference(recorded.storage, name).studies[0] for name in ("digits", "two")]
    path = carrying(tmp_path, FigureReference("comparison", tuple(studies)))

    (shown,) = report.locate(path, storage=recorded.storage).shown

    assert [study.name for study in shown.studies] == ["digits", "two"]
    assert shown.draw.endswith(" digits two")
    assert shown.draw.startswith("trialbook compare --write latex ")


def test_a_reference_that_says_odd_things_gives_no_command(recorded, tmp_path):
    known = reference(recorded.storage, "digits")
    odd = replace(known, shows="; rm -rf ~", trials=(999, *range(100)))

    (shown,) = report.locate(carrying(tmp_path, odd), storage=recorded.storage).shown

    assert shown.draw is None
    assert shown.trials[0].state is None
    assert len(shown.trials) == 50


def test_an_artifact_a_log_and_inputs_are_known_by_their_content(recorded, tmp_path):
    def content(value: bytes) -> report.Located:
        path = tmp_path / "file"
        path.write_bytes(value)
        return report.locate(path, storage=recorded.storage)

    model = content(b"model 3")
    (kept,) = model.kept
    assert (kept.keeping.how, kept.keeping.name, kept.keeping.counts) == (
        "artifact", "model.txt", True,
    )  # fmt: skip
    assert kept.trial.reference == "digits/3"
    assert kept.trial.rerun is not None
    assert (model.kept_in_all, model.is_found) == (1, True)

    log = content(b"trial 3 \x1b[31mred\x1b[0m\n")
    assert [(k.keeping.how, k.trial.reference) for k in log.kept] == [("stdout", "digits/3")]

    data = content(b"a,b\n")
    assert [(str(u.kind), u.name, u.study, u.trials) for u in data.uses if u.kind == "data"] == [
        ("data", "train", "digits", 4)
    ]
    settings = content(b"model: {epochs: 6, width: 3}\n")
    assert ("configuration", 4, 7) in [(u.role, u.first, u.last) for u in settings.uses]
    source = content((recorded.directory / "search.py").read_bytes())
    assert ("search.py", "loaded", 4) in [(u.name, u.role, u.trials) for u in source.uses]


def test_what_is_unknown_says_what_was_looked_for_and_what_may_help(recorded, tmp_path):
    path = tmp_path / "file"
    for content, words in (
        (b"something", "an artifact"),
        (b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0IEND\xaeB`\x82", "screenshots"),
        (b"%PDF-1.4\n%%EOF\n", "Ghostscript"),
        (b"<svg xmlns='x'></svg>", "remove its metadata"),
        (b"<!doctype html><html></html>", "pages that Trialbook wrote"),
        (b"", "it is empty"),
    ):
        path.write_bytes(content)
        found = report.locate(path, storage=recorded.storage)
        assert not found.is_found
        assert found.looked_for or not content
        assert any(words in note for note in found.notes), found.notes


def test_a_table_is_known_by_the_index_beside_it_until_it_is_changed(recorded, tmp_path):
    known = reference(recorded.storage, "digits", "history", 3)
    table = tmp_path / "history.csv"
    table.write_text("trial,value\n3,0.5\n")
    digest = hashlib.sha256(table.read_bytes()).hexdigest()
    index = tmp_path / csv_writer.INDEX
    header = ",".join(csv_writer.INDEX_COLUMNS)
    index.write_text(f'{header}\nhistory.csv,"A caption, with\na line",{known},{digest}\n')

    whole = report.locate(table, storage=recorded.storage)
    assert [s.reference for s in whole.shown] == [str(known)]
    of_index = report.locate(index, storage=recorded.storage)
    assert [s.reference for s in of_index.shown] == [str(known)]
    moved = shutil.copy(table, tmp_path / "other.csv")
    assert report.locate(moved, storage=recorded.storage).is_found

    table.write_text("trial,value\n3,0.6\n")
    changed = report.locate(table, storage=recorded.storage)
    assert not changed.is_found
    assert any("it was changed" in note for note in changed.notes)
    index.write_bytes(b'file,reference,sha256\n"' + b"x" * 200_000)
    assert not report.locate(table, storage=recorded.storage).is_found


def test_a_stream_is_read_like_a_file(recorded, tmp_path):
    known = reference(recorded.storage, "digits", "history", 3)
    content = carrying(tmp_path, known).read_bytes()

    found = report.locate(io.BytesIO(content), storage=recorded.storage)

    assert (found.file, found.is_found, found.size_bytes) == ("-", True, len(content))


def test_only_plain_files_are_opened(recorded, tmp_path):
    fifo, link, dangling = tmp_path / "fifo", tmp_path / "link", tmp_path / "dangling"
    os.mkfifo(fifo)
    link.symlink_to(carrying(tmp_path, reference(recorded.storage, "digits")))
    dangling.symlink_to(tmp_path / "gone")

    assert report.locate(link, storage=recorded.storage).is_found
    for path, words in (
        (tmp_path, "a directory"),
        (fifo, "a pipe"),
        (Path("/dev/null"), "a device"),
        (Path(recorded.storage), "a file of the book itself"),
        (Path("nul\0"), "names no file"),
    ):
        with pytest.raises(InvalidInputError, match=words) as told:
            report.locate(path, storage=recorded.storage)
        assert told.value.hint
    for path, words, hint in (
        (dangling, "leads nowhere", "where it is now"),
        (tmp_path / "lnk", "is not there", "did you mean '.*/link'"),
        (tmp_path / "no", "is not there", "look what is in"),
        (link / "below", "is not there", "there is no directory"),
    ):
        with pytest.raises(NotFoundError, match=words) as told:
            report.locate(path, storage=recorded.storage)
        assert re.search(hint, told.value.hint)


def test_a_file_that_cannot_be_read_is_told_with_the_reason(recorded, tmp_path, monkeypatch):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(UnreadableFileError, match="cannot be read: .*symbolic links") as told:
        report.locate(loop, storage=recorded.storage)
    assert told.value.where == str(loop)

    monkeypatch.setattr(os, "open", _refusing)  # root may read everything
    with pytest.raises(UnreadableFileError, match="Permission denied") as told:
        report.locate(recorded.directory / "train.csv", storage=recorded.storage)
    assert "ask its owner" in told.value.hint


def _refusing(path, flags):
    raise PermissionError(errno.EACCES, "Permission denied", str(path))


def test_a_file_of_the_book_under_another_name_is_not_opened(own, tmp_path):
    """Closing a second handle on it would drop the locks that SQLite holds."""
    os.link(own, tmp_path / "innocent.pdf")

    with pytest.raises(InvalidInputError, match="a file of the book itself"):
        report.locate(tmp_path / "innocent.pdf", storage=own)


def test_a_large_file_of_a_size_that_nothing_has_is_not_hashed(recorded, tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 42)

    found = report.locate(path, storage=recorded.storage)

    assert found.digest is None
    assert not found.is_found
    assert found.looked_for == ("anything of 4,398,046,511,104 bytes in the book",)


def test_a_file_in_the_directory_of_a_running_trial_leads_to_it(own, tmp_path):
    storage = BookStorage(own)
    study_id = storage.get_study_id_from_name("digits")
    running = storage.create_new_trial(study_id)
    number = storage.get_trial(running).number
    storage.begin_attempt(running, snapshots=[], blobs=[], seeds=None)
    directory = tmp_path / f"trialbook-{number}-abc_1x2y"
    directory.mkdir()
    (directory / "checkpoint.bin").write_bytes(b"half a model")
    ended = tmp_path / "trialbook-0-abcdefgh"
    ended.mkdir()
    (ended / "left.bin").write_bytes(b"left")

    place = report.locate(directory / "checkpoint.bin", storage=storage).place
    gone = report.locate(ended / "left.bin", storage=storage)
    storage.close()

    assert place.number == number
    assert [(c.study, c.number, c.attempt) for c in place.candidates] == [("digits", number, 1)]
    assert gone.place.candidates == ()
    assert not gone.is_found

"""Writing reports: all formats or none, where to, the same bytes everywhere, and no names."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook.analysis.opening import opened
from trialbook.book.storage import BookStorage
from trialbook.cli.main import exit_code_of_command
from trialbook.errors import InvalidInputError, MissingPackageError, NotFoundError, OutputError
from trialbook.report import write
from trialbook.report.building import build
from trialbook.report.document import Document, FigureBlock
from trialbook.report.figure_files import ENDINGS
from trialbook.report.sections import searching
from trialbook.report.source import ReportOptions
from trialbook.report.writers import FORMATS
from trialbook.report.writing import directory_name, told

from .conftest import Shelf
from .studies import plain
from .tracked import COMMIT, HOME, MARK, STUDY, Lacking, replicated, tracked

ALL = [found.name for found in FORMATS]
_PACKAGES = all(not found.missing for found in FORMATS)
needs_paper = pytest.mark.skipif(not _PACKAGES, reason="the extra 'paper' is not installed")


OTHER = f"{MARK}other"


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book whose study is recorded in full and was replicated, and one that asked for less."""
    path = tmp_path_factory.mktemp("tracked") / f"{MARK}book.db"
    storage = BookStorage(path)
    tracked(storage)
    replicated(storage)
    tracked(storage, Lacking(config=True, variables=True, inputs=True), name=OTHER)
    storage.close()
    return path


def files(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def bytes_of(name: str, content: bytes) -> Iterator[bytes]:
    """A file's bytes, those of its compressed streams, and the text that a PDF shows."""
    yield name.encode()
    yield content
    for found in re.finditer(rb"stream\r?\n|zTXt|iTXt", content):
        try:
            yield zlib.decompressobj().decompress(content[found.end() :])
        except zlib.error:
            continue  # a stream that is not compressed lies there in the open
    if content.startswith(b"%PDF"):
        from pypdf import PdfReader

        reader = PdfReader(io.BytesIO(content))
        yield str(reader.metadata).encode()
        for page in reader.pages:
            yield page.extract_text().encode()


FEWER = {"_COURSE": ("history",), "_SPACE": ("slice",), "_TRAINING": ("pruning",)}
"""Figures take most of the time; that each is drawn alike is tested where they are drawn."""

PROGRAM = f"""
import sys
from trialbook.report import write
from trialbook.report.sections import searching
vars(searching).update({FEWER!r})
write(sys.argv[1], sys.argv[3:], "here", anonymous=True, storage=sys.argv[2])
"""


@pytest.fixture(scope="module")
def anonymous(book: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Every file of an anonymous report in all formats."""
    out = tmp_path_factory.mktemp("anonymous") / "out"
    with pytest.MonkeyPatch.context() as patch:
        for name, kinds in FEWER.items():
            patch.setattr(searching, name, kinds)
        written = write(STUDY, ALL, out, anonymous=True, storage=str(book))
    found = files(out)
    assert sorted(found) == sorted(str(path.relative_to(out)) for path in written.files)
    return found


@needs_paper
def test_an_anonymous_report_names_nobody_in_any_byte_of_any_format(
    anonymous: dict[str, bytes],
) -> None:
    endings = {Path(name).suffix for name in anonymous}
    assert endings >= {".html", ".md", ".tex", ".pdf", ".png", ".csv"}
    names_nobody(anonymous)


def names_nobody(found: dict[str, bytes]) -> None:
    for name, content in found.items():
        for part in bytes_of(name, content):
            for telling in (MARK.encode(), COMMIT[:7].encode()):
                at = part.lower().find(telling)
                assert at < 0, (name, part[max(0, at - 80) : at + 80])


@needs_paper
def test_an_anonymous_comparison_names_nobody_in_any_byte_of_any_format(
    book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["compare", STUDY, OTHER, "--storage", str(book), "--write"]
    anonymous = [",".join(ALL), "--anonymous", "-o", str(tmp_path / "out")]
    assert exit_code_of_command([*argv, *anonymous]) == 0
    found = files(tmp_path / "out")
    names_nobody(found)
    said = capsys.readouterr().err
    assert MARK not in said
    assert "search all files for your names" in said
    rows = found["csv/settings.csv"].decode()
    assert "config data.root,path " in rows
    assert "config project,repository 1,none,differs" in rows
    assert "commit 1" in rows
    assert "TZ" not in rows
    assert "timezone" not in rows
    assert exit_code_of_command([*argv, "csv", "-o", str(tmp_path / "told")]) == 0
    told = (tmp_path / "told/csv/settings.csv").read_text()
    assert all(name in told for name in (f"{MARK}lab.pruners.Own", f"{HOME}/data", COMMIT[:12]))
    assert f"{MARK}/Town" in told


@needs_paper
def test_an_anonymous_figure_names_nobody_in_any_byte_of_any_kind_of_file(
    book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for ending in ENDINGS:
        path = str(tmp_path / f"slice.{ending}")
        argv = ["plot", STUDY, "slice", "--anonymous", "-o", path, "--storage", str(book)]
        assert exit_code_of_command(argv) == 0
    names_nobody(files(tmp_path))
    assert "path 1" in (tmp_path / "slice.html").read_text()
    assert "search all files for your names" in capsys.readouterr().err


def test_no_figure_of_an_anonymous_report_names_anybody(book: Path) -> None:
    with opened(str(book)) as reader:
        named = build(reader, STUDY, ReportOptions())
        made = build(reader, STUDY, ReportOptions(anonymous=True))
        untold = told(reader, made, anonymous=True)
    kinds = [[b.name for b in figures_of(document)] for document in (named, untold)]
    assert kinds[0] == kinds[1]
    assert len(kinds[0]) > 8
    assert MARK in str([block.chart for block in figures_of(named)])
    assert MARK not in str(untold)


def figures_of(document: Document) -> list[FigureBlock]:
    blocks = [block for section in document.sections for block in section.blocks]
    return [block for block in blocks if isinstance(block, FigureBlock)]


def test_the_same_names_are_found_in_a_report_that_is_not_anonymous(
    book: Path, tmp_path: Path
) -> None:
    write(STUDY, ["html", "csv"], tmp_path / "out", storage=str(book))
    found = files(tmp_path / "out")
    for name in ("report.html", "csv/hardware.csv", "csv/failures.csv", "csv/index.csv"):
        assert any(MARK.encode() in part for part in bytes_of(name, found[name])), name


@needs_paper
def test_the_same_book_gives_the_same_bytes_wherever_it_is_written(
    book: Path, tmp_path: Path, anonymous: dict[str, bytes]
) -> None:
    surroundings = {
        **os.environ,
        "TZ": "Pacific/Chatham",
        "PYTHONHASHSEED": "77",
        "LANG": "C",
        "HOME": str(tmp_path),
        "COLUMNS": "40",
    }
    subprocess.run(
        [sys.executable, "-c", PROGRAM, STUDY, str(book), *reversed(ALL)],
        cwd=tmp_path,
        env=surroundings,
        check=True,
        timeout=300,
    )
    second = files(tmp_path / "here")
    assert anonymous.keys() == second.keys()
    assert [name for name in anonymous if anonymous[name] != second[name]] == []


def test_formats_are_checked_before_anything_is_written(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with pytest.raises(InvalidInputError, match="'doc', 'odt'") as refused:
        write("plain", ["html", "doc", "odt"], out, storage=shelf.storage)
    assert "html, md, latex, pdf, csv" in str(refused.value)
    with pytest.raises(InvalidInputError, match="no format"):
        write("plain", [], out, storage=shelf.storage)
    monkeypatch.setattr("trialbook.report.writers.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="pdf needs matplotlib, typst") as lacking:
        write("plain", ["html", "pdf"], out, storage=shelf.storage)
    assert "pip install 'trialbook[paper]'" in str(lacking.value)
    with pytest.raises(NotFoundError):
        write("nowhere", ["csv"], out, storage=shelf.storage)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InvalidInputError, match="is a file"):
        write("plain", ["csv"], tmp_path / "file", storage=shelf.storage)
    assert not out.exists()


def test_a_report_that_dies_leaves_the_old_one_whole(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write("empty", ["csv"], out, storage=shelf.storage)
    before = files(tmp_path)

    def dies(document: object, directory: Path) -> tuple[Path, ...]:
        (directory / "half.html").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr("trialbook.report.writers.html.write", dies)
    with pytest.raises(KeyboardInterrupt):
        write("single", ["html", "csv"], out, storage=shelf.storage)
    assert files(tmp_path) == before


def test_other_files_stay_and_are_told_of(shelf: Shelf, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write("single", ["csv"], out, storage=shelf.storage)
    (out / "notes.txt").write_text("mine")
    again = write("empty", ["csv"], out, storage=shelf.storage)
    assert (out / "notes.txt").read_text() == "mine"
    assert any("are not of this report" in notice for notice in again.notices)
    assert (out / "csv" / "states.csv").read_text().splitlines()[1] == "complete,0"


def test_a_place_that_cannot_be_written_is_named_with_the_next_step(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(document: object, directory: Path) -> tuple[Path, ...]:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("trialbook.report.writers.html.write", full)
    with pytest.raises(OutputError, match="the report cannot be written: No space left") as told:
        write("empty", ["html"], tmp_path / "out", storage=shelf.storage)
    assert told.value.where == str(tmp_path / "out")
    assert "make room" in str(told.value.hint)
    assert files(tmp_path) == {}


def test_a_directory_in_the_place_of_a_file_changes_nothing(shelf: Shelf, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "csv" / "states.csv").mkdir(parents=True)
    with pytest.raises(InvalidInputError, match="in the place of a file") as told:
        write("empty", ["csv"], out, storage=shelf.storage)
    assert told.value.where == str(out / "csv" / "states.csv")
    assert files(tmp_path) == {}


def test_an_optuna_study_in_a_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import trialbook

    monkeypatch.chdir(tmp_path)
    study = trialbook.create_study(
        study_name="own", storage=f"sqlite:///{tmp_path / 'book.db'}", direction="maximize"
    )
    written = write(study, ["csv"])
    assert written.directory == Path("own-report")
    assert written.paths == (Path("own-report/csv/index.csv"),)


def test_the_command_prints_paths_and_on_stderr_what_is_missing(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["report", "single", "--format", "csv, html", "--storage", shelf.storage]
    assert exit_code_of_command(command) == 0
    out, err = capsys.readouterr()
    assert out == "single-report/report.html\nsingle-report/csv/index.csv\n"
    assert "answers are MISSING" in err
    assert "ran without being tracked" in err
    assert exit_code_of_command([*command[:3], "doc", *command[4:]]) == 2
    assert "unknown format: 'doc'" in capsys.readouterr().err
    assert exit_code_of_command([*command, "--anonymous", "-o", "deep/er"]) == 0
    assert (tmp_path / "deep" / "er" / "report.html").is_file()


@given(st.text(max_size=400))
def test_a_default_directory_is_one_safe_part_of_a_path(name: str) -> None:
    found = directory_name(name)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", found)
    assert len(found) < 90
    assert (Path("/here") / found).parent == Path("/here")
    if found.removesuffix("-report") != name:
        assert hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8] in found


@pytest.mark.parametrize("name", ["../../etc", "..", ".", "", "a/b", "a\\b", "C:", "x" * 300, "-o"])
def test_names_that_would_lead_elsewhere(name: str) -> None:
    assert directory_name(name) == Path(directory_name(name)).name
    assert directory_name(name) != directory_name(name + "x")
    assert directory_name(name, anonymous=True) == "study-report"


def test_records_that_do_not_hold_end_the_command_with_4(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    book = tmp_path / "book.db"
    storage = BookStorage(book)
    plain(storage, trials=3)
    storage.close()
    command = ["report", "plain", "--format", "csv", "--output", str(tmp_path / "out"), "--verify"]
    command += ["--storage", str(book)]
    assert exit_code_of_command(command) == 0
    with closing(sqlite3.connect(book)) as connection, connection:
        connection.execute("UPDATE tb_trial SET params = '{}' WHERE number = 1")
    assert exit_code_of_command(command) == 4
    assert "mismatch" in capsys.readouterr().err

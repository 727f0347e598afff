"""``storage``, ``rm``, ``gc``, ``verify``, ``doctor``: the commands that keep a book in order."""

from __future__ import annotations

import io
import json
import re
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest

from trialbook import analysis
from trialbook.cli.main import exit_code_of_command
from trialbook.errors import NotFoundError

from ..terminals import OnTerminal


@pytest.fixture
def book(recorded, tmp_path) -> Path:
    """A copy of the recorded book, to be changed."""
    shutil.copytree(Path(recorded.storage).parent, tmp_path / "copy")
    return tmp_path / "copy" / "book.db"


@pytest.fixture
def run(book, capsys):
    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = exit_code_of_command([*arguments, "--storage", str(book)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def _states(book: Path) -> dict[str, int]:
    return {s.name: sum(s.states.values()) for s in analysis.studies(storage=book)}


def _answered(answer: str | None, *arguments: str) -> tuple[int, str]:
    """Run a command on a terminal and answer its question; exit code and what was shown.

    ``None`` interrupts it instead.
    """
    with OnTerminal(*arguments) as terminal:
        terminal.shows("[y/N]")
        if answer is None:
            terminal.process.send_signal(signal.SIGINT)
            # The interpreter forgets an interrupt between the prompt and its reading until the
            # next key or signal.
            return terminal.ends(nudged_s=5)
        terminal.type(answer)
        return terminal.ends()


def test_storage_init_makes_a_book_here_or_where_it_is_asked(tmp_path, monkeypatch, capsys):
    below = tmp_path / "below"
    below.mkdir()
    monkeypatch.chdir(tmp_path)
    assert exit_code_of_command(["storage", "init"]) == 0
    assert capsys.readouterr().out == f"sqlite:///{tmp_path}/.trialbook/book.db\n"
    assert (tmp_path / ".trialbook" / ".gitignore").read_text() == "*\n"
    monkeypatch.chdir(below)  # a book above does not keep one from being made here
    assert exit_code_of_command(["storage", "init"]) == 0
    assert capsys.readouterr().out == f"sqlite:///{below}/.trialbook/book.db\n"
    assert exit_code_of_command(["storage", "init", "other.db"]) == 0
    assert (below / "other.db").exists()
    capsys.readouterr()
    assert exit_code_of_command(["storage", "init", "other.db"]) == 0
    assert "there already" in capsys.readouterr().err
    monkeypatch.setenv("TRIALBOOK_STORAGE", str(below / "third.db"))
    assert exit_code_of_command(["storage", "init"]) == 0
    assert (below / "third.db").exists()
    assert exit_code_of_command(["storage", "init", "a.db", "--storage", "b.db"]) == 2


def test_storage_init_refuses_what_is_no_place_for_a_book(tmp_path, capsys):
    (tmp_path / "text.db").write_text("this is text, and longer than a header")
    sqlite3.connect(tmp_path / "foreign.db").execute("CREATE TABLE t (x)").connection.close()
    for name, code in (("text.db", 1), ("foreign.db", 1), ("", 2)):
        assert exit_code_of_command(["storage", "init", str(tmp_path / name)]) == code
        assert capsys.readouterr().err.startswith("error: ")
    assert (tmp_path / "text.db").read_text().startswith("this is text")


def test_rm_deletes_trials_and_studies_and_leaves_the_seal(run, book):
    before = json.loads(run("verify", "digits", "--format", "json")[1])["seals"][0]["seal"]
    code, out, err = run("rm", "digits/1", "digits/3", "two", "--yes")
    assert (code, out) == (0, "")
    assert "delete trial digits/1: PRUNED" in err
    assert _states(book) == {**_states(book), "digits": 6}
    assert "two" not in _states(book)
    with pytest.raises(NotFoundError, match="was deleted"):
        analysis.trial("digits/1", storage=book)
    code, out, _ = run("verify", "digits", "--seal", before)
    assert code == 0
    assert before in out


def test_rm_asks_and_does_nothing_when_the_answer_is_no(run, book):
    before = _states(book)
    code, shown = _answered("n\n", "rm", "digits/1", "--storage", str(book))
    assert code == 1
    assert "nothing was deleted" in shown
    assert _states(book) == before
    code, shown = _answered("y\n", "rm", "digits/1", "--storage", str(book))
    assert code == 0
    assert _states(book)["digits"] == 7


def test_an_interrupt_at_the_question_is_130_and_deletes_nothing(book):
    before = _states(book)
    assert _answered(None, "rm", "digits/1", "--storage", str(book))[0] == 130
    assert _states(book) == before


def test_rm_and_gc_without_a_terminal_do_not_ask(run, book, monkeypatch):
    before = _states(book)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, out, err = run("rm", "digits")
    assert (code, out) == (2, "")
    assert "--yes" in err
    assert _states(book) == before
    assert run("rm", "digits", "--yes")[0] == 0
    code, _, err = run("gc")
    assert code == 2
    assert "--yes" in err


def test_a_dry_run_changes_nothing_and_needs_no_write_access(run, book):
    # A slow trial is written before it ends; what it names then may be named no more at its end.
    assert run("gc", "--yes")[0] == 0
    before = book.read_bytes()
    code, out, _ = run("rm", "digits", "digits/0", "--dry-run")
    assert code == 0
    assert out == "would delete study digits: 8 trials\nwould delete trial digits/0: COMPLETE\n"
    assert run("gc", "--dry-run")[1] == "nothing to remove\n"
    assert book.read_bytes() == before


def test_rm_of_something_unknown_deletes_nothing_at_all(run, book):
    before = _states(book)
    assert run("rm", "digits/0", "digits/99", "--yes")[0] == 3
    assert run("rm", "--yes")[0] == 2
    assert _states(book) == before


def test_rm_of_running_trials_is_refused_unless_it_is_meant(run, recorded, book):
    code, _, err = run("rm", recorded.odd, "--yes")
    assert code == 2
    assert "--running" in err
    assert run("rm", recorded.odd, "--yes", "--running")[0] == 0
    assert recorded.odd not in _states(book)


def test_gc_frees_what_was_deleted_and_verify_holds(run, book):
    assert run("rm", *(f"digits/{n}" for n in range(4)), "--yes")[0] == 0
    code, out, _ = run("gc", "--dry-run", "--format", "json")
    found = json.loads(out)
    assert code == 0
    assert found["snapshots"] >= 3
    assert found["blobs"] >= 5
    assert found["size_bytes"] > 0
    code, out, _ = run("gc", "--yes", "--format", "json")
    assert json.loads(out) == found
    assert run("gc", "--yes")[1] == "nothing to remove\n"
    assert run("verify")[0] == 0
    assert "+FACTOR" not in run("show", "digits/4")[1]
    assert run("show", "digits/4")[0] == 0


def test_verify_prints_seals_that_do_not_change(run):
    code, out, err = run("verify")
    assert (code, err) == (0, "")
    seals = dict(re.findall(r"^(\w+) .*([0-9a-f]{64})$", out, re.MULTILINE))
    assert {"digits", "two", "empty"} <= seals.keys()
    assert re.search(r"verified: 12 records, \d+ metrics, \d+ snapshots, \d+ blobs$", out)
    assert f"seal        {seals['digits']}" in run("show", "digits")[1]
    assert run("verify", "--seal", seals["digits"])[0] == 0
    assert "the seal holds" in run("verify", "digits", "--seal", seals["digits"])[2]


def test_verify_names_what_is_wrong_with_exit_4(run, book):
    connection = sqlite3.connect(book)
    connection.execute("UPDATE tb_trial SET params = '{}' WHERE trial_id = 1")
    connection.execute("DELETE FROM tb_blob WHERE CAST(content AS TEXT) LIKE 'model 3'")
    connection.commit()
    connection.close()
    code, out, _ = run("verify")
    assert code == 4
    assert "MISMATCH record: digits/0: " in out
    assert re.search(r"MISMATCH blob: [0-9a-f]{64} \(artifact model\.txt of digits/3", out)
    assert out.endswith("blobs\n")
    assert "2 mismatches in " in out
    found = json.loads(run("verify", "digits", "--format", "json")[1])
    assert sorted(m["kind"] for m in found["mismatches"]) == ["blob", "record"]
    assert run("verify", "two")[0] == 0


def test_verify_with_another_seal_is_exit_4_and_with_none_at_all_exit_2(run):
    code, out, _ = run("verify", "digits", "--seal", "0" * 64)
    assert code == 4
    assert "1 mismatch in" in out
    assert "MISMATCH seal: digits: " in out
    assert run("verify", "--seal", "abc")[0] == 2


def test_doctor_is_0_when_all_is_well_and_1_when_something_must_be_mended(run, tmp_path, capsys):
    code, out, _ = run("doctor")
    assert code == 0
    assert re.search(r"^ok +storage +.*\(--storage\)$", out, re.MULTILINE)
    bad = tmp_path / "bad.db"
    bad.write_text("no database, but longer than the header of one")
    assert exit_code_of_command(["doctor", "--storage", str(bad)]) == 1
    assert re.search(r"^failed +book ", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize(
    "arguments",
    [("ls",), ("show", "digits"), ("verify",), ("rm", "x", "--yes"), ("gc", "--yes")],
    ids=" ".join,
)
@pytest.mark.parametrize("kind", ["missing", "text", "foreign", "directory", "newer"])
def test_what_is_no_book_is_said_and_left_as_it_is(tmp_path, book, capsys, kind, arguments):
    place = tmp_path / kind
    if kind == "text":
        place.write_text("this is text, and longer than a header")
    elif kind == "foreign":
        sqlite3.connect(place).execute("CREATE TABLE t (x)").connection.close()
    elif kind == "directory":
        place.mkdir()
    elif kind == "newer":
        shutil.copy(book, place)
        connection = sqlite3.connect(place)
        connection.execute("UPDATE tb_alembic_version SET version_num = '9999'")
        connection.commit()
        connection.close()
    before = place.read_bytes() if place.is_file() else None
    code = exit_code_of_command([*arguments, "--storage", str(place)])
    captured = capsys.readouterr()
    assert code == {"missing": 3, "directory": 2}.get(kind, 1)
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert len(captured.err.splitlines()) <= 3
    assert (place.read_bytes() if place.is_file() else None) == before

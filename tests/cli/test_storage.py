"""``trialbook storage upgrade``, and what it says."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from trialbook.book.migration import REVISIONS
from trialbook.cli.main import exit_code_of_command

FROZEN = Path(__file__).parents[1] / "book" / "frozen"


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A book that an older program has made."""
    place = tmp_path / "book.db"
    place.write_bytes(gzip.decompress((FROZEN / "book-0001.db.gz").read_bytes()))
    return place


def test_an_older_book_is_refused_looked_at_and_upgraded(older, capsys) -> None:
    def said(*arguments: str) -> tuple[int, str, str]:
        code = exit_code_of_command([*arguments, "--storage", str(older)])
        return code, *capsys.readouterr()

    code, _, messages = said("ls")
    assert code == 1
    assert f"try: stop its workers, then run: trialbook storage upgrade sqlite:///{older}" in (
        messages
    )
    before = older.read_bytes()
    code, out, messages = said("storage", "upgrade", "--dry-run")
    assert (code, out) == (0, f"sqlite:///{older}\n")
    assert f"would upgrade the book from revision 0001 to {REVISIONS[-1]}" in messages
    assert "0002  Leases, retries and checkpoints" in messages
    assert f"would back it up to {older}.backup-0001" in messages
    assert older.read_bytes() == before
    code, out, messages = said("storage", "upgrade")
    assert (code, out) == (0, f"sqlite:///{older}\n")
    assert f"upgraded the book from revision 0001 to {REVISIONS[-1]}" in messages
    assert f"backed up before, and verified: {older}.backup-0001" in messages
    assert older.with_name("book.db.backup-0001").is_file()
    code, out, messages = said("storage", "upgrade")
    assert (code, out) == (0, f"sqlite:///{older}\n")
    assert f"the book is up to date (revision {REVISIONS[-1]})" in messages
    assert said("ls")[0] == 0


def test_a_place_that_is_given_twice_or_holds_no_book_is_refused(tmp_path, capsys) -> None:
    place = str(tmp_path / "none.db")
    assert exit_code_of_command(["storage", "upgrade", place, "--storage", place]) == 2
    assert exit_code_of_command(["storage", "upgrade", place]) == 3
    assert "there is no book" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def _said(capsys, *arguments: str) -> tuple[int, str, str]:
    code = exit_code_of_command(["storage", *arguments])
    return code, *capsys.readouterr()


def test_a_study_is_copied_into_a_book_that_is_made(recorded, tmp_path, capsys) -> None:
    there = tmp_path / "new" / ".trialbook" / "book.db"
    arguments = ("copy", "digits", "two", "--to", str(there), "--storage", recorded.storage)
    code, out, messages = _said(capsys, *arguments)
    assert (code, out) == (0, f"sqlite:///{there}\n" * 2)
    assert "copied the study 'digits': 8 trials" in messages
    code, out, messages = _said(capsys, *arguments, "--format", "json")
    assert code == 0
    assert [(copy["study"], copy["was_there"]) for copy in json.loads(out)] == [
        ("digits", True),
        ("two", True),
    ]
    code, _, messages = _said(capsys, *arguments[:2], *arguments[3:], "--as", "other")
    assert code == 0
    assert "the study 'digits' is there already, with the same seal" in messages
    assert exit_code_of_command(["verify", "--storage", str(there)]) == 0
    copied = capsys.readouterr().out
    assert exit_code_of_command(["verify", "digits", "--storage", recorded.storage]) == 0
    seal = capsys.readouterr().out.splitlines()[1].split()[-1]
    assert seal in copied


def test_what_cannot_be_copied_is_refused_before_a_book_is_made(recorded, tmp_path, capsys) -> None:
    there = tmp_path / "there.db"
    to = ("--to", str(there), "--storage", recorded.storage)
    assert _said(capsys, "copy", "nix", *to)[0] == 3
    assert _said(capsys, "copy", "digits", "two", "--as", "x", *to)[0] == 2
    assert list(tmp_path.iterdir()) == []
    code, _, messages = _said(capsys, "copy", recorded.odd, *to)
    assert code == 2
    assert "are running" in messages
    assert "\x1b" not in messages


def test_a_study_in_one_file_is_verified_shown_and_not_overwritten(
    recorded, tmp_path, capsys
) -> None:
    file = tmp_path / "digits.db"
    arguments = ("export", "digits", "-o", str(file), "--storage", recorded.storage)
    code, out, messages = _said(capsys, *arguments)
    assert (code, out) == (0, f"sqlite:///{file}\n")
    assert list(tmp_path.iterdir()) == [file]
    for command in (["verify"], ["show", "digits/best"], ["best", "digits"], ["ls"]):
        assert exit_code_of_command([*command, "--storage", str(file)]) == 0
    assert list(tmp_path.iterdir()) == [file]
    capsys.readouterr()
    code, _, messages = _said(capsys, *arguments)
    assert code == 2
    assert "--force" in messages
    code, out, _ = _said(capsys, *arguments, "--force", "--format", "csv")
    assert (code, out.splitlines()[1].split(",")[0]) == (0, "digits")

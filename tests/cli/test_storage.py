"""``trialbook storage upgrade``, and what it says."""

from __future__ import annotations

import gzip
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

from __future__ import annotations

from pathlib import Path

import pytest

from trialbook.book import location
from trialbook.book.book import Book
from trialbook.errors import BookNetworkError, InvalidInputError


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIALBOOK_STORAGE", raising=False)


def test_default_is_made_in_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert location.book_url() == f"sqlite:///{tmp_path}/.trialbook/book.db"
    Book.open().close()
    assert (tmp_path / ".trialbook" / ".gitignore").read_text() == "*\n"
    assert (tmp_path / ".trialbook" / "book.db").is_file()


def test_a_book_is_found_by_walking_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Book.open(tmp_path / ".trialbook" / "book.db").close()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert location.book_url() == f"sqlite:///{tmp_path}/.trialbook/book.db"


def test_the_argument_wins_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIALBOOK_STORAGE", "postgresql://lab/book")
    assert location.book_url() == "postgresql://lab/book"
    assert location.book_url(tmp_path / "x.db") == f"sqlite:///{tmp_path}/x.db"


@pytest.mark.parametrize("storage", ["x.db", "sqlite:///x.db", "./x.db"])
def test_relative_paths_become_absolute(
    storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert location.book_url(storage) == f"sqlite:///{tmp_path}/x.db"


def test_four_slashes_are_an_absolute_path() -> None:
    assert location.book_url("sqlite:////srv/x.db") == "sqlite:////srv/x.db"


@pytest.mark.parametrize(
    "storage", ["sqlite://", "sqlite:///:memory:", "sqlite:///x.db?mode=ro", "mysql://a/b"]
)
def test_what_cannot_hold_a_book_is_refused(storage: str) -> None:
    with pytest.raises(InvalidInputError):
        Book.open(storage)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="directory"):
        location.book_url(tmp_path)


def test_files_of_a_book_are_known(tmp_path: Path) -> None:
    own = location.book_files(f"sqlite:///{tmp_path}/.trialbook/book.db")
    assert tmp_path / ".trialbook" in own
    other = location.book_files(f"sqlite:///{tmp_path}/x.db")
    assert tmp_path not in other
    assert {p.name for p in other} >= {"x.db", "x.db-wal", "x.db-shm", "x.db.lock", "x.db.blobs"}
    assert location.book_files("postgresql://lab/book") == ()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:s3cret@lab:5432/book", "postgresql://ada@lab:5432/book"),
        ("postgresql://ada:p@ss:w@lab/book", "postgresql://ada@lab/book"),
        ("postgresql://:s3cret@lab/book", "postgresql://lab/book"),
        (
            "postgresql://lab/book?password=s3cret&sslmode=require",
            "postgresql://lab/book?sslmode=require",
        ),
        ("sqlite:////srv/x.db", "sqlite:////srv/x.db"),
    ],
)
def test_passwords_are_stripped(url: str, shown: str) -> None:
    assert location.redacted_url(url) == shown


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
fileserver:/home /home nfs4 rw 0 0
/dev/sdb1 /home/ada/local\\040disk xfs rw 0 0
host: /mnt/far fuse.sshfs rw 0 0
overlay /mnt/near fuse.fuse-overlayfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind", "network"),
    [
        ("/srv/book.db", "ext4", False),
        ("/home/ada/book.db", "nfs4", True),
        ("/homes/book.db", "ext4", False),
        ("/home/ada/local disk/book.db", "xfs", False),
        ("/mnt/far/book.db", "fuse.sshfs", True),
        ("/mnt/near/book.db", "fuse.fuse-overlayfs", False),
    ],
)
def test_the_file_system_of_a_path(path: str, kind: str, network: bool) -> None:
    found = location.file_system(Path(path), MOUNTS)
    assert found is not None
    assert (found.kind, found.network) == (kind, network)


def test_a_network_file_system_is_refused_with_a_command() -> None:
    with pytest.raises(BookNetworkError) as caught:
        location.refuse_network(Path("/home/ada/book.db"), MOUNTS)
    assert "nfs4" in str(caught.value)
    assert "--storage /" in str(caught.value)


def test_this_file_system_is_known(tmp_path: Path) -> None:
    assert location.file_system(tmp_path) is not None
    location.refuse_network(tmp_path / "book.db")

from __future__ import annotations

from pathlib import Path

import pytest

from trialbook.book import location
from trialbook.book.book import Book
from trialbook.errors import BookNetworkError, ConfigError, InvalidInputError


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


def test_a_project_names_its_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = tmp_path / "src" / "package"
    below.mkdir(parents=True)
    Book.open(tmp_path / "src" / ".trialbook" / "book.db").close()
    project = tmp_path / "pyproject.toml"
    project.write_text('[tool.trialbook]\nstorage = "books/lab.db"\n')
    (tmp_path / "src" / "pyproject.toml").write_text('[project]\nname = "inner"\n')
    monkeypatch.chdir(below)
    assert location.book_url() == f"sqlite:///{tmp_path}/books/lab.db"
    project.write_text('[tool.trialbook]\nstorage = "postgresql://lab/book"\n')
    assert location.book_url() == "postgresql://lab/book"
    monkeypatch.setenv("TRIALBOOK_STORAGE", str(tmp_path / "mine.db"))
    assert location.book_url() == f"sqlite:///{tmp_path}/mine.db"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('[tool.trialbook]\nstorge = "x"', "unknown key 'storge'"),
        ("[tool.trialbook]\nstorage = 3", "must be a storage URL or a path"),
        ("[tool]\ntrialbook = 3", "must be a table"),
    ],
)
def test_a_project_that_names_it_badly_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, message: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(table)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        location.book_url()


def test_a_broken_project_file_is_other_tools_business(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text("this is [no toml")
    monkeypatch.chdir(tmp_path)
    assert location.book_url() == f"sqlite:///{tmp_path}/.trialbook/book.db"

"""Frozen books of every released revision are refused, backed up, upgraded, read and verified."""

from __future__ import annotations

import gzip
import json
import shutil
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from optuna.trial import TrialState

from trialbook.book import migration, schema, upgrading
from trialbook.book.book import Book
from trialbook.book.location import sqlite_path
from trialbook.book.reading import Reader
from trialbook.book.storage import BookStorage
from trialbook.book.upgrading import upgrade_book, upgrade_plan
from trialbook.book.verification import verify
from trialbook.errors import BookFullError, BookNotFoundError, BookVersionError
from trialbook.records.execution import Seeds

FROZEN = Path(__file__).with_name("frozen")
RELEASED = sorted(place.name[5:9] for place in FROZEN.glob("book-*.seals.json"))
HEAD = migration.REVISIONS[-1]
OLDER = [revision for revision in RELEASED if revision != HEAD]

Thaw = Callable[[str], str]


@pytest.fixture
def thaw(url: str) -> Thaw:
    """Puts the frozen book of a revision to the place of ``url``; its seal."""

    def thawed(revision: str) -> str:
        base = FROZEN / f"book-{revision}"
        path = sqlite_path(url)
        if path is not None:
            path.write_bytes(gzip.decompress(base.with_name(f"{base.name}.db.gz").read_bytes()))
            shutil.copytree(f"{base}.db.blobs", f"{path}.blobs")
        else:
            dump = gzip.decompress(base.with_name(f"{base.name}.sql.gz").read_bytes())
            with psycopg.connect(url) as connection:
                connection.execute(dump)  # type: ignore[arg-type]
        seals = json.loads(base.with_name(f"{base.name}.seals.json").read_text())
        seal: str = seals["postgresql" if path is None else "sqlite"]
        return seal

    return thawed


def _engine(url: str) -> sqlalchemy.Engine:
    return sqlalchemy.create_engine(
        url.replace("postgresql:", "postgresql+psycopg:"), poolclass=sqlalchemy.NullPool
    )


def _rows(url: str) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table of a database."""
    with _engine(url).connect() as connection:
        return {
            name: sorted(
                (tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {name}")),
                key=repr,
            )
            for name in sqlalchemy.inspect(connection).get_table_names()
        }


def _options(index: Any) -> list[tuple[str, str]]:
    return sorted((name, str(value)) for name, value in index.get("dialect_options", {}).items())


def _tables(url: str) -> dict[str, object]:
    """Everything that a database knows of its tables, whatever its text looks like."""
    with _engine(url).connect() as connection:
        inspector = sqlalchemy.inspect(connection)
        return {
            name: (
                sorted(
                    (c["name"], str(c["type"]), c["nullable"], str(c["default"]).lower())
                    for c in inspector.get_columns(name)
                ),
                inspector.get_pk_constraint(name)["constrained_columns"],
                sorted(
                    (i["name"] or "", i["column_names"], i["unique"], _options(i))
                    for i in inspector.get_indexes(name)
                ),
                sorted(u["column_names"] for u in inspector.get_unique_constraints(name)),
                sorted(
                    (f["constrained_columns"], f["referred_table"])
                    for f in inspector.get_foreign_keys(name)
                ),
            )
            for name in inspector.get_table_names()
        }


def test_every_revision_but_an_unreleased_newest_one_is_frozen() -> None:
    known = list(migration.REVISIONS)
    assert RELEASED in (known[:-1], known)


@pytest.mark.parametrize("revision", RELEASED)
def test_a_frozen_book_is_upgraded_read_and_verified(revision: str, thaw: Thaw, url: str) -> None:
    seal = thaw(revision)
    if revision != HEAD:
        with pytest.raises(BookVersionError, match="trialbook storage upgrade"):
            Book.open(url)
    done = upgrade_book(url)
    assert (done.found, done.target) == (revision, HEAD)
    storage = BookStorage(url, create=False)
    found = verify(storage.book)
    assert (found.mismatches, [s.seal for s in found.seals]) == ((), [seal])
    trials = list(Reader(storage.book).trials("digits"))
    states = ["COMPLETE", "COMPLETE", "PRUNED", "FAIL", "COMPLETE", "RUNNING", "WAITING"]
    assert [trial.state for trial in trials] == states
    assert [trial.values for trial in trials[:2]] == [(0.5,), (float("inf"),)]
    assert [param.value for param in trials[2].params] == [0.5, 3]
    attempt = trials[1].attempt
    assert attempt is not None
    assert [(s.metric, s.count) for s in attempt.series] == [
        ("loss", 5),
        ("nan", 5),
        ("objective", 5),
    ]
    (artifact,) = attempt.artifacts
    assert Reader(storage.book).blob(artifact.digest) == b"model " * 11_000
    study_id = storage.get_study_id_from_name("digits")
    claim = storage.claim(study_id)
    assert claim is not None
    storage.begin_attempt(claim.trial_id, snapshots=[], seeds=Seeds(trial=1))
    storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [2.0])
    assert storage.get_trial(claim.trial_id).value == 2.0
    assert verify(storage.book).mismatches == ()
    storage.close()


@pytest.mark.parametrize("revision", RELEASED)
def test_upgraded_tables_are_those_of_a_new_book(
    revision: str, thaw: Thaw, url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    thaw(revision)
    upgrade_book(url)
    with _engine(url).connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": migration.VERSION_TABLE}
        )
        assert compare_metadata(context, schema.metadata) == []
    if url.startswith("sqlite"):
        new = f"sqlite:///{tmp_path / 'new.db'}"
    else:
        server = request.getfixturevalue("postgres")
        new = server.url(server.new_database())
    Book.open(new).close()
    assert _tables(url) == _tables(new)


@pytest.mark.parametrize("revision", OLDER)
def test_the_backup_is_the_book_as_it_was(revision: str, thaw: Thaw, path: Path, url: str) -> None:
    thaw(revision)
    before = _rows(url)
    first = upgrade_book(url).backup
    assert first == path.with_name(f"book.db.backup-{revision}")
    assert _rows(f"sqlite:///{first}") == before
    path.unlink()
    shutil.copy(first, path)  # the way back
    assert _rows(url) == before
    assert upgrade_book(url).backup == path.with_name(f"book.db.backup-{revision}-2")
    names = {place.name for place in path.parent.glob("book.db*")}
    assert not any("partial" in name for name in names), names


@pytest.mark.parametrize("revision", OLDER)
def test_a_look_changes_nothing(revision: str, thaw: Thaw, url: str, tmp_path: Path) -> None:
    thaw(revision)
    before, files = _rows(url), sorted(tmp_path.glob("*.backup*"))
    plan = upgrade_plan(url)
    later = migration.REVISIONS[migration.REVISIONS.index(revision) + 1 :]
    assert tuple(name for name, _ in plan.steps) == later
    assert all(brings for _, brings in plan.steps)
    assert (plan.backup is None) == url.startswith("postgresql")
    assert _rows(url) == before
    assert sorted(tmp_path.glob("*.backup*")) == files == []


@pytest.mark.parametrize("revision", OLDER)
def test_without_room_for_the_backup_nothing_is_changed(
    revision: str, thaw: Thaw, path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    thaw(revision)
    before = _rows(url)
    monkeypatch.setattr(upgrading, "MARGIN_BYTES", shutil.disk_usage(path.parent).total)
    with pytest.raises(BookFullError, match="for a backup"):
        upgrade_book(url)
    assert _rows(url) == before
    assert list(path.parent.glob("*backup*")) == []


@pytest.mark.parametrize("revision", OLDER)
def test_an_upgrade_that_fails_leaves_the_book_as_it_was(
    revision: str, thaw: Thaw, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    thaw(revision)
    before = _rows(url)
    plain = migration.run_alembic

    def failing(connection: sqlalchemy.Connection, target: str) -> None:
        plain(connection, target)
        raise RuntimeError("pulled the plug")

    with monkeypatch.context() as patched:
        patched.setattr(migration, "run_alembic", failing)
        with pytest.raises(RuntimeError, match="plug"):
            upgrade_book(url)
    assert _rows(url) == before
    upgrade_book(url)
    Book.open(url, create=False).close()


@pytest.mark.parametrize("revision", OLDER)
def test_of_many_that_upgrade_at_once_one_does_it(
    revision: str, thaw: Thaw, url: str, tmp_path: Path
) -> None:
    thaw(revision)
    gate = threading.Barrier(4)

    def upgraded(_: int) -> bool:
        gate.wait()
        return bool(upgrade_book(url).steps)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(upgraded, range(4))) == 1
    assert len(list(tmp_path.glob("book.db.backup*"))) == (0 if url.startswith("post") else 1)
    assert not upgrade_book(url).steps


def test_a_newer_book_is_neither_opened_nor_upgraded(url: str) -> None:
    Book.open(url).close()
    with _engine(url).begin() as connection:
        connection.exec_driver_sql(f"UPDATE {migration.VERSION_TABLE} SET version_num = '9999'")
    for attempt in (Book.open, upgrade_book, upgrade_plan):
        with pytest.raises(BookVersionError, match="pip install --upgrade trialbook"):
            attempt(url)


def test_what_is_no_book_is_not_upgraded(url: str, tmp_path: Path) -> None:
    with pytest.raises(BookNotFoundError):
        upgrade_book(url)
    assert list(tmp_path.iterdir()) == []
    other = tmp_path / "other.db"
    sqlite3.connect(other).close()
    other.touch()
    with pytest.raises(BookNotFoundError):
        upgrade_book(other)

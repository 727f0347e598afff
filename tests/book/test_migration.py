from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from trialbook.book import migration, schema
from trialbook.errors import BookNotFoundError


def _engine(path: Path) -> sqlalchemy.Engine:
    return sqlalchemy.create_engine(f"sqlite:///{path}")


def test_every_script_is_a_known_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migration.__file__).parent / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_current_head() == migration.REVISIONS[-1]
    found = [script.revision for script in scripts.walk_revisions()]
    assert tuple(reversed(found)) == migration.REVISIONS


def test_migrating_from_nothing_gives_the_tables_of_the_schema(tmp_path: Path) -> None:
    with _engine(tmp_path / "migrated.db").begin() as connection:
        migration.run_alembic(connection, "head")
        context = MigrationContext.configure(
            connection, opts={"version_table": migration.VERSION_TABLE}
        )
        assert compare_metadata(context, schema.metadata) == []
        assert migration.revision(connection) == migration.REVISIONS[-1]
        migrated = _tables(connection)
    with _engine(tmp_path / "made.db").begin() as connection:
        migration.make_tables(connection)
        made = _tables(connection)
    assert migrated == made


def _tables(connection: sqlalchemy.Connection) -> dict[str, object]:
    """Everything that SQLite knows of the tables, whatever its text looks like."""
    inspector = sqlalchemy.inspect(connection)
    found: dict[str, object] = {}
    for name in inspector.get_table_names():
        found[name] = (
            [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(name)],
            inspector.get_pk_constraint(name)["constrained_columns"],
            sorted((i["name"] or "", i["column_names"]) for i in inspector.get_indexes(name)),
            sorted(u["column_names"] for u in inspector.get_unique_constraints(name)),
            sorted(
                (f["constrained_columns"], f["referred_table"])
                for f in inspector.get_foreign_keys(name)
            ),
        )
    return found


def test_upgrading_a_current_book_changes_nothing(tmp_path: Path) -> None:
    with _engine(tmp_path / "book.db").begin() as connection:
        identity = migration.make_tables(connection)
        migration.upgrade(connection)
        assert migration.book_id(connection) == identity


def test_upgrading_what_is_no_book_is_refused(tmp_path: Path) -> None:
    with (
        _engine(tmp_path / "other.db").begin() as connection,
        pytest.raises(BookNotFoundError),
    ):
        migration.upgrade(connection)

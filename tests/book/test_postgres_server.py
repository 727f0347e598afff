"""A book on a real PostgreSQL server: privileges, schemas, passwords, connections, poolers."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
import pytest

from trialbook.book.book import Book
from trialbook.book.storage import BookStorage
from trialbook.errors import (
    BookError,
    BookNotFoundError,
    BookReadOnlyError,
    BookUnreachableError,
    InvalidInputError,
)

if TYPE_CHECKING:
    from ..postgres import Server

SECRET = "s3cr3t W0rd@:/?%"
ENCODED = "s3cr3t%20W0rd%40%3A%2F%3F%25"


@pytest.fixture
def ada(postgres: Server, postgres_url: str) -> Iterator[str]:
    """A user who must give a password, and may do nothing yet; her database."""
    database = postgres_url.rpartition("/")[2]
    with postgres.connection(database) as connection:
        connection.execute(f"CREATE ROLE ada LOGIN PASSWORD '{SECRET}' IN ROLE with_password")
        yield database
        connection.execute("DROP OWNED BY ada CASCADE")
        connection.execute("DROP ROLE ada")


def url_of(postgres: Server, database: str, user: str = "ada", rest: str = "") -> str:
    return f"postgresql://{user}@127.0.0.1:{postgres.port}/{database}{rest}"


def connections(postgres: Server, database: str) -> int:
    with postgres.connection() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", (database,)
        ).fetchone()
    return int(row[0])


# Privileges and schemas.


def test_a_missing_privilege_names_the_grant(postgres: Server, ada: str) -> None:
    url = url_of(postgres, ada, f"ada:{ENCODED}")
    with pytest.raises(BookReadOnlyError) as caught:
        Book.open(url)
    grant = 'GRANT USAGE, CREATE ON SCHEMA "public" TO "ada";'
    assert grant in str(caught.value)
    with pytest.raises(BookReadOnlyError) as caught:
        Book.open(f"{url}?schema=lab")
    on_database = f'GRANT CREATE ON DATABASE "{ada}" TO "ada";'
    assert on_database in str(caught.value)
    with postgres.connection(ada) as connection:  # what they say is enough
        connection.execute(grant)
        connection.execute(on_database)
    first, second = Book.open(url), Book.open(f"{url}?schema=lab")
    assert first.book_id != second.book_id
    first.close()
    second.close()


@pytest.mark.parametrize("name", ["Lab-1", 'quo"ted', "plain"])
def test_a_schema_is_made_and_used(postgres_url: str, name: str) -> None:
    url = f"{postgres_url}?schema={name}"
    with pytest.raises(BookError, match="no book"):
        Book.open(url, create=False)
    storage = BookStorage(url)
    study_id = storage.create_new_study([], "s")
    with storage.book.reading() as connection:
        found = connection.exec_driver_sql(
            "SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
            "WHERE relname = 'tb_study'"
        ).fetchall()
    assert [row[0] for row in found] == [name]
    again = pickle.loads(pickle.dumps(storage))
    assert again.get_study_name_from_id(study_id) == "s"
    with pytest.raises(BookError, match="no book"):
        Book.open(postgres_url, create=False)
    storage.close()
    again.close()


def test_libpq_can_name_the_schema_too(postgres: Server, postgres_url: str) -> None:
    with postgres.connection(postgres_url.rpartition("/")[2]) as connection:
        connection.execute("CREATE SCHEMA lab")
    book = Book.open(f"{postgres_url}?options=-csearch_path%3Dlab")
    other = Book.open(f"{postgres_url}?schema=lab", create=False)
    assert other.book_id == book.book_id
    book.close()
    other.close()


def test_a_missing_database_says_createdb(postgres: Server) -> None:
    with pytest.raises(BookNotFoundError, match=r"createdb -h 127\.0\.0\.1 -p \d+ .*nowhere"):
        Book.open(postgres.url("nowhere"))


def test_a_database_of_another_encoding_is_refused(postgres: Server) -> None:
    with postgres.connection() as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        with pytest.raises(BookError, match="UTF8"):
            Book.open(postgres.url("latin"))
        connection.execute("DROP DATABASE latin WITH (FORCE)")


def test_nobody_there() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(BookUnreachableError, match="cannot be reached") as caught:
        Book.open(f"postgresql://ada:{ENCODED}@127.0.0.1:{port}/book")
    assert isinstance(caught.value, ConnectionError)


# Passwords.


def sources(directory: Path, postgres: Server, database: str) -> dict[str, tuple[str, dict]]:
    """Each way to give a password: the URL, and the environment that goes with it."""
    plain = url_of(postgres, database)
    passfile = directory / "pgpass"
    escaped = SECRET.replace("\\", "\\\\").replace(":", "\\:")
    passfile.write_text(f"127.0.0.1:{postgres.port}:{database}:ada:{escaped}\n")
    passfile.chmod(0o600)
    services = directory / "services"
    services.write_text(
        f"[lab]\nhost=127.0.0.1\nport={postgres.port}\ndbname={database}\nuser=ada\n"
        f"password={SECRET}\n"
    )
    return {
        "url": (url_of(postgres, database, f"ada:{ENCODED}"), {}),
        "query": (url_of(postgres, database, rest=f"?password={ENCODED}"), {}),
        "PGPASSWORD": (plain, {"PGPASSWORD": SECRET}),
        ".pgpass": (plain, {"PGPASSFILE": str(passfile)}),
        "service": ("postgresql:///?service=lab", {"PGSERVICEFILE": str(services)}),
    }


@pytest.mark.parametrize("source", ["url", "query", "PGPASSWORD", ".pgpass", "service"])
def test_a_password_comes_from_anywhere_and_goes_nowhere(
    postgres: Server,
    ada: str,
    source: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with postgres.connection(ada) as connection:
        connection.execute("GRANT CREATE ON SCHEMA public TO ada")
    url, environment = sources(tmp_path, postgres, ada)[source]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    caplog.set_level("DEBUG")
    storage = BookStorage(url)
    study = optuna.create_study(storage=storage, study_name="s")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    seen = [repr(storage), repr(storage.book), storage.url, caplog.text]
    seen += [repr(vars(storage.book)), repr(vars(storage.book._engine))]
    pickled = pickle.dumps(storage)
    with postgres.connection(ada) as connection:
        for (table,) in connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall():
            seen += [str(row) for row in connection.execute(f"TABLE {table}").fetchall()]
    assert len(seen) > 10
    for secret in (SECRET, ENCODED):
        assert not [text for text in seen if secret in text]
        assert secret.encode() not in pickled
    if source in ("PGPASSWORD", ".pgpass", "service"):  # there it is found again
        again = pickle.loads(pickle.dumps(storage))
        assert again.get_all_studies()[0].study_name == "s"
        again.close()
    else:
        with pytest.raises(BookError, match="PGPASSWORD"):
            pickle.loads(pickled)
    storage.close()


@pytest.mark.parametrize("wrong", ["password", "database", "server", "option"])
def test_no_error_shows_a_password(postgres: Server, ada: str, wrong: str) -> None:
    port = postgres.port
    urls = {
        "password": f"postgresql://ada:{ENCODED}x@127.0.0.1:{port}/{ada}",
        "database": f"postgresql://ada:{ENCODED}@127.0.0.1:{port}/nowhere",
        "server": f"postgresql://ada:{ENCODED}@127.0.0.1:9/{ada}",
        "option": f"postgresql://ada:{ENCODED}@127.0.0.1:{port}/{ada}?sslmode=odd",
    }
    with pytest.raises(BookError) as caught:
        Book.open(urls[wrong])
    error: BaseException | None = caught.value
    text = ""
    ours = Path(__file__).name
    while error is not None:
        found = traceback.TracebackException.from_exception(error, capture_locals=True)
        # The frame of this test holds the URL itself, as the caller's own.
        found.stack = traceback.StackSummary.from_list(
            [frame for frame in found.stack if not frame.filename.endswith(ours)]
        )
        text += "".join(found.format(chain=False)) + repr(error) + repr(vars(error))
        error = error.__cause__ or error.__context__
    frames_with_url = [line for line in text.splitlines() if ENCODED in line]
    # Frames of opening hold what the caller gave them; none of a driver is there.
    assert all(
        line.split(" = ")[0].strip() in ("url", "location", "storage", "text", "self", "cls")
        for line in frames_with_url
    )
    assert SECRET not in text
    assert "psycopg" not in "".join(
        line for line in text.splitlines() if line.strip().startswith("File")
    )


# Connections.


def test_a_process_has_one_connection_however_many_threads(
    postgres: Server, postgres_url: str
) -> None:
    database = postgres_url.rpartition("/")[2]
    storage = BookStorage(postgres_url)
    study = optuna.create_study(storage=storage, study_name="s")
    most = 0
    over = threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.is_set():
            most = max(most, connections(postgres, database))
            over.wait(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=24, n_jobs=6)
    over.set()
    watcher.join()
    assert most == 1
    assert len(study.trials) == 24
    storage.book.rest()
    until = time.monotonic() + 30
    while connections(postgres, database) and time.monotonic() < until:
        time.sleep(0.01)
    assert connections(postgres, database) == 0
    assert len(study.trials) == 24
    assert connections(postgres, database) == 1
    storage.close()


def test_reading_inside_a_transaction_of_ones_own(postgres_url: str) -> None:
    book = Book.open(postgres_url)
    change = "INSERT INTO tb_book VALUES ('k', 'v')"
    count = "SELECT count(*) FROM tb_book WHERE key = 'k'"
    with book.reading() as outer:
        assert outer.exec_driver_sql(count).scalar() == 0
        with book.writing() as writer:  # on a second connection: a reader has its own state
            writer.exec_driver_sql(change)
            with book.reading() as inner:
                assert inner.exec_driver_sql(count).scalar() == 1
            with pytest.raises(RuntimeError, match="open already"), book.writing():
                pass
        assert outer.exec_driver_sql(count).scalar() == 0
    with book.reading() as after:
        assert after.exec_driver_sql(count).scalar() == 1
    book.close()


def test_a_connection_that_was_closed_meanwhile_is_replaced(
    postgres: Server, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    storage = BookStorage(postgres_url)
    postgres.restart(signal.SIGQUIT)
    study_id = storage.create_new_study([], "s")
    postgres.restart(signal.SIGQUIT)
    assert storage.get_all_trials(study_id) == []
    assert not [record for record in caplog.records if "trialbook" in record.name]
    storage.close()


def test_every_commit_is_synchronous(postgres: Server, postgres_url: str) -> None:
    with postgres.connection(postgres_url.rpartition("/")[2]) as connection:
        connection.execute(
            f"ALTER DATABASE {postgres_url.rpartition('/')[2]} SET synchronous_commit = off"
        )
    book = Book.open(postgres_url)
    for durable in (False, True):
        with book.writing(durable=durable) as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    book.close()


def test_a_stopped_process_does_not_hold_others_up(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trialbook.book.postgres_setup.IDLE_TIMEOUT_S", 1)
    stopped, other = Book.open(postgres_url), Book.open(postgres_url)
    with pytest.raises(BookUnreachableError), stopped.writing() as connection:
        connection.exec_driver_sql("UPDATE tb_book SET value = value WHERE key = 'created'")
        with other.writing() as others:  # waits until the server has given the first one up
            others.exec_driver_sql("UPDATE tb_book SET value = '1' WHERE key = 'created'")
        connection.exec_driver_sql("SELECT 1")
    stopped.close()
    other.close()


def test_the_change_mark_moves_with_every_commit(postgres_url: str) -> None:
    book, other = Book.open(postgres_url), Book.open(postgres_url)
    with other.writing() as slow:
        slow.exec_driver_sql("INSERT INTO tb_book VALUES ('slow', '1')")
        marks = [book.change_mark()]
        with book.writing() as quick:
            quick.exec_driver_sql("INSERT INTO tb_book VALUES ('quick', '1')")
        marks.append(book.change_mark())
    # An older transaction that commits after a newer one is seen too.
    marks.append(book.change_mark())
    assert len(set(marks)) == 3
    book.rest()
    assert book.change_mark() != marks[-1], "a new connection may be another server's"
    book.close()
    other.close()


# PgBouncer.


@pytest.fixture
def pooled(postgres: Server, postgres_url: str, tmp_path: Path) -> Iterator[str]:
    """The URL of the database through PgBouncer in transaction mode."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # It refuses to run as root, and must read its settings as another user.
    place = Path("/tmp") / f"trialbook-pgbouncer-{os.getpid()}"
    place.mkdir()
    place.chmod(0o755)
    (place / "users").write_text('"trialbook" ""\n')
    (place / "settings").write_text(
        f"[databases]\n* = host=127.0.0.1 port={postgres.port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = trust\nauth_file = {place}/users\npool_mode = transaction\n"
        "default_pool_size = 2\nserver_tls_sslmode = disable\nserver_login_retry = 1\n"
    )
    as_user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    process = subprocess.Popen(
        [program, str(place / "settings")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **as_user,
    )
    until = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.02)
    yield f"postgresql://trialbook@127.0.0.1:{port}/{postgres_url.rpartition('/')[2]}"
    process.kill()
    process.communicate()
    shutil.rmtree(place)


SEARCH = """
import sys
import optuna
from trialbook.book.storage import BookStorage
optuna.logging.set_verbosity(optuna.logging.ERROR)
storage = BookStorage(sys.argv[1])
study = optuna.load_study(study_name="s", storage=storage)
study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=10)
storage.close()
"""


def test_processes_share_a_pooler_in_transaction_mode(
    postgres: Server, postgres_url: str, pooled: str
) -> None:
    """More clients than the pooler has connections, so that each changes between them."""
    url = f"{pooled}?schema=lab"
    storage = BookStorage(url)
    study = optuna.create_study(storage=storage, study_name="s")
    searches = [
        subprocess.Popen([sys.executable, "-c", SEARCH, url], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=10)
    for search in searches:
        _, errors = search.communicate(timeout=60)
        assert search.returncode == 0, errors
    assert [trial.number for trial in study.trials] == list(range(30))
    with postgres.connection(postgres_url.rpartition("/")[2]) as connection:
        row = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
    assert row == (0,)
    storage.close()


def test_a_startup_option_that_the_pooler_refuses_is_explained(pooled: str) -> None:
    with pytest.raises(BookError, match=r"\?schema=NAME"):
        Book.open(f"{pooled}?options=-csearch_path%3Dlab")


def test_a_pooler_without_its_server(postgres: Server, pooled: str) -> None:
    storage = BookStorage(pooled)
    postgres.stop(signal.SIGQUIT)
    timer = threading.Timer(1.0, postgres.start)
    timer.start()
    storage.create_new_study([], "s")
    timer.join()
    storage.close()


def test_bad_schema_names_are_refused(postgres_url: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot be the schema"):
        Book.open(f"{postgres_url}?schema=pg_catalog")

"""The tables of a book. Prefix ``tb_``, so that a book can share a database.

JSON is text in Optuna's order. Times are seconds since the epoch (UTC), except a trial's start and
completion, which are naive local times as Optuna keeps them. Ids are never reused.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    event,
    text,
)

metadata = MetaData()

_ID = BigInteger().with_variant(Integer, "sqlite")
_DIGEST = String(64)
NAME_LENGTH = 512

book = Table(
    "tb_book",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

study = Table(
    "tb_study",
    metadata,
    Column("study_id", _ID, primary_key=True, autoincrement=True),
    Column("uid", String(32), nullable=False, unique=True),
    Column("name", String(NAME_LENGTH), nullable=False),
    Column("directions", Text, nullable=False),
    Column("spec", Text),
    Column("origin", Text),
    Column("next_number", Integer, nullable=False, server_default=text("0")),
    Column("finished", BigInteger, nullable=False, server_default=text("0")),
    Column("created", Float(53), nullable=False),
    Column("deleted", Float(53)),
    # What every worker's coordinates are held against, see ``references.py``; JSON. NULL: those of
    # the newest tracked attempt.
    Column("reference", Text),
    sqlite_autoincrement=True,
)
Index(
    "tb_study_name",
    study.c.name,
    unique=True,
    sqlite_where=study.c.deleted.is_(None),
)

study_attr = Table(
    "tb_study_attr",
    metadata,
    Column("study_id", _ID, ForeignKey("tb_study.study_id"), primary_key=True),
    Column("scope", String(6), primary_key=True),
    Column("key", String(NAME_LENGTH), primary_key=True),
    Column("value", Text, nullable=False),
)

trial = Table(
    "tb_trial",
    metadata,
    Column("trial_id", _ID, primary_key=True, autoincrement=True),
    Column("study_id", _ID, ForeignKey("tb_study.study_id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("params", Text, nullable=False, server_default="{}"),
    Column("space", _DIGEST),
    Column("user_attrs", Text, nullable=False, server_default="{}"),
    Column("system_attrs", Text, nullable=False, server_default="{}"),
    Column("finish_seq", BigInteger),
    Column("not_before", Float(53)),
    Column("started", DateTime),
    Column("completed", DateTime),
    Column("record_digest", _DIGEST),
    Column("deleted", Float(53)),
    UniqueConstraint("study_id", "number"),
    UniqueConstraint("study_id", "finish_seq"),
    sqlite_autoincrement=True,
)
Index("tb_trial_unfinished", trial.c.study_id, sqlite_where=trial.c.finish_seq.is_(None))
# Few rows, which the budget of a study does not count: so it need not count all the others.
_removed = trial.c.deleted.is_not(None)
Index("tb_trial_deleted", trial.c.study_id, sqlite_where=_removed)

trial_value = Table(
    "tb_trial_value",
    metadata,
    Column("trial_id", _ID, ForeignKey("tb_trial.trial_id"), primary_key=True),
    Column("objective", SmallInteger, primary_key=True),
    # What is queried; NULL for NaN. The eight bytes (IEEE 754, little-endian) are the value.
    Column("value", Float(53)),
    Column("bytes", LargeBinary(8), nullable=False),
)

worker = Table(
    "tb_worker",
    metadata,
    Column("worker_id", String(32), primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("launcher", Text, nullable=False),
    Column("job", Text),
    Column("state", String(16), nullable=False),
    Column("started", Float(53), nullable=False),
    Column("ended", Float(53)),
    Column("study_id", _ID),
    # The last sign of life, on the database's clock like leases.
    Column("seen", Float(53)),
    Column("boot", String(128)),
    Column("start_ticks", BigInteger),
    # ``LAUNCH/INDEX`` of a worker that a launcher placed.
    Column("launch", String(32)),
    # What somebody asked of it through the book (``drain``), NULL for nothing.
    Column("asked", String(16)),
)

# Workers that were placed together by one launcher.
launch = Table(
    "tb_launch",
    metadata,
    Column("launch_id", String(16), primary_key=True),
    Column("study_id", _ID, ForeignKey("tb_study.study_id"), nullable=False),
    Column("engine", String(16), nullable=False),
    Column("created", Float(53), nullable=False),
    # The machine and the user that gave the command.
    Column("host", Text, nullable=False),
    Column("user", Text),
    Column("workers", Integer, nullable=False),
    # Options, pins and places, see ``records/launches.py``; JSON.
    Column("document", Text, nullable=False),
    # What the engine said of each job when it was placed; JSON.
    Column("jobs", Text, nullable=False),
    # What somebody asked of all its workers, NULL for nothing.
    Column("asked", String(16)),
)

# Files that a worker has hashed, so that others that see the same file need not.
hashed_file = Table(
    "tb_hashed_file",
    metadata,
    # SHA-256 of path, size and time: a path can be longer than an index allows.
    Column("key", _DIGEST, primary_key=True),
    Column("path", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("digest", _DIGEST, nullable=False),
    Column("host", Text, nullable=False),
    Column("at", Float(53), nullable=False),
)

attempt = Table(
    "tb_attempt",
    metadata,
    Column("attempt_id", _ID, primary_key=True, autoincrement=True),
    Column("trial_id", _ID, ForeignKey("tb_trial.trial_id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("worker_id", String(32), ForeignKey("tb_worker.worker_id")),
    # When the lease ends, on the database's clock; NULL for an attempt that nobody leases.
    Column("lease", Float(53)),
    Column("code", _DIGEST),
    Column("data", _DIGEST),
    Column("config", _DIGEST),
    Column("environment", _DIGEST),
    Column("execution", _DIGEST),
    Column("seeds", Text),
    Column("started", Float(53), nullable=False),
    Column("ended", Float(53)),
    Column("end_reason", String(16)),
    Column("exit_code", Integer),
    Column("signal", String(16)),
    Column("traceback", Text),
    Column("outcome", Text),
    Column("returned", Text),
    Column("prune_answers", Text, nullable=False, server_default=""),
    # The checkpoint of an earlier attempt that this one went on from.
    Column("resumed_from", _ID),
    UniqueConstraint("trial_id", "number"),
    sqlite_autoincrement=True,
)
_leased = and_(attempt.c.lease.is_not(None), attempt.c.ended.is_(None))
Index("tb_attempt_leased", attempt.c.lease, sqlite_where=_leased)
_abandoned = attempt.c.end_reason == "abandoned"
Index("tb_attempt_abandoned", attempt.c.trial_id, sqlite_where=_abandoned)

snapshot = Table(
    "tb_snapshot",
    metadata,
    Column("digest", _DIGEST, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("document", Text, nullable=False),
)

blob = Table(
    "tb_blob",
    metadata,
    Column("digest", _DIGEST, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("content", LargeBinary),
    # Where the content lies when it is not in this row, relative to the book's blob directory.
    Column("location", Text),
)

series = Table(
    "tb_series",
    metadata,
    Column("attempt_id", _ID, ForeignKey("tb_attempt.attempt_id"), primary_key=True),
    Column("metric", String(NAME_LENGTH), primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("first_step", BigInteger),
    Column("last_step", BigInteger),
    Column("last", Float(53)),
    Column("min", Float(53)),
    Column("max", Float(53)),
    Column("payload", LargeBinary, nullable=False),
)

checkpoint = Table(
    "tb_checkpoint",
    metadata,
    Column("checkpoint_id", _ID, primary_key=True, autoincrement=True),
    Column("attempt_id", _ID, ForeignKey("tb_attempt.attempt_id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("digest", _DIGEST, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("created", Float(53), nullable=False),
    # How far the attempt had come, see ``records/checkpoints.py``; JSON in the tagged form.
    Column("position", Text, nullable=False),
    # JSON of each random generator whose state the content holds, to its kind.
    Column("generators", Text, nullable=False),
    # Whether the content is still kept; older ones of a trial are let go.
    Column("kept", SmallInteger, nullable=False),
    UniqueConstraint("attempt_id", "number"),
    sqlite_autoincrement=True,
)

artifact = Table(
    "tb_artifact",
    metadata,
    Column("attempt_id", _ID, ForeignKey("tb_attempt.attempt_id"), primary_key=True),
    Column("name", String(NAME_LENGTH), primary_key=True),
    Column("digest", _DIGEST, ForeignKey("tb_blob.digest"), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("media_type", Text, nullable=False),
)

rerun = Table(
    "tb_rerun",
    metadata,
    Column("rerun_id", _ID, primary_key=True, autoincrement=True),
    Column("attempt_id", _ID, ForeignKey("tb_attempt.attempt_id"), nullable=False),
    Column("at", Float(53), nullable=False),
    Column("host", Text, nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("report", Text, nullable=False),
    sqlite_autoincrement=True,
)

# One row for each client of a server, rewritten in each of its transactions: what it holds after
# a lost connection says whether the last commit was done.
receipt = Table(
    "tb_receipt",
    metadata,
    Column("client", String(32), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("at", Float(53), nullable=False),
)


@event.listens_for(metadata, "before_create")
def _leave_rows_out_on_postgresql(_: MetaData, connection: Connection, **__: Any) -> None:
    """Let indexes leave out on PostgreSQL the rows that they leave out on SQLite.

    Said where the tables are defined, it would load that dialect, a tenth of a second, in each
    process that has a book on SQLite.
    """
    if connection.dialect.name == "postgresql":
        for table in metadata.sorted_tables:
            for index in table.indexes:
                where = index.dialect_options["sqlite"]["where"]
                index.dialect_options["postgresql"]["where"] = where

"""The tables of the first release.

Revision: 0001, after none
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "tb_blob",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.Column("location", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table(
        "tb_book",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "tb_snapshot",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table(
        "tb_study",
        sa.Column("study_id", _ID, autoincrement=True, nullable=False),
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=512), nullable=False),
        sa.Column("directions", sa.Text(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=True),
        sa.Column("origin", sa.Text(), nullable=True),
        sa.Column("next_number", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("finished", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created", sa.Float(precision=53), nullable=False),
        sa.Column("deleted", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("study_id"),
        sa.UniqueConstraint("uid"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "tb_study_name",
        "tb_study",
        ["name"],
        unique=True,
        sqlite_where=sa.text("deleted IS NULL"),
        postgresql_where=sa.text("deleted IS NULL"),
    )
    op.create_table(
        "tb_worker",
        sa.Column("worker_id", sa.String(length=32), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("launcher", sa.Text(), nullable=False),
        sa.Column("job", sa.Text(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("started", sa.Float(precision=53), nullable=False),
        sa.Column("ended", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("worker_id"),
    )
    op.create_table(
        "tb_study_attr",
        sa.Column("study_id", _ID, nullable=False),
        sa.Column("scope", sa.String(length=6), nullable=False),
        sa.Column("key", sa.String(length=512), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["tb_study.study_id"]),
        sa.PrimaryKeyConstraint("study_id", "scope", "key"),
    )
    op.create_table(
        "tb_trial",
        sa.Column("trial_id", _ID, autoincrement=True, nullable=False),
        sa.Column("study_id", _ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("params", sa.Text(), server_default="{}", nullable=False),
        sa.Column("space", sa.String(length=64), nullable=True),
        sa.Column("user_attrs", sa.Text(), server_default="{}", nullable=False),
        sa.Column("system_attrs", sa.Text(), server_default="{}", nullable=False),
        sa.Column("finish_seq", sa.BigInteger(), nullable=True),
        sa.Column("not_before", sa.Float(precision=53), nullable=True),
        sa.Column("started", sa.DateTime(), nullable=True),
        sa.Column("completed", sa.DateTime(), nullable=True),
        sa.Column("record_digest", sa.String(length=64), nullable=True),
        sa.Column("deleted", sa.Float(precision=53), nullable=True),
        sa.ForeignKeyConstraint(["study_id"], ["tb_study.study_id"]),
        sa.PrimaryKeyConstraint("trial_id"),
        sa.UniqueConstraint("study_id", "finish_seq"),
        sa.UniqueConstraint("study_id", "number"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "tb_trial_unfinished",
        "tb_trial",
        ["study_id"],
        unique=False,
        sqlite_where=sa.text("finish_seq IS NULL"),
        postgresql_where=sa.text("finish_seq IS NULL"),
    )
    op.create_table(
        "tb_attempt",
        sa.Column("attempt_id", _ID, autoincrement=True, nullable=False),
        sa.Column("trial_id", _ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.String(length=32), nullable=True),
        sa.Column("lease", sa.Float(precision=53), nullable=True),
        sa.Column("code", sa.String(length=64), nullable=True),
        sa.Column("data", sa.String(length=64), nullable=True),
        sa.Column("config", sa.String(length=64), nullable=True),
        sa.Column("environment", sa.String(length=64), nullable=True),
        sa.Column("execution", sa.String(length=64), nullable=True),
        sa.Column("seeds", sa.Text(), nullable=True),
        sa.Column("started", sa.Float(precision=53), nullable=False),
        sa.Column("ended", sa.Float(precision=53), nullable=True),
        sa.Column("end_reason", sa.String(length=16), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("signal", sa.String(length=16), nullable=True),
        sa.Column("traceback", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("returned", sa.Text(), nullable=True),
        sa.Column("prune_answers", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["trial_id"], ["tb_trial.trial_id"]),
        sa.ForeignKeyConstraint(["worker_id"], ["tb_worker.worker_id"]),
        sa.PrimaryKeyConstraint("attempt_id"),
        sa.UniqueConstraint("trial_id", "number"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tb_trial_value",
        sa.Column("trial_id", _ID, nullable=False),
        sa.Column("objective", sa.SmallInteger(), nullable=False),
        sa.Column("value", sa.Float(precision=53), nullable=True),
        sa.Column("bytes", sa.LargeBinary(length=8), nullable=False),
        sa.ForeignKeyConstraint(["trial_id"], ["tb_trial.trial_id"]),
        sa.PrimaryKeyConstraint("trial_id", "objective"),
    )
    op.create_table(
        "tb_artifact",
        sa.Column("attempt_id", _ID, nullable=False),
        sa.Column("name", sa.String(length=512), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["tb_attempt.attempt_id"]),
        sa.ForeignKeyConstraint(["digest"], ["tb_blob.digest"]),
        sa.PrimaryKeyConstraint("attempt_id", "name"),
    )
    op.create_table(
        "tb_rerun",
        sa.Column("rerun_id", _ID, autoincrement=True, nullable=False),
        sa.Column("attempt_id", _ID, nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["tb_attempt.attempt_id"]),
        sa.PrimaryKeyConstraint("rerun_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tb_series",
        sa.Column("attempt_id", _ID, nullable=False),
        sa.Column("metric", sa.String(length=512), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("first_step", sa.BigInteger(), nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=True),
        sa.Column("last", sa.Float(precision=53), nullable=True),
        sa.Column("min", sa.Float(precision=53), nullable=True),
        sa.Column("max", sa.Float(precision=53), nullable=True),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["tb_attempt.attempt_id"]),
        sa.PrimaryKeyConstraint("attempt_id", "metric", "part"),
    )

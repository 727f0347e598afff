"""Leases, retries and checkpoints.

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add what workers write."""
    op.add_column("tb_worker", sa.Column("study_id", _ID, nullable=True))
    op.add_column("tb_worker", sa.Column("seen", sa.Float(precision=53), nullable=True))
    op.add_column("tb_worker", sa.Column("boot", sa.String(length=128), nullable=True))
    op.add_column("tb_worker", sa.Column("start_ticks", sa.BigInteger(), nullable=True))
    op.add_column("tb_attempt", sa.Column("resumed_from", _ID, nullable=True))
    leased = sa.text("lease IS NOT NULL AND ended IS NULL")
    op.create_index(
        "tb_attempt_leased", "tb_attempt", ["lease"], sqlite_where=leased, postgresql_where=leased
    )
    removed = sa.text("deleted IS NOT NULL")
    op.create_index(
        "tb_trial_deleted", "tb_trial", ["study_id"], sqlite_where=removed, postgresql_where=removed
    )
    abandoned = sa.text("end_reason = 'abandoned'")
    op.create_index(
        "tb_attempt_abandoned",
        "tb_attempt",
        ["trial_id"],
        sqlite_where=abandoned,
        postgresql_where=abandoned,
    )
    op.create_table(
        "tb_checkpoint",
        sa.Column("checkpoint_id", _ID, autoincrement=True, nullable=False),
        sa.Column("attempt_id", _ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.Float(precision=53), nullable=False),
        sa.Column("position", sa.Text(), nullable=False),
        sa.Column("generators", sa.Text(), nullable=False),
        sa.Column("kept", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["tb_attempt.attempt_id"]),
        sa.PrimaryKeyConstraint("checkpoint_id"),
        sa.UniqueConstraint("attempt_id", "number"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tb_receipt",
        sa.Column("client", sa.String(length=32), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("client"),
    )

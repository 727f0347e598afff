"""Several machines: references of studies, launches, and files that were hashed once.

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add what workers on several machines write."""
    op.add_column("tb_study", sa.Column("reference", sa.Text(), nullable=True))
    op.add_column("tb_worker", sa.Column("launch", sa.String(length=32), nullable=True))
    op.add_column("tb_worker", sa.Column("asked", sa.String(length=16), nullable=True))
    op.create_table(
        "tb_launch",
        sa.Column("launch_id", sa.String(length=16), nullable=False),
        sa.Column("study_id", _ID, nullable=False),
        sa.Column("engine", sa.String(length=16), nullable=False),
        sa.Column("created", sa.Float(precision=53), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=True),
        sa.Column("workers", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("jobs", sa.Text(), nullable=False),
        sa.Column("asked", sa.String(length=16), nullable=True),
        sa.ForeignKeyConstraint(["study_id"], ["tb_study.study_id"]),
        sa.PrimaryKeyConstraint("launch_id"),
    )
    op.create_table(
        "tb_hashed_file",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )

"""Alembic's environment: runs on the connection that ``migration.py`` hands it, and only so."""

from alembic import context

from trialbook.book import schema
from trialbook.book.migration import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
context.run_migrations()

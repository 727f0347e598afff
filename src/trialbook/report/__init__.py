"""Draw and write: figures, tables, documents."""

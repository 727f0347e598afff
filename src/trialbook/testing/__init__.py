"""Contract suites that any book or launcher must pass."""

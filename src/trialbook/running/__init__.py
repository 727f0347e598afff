"""Studies and workers."""

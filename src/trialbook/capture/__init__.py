"""Observe the world into records; knows nothing of the book."""

"""Join an objective, capture and book."""

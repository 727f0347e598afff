"""Launchers: each places plain worker processes through one engine; the book hands out trials."""

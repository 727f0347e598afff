"""Frozen values, no I/O: what every other floor speaks in."""

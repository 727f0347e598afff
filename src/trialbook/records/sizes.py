"""Sizes as text. Alone here, so that a command's help imports nothing else for it."""

from __future__ import annotations


def size_text(size_bytes: int) -> str:
    """A size in binary units: ``812 B``, ``1.4 KiB``."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"

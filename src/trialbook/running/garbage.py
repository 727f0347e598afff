"""How often Python looks for garbage while a process imports what stays until its end.

Modules, functions and classes are no garbage. Python looks at them again and again while they are
imported, and once more when the process ends: together a quarter of the time of a short command.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

OBJECTS_BETWEEN_LOOKS = 50_000
"""How many new objects Python is to wait for before it looks among them; by itself some hundreds.

They are a few megabytes. It still looks, so whoever imports a data set is not spared it.
"""


def look_seldom() -> None:
    """Look for garbage seldom from now on."""
    gc.set_threshold(OBJECTS_BETWEEN_LOOKS, *gc.get_threshold()[1:])


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Look for garbage seldom in this block; what the block itself sets stays."""
    before = gc.get_threshold()
    look_seldom()
    seldom = gc.get_threshold()
    try:
        yield
    finally:
        if gc.get_threshold() == seldom:
            gc.set_threshold(*before)

"""The hash seed of the processes that run trials.

With a random one, sets of text have another order in every process, and in every rerun too.
"""

from __future__ import annotations

from collections.abc import Mapping

VARIABLE = "PYTHONHASHSEED"


def hash_seed(environ: Mapping[str, str], recorded: str = "0") -> dict[str, str]:
    """The variable that says it: as in an environment, else as recorded.

    Args:
        environ: What the process would have without it.
        recorded: What stands for it there; ``random`` and the like are 0.
    """
    return {VARIABLE: environ.get(VARIABLE, recorded if recorded.isdecimal() else "0")}

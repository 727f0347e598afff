"""Where a child runs when it is not where its worker stands: restored code, another interpreter."""

from __future__ import annotations

import msgspec

from trialbook.restoring.search_path import SearchPath


class CodePlace(msgspec.Struct, frozen=True):
    """Restored code, and how it is to be run.

    Args:
        path: Where modules come from.
        cwd: Working directory.
        snapshot: File with the document of the code snapshot that was restored.
        caches: Directory for caches that are gone with the code.
        scope: What the data are about, see ``RestoredTree``.
    """

    path: SearchPath
    cwd: str
    snapshot: str
    caches: str
    scope: str


class Interpreter(msgspec.Struct, frozen=True):
    """Another interpreter for the children.

    Args:
        python: Its path.
        tool: Directory through which it finds Trialbook.
    """

    python: str
    tool: str

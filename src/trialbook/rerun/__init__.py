"""Running a recorded trial again: plan, restore, replay, compare.

The package can be called: ``trialbook.rerun("digits/best")`` is ``trialbook.rerun.run.rerun``.
Nothing is imported behind it before that.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """A package that stands for its main function."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run a recorded trial again; see ``trialbook.rerun.run.rerun``."""
        from trialbook.rerun.run import rerun

        return rerun(*args, **kwargs)


sys.modules[__name__].__class__ = _CallablePackage

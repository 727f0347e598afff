"""What the tests of tracked objectives share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _screened(screened: None) -> None:
    """Their objectives lie in this checkout, all files of which are judged."""

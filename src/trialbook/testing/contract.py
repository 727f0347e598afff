"""The contract of a book, whole: what holds on every database, as a suite for pytest.

To run it against a database of your own, which may hold other studies already::

    from trialbook.testing.contract import BookContract

    class TestMyDatabase(BookContract):
        url = "postgresql://lab/scratch"

Each test makes a study of its own and deletes it; its tombstone stays until ``trialbook gc``.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    *(f"trialbook.testing.{part}" for part in ("claiming", "inputs", "leasing", "recording"))
)

from trialbook.testing.claiming import ClaimContract  # noqa: E402 - its asserts are to explain
from trialbook.testing.inputs import InputContract  # noqa: E402
from trialbook.testing.leasing import LeaseContract, RetryContract  # noqa: E402
from trialbook.testing.recording import RecordContract  # noqa: E402

__all__ = ["BookContract"]


class BookContract(InputContract, ClaimContract, LeaseContract, RetryContract, RecordContract):
    """Everything that a book promises of its database; a subclass gives the ``url``."""

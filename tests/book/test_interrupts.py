"""An interrupt in the midst of a statement leaves a book on a server usable."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.study import StudyDirection

from trialbook.book import postgres_session
from trialbook.book.storage import BookStorage


@pytest.mark.parametrize("what", ["read", "write"])
def test_an_interrupt_while_a_transaction_begins(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str, what: str
) -> None:
    storage = BookStorage(postgres_url)
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "digits")

    def interrupted(session: Any, text: str) -> None:
        """The driver's own handler has not seen that the statement was sent."""
        session.raw.pgconn.send_query(text.encode())
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(postgres_session.Session, "run", interrupted)
        with (
            pytest.raises(KeyboardInterrupt),
            storage.book.writing() if what == "write" else storage.book.reading(),
        ):
            pass
    with storage.book.writing(), storage.book.reading():
        pass
    storage.set_study_user_attr(study_id, "k", 2)
    assert storage.get_study_user_attrs(study_id) == {"k": 2}
    storage.close()

"""Text on its way into the record, without credentials and without this process's own secrets."""

from __future__ import annotations

import os

from trialbook.records.secrets import redacted_text, secret_values_of


def without_secrets(text: str) -> tuple[str, int]:
    """The text without what looks like a credential or is a secret variable's value.

    Returns:
        The text, and how many replacements were made.
    """
    if not text:
        return text, 0
    return redacted_text(text, secrets=secret_values_of(os.environ))

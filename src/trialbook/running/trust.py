"""Whether a study was created on this machine, so that its code may run without asking.

A study carries a keyed digest (HMAC-SHA-256, RFC 2104) of its random identity, made with a key
that this user keeps on this machine alone. Nobody else can make one for another study. It vouches
for the study, not for each later trial: who can write to a shared book can add trials to a study
that was created here.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from trialbook.capture.imports import unwatched
from trialbook.errors import UntrustedCodeError
from trialbook.records.study import StudyRecord

_KEY_BYTES = 32


def key_file() -> Path:
    """Where this user's key lies: ``$XDG_STATE_HOME/trialbook/machine.key``."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "trialbook" / "machine.key"


def origin_of(study_uid: str) -> str | None:
    """The proof that a study was created here; ``None`` when no key can be kept here."""
    key = _key(create=True)
    return None if key is None else _proof(key, study_uid)


def created_here(record: StudyRecord) -> bool:
    """Whether this user created the study on this machine."""
    key = _key(create=False)
    if key is None or record.origin is None:
        return False
    return hmac.compare_digest(_proof(key, record.uid), record.origin)


_CODE = "running this would execute code that the book holds for study {name!r}"
UNPICKLES = (
    "going on with study {name!r} would give what the book holds for it to Optuna, which unpickles "
    "the state of some samplers"
)
"""What a run does with a study even when its code comes from elsewhere."""


def require_trust(record: StudyRecord, trust: bool, because: str = _CODE) -> None:
    """Refuse to run what a study holds unless it was created here or the user trusts it.

    Args:
        record: The study.
        trust: Whether the user trusts it.
        because: What running it would do; ``{name!r}`` stands for the study's name.

    Raises:
        UntrustedCodeError: The study was created elsewhere and ``trust`` is false.
    """
    if not trust and not created_here(record):
        raise UntrustedCodeError(
            f"{because.format(name=record.name)}, and nothing shows that the study was created on "
            "this machine",
            hint="look at it first with 'trialbook show', then add --trust",
        )


def _proof(key: bytes, study_uid: str) -> str:
    return hmac.new(key, study_uid.encode(), hashlib.sha256).hexdigest()


def _key(*, create: bool) -> bytes | None:
    with unwatched():  # Trialbook's own reading is no input of a trial
        return _kept_key(create)


def _kept_key(create: bool) -> bytes | None:
    path = key_file()
    try:
        key = path.read_bytes()
        return key if len(key) == _KEY_BYTES else None
    except FileNotFoundError:
        if not create:
            return None
    except OSError:
        return None
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
        try:
            # A link never replaces a key that another process made in the meantime.
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        return path.read_bytes()
    except OSError:
        return None

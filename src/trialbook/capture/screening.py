"""Which files hold a credential and are therefore not embedded, judged once for each content.

Judging means searching every file of a tree for many patterns, so what was found harmless is
remembered. What a credential looks like is said in ``records/secrets.py``; when those rules
change, everything is judged again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from trialbook.capture.cache_file import CacheFile, default_cache_dir
from trialbook.capture.imports import unwatched
from trialbook.records import credentials, secrets
from trialbook.records.secrets import looks_secret

_VERDICTS = 200_000


class Screening:
    """Judges files, and remembers the harmless ones.

    Args:
        cache_dir: As for ``StatCache``.
        scope: As for ``StatCache``.
        secrets: Literal values that make a file secret wherever they occur; nothing about them
            is remembered.
    """

    def __init__(
        self, cache_dir: Path | None = None, *, scope: str = "", secrets: Sequence[str] = ()
    ) -> None:
        folder = (cache_dir if cache_dir is not None else default_cache_dir()) / "screening"
        name = hashlib.sha256(os.fsencode(scope)).hexdigest()[:16]
        self._file = CacheFile(folder / f"{name}.msgpack", list[bytes])
        self._secrets = [(value, value.encode(errors="surrogateescape")) for value in secrets]
        self._rules: bytes | None = None
        self._harmless: dict[bytes, None] | None = None
        self._fresh = False

    def reason(self, content: bytes, digest: str, path: str) -> str | None:
        """Why a file is taken to hold a credential, ``None`` when it is not.

        Args:
            content: What it holds.
            digest: SHA-256 of that.
            path: Its path, which counts too.
        """
        occurring = [value for value, spelt in self._secrets if spelt in content]
        if occurring:
            return looks_secret(content, path, secrets=occurring)
        if self._harmless is None:
            self._rules = _rules_digest()
            self._harmless = dict.fromkeys(self._file.read() or ())
        key = hashlib.blake2b(
            bytes.fromhex(digest) + os.fsencode(path), key=self._rules or b"", digest_size=16
        ).digest()
        if self._rules is not None and key in self._harmless:
            return None
        reason = looks_secret(content, path)
        if reason is None:
            self._harmless[key] = None
            self._fresh = True
        return reason

    def save(self) -> None:
        """Write what was found harmless for later processes."""
        if not self._fresh or self._harmless is None or self._rules is None:
            return
        if self._file.is_newer():
            self._harmless = dict.fromkeys(self._file.read() or ()) | self._harmless
        self._file.write(list(self._harmless)[-_VERDICTS:])
        self._fresh = False


def _rules_digest() -> bytes | None:
    """A digest of the rules themselves; ``None``, so that nothing is remembered, without files."""
    digest = hashlib.blake2b(digest_size=32)
    try:
        with unwatched():
            for module in (secrets, credentials):
                digest.update(Path(module.__file__ or "").read_bytes())
    except OSError:
        return None
    return digest.digest()

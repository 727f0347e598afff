"""Contents of a book kept in this user's cache, so that the workers of a machine ask for them once.

A file is named by its digest and held against it each time it is read, so one that is damaged or
was tampered with is fetched again. It takes its place whole or not at all. The cache may be removed
at any time; without space or permission it costs time and nothing else.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from pathlib import Path

from trialbook.records.canonical import digest_of_bytes
from trialbook.restoring.lock import Tell, locked


class KeptContents:
    """Contents by digest.

    Args:
        directory: Where they are kept.
        fetch: Gets a content from the book.
    """

    def __init__(self, directory: Path, fetch: Callable[[str], bytes]) -> None:
        self._directory = directory
        self._fetch = fetch

    def gather(self, name: str, digests: Collection[str], tell: Tell) -> None:
        """Fetch what is not here yet; of several processes that need the same, one does.

        Args:
            name: Of what they are parts, as a file may be called.
            digests: What is needed.
            tell: Is told what takes time.

        Raises:
            BookError: The book cannot give one.
        """
        missing = [digest for digest in digests if not self._has(digest)]
        if not missing:
            return
        with ExitStack() as stack:
            try:
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = locked(self._directory / f"{name}.lock", tell, "fetches the same code")
                stack.enter_context(lock)
            except OSError:
                return  # nothing is kept, then: what is needed is fetched when it is
            for digest in missing:
                if not self._has(digest):
                    self.content(digest)

    def content(self, digest: str) -> bytes:
        """The content of that digest: from here, else from the book."""
        try:
            kept = self._place(digest).read_bytes()
        except OSError:
            kept = None
        if kept is not None and digest_of_bytes(kept) == digest:
            return kept
        content = self._fetch(digest)
        with suppress(OSError):
            self._keep(digest, content)
        return content

    def _keep(self, digest: str, content: bytes) -> None:
        place = self._place(digest)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=place.parent, suffix=".partial")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            Path(draft).replace(place)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise

    def _has(self, digest: str) -> bool:
        with suppress(OSError):  # nobody may look there
            return self._place(digest).exists()
        return False

    def _place(self, digest: str) -> Path:
        return self._directory / digest[:2] / digest

"""Search spaces: the distributions of a trial's params, kept once for all trials that share them.

A space is a snapshot of kind ``space``: a JSON object of param name to Optuna's JSON of its
distribution, in the order in which the params were asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from optuna.distributions import BaseDistribution, CategoricalDistribution
from sqlalchemy import Connection, bindparam, select

from trialbook.book import schema
from trialbook.book.statements import Statement, insert_if_absent
from trialbook.book.texts import json_text
from trialbook.errors import BookCorruptError, InvalidInputError
from trialbook.records.canonical import digest_of_bytes
from trialbook.records.distributions import distribution_of, distribution_text

KIND = "space"
_MOST = 10_000

_find = Statement(
    select(schema.snapshot.c.document).where(schema.snapshot.c.digest == bindparam("digest"))
)
_insert = insert_if_absent(schema.snapshot)


class Spaces:
    """The spaces that this process has met; what it holds is never wrong, only incomplete."""

    def __init__(self) -> None:
        self._texts: dict[object, str] = {}
        self._distributions: dict[str, BaseDistribution] = {}
        self._spaces: dict[str, dict[str, BaseDistribution]] = {}
        self._by_digest: dict[str, dict[str, str]] = {}
        self._documents: dict[tuple[tuple[str, str], ...], tuple[str, str]] = {}

    def text(self, distribution: BaseDistribution) -> str:
        """Optuna's JSON of a distribution.

        Raises:
            InvalidInputError: A choice of it is not JSON.
        """
        key: object = distribution
        if isinstance(distribution, CategoricalDistribution):
            key = repr(distribution.choices)  # 1, 1.0 and True are equal, their JSON is not
        text = self._texts.get(key)
        if text is None:
            if isinstance(distribution, CategoricalDistribution):
                json_text(list(distribution.choices), "a categorical distribution's choices")
            try:
                text = distribution_text(distribution)
            except (TypeError, ValueError) as error:
                raise InvalidInputError(f"a distribution is not JSON: {error}") from error
            if len(self._texts) >= _MOST:
                self._texts.clear()
            self._texts[key] = text
        return text

    def document(self, texts: Mapping[str, str]) -> tuple[str | None, str]:
        """Digest and document of a space; the digest of an empty one is ``None``.

        Args:
            texts: Param name to its distribution's JSON.
        """
        if not texts:
            return None, "{}"
        key = tuple(texts.items())
        found = self._documents.get(key)
        if found is None:
            document = json.dumps(dict(texts), separators=(",", ":"))
            found = digest_of_bytes(document.encode()), document
            self._by_digest[found[0]] = dict(texts)
            if len(self._documents) >= _MOST:
                self._documents.clear()
            self._documents[key] = found
        return found

    def store(self, connection: Connection, texts: Mapping[str, str]) -> str | None:
        """Keep a space in the book, inside the caller's transaction; its digest."""
        digest, document = self.document(texts)
        if digest is not None:
            self.keep(connection, digest, document)
        return digest

    def keep(self, connection: Connection, digest: str, document: str) -> None:
        """Keep a space by what ``document`` gave, inside the caller's transaction."""
        _insert.run(connection, digest=digest, kind=KIND, document=document)

    def distributions(
        self, connection: Connection | None, digest: str | None
    ) -> dict[str, BaseDistribution]:
        """The distributions of a space; the caller must not change the dictionary.

        Args:
            connection: To read with; ``None`` when this process has stored the space itself.
            digest: Its digest.

        Raises:
            BookCorruptError: The space is not in the book, or damaged.
        """
        if digest is None:
            return {}
        space = self._spaces.get(digest)
        if space is None:
            texts = self.texts(connection, digest)
            space = {name: self.distribution(text) for name, text in texts.items()}
            if len(self._spaces) >= _MOST:
                self._spaces.clear()
            self._spaces[digest] = space
        return space

    def knows(self, digest: str | None) -> bool:
        """Whether ``texts`` has no need to read for a space."""
        return digest is None or digest in self._by_digest

    def texts(self, connection: Connection | None, digest: str | None) -> dict[str, str]:
        """The distributions of a space as Optuna's JSON; not to be changed by the caller."""
        if digest is None:
            return {}
        known = self._by_digest.get(digest)
        if known is not None:
            return known
        row = None if connection is None else _find.row(connection, digest=digest)
        try:
            if row is None:
                raise ValueError("it is not in the book")
            texts: dict[str, str] = json.loads(row[0])
        except ValueError as error:
            raise BookCorruptError(
                f"the search space of a trial cannot be read: {error}",
                where=f"snapshot {digest}",
                hint="run 'trialbook verify' to list everything that is damaged",
            ) from error
        self._by_digest[digest] = texts
        return texts

    def distribution(self, text: str) -> BaseDistribution:
        """The distribution of a JSON text; equal texts give one object."""
        found = self._distributions.get(text)
        if found is None:
            found = self._distributions[text] = distribution_of(text)
        return found

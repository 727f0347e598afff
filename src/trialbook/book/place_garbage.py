"""Objects at a book's locations that no row names: finding them, and removing them for good.

Whoever stores a content notes the count of removals, then looks which objects are there, and names
them in a transaction that finds the same count, or else looks again. So objects are removed inside
a write transaction that runs alone and raises that count. An object that nothing names may belong
to an upload that is going on; unless its row has just been removed, it is left until it is old.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from trialbook.book import schema
from trialbook.book.blob_locations import BookLocations
from trialbook.book.blob_parts import keys_of
from trialbook.book.blob_places import Place
from trialbook.book.book import Book
from trialbook.book.place_patience import Patience
from trialbook.book.removal_mark import note_removal
from trialbook.errors import ArtifactLocationError, BookCorruptError, MissingPackageError

ABANDONED_FILE_S = 24 * 3600.0
"""Age from which what nothing names counts as left behind by a process that died."""

_TOGETHER = 50  # a server ends a transaction in which nothing happens for 15 s
_PATIENCE_S = 5.0
_b = schema.blob.c


_Keys = dict[int, set[str]]
"""Number of a location to keys there."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What the row of a blob says of a content that is not in it.

    Args:
        location: Where it lies.
        listed: The list of its parts, when it has parts.
    """

    location: str
    listed: bytes | None


@dataclass(frozen=True, slots=True)
class Strays:
    """What lies at locations and is named by nothing.

    Args:
        keys: Number of a location to the keys there.
        unreached: URLs of locations that could not be looked at, or not be emptied.
    """

    keys: dict[int, list[str]]
    unreached: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of objects."""
        return sum(map(len, self.keys.values()))


def find_strays(book: Book, unnamed: Collection[str]) -> Strays:
    """What ``remove_strays`` would remove once the rows of these blobs are gone.

    Args:
        book: An open book.
        unnamed: Digests of blobs that nothing names.
    """
    with book.reading() as connection:
        rows = _rows(connection)
    going = [outside for digest, outside in rows if digest in unnamed]
    kept = [outside for digest, outside in rows if digest not in unnamed]
    return _strays(book, BookLocations(book, _PATIENCE_S), _keys(kept), _keys(going))


def remove_strays(book: Book, gone: Iterable[Outside]) -> Strays:
    """Remove what lies at locations and is named by nothing; what was removed.

    Args:
        book: A book that is open for writing. Others may write to it meanwhile.
        gone: Contents whose rows have just been deleted; their objects need not be old.
    """
    places = BookLocations(book, _PATIENCE_S)
    with book.reading() as connection:
        kept = _keys(outside for _, outside in _rows(connection))
        urls = places.said(connection).urls
    found = _strays(book, places, kept, _keys(gone))
    removed: dict[int, list[str]] = {}
    unreached = list(found.unreached)
    for number, keys in found.keys.items():
        try:
            for portion in _portions(keys):
                removed.setdefault(number, []).extend(_removed(book, places, number, portion))
        except (ArtifactLocationError, MissingPackageError):
            unreached.append(urls[number])
    return Strays(removed, tuple(unreached))


def _removed(book: Book, places: BookLocations, number: int, keys: Sequence[str]) -> list[str]:
    """Remove objects that are still named by nothing, while nobody else writes."""
    with book.writing(alone=True) as connection:
        url = places.said(connection).urls[number]
        kept = _keys(outside for _, outside in _rows(connection)).get(number, set())
        unnamed = [key for key in keys if not _is_named(key, kept)]
        if unnamed:
            note_removal(connection)
            place, patience = places.at(number, url)
            patience.ask(
                place,
                "contents cannot be removed",
                lambda: place.remove(unnamed),
                longest_s=0.0,
            )
    return unnamed


def _strays(book: Book, places: BookLocations, kept: _Keys, going: _Keys) -> Strays:
    with book.reading() as connection:
        urls = places.said(connection).urls
    oldest = time.time() - ABANDONED_FILE_S
    found: dict[int, list[str]] = {}
    unreached: list[str] = []
    for number, url in urls.items():
        try:
            keys = going.get(number, set()) | _old(*places.at(number, url), oldest)
        except (ArtifactLocationError, MissingPackageError):
            unreached.append(url)
            continue
        named = kept.get(number, set())
        unnamed = sorted(key for key in keys if not _is_named(key, named))
        if unnamed:
            found[number] = unnamed
    return Strays(found, tuple(unreached))


def _old(place: Place, patience: Patience, oldest: float) -> set[str]:
    def listing() -> set[str]:
        return {
            item.key
            for item in place.objects()
            if item.changed is not None and item.changed < oldest
        }

    return patience.ask(place, "its objects cannot be listed", listing)


def _rows(connection: Connection) -> list[tuple[str, Outside]]:
    """Digest and place of every content at a location; those beside the book have no colon."""
    found = connection.execute(
        select(_b.digest, _b.location, _b.content).where(_b.location.contains(":"))
    )
    return [(row.digest, Outside(row.location, row.content)) for row in found]


def _keys(outside: Iterable[Outside]) -> _Keys:
    found: _Keys = {}
    for content in outside:
        number, colon, key = content.location.partition(":")
        if colon:
            try:
                keys = keys_of(key, content.listed)
            except BookCorruptError:  # its parts are not known: none of that directory is touched
                keys = [key]
            found.setdefault(int(number), set()).update(keys)
    return found


def _is_named(key: str, named: Collection[str]) -> bool:
    return key in named or f"{key.rpartition('/')[0]}/" in named


def _portions(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _TOGETHER):
        yield keys[start : start + _TOGETHER]

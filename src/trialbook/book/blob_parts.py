"""How a content lies in a place: in one object, or in parts, each named by its own digest.

A content goes there as it comes, one part in memory at a time. Up to ``PART_BYTES`` it is one
object under ``ab/DIGEST``. A longer one is a directory of parts, named by the digest of the first::

    ab/FIRST.parts/00000-FIRST
    ab/FIRST.parts/00001-DIGEST-OF-THE-SECOND

The list of parts is in the content's row, in the place of its bytes. So whoever begins an upload
again finds the parts that are there and sends only the others, without knowing yet what the whole
will be; and a part that is damaged can be named.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from trialbook.book.blob_places import Place
from trialbook.book.place_patience import Patience
from trialbook.errors import BookCorruptError

PART_BYTES = 16 * 1024 * 1024
"""Length of every part but the last. Stored with each content, so it may change."""

READ_BYTES = 4 * 1024 * 1024
"""So much is asked of a place at once."""

_WRITING = "a content cannot be written"
_READING = "a content cannot be read"


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A content that lies in a place.

    Args:
        digest: SHA-256 of it.
        size_bytes: Its length.
        key: Its object, or ending in ``/`` the directory of its parts.
        parts: The list of parts as its row keeps it, ``None`` for one object.
        sent_bytes: How much of it was not there before.
    """

    digest: str
    size_bytes: int
    key: str
    parts: bytes | None
    sent_bytes: int


def uploaded(
    place: Place, patience: Patience, chunks: Iterable[bytes], *, longest_s: float | None = None
) -> Uploaded:
    """Bring a content to a place; what is there already is not sent again.

    Args:
        place: The place.
        patience: How long to wait for it.
        chunks: The content.
        longest_s: How long to wait at the most, ``None`` for as long as usual.

    Raises:
        ArtifactLocationError: It cannot be written there, or the place was away for too long.
    """
    whole, size, sent = hashlib.sha256(), 0, 0
    first, digests = "", list[str]()

    def put(key: str, part: bytes) -> int:
        if place.size(key) == len(part):
            return 0
        place.write(key, part)
        return len(part)

    for part, last in _cut(chunks):
        whole.update(part)
        size += len(part)
        digest = hashlib.sha256(part).hexdigest()
        first = first or digest
        digests.append(digest)
        alone = last and len(digests) == 1
        key = f"{first[:2]}/{first}" if alone else _part_key(first, len(digests) - 1, digest)
        sent += patience.ask(place, _WRITING, partial(put, key, part), longest_s=longest_s)
    if len(digests) == 1:
        return Uploaded(whole.hexdigest(), size, f"{first[:2]}/{first}", None, sent)
    parts = json.dumps({"part_bytes": PART_BYTES, "parts": digests}, separators=(",", ":"))
    return Uploaded(whole.hexdigest(), size, _directory(first), parts.encode(), sent)


def _cut(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The content in parts, each with whether it is the last one; at least one."""
    part = bytearray()
    for chunk in chunks:
        part += chunk
        while len(part) > PART_BYTES:  # not before something follows: the last one is told apart
            yield bytes(memoryview(part)[:PART_BYTES]), False
            del part[:PART_BYTES]
    yield bytes(part), True


def _directory(first: str) -> str:
    return f"{first[:2]}/{first}.parts/"


def _part_key(first: str, index: int, digest: str) -> str:
    return f"{_directory(first)}{index:05d}-{digest}"


@dataclass(frozen=True, slots=True)
class _Part:
    key: str
    digest: str | None
    size_bytes: int


def _parts(key: str, size_bytes: int, listed: bytes | None) -> list[_Part]:
    if not key.endswith("/"):
        return [_Part(key, None, size_bytes)]
    try:
        document = json.loads(listed or b"")
        each, digests = int(document["part_bytes"]), list(map(str, document["parts"]))
    except (ValueError, KeyError, TypeError) as error:
        raise BookCorruptError(
            f"a blob is damaged: its list of parts cannot be read ({error})", where=key
        ) from error
    sizes = [each] * (len(digests) - 1) + [size_bytes - each * (len(digests) - 1)]
    first = digests[0] if digests else ""
    return [
        _Part(_part_key(first, index, digest), digest, size)
        for index, (digest, size) in enumerate(zip(digests, sizes, strict=True))
    ]


def keys_of(key: str, listed: bytes | None) -> list[str]:
    """The keys of every object of a content, given what its row says."""
    return [part.key for part in _parts(key, 0, listed)]


def downloaded(
    place: Place, patience: Patience, key: str, size_bytes: int, listed: bytes | None
) -> Iterator[bytes]:
    """A content out of a place, piece by piece. Its parts are checked, the whole is not.

    Args:
        place: The place.
        patience: How long to wait for it.
        key: Its object, or the directory of its parts.
        size_bytes: Its length.
        listed: The list of parts, for a directory.

    Raises:
        BookCorruptError: An object is missing, cut short, or not what its name says.
        ArtifactLocationError: The place cannot be read, or was away for too long.
    """
    for part in _parts(key, size_bytes, listed):
        sha, done = hashlib.sha256(), 0
        while done < part.size_bytes:
            end = min(done + READ_BYTES, part.size_bytes)
            piece = _piece(place, patience, part.key, done, end)
            if len(piece) != end - done:
                raise _damaged(place, part.key, "is cut short")
            done = end
            sha.update(piece)
            yield piece
        if part.digest is not None and sha.hexdigest() != part.digest:
            raise _damaged(place, part.key, "is not what its name says")


def _piece(place: Place, patience: Patience, key: str, start: int, end: int) -> bytes:
    def read() -> bytes | None:
        try:
            return place.read(key, start, end)
        except FileNotFoundError:
            return None

    found = patience.ask(place, _READING, read)
    if found is None:
        raise _damaged(place, key, "is not there")
    return found


def _damaged(place: Place, key: str, what: str) -> BookCorruptError:
    return BookCorruptError(
        f"a blob is damaged: its object {key} at {place.name} {what}",
        hint="run 'trialbook verify' to list everything that is damaged",
    )

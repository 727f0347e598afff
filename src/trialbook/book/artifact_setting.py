"""Where a book puts its larger contents: as people write it, and as the book keeps it.

The setting is a value in ``tb_book``, and so is the URL of every location that the book has ever
had: ``tb_blob`` names a location by its number, so that contents stay readable when the setting is
changed. What a location does is in ``blob_places.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from sqlalchemy import Connection, bindparam, or_, select

from trialbook.book import schema
from trialbook.book.statements import Statement, insert_or_update
from trialbook.errors import InvalidInputError
from trialbook.records.blobs import size_text
from trialbook.records.secrets import sanitized_url

BESIDE = "beside"
DATABASE = "database"

LIMIT_BYTES = 64 * 1024 * 1024
"""Contents up to this length lie in the database unless the setting says otherwise."""
LEAST_LIMIT_BYTES = 2 * 1024 * 1024
"""Consoles and files of code go the same way, and have up to 1 MiB."""
MOST_LIMIT_BYTES = 512 * 1024 * 1024
"""What a row can hold on every database; it is in memory several times on its way."""

_KEY = "artifacts"
_NUMBERED = "artifacts."
_b = schema.book.c
_all = Statement(
    select(_b.key, _b.value).where(
        or_(_b.key == bindparam("setting"), _b.key.like(bindparam("numbered")))
    )
)
_put = insert_or_update(schema.book, "value")

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_UNITS |= {"K": 2**10, "M": 2**20, "G": 2**30, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([A-Za-z]*)")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_FILES = ("file", "local")
_S3 = ("s3", "s3a")
_NO_USER = (*_S3, "gs", "gcs", "http", "https")


@dataclass(frozen=True, slots=True)
class Beside:
    """As files beside the SQLite file."""


@dataclass(frozen=True, slots=True)
class InDatabase:
    """In rows, up to a length; longer contents are refused."""

    limit_bytes: int = LIMIT_BYTES


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """At a URL.

    Args:
        url: A directory (``file:///...``) or what fsspec opens; it holds no credentials.
        number: Its number in this book; ``None`` for one that the book has not had yet.
    """

    url: str
    number: int | None = None


Setting = Beside | InDatabase | Elsewhere


@dataclass(frozen=True, slots=True)
class Locations:
    """What a book says of its larger contents.

    Args:
        setting: Where new ones go.
        urls: Every location at a URL that the book has had, by its number.
    """

    setting: Setting
    urls: Mapping[int, str]


def setting_text(setting: Setting) -> str:
    """The setting as ``--artifacts`` takes it."""
    match setting:
        case Beside():
            return BESIDE
        case InDatabase(limit_bytes):
            return f"{DATABASE}:{_exact_size(limit_bytes)}"
        case Elsewhere(url):
            return url


def described(setting: Setting) -> str:
    """The setting in words."""
    match setting:
        case Beside():
            return "beside the SQLite file"
        case InDatabase(limit_bytes):
            return f"in the database, up to {size_text(limit_bytes)} each"
        case Elsewhere(url):
            return f"at {url}"


def _exact_size(size_bytes: int) -> str:
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size_bytes % factor == 0:
            return f"{size_bytes // factor}{unit}"
    return str(size_bytes)


def setting_of(text: str, *, on_sqlite: bool) -> Setting:
    """What a user means by ``--artifacts TEXT``.

    Args:
        text: ``beside``, ``database``, ``database:LIMIT``, a directory or a URL.
        on_sqlite: Whether the book is an SQLite file, which contents can lie beside.

    Raises:
        InvalidInputError: It is none of these, or holds credentials.
    """
    if text == BESIDE:
        if not on_sqlite:
            raise InvalidInputError(
                "contents can lie beside a book only when it is an SQLite file",
                hint="use database:LIMIT, a shared directory, or a URL such as s3://BUCKET/PREFIX",
            )
        return Beside()
    kind, colon, limit = text.partition(":")
    if kind == DATABASE and not limit.startswith("//"):
        return InDatabase(_limit(limit)) if colon else InDatabase()
    return Elsewhere(checked_url(text))


def _limit(text: str) -> int:
    found = _SIZE.fullmatch(text.strip())
    unit = _UNITS.get(found[2].upper()) if found else None
    if found is None or unit is None:
        raise InvalidInputError(
            f"{text!r} is no size", hint="write it as in database:64MiB, or as a number of bytes"
        )
    size_bytes = int(float(found[1]) * unit)
    if not LEAST_LIMIT_BYTES <= size_bytes <= MOST_LIMIT_BYTES:
        raise InvalidInputError(
            f"contents in the database can be limited to {size_text(LEAST_LIMIT_BYTES)} up to "
            f"{size_text(MOST_LIMIT_BYTES)} each, not to {size_text(size_bytes)}",
            hint="keep larger ones at a URL: a shared directory, or s3://BUCKET/PREFIX",
        )
    return size_bytes


def checked_url(text: str) -> str:
    """The URL of a location as the book keeps it; a path becomes an absolute ``file://`` URL.

    Raises:
        InvalidInputError: It is no such URL, or it holds credentials.
    """
    found = _SCHEME.fullmatch(text)
    if found is None or found[1].lower() in _FILES:
        path = Path(text if found is None else found[2]).expanduser()
        bare = found is None and "/" not in text  # rather a slip than a directory of that name
        if bare or (found is not None and not path.is_absolute()):
            raise InvalidInputError(
                f"{text!r} is no place for contents",
                hint="use beside, database, database:LIMIT, the path of a directory (./NAME), or a "
                "URL such as s3://BUCKET/PREFIX",
            )
        return f"file://{path.absolute()}"
    scheme, rest = found[1].lower(), found[2]
    if "::" in text or any(mark in text for mark in "*[]#") or not rest.strip("/"):
        raise InvalidInputError(
            "that URL names no directory or bucket to keep contents in",
            where=sanitized_url(text),
            hint="write it as in s3://BUCKET/PREFIX",
        )
    place, _, query = rest.partition("?")
    _refuse_credentials(scheme, text, place)
    return f"{scheme}://{place.rstrip('/')}{_checked_query(scheme, query)}"


def _refuse_credentials(scheme: str, text: str, place: str) -> None:
    user, at, _ = place.partition("/")[0].rpartition("@")
    named = bool(at) and (":" in user or scheme in _NO_USER)
    unsigned = text.replace("@", "/")  # what stands before an @ was looked at
    if named or sanitized_url(unsigned) != unsigned:
        raise InvalidInputError(
            "the URL of a location holds no credentials: the book keeps it",
            where=sanitized_url(text),
            hint="set them in the environment of whoever runs trials (AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS, ...), or in fsspec's config",
        )


def _checked_query(scheme: str, query: str) -> str:
    """What may follow the ``?``: the address of an S3-compatible server."""
    if not query:
        return ""
    options = parse_qsl(query, keep_blank_values=True)
    if scheme in _S3 and [name for name, _ in options] == ["endpoint_url"]:
        endpoint = options[0][1]
        parts = urlsplit(endpoint)
        plain = "@" not in endpoint and parts.query == parts.fragment == ""
        if parts.scheme in ("http", "https") and parts.netloc and plain:
            return f"?endpoint_url={endpoint}"
    raise InvalidInputError(
        "the URL of a location takes no options, but for ?endpoint_url=http://HOST of an s3:// URL",
        where=f"{scheme}://...?{'&'.join(name for name, _ in options) or '...'}",
        hint="set others in the environment, or in fsspec's config (~/.config/fsspec)",
    )


def locations(connection: Connection, *, on_sqlite: bool) -> Locations:
    """What a book says of its larger contents."""
    rows = _all.rows(connection, setting=_KEY, numbered=f"{_NUMBERED}%")
    found: dict[str, str] = dict(rows)
    stored = found.pop(_KEY, None)
    urls = {int(key.removeprefix(_NUMBERED)): url for key, url in found.items()}
    setting: Setting
    if stored is None:
        setting = Beside() if on_sqlite else InDatabase()
    elif stored.startswith(_NUMBERED):
        number = int(stored.removeprefix(_NUMBERED))
        setting = Elsewhere(urls[number], number)
    else:
        setting = Beside() if stored == BESIDE else InDatabase(int(stored.partition(":")[2]))
    return Locations(setting, urls)


def write_setting(connection: Connection, setting: Setting, *, on_sqlite: bool) -> None:
    """Keep a setting in the book; a URL that the book had before keeps its number."""
    match setting:
        case Beside():
            stored = BESIDE
        case InDatabase(limit_bytes):
            stored = f"{DATABASE}:{limit_bytes}"
        case Elsewhere(url):
            urls = locations(connection, on_sqlite=on_sqlite).urls
            known = [number for number, other in urls.items() if other == url]
            number = known[0] if known else max(urls, default=0) + 1
            stored = f"{_NUMBERED}{number}"
            _put.run(connection, key=stored, value=url)
    _put.run(connection, key=_KEY, value=stored)

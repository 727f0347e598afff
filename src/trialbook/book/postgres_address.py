"""What a PostgreSQL storage URL says: libpq's parameters, the password, a database schema.

What libpq knows stays libpq's business: service files, ``.pgpass``, ``PG*`` variables, several
hosts. Nothing here connects.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from trialbook.book.location import redacted_url, server_url_parts
from trialbook.errors import InvalidInputError

_LONGEST_NAME_BYTES = 63
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_TIMES: Mapping[str, str] = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
"""How libpq notices a server that is gone, unless the URL says otherwise; seconds, the last ms."""


class Secret:
    """A text that no ``repr``, message or traceback shows."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Secret(...)"

    def revealed(self) -> str:
        """The text."""
        return self._text


@dataclass(frozen=True, slots=True)
class Address:
    """A database on a server.

    Args:
        parameters: libpq's keywords, without secrets.
        secrets: libpq's keywords whose values nobody sees (``password``, ``sslpassword``).
        schema: The database schema that holds the tables; ``None`` for the server's choice.
        shown: The URL without secrets.
    """

    parameters: Mapping[str, str]
    secrets: Mapping[str, Secret]
    schema: str | None
    shown: str


def address_of(url: str) -> Address:
    """What a storage URL of a server says.

    Args:
        url: ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE?OPTION=VALUE&schema=NAME``; each part
            may be missing. As in libpq, several hosts are separated by commas.

    Raises:
        InvalidInputError: It is written badly, or names no possible schema.
    """
    shown = redacted_url(url)
    userinfo, rest = server_url_parts(url.partition("://")[2])
    place, _, query = rest.partition("?")
    authority, _, database = place.partition("/")
    found: dict[str, str] = {}
    user, colon, password = userinfo.partition(":")
    if user:
        found["user"] = unquote(user)
    if colon:
        found["password"] = unquote(password)
    if authority:
        found.update(_hosts(authority, shown))
    if database:
        found["dbname"] = unquote(database)
    schema = None
    for item in filter(None, query.split("&")):
        key, equals, value = item.partition("=")
        key, value = unquote(key), unquote(value)
        if not equals or "\0" in value:
            raise InvalidInputError("an option of the URL is written badly", where=shown)
        if key == "schema":
            schema = checked_schema(value, shown)
        elif key == "ssl" and value == "true":  # as in libpq, for URLs of other drivers
            found["sslmode"] = "require"
        else:
            found[key] = value
    secret = {key for key in found if "password" in key or "secret" in key}
    parameters = {**_TIMES, "application_name": "trialbook", "client_encoding": "UTF8"}
    parameters.update((key, value) for key, value in found.items() if key not in secret)
    return Address(parameters, {key: Secret(found[key]) for key in secret}, schema, shown)


def _hosts(authority: str, shown: str) -> dict[str, str]:
    """``host`` and ``port`` of what stands before the path, several separated by commas."""
    hosts, ports = [], []
    for item in authority.split(","):
        matched = re.fullmatch(r"(?:\[([^\]]*)\]|([^:]*))(?::(\d*))?", item)
        if matched is None:
            raise InvalidInputError(
                "the host of the URL is written badly",
                where=shown,
                hint="in a password, write %40 for '@', %2F for '/' and %3A for ':'",
            )
        hosts.append(unquote(matched[1] or matched[2] or ""))
        ports.append(matched[3] or "")
    found = {}
    if any(hosts):
        found["host"] = ",".join(hosts)
    if any(ports):
        found["port"] = ",".join(ports)
    return found


def checked_schema(name: str, where: str) -> str:
    """The name of a database schema that may hold a book.

    Raises:
        InvalidInputError: PostgreSQL has no such names, or keeps them for itself.
    """
    if not name:
        problem = "it is empty"
    elif _CONTROL.search(name):
        problem = "it holds a control character"
    elif len(name.encode("utf-8", "surrogatepass")) > _LONGEST_NAME_BYTES:
        problem = f"it is longer than {_LONGEST_NAME_BYTES} bytes"
    elif name.lower().startswith("pg_") or name.lower() == "information_schema":
        problem = "PostgreSQL keeps such names for itself"
    elif any(0xD800 <= ord(character) <= 0xDFFF for character in name):
        problem = "it is no text"
    else:
        return name
    raise InvalidInputError(
        f"{name!r} cannot be the schema of a book: {problem}",
        where=where,
        hint="name another one, as in postgresql://HOST/DATABASE?schema=trials",
    )


def quoted(name: str) -> str:
    """A name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'

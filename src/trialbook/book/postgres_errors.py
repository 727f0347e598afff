"""PostgreSQL's errors as Trialbook's own: what happened, where, and the next step.

A connection that fails comes without the server's code, so its message is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping

from trialbook.book.postgres_address import Address, quoted
from trialbook.errors import (
    BookBusyError,
    BookConflictError,
    BookCorruptError,
    BookError,
    BookForeignError,
    BookFullError,
    BookNotFoundError,
    BookReadOnlyError,
    BookUnreachableError,
    InvalidInputError,
)

_Entry = tuple[type[BookError], str, str]

_ASK = "ask the server's administrator"
_GONE: _Entry = (
    BookUnreachableError,
    "the server went away",
    "look whether it runs and can be reached from here, then try again",
)
_REFUSED: _Entry = (
    BookError,
    "the server refused the user",
    "give the password in PGPASSWORD, ~/.pgpass or a service file, on this machine too: "
    "neither a pickled storage nor a record keeps it",
)

# SQLSTATE codes and their classes (appendix A of PostgreSQL's manual); a code wins.
_STATES: Mapping[str, _Entry] = {
    "08": _GONE,
    "57P": _GONE,
    "25P03": _GONE,
    "53300": _GONE,
    "28": _REFUSED,
    "57014": (BookBusyError, "the server gave up a statement that took too long", "try again"),
    "53": (BookFullError, "the server has no space left", _ASK),
    "58": (BookFullError, "the disk of the server refused a write or a read", _ASK),
    "55": (BookBusyError, "another process held the book for too long", "try again"),
    "40": (
        BookConflictError,
        "the server gave this transaction up for another one",
        "try again",
    ),
    "25": (BookReadOnlyError, "the book cannot be written", _ASK),
    "0A": (BookReadOnlyError, "the server cannot do that, it may be a standby", _ASK),
    "42501": (
        BookReadOnlyError,
        "the user may not do that with the book's tables",
        "as their owner: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ... TO ...; "
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA ... TO ...;",
    ),
    "42": (
        BookForeignError,
        "the database does not hold a book that this program can use",
        "look at the tables tb_*, or name another database",
    ),
    "XX": (BookCorruptError, "the server found its files damaged", _ASK),
}

_STARTING = (
    "the database system is",
    "too many clients",
    "too many connections",
    "connection slots",
    "no more connections allowed",
    "query_wait_timeout",
    "server login has been failing",
    "server_login_retry",
    "connect failed",
    "the server shut down",
    "pgbouncer cannot connect",
    "server conn crashed",
    "terminating connection",
)
_OF_THE_USER = (
    "authentication",
    "no password supplied",
    "no pg_hba.conf entry",
    "password",
    "sasl",
    "role ",
    "no such user",
)


def meaning(sqlstate: str | None) -> _Entry | None:
    """Kind, what happened and the next step of an error; ``None`` when the code is not known.

    Args:
        sqlstate: The server's code; ``None`` when the server could say nothing any more.
    """
    if sqlstate is None:
        return _GONE
    for length in (5, 3, 2):
        found = _STATES.get(sqlstate[:length])
        if found is not None:
            return found
    return None


def connection_error(error: Exception, address: Address) -> BookError:
    """The error of the tree for a connection that was not made.

    Args:
        error: A ``psycopg.Error``.
        address: Where it was to lead.
    """
    said = _without_secrets(error, address)
    lower = said.lower()
    where = address.shown
    name = address.parameters.get("dbname", "")
    if type(error).__name__ == "ProgrammingError" or "definition of service" in lower:
        return BadAddressError(
            f"the URL cannot be used ({said})",
            where=where,
            hint="write postgresql://USER@HOST:PORT/DATABASE, with options that libpq knows",
        )
    state = getattr(error, "sqlstate", None)
    if "unsupported startup parameter" in lower:
        return BookError(
            f"the pooler refuses an option of the URL ({said})",
            where=where,
            hint="name a schema with ?schema=NAME instead of options=",
        )
    if state == "3D000" or ('database "' in lower and "does not exist" in lower):
        return BookNotFoundError(
            f"the server has no such database ({said})",
            where=where,
            hint=f"make it with 'createdb {_flags(address)}{name}', or name another one",
        )
    known = None if state is None else meaning(state)
    if known is not None:
        kind, what, hint = known
    elif "fatal" not in lower or any(text in lower for text in _STARTING):
        kind, what, hint = BookUnreachableError, "the server cannot be reached", _GONE[2]
        if any(text in lower for text in ("no password supplied", "ssl was required")):
            kind, what, hint = _REFUSED
    elif any(text in lower for text in _OF_THE_USER):
        kind, what, hint = _REFUSED
    else:
        kind, what, hint = BookError, "the server refused the connection", _ASK
    return kind(f"{what} ({said})", where=where, hint=hint)


class BadAddressError(BookError, InvalidInputError):
    """The URL is written badly."""


def _without_secrets(error: Exception, address: Address) -> str:
    """The first line of the driver's message; no part of it can be a password."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    for secret in address.secrets.values():
        if secret.revealed():
            said = said.replace(secret.revealed(), "***")
    return said


def _flags(address: Address) -> str:
    names = (("host", "-h"), ("port", "-p"), ("user", "-U"))
    given = address.parameters
    return "".join(f"{flag} {given[name]} " for name, flag in names if name in given)


def may_not_create(
    error: Exception, *, where: str, user: str, database: str, schema: str | None, at: str
) -> BookError:
    """The error for a book whose tables could not be made, with the GRANT that is missing.

    Args:
        error: What the server said.
        where: The book.
        user: The user.
        database: The database.
        schema: A database schema that would have to be made first; ``None`` when it is there.
        at: The schema where the tables go; empty for none.
    """
    said = (str(error).strip().splitlines() or [""])[0]
    if schema is not None:
        grant = f"GRANT CREATE ON DATABASE {quoted(database)} TO {quoted(user)};"
    elif at:
        grant = f"GRANT USAGE, CREATE ON SCHEMA {quoted(at)} TO {quoted(user)};"
    else:
        return BookError(
            f"the server has no schema for new tables ({said})",
            where=where,
            hint="name one in the URL, as in ?schema=trials",
        )
    return BookReadOnlyError(
        f"the user {user!r} may not make the book's tables ({said})",
        where=where,
        hint=f"as the owner of the database {database!r}: {grant}",
    )

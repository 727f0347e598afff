"""Whether workers on other machines can reach a book, as far as its address alone says."""

from __future__ import annotations

import ipaddress
import os
import shlex
from collections.abc import Mapping

from trialbook.book.location import redacted_url, sqlite_path
from trialbook.book.postgres_address import address_of
from trialbook.errors import InvalidInputError

_SERVER_VARIABLES = (
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGDATABASE",
    "PGUSER",
    "PGPASSWORD",
    "PGSSLMODE",
    "PGSERVICE",  # the service's file is the worker's own, as .pgpass is
    "PGCHANNELBINDING",
    "PGTARGETSESSIONATTRS",
    "PGOPTIONS",
)


def require_reachable(url: str, study: str, *, everybody_is_here: bool) -> None:
    """Refuse a book that a worker on another machine would not find.

    Args:
        url: As ``book_url`` gives it.
        study: Name of the study, for the next step.
        everybody_is_here: Whether every worker runs on this machine.

    Raises:
        InvalidInputError: It is a file, or its server is addressed as this machine's own.
    """
    if everybody_is_here:
        return
    path = sqlite_path(url)
    if path is not None:
        raise InvalidInputError(
            "workers on other machines cannot use an SQLite book",
            where=str(path),
            hint=f"'trialbook storage copy {shlex.quote(study)} --to postgresql://HOST/NAME', then "
            "launch with that --storage; or --same-machine when all of them run on this machine",
        )
    host = server_host(url, os.environ)
    if host is not None and _is_own(host):
        raise InvalidInputError(
            "other machines would look for the book's server on themselves",
            where=redacted_url(url),
            hint="name the server as they do (postgresql://HOST/NAME); or --same-machine when all "
            "of them run on this machine",
        )


def server_host(url: str, environment: Mapping[str, str]) -> str | None:
    """Where a server is, as libpq takes it; ``None`` when a service file says.

    Args:
        url: The storage URL.
        environment: Where ``PGHOST`` and the like may stand.
    """
    parameters = address_of(url).parameters
    if "service" in parameters or environment.get("PGSERVICE"):
        return None
    for name, variable in (("hostaddr", "PGHOSTADDR"), ("host", "PGHOST")):
        found = parameters.get(name) or environment.get(variable)
        if found:
            return found
    return ""


def server_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """What a storage URL leaves to libpq's environment, the password among it."""
    return {name: environment[name] for name in _SERVER_VARIABLES if environment.get(name)}


def _is_own(hosts: str) -> bool:
    """Whether every host of the list is this machine, seen from itself alone."""
    return all(_is_own_host(host.strip("[] ")) for host in hosts.split(","))


def _is_own_host(host: str) -> bool:
    if not host or host.startswith(("/", "@")) or host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

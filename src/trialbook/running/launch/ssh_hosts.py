"""Hosts that workers are placed on over SSH: how they are named, and how workers are spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_ALLOWED = frozenset("._-:@%+[]")
_BLANKS = " \t\r"


@dataclass(frozen=True, slots=True)
class Host:
    """A host as the user names it.

    Args:
        name: What ``ssh`` takes: a name, an address, an alias of ``~/.ssh/config``, ``USER@HOST``
            or ``ssh://USER@HOST:PORT``.
        slots: How many workers it takes at most, ``None`` for any number.
    """

    name: str
    slots: int | None = None


def host_fault(name: str) -> str | None:
    """Why a text is no host, ``None`` for a good one.

    A host stands in the command line of ``ssh``, which hands it to commands of the user's
    configuration (``ProxyCommand``): whatever a shell or an option parser would take for something
    else is refused.
    """
    bare = name.removeprefix("ssh://")
    if not bare:
        return "a host has no name"
    if any(part.startswith("-") for part in bare.split("@")):
        return f"{name!r} begins as an option does"
    if not all(letter.isalnum() or letter in _ALLOWED for letter in bare):
        return f"{name!r} holds characters that no host has"
    return None


def listed_hosts(texts: Sequence[str]) -> tuple[list[Host], list[str]]:
    """The hosts that lines name, and the faults of those that name none.

    Args:
        texts: A host each, ``slots=N`` behind it; ``#`` begins a comment, an empty one says
            nothing.
    """
    hosts: dict[str, Host] = {}
    faults: list[str] = []
    for text in texts:
        # Only blanks separate: a host that a line break hides in is a fault, not two words.
        name, *rest = text.partition("#")[0].strip(_BLANKS).replace("\t", " ").split(" ")
        if not name and not rest:
            continue
        slots, wrong = _slots([word for word in rest if word])
        wrong = host_fault(name) or wrong
        if name in hosts:
            wrong = f"{name} is named twice"
        if wrong is None:
            hosts[name] = Host(name, slots)
        else:
            faults.append(wrong)
    return list(hosts.values()), faults


def _slots(words: Sequence[str]) -> tuple[int | None, str | None]:
    slots = None
    for word in words:
        value = word.removeprefix("slots=")
        if word == value or not (value.isascii() and value.isdecimal()) or int(value) < 1:
            return None, f"{word!r} is not 'slots=N'"
        slots = int(value)
    return slots, None


def spread(hosts: Sequence[Host], workers: int) -> dict[str, list[int]]:
    """Indices of workers by host: one a host in turn, as long as its slots last.

    Fewer are placed where the slots of all hosts are too few.
    """
    places: dict[str, list[int]] = {host.name: [] for host in hosts}
    index = 0
    while index < workers:
        free = [h for h in hosts if h.slots is None or len(places[h.name]) < h.slots]
        if not free:
            break
        for host in free[: workers - index]:
            places[host.name].append(index)
            index += 1
    return {name: indices for name, indices in places.items() if indices}

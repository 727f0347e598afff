"""Options of the SSH launcher, and which of them may be handed on to ``ssh -o``.

A launch's options stand in the book, and later commands use them again, possibly another person's.
So only those go through that make ``ssh`` run nothing and read no program's text; for all others
there is the user's own ``~/.ssh/config``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trialbook.running.launch.ssh_hosts import host_fault

SSH_OPTIONS = (
    "AddressFamily",
    "BindAddress",
    "BindInterface",
    "CheckHostIP",
    "Ciphers",
    "Compression",
    "ConnectionAttempts",
    "ConnectTimeout",
    "GSSAPIAuthentication",
    "HostKeyAlgorithms",
    "HostKeyAlias",
    "HostName",
    "IdentitiesOnly",
    "IdentityFile",
    "KexAlgorithms",
    "LogLevel",
    "MACs",
    "Port",
    "PreferredAuthentications",
    "ProxyJump",
    "PubkeyAcceptedAlgorithms",
    "PubkeyAuthentication",
    "ServerAliveCountMax",
    "ServerAliveInterval",
    "StrictHostKeyChecking",
    "User",
    "UserKnownHostsFile",
)
_HOSTS = ("hostname", "proxyjump", "hostkeyalias", "user")
_OWN = ("hosts", "python", "gpus_per_worker", "directory", "config")
_WRITABLE_BY_OTHERS = 0o022


@dataclass(frozen=True, slots=True)
class SshOptions:
    """The options, checked.

    Args:
        hosts: As they were given.
        python: The interpreter on the hosts, ``None`` for this one's path.
        gpus_per_worker: As in ``trialbook launch``.
        directory: Where workers begin, ``None`` for the launch's own directory on each host.
        config: A file read instead of the user's, ``None`` for the user's.
        ssh: ``KEY=VALUE`` for ``ssh -o``.
    """

    hosts: tuple[str, ...] = ()
    python: str | None = None
    gpus_per_worker: int | None = None
    directory: str | None = None
    config: str | None = None
    ssh: tuple[str, ...] = ()


def checked_options(options: Mapping[str, Any]) -> tuple[SshOptions, list[str]]:
    """The options and what is wrong with them; those that are wrong are left out."""
    faults: list[str] = []
    hosts = options.get("hosts", [])
    if not isinstance(hosts, (list, tuple)) or not all(isinstance(host, str) for host in hosts):
        faults.append(f"hosts are a list of texts, not {hosts!r}")
        hosts = []
    texts = {name: _text(name, options[name], faults) for name in _OWN[1:] if name in options}
    gpus = options.get("gpus_per_worker")
    if gpus is not None and (not isinstance(gpus, int) or isinstance(gpus, bool) or gpus < 1):
        faults.append(f"gpus_per_worker is a whole number from 1 up, not {gpus!r}")
        gpus = None
    config = texts.get("config")
    if config is not None:
        faults += _config_faults(config)
    checked = SshOptions(
        hosts=tuple(hosts),
        python=texts.get("python"),
        gpus_per_worker=gpus,
        directory=texts.get("directory"),
        config=config,
        ssh=tuple(
            f"{name}={text}"
            for name in options
            if name not in _OWN
            for text in _ssh_values(name, options[name], faults)
        ),
    )
    return checked, faults


def _text(name: str, value: Any, faults: list[str]) -> str | None:
    if name == "gpus_per_worker":
        return None
    # Python's path is a line by itself in what a host is told.
    if not isinstance(value, str) or not value or not value.isprintable():
        faults.append(f"{name} is a text without control characters, not {value!r}")
        return None
    return value


def _ssh_values(name: str, value: Any, faults: list[str]) -> list[str]:
    if name.lower() not in (known.lower() for known in SSH_OPTIONS):
        faults.append(f"{name!r} is none of its options")
        return []
    values = value if isinstance(value, (list, tuple)) else [value]
    good = []
    for one in values:
        text = "yes" if one is True else one
        if not isinstance(text, str) or not text or not text.isprintable():
            faults.append(f"{name} is a text without control characters, not {one!r}")
        elif name.lower() in _HOSTS and any(host_fault(part) for part in text.split(",")):
            faults.append(f"{name}={text!r} names no host or user")
        else:
            good.append(text)
    return good


def _config_faults(config: str) -> list[str]:
    """What is wrong with a configuration file: it can make ``ssh`` run programs.

    So nobody else may be able to write it, which ``ssh`` checks only for the one in its usual
    place. One that is missing is named by ``ssh`` itself.
    """
    try:
        found = Path(config).stat()
    except OSError:
        return []
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & _WRITABLE_BY_OTHERS:
        return [f"{config} can be written by others"]
    return []

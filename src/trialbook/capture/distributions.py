"""Which files below site directories belong to no installed distribution.

Files copied there by hand belong to none, so no other coordinate would record them. What the
installed distributions are is the environment's business.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from functools import lru_cache

from trialbook.capture.cache_file import CacheFile, default_cache_dir
from trialbook.capture.imports import is_own, site_directories, unwatched

_Names = dict[str, tuple[int, list[str] | None]]
"""Site directory to its modification time and the names in it, as they are remembered."""

_SITES = 32
_RACY_NS = 2_000_000_000
_FIRST_COMPONENT = re.compile(rb'(?m)^"?([^/,"\n]+)')


def strays(paths: Iterable[str]) -> list[str]:
    """The installed paths (``imports.is_installed``) that belong to no distribution.

    The standard library, site directories in which some distribution does not list its files, and
    Trialbook itself are taken to belong to one throughout.
    """
    found = []
    known: dict[str, frozenset[str] | None] = {}
    sites = _sites()
    for path in paths:
        if is_own(path):
            continue
        for site in sites:
            if path.startswith(site):
                if site not in known:
                    known[site] = _names_in(site, _mtime_ns(site))
                names = known[site]
                if names is not None and path[len(site) :].partition("/")[0] not in names:
                    found.append(path)
                break
    return found


@lru_cache(maxsize=1)
def _sites() -> tuple[str, ...]:
    return site_directories()


@lru_cache(maxsize=16)
def _names_in(site: str, mtime_ns: int) -> frozenset[str] | None:
    """First components of all files that the distributions in a site directory list.

    Installing or removing a distribution changes the directory's time, so what was found is
    remembered between processes.

    Args:
        site: The directory.
        mtime_ns: Its modification time.

    Returns:
        ``None`` when a distribution there does not list its files.
    """
    file = CacheFile(default_cache_dir() / "sites" / "names.msgpack", _Names)
    saved = file.read() or {}
    if site in saved and saved[site][0] == mtime_ns:
        names = saved[site][1]
    else:
        names = _listed_in(site)
        if time.time_ns() - mtime_ns > _RACY_NS:
            file.write(dict(list(saved.items())[-_SITES:]) | {site: (mtime_ns, names)})
    return None if names is None else frozenset(names)


def _listed_in(site: str) -> list[str] | None:
    names = {b"__pycache__"}
    try:
        with unwatched(), os.scandir(site) as entries:
            for entry in entries:
                if entry.name.endswith(".dist-info"):
                    with open(f"{entry.path}/RECORD", "rb") as file:  # noqa: PTH123
                        names.update(_FIRST_COMPONENT.findall(file.read()))
                elif entry.name.endswith((".egg-info", ".egg", ".egg-link")):
                    return None
    except OSError:
        return None
    return sorted(os.fsdecode(name) for name in names if _is_utf8(name))


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _mtime_ns(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116
    except OSError:
        return 0

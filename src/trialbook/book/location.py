"""Where a book is: storage URLs from flags, environment and the directory tree.

Nothing here opens a book. A storage is an SQLAlchemy URL or the plain path of an SQLite file.
"""

from __future__ import annotations

import getpass
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from trialbook.book.project import project_storage
from trialbook.errors import BookNetworkError, InvalidInputError

STORAGE_VARIABLE = "TRIALBOOK_STORAGE"
DIRECTORY = ".trialbook"
FILE = "book.db"

SERVER_SCHEMES = ("postgresql", "postgres")

_SQLITE = "sqlite:///"
# Hosts with ports, and what may follow them: no user and no password.
_ADDRESS = re.compile(r"([^:@/?]*|\[[^\]]*\])(:\d+)?(,([^:@/?]*|\[[^\]]*\])(:\d+)?)*(/|\?|$)")
_HELD_IN_MEMORY = ("", ":memory:")
_NETWORK_FILE_SYSTEMS = frozenset(
    [
        "afs",
        "afpfs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "ecryptfs-nfs",
        "fhgfs",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs3",
        "nfs4",
        "orangefs",
        "panfs",
        "pvfs2",
        "smb",
        "smb2",
        "smb3",
        "smbfs",
        "webdav",
    ]
)
_NETWORK_FUSE = ("ceph", "gcsfuse", "glusterfs", "goofys", "juicefs", "rclone", "s3fs", "sshfs")


def book_url(storage: str | Path | None = None) -> str:
    """The storage URL that is meant.

    Args:
        storage: What a flag or an argument says: a URL, or the path of an SQLite file. ``None``:
            the environment variable ``TRIALBOOK_STORAGE``, else ``storage`` of
            ``[tool.trialbook]`` in the nearest ``pyproject.toml``, else ``.trialbook/book.db`` in
            this directory or the nearest one above that has it, else (to be made) in this one.

    Returns:
        A URL; that of an SQLite book holds an absolute path.

    Raises:
        InvalidInputError: The text names no storage that a book can use.
    """
    if storage is None:
        storage = os.environ.get(STORAGE_VARIABLE) or None
    if storage is None:
        named = project_storage(Path.cwd())
        storage = None if named is None else named[0]
    if storage is None:
        return _SQLITE + str(_nearest(Path.cwd()))
    text = str(storage)
    if "://" not in text:
        return _SQLITE + str(_file(Path(text).expanduser()))
    if text.partition("://")[0].partition("+")[0] == "sqlite":
        return _SQLITE + str(_file(_path_of_sqlite_url(text)))
    return text


def _nearest(start: Path) -> Path:
    for directory in (start, *start.parents):
        candidate = directory / DIRECTORY / FILE
        if candidate.is_file():
            return candidate
    return start / DIRECTORY / FILE


def _path_of_sqlite_url(url: str) -> Path:
    rest = url.partition("://")[2]
    path, _, query = rest.partition("?")
    if query:
        raise InvalidInputError(
            "the URL of an SQLite book takes no options",
            where=url,
            hint=f"write {_SQLITE}{path.lstrip('/')} without what follows the '?'",
        )
    name = path[1:] if path.startswith("/") else path
    if name in _HELD_IN_MEMORY:
        raise InvalidInputError(
            "a book is a file: SQLite's in-memory database cannot hold one",
            where=url,
            hint="name a file, as in sqlite:///book.db",
        )
    return Path(unquote(name))


def _file(path: Path) -> Path:
    if path.is_dir():
        raise InvalidInputError(
            "a directory is no book",
            where=str(path),
            hint=f"name the file, as in {path / FILE}",
        )
    return Path(os.path.abspath(path))  # noqa: PTH100 - must not resolve links


def sqlite_path(url: str) -> Path | None:
    """The file of an SQLite book, ``None`` when the URL names a server."""
    return Path(url[len(_SQLITE) :]) if url.startswith(_SQLITE) else None


def book_files(url: str) -> tuple[Path, ...]:
    """Files and directories of the book, to be left out of manifests and never opened.

    Args:
        url: As ``book_url`` gives it.

    Returns:
        Absolute paths; the whole directory when it is a book's own (``.trialbook``). Empty for
        a book on a server.
    """
    path = sqlite_path(url)
    if path is None:
        return ()
    own = (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal")))
    files = (*own, lock_path(path), blob_directory(path))
    return (path.parent, *files) if path.parent.name == DIRECTORY else files


def lock_path(path: Path) -> Path:
    """The file whose lock orders the writers; never the database, whose locks SQLite owns."""
    return path.with_name(path.name + ".lock")


def blob_directory(path: Path) -> Path:
    """The directory of the larger blobs of an SQLite book."""
    return path.with_name(path.name + ".blobs")


def redacted_url(url: str) -> str:
    """The URL without its password, for messages, records and ``repr``."""
    if sqlite_path(url) is not None:
        return url
    scheme, separator, rest = url.partition("://")
    userinfo, rest = server_url_parts(rest)
    place, mark, query = rest.partition("?")
    user = userinfo.partition(":")[0]
    kept = "&".join(item for item in query.split("&") if not _is_secret(item))
    return f"{scheme}{separator}{f'{user}@' if user else ''}{place}{mark if kept else ''}{kept}"


def server_url_parts(rest: str) -> tuple[str, str]:
    """User and password, and what follows them, of what stands behind ``://`` in a URL.

    A password may hold characters that should have been percent-encoded: it is taken to be as
    long as it can be, so that no part of it is ever shown.
    """
    at = rest.partition("?")[0].rfind("@")
    if at < 0 and not _ADDRESS.match(rest):
        at = rest.rfind("@")
    return ("", rest) if at < 0 else (rest[:at], rest[at + 1 :])


def _is_secret(item: str) -> bool:
    name = unquote(item.partition("=")[0]).lower()
    return "password" in name or "secret" in name


@dataclass(frozen=True, slots=True)
class FileSystem:
    """The mounted file system under a path."""

    kind: str
    mounted_at: str

    @property
    def network(self) -> bool:
        """Whether it is reached over a network, so that SQLite's locks do not hold."""
        kind = self.kind.lower()
        if kind.startswith("fuse."):
            return kind[5:].startswith(_NETWORK_FUSE)
        return kind in _NETWORK_FILE_SYSTEMS


def file_system(path: Path, mounts: str | None = None) -> FileSystem | None:
    """The file system on which a path lies, or would lie.

    Args:
        path: Absolute; it need not exist.
        mounts: Text in the form of ``/proc/mounts``; ``None`` to ask the system.

    Returns:
        ``None`` when the system does not say.
    """
    table = _mounts() if mounts is None else _parsed(mounts)
    real = os.path.realpath(path)
    found: FileSystem | None = None
    for mounted in table:  # a later mount hides an earlier one at the same place
        under = mounted.mounted_at.rstrip("/") + "/"
        if (real + "/").startswith(under) and (
            found is None or len(mounted.mounted_at) >= len(found.mounted_at)
        ):
            found = mounted
    return found


def _mounts() -> list[FileSystem]:
    if sys.platform == "linux":
        try:
            return _parsed(Path("/proc/self/mounts").read_text(errors="surrogateescape"))
        except OSError:
            return []
    import psutil

    return [FileSystem(p.fstype, p.mountpoint) for p in psutil.disk_partitions(all=True)]


def _parsed(mounts: str) -> list[FileSystem]:
    table = []
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) >= 3:
            place = fields[1].encode("utf-8", "surrogateescape").decode("unicode_escape")
            table.append(FileSystem(fields[2], place))
    return table


def refuse_network(path: Path, mounts: str | None = None) -> None:
    """Refuse an SQLite book on a network file system.

    Raises:
        BookNetworkError: It lies on one.
    """
    system = file_system(path, mounts)
    if system is not None and system.network:
        local = Path("/var/tmp") / f"trialbook-{getpass.getuser()}" / (path.stem + ".db")  # noqa: S108
        raise BookNetworkError(
            f"an SQLite book cannot lie on a network file system ({system.kind}): "
            "its locks do not hold there",
            where=str(path),
            hint=f"--storage {local}, or a PostgreSQL book for several machines",
        )

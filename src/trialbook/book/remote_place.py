"""A place that fsspec opens: S3 and everything else that has a URL of its own.

The only home of fsspec. Credentials come from where its backend looks for them (``AWS_*``, files of
configuration, fsspec's own configuration), never from the book.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from trialbook.book.blob_places import StoredObject
from trialbook.errors import InvalidInputError, MissingPackageError

_OBJECT_STORES = frozenset(["s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci"])
"""Without directories: making one would make a bucket."""

_CHANGED = ("LastModified", "mtime", "last_modified", "updated", "modified", "created")
_S3 = ("s3", "s3a")
# Whoever calls tries again, and knows for how long.
_TRY_TWICE = {"retries": {"mode": "standard", "total_max_attempts": 2}}


class RemotePlace:
    """A place that fsspec opens.

    Args:
        url: Without credentials.
        book_id: The book's identity.
    """

    def __init__(self, url: str, book_id: str) -> None:
        self.name = url
        plain, _, query = url.partition("?")
        self._scheme = plain.partition("://")[0]
        self._url = f"{plain}/{book_id}"
        self._options = {name: values[0] for name, values in parse_qs(query).items()}
        self._opened: tuple[int, Any, str] | None = None
        self._made: set[str] = set()

    def _there(self) -> tuple[Any, str]:
        """The file system and the root in it; a forked process opens its own."""
        if self._opened is None or self._opened[0] != os.getpid():
            opened = _file_system(self._scheme, self._url, self._options, self.name)
            self._opened = (os.getpid(), *opened)
            self._made = set()
        return self._opened[1], self._opened[2]

    def make(self) -> None:
        """See ``Place``."""
        self._there()

    def size(self, key: str) -> int | None:
        """See ``Place``."""
        system, root = self._there()
        try:
            return int(system.info(f"{root}/{key}")["size"])
        except FileNotFoundError:
            return None

    def write(self, key: str, content: bytes) -> None:
        """See ``Place``."""
        system, root = self._there()
        path = f"{root}/{key}"
        directory = path.rpartition("/")[0]
        if self._scheme not in _OBJECT_STORES and directory not in self._made:
            system.makedirs(directory, exist_ok=True)
            self._made.add(directory)
        system.pipe_file(path, content)

    def read(self, key: str, start: int, end: int) -> bytes:
        """See ``Place``."""
        system, root = self._there()
        found: bytes = system.cat_file(f"{root}/{key}", start=start, end=end)
        return found

    def remove(self, keys: Iterable[str]) -> None:
        """See ``Place``."""
        system, root = self._there()
        paths = [f"{root}/{key}" for key in keys]
        if self._scheme in _OBJECT_STORES and len(paths) > 1:
            system.rm(paths)  # many in one request; what is missing is no error there
            return
        for path in paths:
            with suppress(FileNotFoundError):
                system.rm_file(path)

    def remove_all(self, directory: str) -> None:
        """See ``Place``."""
        system, root = self._there()
        with suppress(FileNotFoundError):
            system.rm(f"{root}/{directory}", recursive=True)

    def objects(self) -> Iterator[StoredObject]:
        """See ``Place``."""
        system, root = self._there()
        with suppress(FileNotFoundError):
            for path, info in system.find(root, detail=True).items():
                yield StoredObject(path.partition(f"{root}/")[2], _changed(info))


def _file_system(scheme: str, url: str, options: dict[str, Any], name: str) -> tuple[Any, str]:
    hint = "pip install 'trialbook[remote]'"
    try:
        import fsspec
    except ImportError as error:
        raise MissingPackageError(
            "artifacts of this book lie at a URL, which needs the package fsspec",
            where=name,
            hint=hint,
        ) from error
    try:
        fsspec.get_filesystem_class(scheme)
    except ValueError as error:
        raise InvalidInputError(
            f"fsspec knows no {scheme}:// URLs", where=name, hint="use a directory, or s3://..."
        ) from error
    except ImportError as error:
        raise MissingPackageError(
            f"artifacts of this book lie at a URL, and fsspec needs a package for {scheme}: "
            f"{error}",
            where=name,
            hint=hint if scheme in _S3 else "install that package",
        ) from error
    if scheme in _S3 and "config_kwargs" not in fsspec.config.conf.get(scheme, {}):
        options = {**options, "config_kwargs": _TRY_TWICE}
    # No cache of listings: other processes write there. Nobody else shares the instance.
    system, root = fsspec.core.url_to_fs(
        url, skip_instance_cache=True, use_listings_cache=False, **options
    )
    if scheme in _S3:
        system.retries = 1
    return system, str(root)


def _changed(info: dict[str, Any]) -> float | None:
    for name in _CHANGED:
        found = info.get(name)
        if isinstance(found, datetime):
            return found.timestamp()
        if isinstance(found, int | float):
            return float(found)
        if isinstance(found, str):
            with suppress(ValueError):
                return datetime.fromisoformat(found).timestamp()
    return None

"""Which files belong to a tree: as git lists them, or by walking where there is no git.

Only names and git's view of them; nothing is opened here. ``tree.py`` reads.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trialbook.capture.git import GITLINK, Repository, TrackedFile, repository_at
from trialbook.records.code import ROOT, CodeState, GitState

_NAMED = 4
_BOOK_DIRECTORY = b".trialbook"
_BOOK_COMPANIONS = ("-wal", "-shm", "-journal", ".lock")
_VERSION_CONTROL = frozenset({b".git", b".hg", b".svn", b".bzr", b".jj"})
_SKIPPED = _VERSION_CONTROL | {
    b"__pycache__", b"__pypackages__", b"node_modules", b".venv", b".tox", b".nox", b".direnv",
    b".cache", b".mypy_cache", b".pytest_cache", b".ruff_cache", b".hypothesis", b".eggs",
    b".ipynb_checkpoints", b".import_linter_cache", b".npm", b".pixi", b".uv-cache",
    _BOOK_DIRECTORY,
}  # fmt: skip


class Excluded:
    """Files that are never opened: a book's, with what SQLite keeps beside it.

    Directories named ``.trialbook`` below the root are books too, whichever is in use.

    Args:
        paths: Files or directories.
        root: The root of the code.
    """

    def __init__(self, paths: Sequence[Path], root: Path) -> None:
        self._root_length = len(os.fsencode(root))
        spellings = {
            os.fsencode(spelling)
            for path in paths
            for spelling in (os.path.abspath(path), os.path.realpath(path))  # noqa: PTH100
        }
        self._files = frozenset(
            name + os.fsencode(end) for name in spellings for end in ("", *_BOOK_COMPANIONS)
        )
        self._below = tuple(name + b"/" for name in sorted(spellings))

    def covers(self, path: bytes) -> bool:
        """Whether this absolute path is one of them or lies below one."""
        return (
            path in self._files
            or path.startswith(self._below)
            or b"/.trialbook/" in path[self._root_length :] + b"/"
        )


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the tree.

    Args:
        path: Relative to the root of the code.
        entry: Its entry in an index, ``None`` when it is in none.
        tree: The repository that lists it, ``None`` without one.
    """

    path: bytes
    entry: TrackedFile | None = None
    tree: Repository | None = None


@dataclass(slots=True)
class Listing:
    """The files of a tree.

    Args:
        members: In no particular order.
        git: What git says, ``None`` without a repository; whether it is dirty is not yet known
            from here alone.
        gaps: Why files are missing.
        remarks: What else a reader should know.
    """

    members: list[Member] = field(default_factory=list)
    git: GitState | None = None
    dirty: bool = False
    gaps: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def git_listing(root: Path, excluded: Excluded) -> Listing | None:
    """The tracked files, and the untracked ones that are not ignored, submodules included.

    Args:
        root: Top of a working tree or a directory inside it.
        excluded: Files to leave out; they do not make the tree dirty either.

    Returns:
        ``None`` when the root is in no repository.

    Raises:
        GitUnavailableError: There is a repository, and git cannot be asked.
    """
    tree = repository_at(root)
    if tree is None:
        return None
    listing = Listing(dirty=tree.staged)
    _add_repository(listing, tree, os.fsencode(root), b"", excluded)
    listing.git = GitState(
        commit=tree.commit,
        branch=tree.branch,
        remote=tree.remote,
        dirty=listing.dirty,
        prefix=os.fsdecode(tree.prefix.removesuffix(b"/")),
    )
    return listing


def _add_repository(
    listing: Listing, tree: Repository, directory: bytes, place: bytes, excluded: Excluded
) -> None:
    """Add what one repository lists.

    Args:
        listing: Added to.
        tree: The repository.
        directory: Where its prefix lies on disk.
        place: The same, relative to the root of the code; ``b""`` or ending in a slash.
        excluded: Files to leave out.
    """
    previous: bytes | None = None
    for entry in tree.tracked:
        path = entry.path.removeprefix(tree.prefix)
        full = os.path.join(directory, path)  # noqa: PTH118
        if excluded.covers(full) or path == previous:  # a conflict has an entry for each side
            continue
        previous = path
        if entry.mode == GITLINK:
            _add_submodule(listing, entry, full, place + path, excluded)
        else:
            listing.members.append(Member(place + path, entry, tree))
    for name in tree.untracked:
        path = name.removeprefix(tree.prefix)
        full = os.path.join(directory, path.removesuffix(b"/"))  # noqa: PTH118
        if excluded.covers(full):
            continue
        listing.dirty = True
        if path.endswith(b"/"):
            _add_submodule(listing, None, full, (place + path).removesuffix(b"/"), excluded)
        else:
            listing.members.append(Member(place + path, None, tree))


def _add_submodule(
    listing: Listing, entry: TrackedFile | None, directory: bytes, place: bytes, excluded: Excluded
) -> None:
    """Add a repository inside another: a submodule, or one that merely lies there."""
    name = os.fsdecode(place)
    link = os.path.join(directory, b".git")  # noqa: PTH118
    if os.path.islink(directory) or not os.path.lexists(link):  # noqa: PTH114
        listing.remarks.append(f"the submodule {name} is not checked out")
        return
    tree = repository_at(Path(os.fsdecode(directory)))
    if tree is None or tree.prefix:
        listing.gaps.append(f"{name} has a .git that git does not accept: its files are left out")
        return
    if tree.staged or (entry is not None and entry.oid != tree.commit):
        listing.dirty = True
    _add_repository(listing, tree, directory, place + b"/", excluded)


def walked_listing(root: Path, excluded: Excluded, limit: int) -> Listing:
    """The files below a root that is in no repository.

    Version control, caches, virtual environments, installed JavaScript packages and books are
    left out; symbolic links are listed and not followed.

    Args:
        root: Where to begin.
        excluded: Files to leave out.
        limit: With more files than this none is listed, and the gap says so.
    """
    listing = Listing()
    for path in _walked(os.fsencode(root), b"", excluded, listing):
        listing.members.append(Member(path))
        if len(listing.members) > limit:
            listing.members.clear()
            listing.gaps.append(
                f"the root holds more than {limit} files: only loaded ones are recorded"
            )
            break
    return listing


def recorded_listing(root: Path, origin: CodeState) -> Listing:
    """The files of a root that was restored from a record; what came there since is left out.

    Args:
        root: The restored root.
        origin: What it was restored from.
    """
    names = [entry.path for entry in origin.files if entry.base == ROOT]
    here = [name for name in names if os.path.lexists(os.path.join(root, name))]  # noqa: PTH118
    missing = sorted(set(names) - set(here))
    shown = ", ".join(missing[:_NAMED]) + (" and others" if len(missing) > _NAMED else "")
    return Listing(
        members=[Member(os.fsencode(name)) for name in here],
        git=origin.git,
        dirty=origin.git is not None and origin.git.dirty,
        gaps=[f"not here, since the book holds the digest only: {shown}"] if missing else [],
        remarks=["the code was restored from the book"],
    )


def _walked(
    directory: bytes, place: bytes, excluded: Excluded, listing: Listing
) -> Iterator[bytes]:
    below: list[bytes] = []
    try:
        with os.scandir(directory) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        listing.gaps.append(f"{os.fsdecode(place) or '.'} cannot be read: {error.strerror}")
        return
    if any(entry.name == b"pyvenv.cfg" for entry in found):
        return  # a virtual environment
    for entry in found:
        if entry.name in _SKIPPED or excluded.covers(entry.path):
            continue
        if entry.is_dir(follow_symlinks=False):
            below.append(entry.name)
        elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
            yield place + entry.name
    for name in below:
        yield from _walked(os.path.join(directory, name), place + name + b"/", excluded, listing)  # noqa: PTH118


def is_too_wide(root: Path) -> bool:
    """Whether a root is the file system's or the home directory, which hold everything."""
    real = root.resolve()
    try:
        return real == Path(real.anchor) or real == Path.home().resolve()
    except RuntimeError:  # no home directory
        return real == Path(real.anchor)


def code_root(start: Path) -> Path:
    """The directory that a script's or module's code is taken to be.

    Args:
        start: A file or directory of the code.

    Returns:
        The top of the git working tree around it; else the nearest directory upwards with a
        ``pyproject.toml`` or ``setup.py``; else the directory that holds the outermost package
        around it, or the directory itself. Neither the home directory nor the file system's root
        is found by looking upwards.
    """
    directory = Path(os.path.abspath(start))  # noqa: PTH100
    if not stat.S_ISDIR(directory.stat().st_mode):
        directory = directory.parent
    upwards = [place for place in (directory, *directory.parents) if not is_too_wide(place)]
    for marks in ((".git",), ("pyproject.toml", "setup.py")):
        for place in upwards:
            if any((place / mark).exists() for mark in marks):
                return place
    for place in upwards:
        if not (place / "__init__.py").exists():
            return place
    return directory

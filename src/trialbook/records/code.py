"""The code coordinate: git's view of the tree, the manifest of files, and which were loaded.

The loaded files are the identity of the code: resume, guard and rerun compare them alone. The
others are kept so that the tree can be restored whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trialbook.records.canonical import digest_of

ROOT = "."
"""The ``base`` of files under the code's root; other bases are labels such as ``outside-1``."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of the manifest.

    Args:
        path: Relative to its base, with ``/``; bytes that are not UTF-8 as ``os.fsdecode`` gives
            them (lone surrogates).
        mode: ``100644``, ``100755`` (executable) or ``120000`` (symbolic link, whose content is
            its target), as in git.
        size_bytes: Length of the content.
        digest: SHA-256 of the content.
        base: ``"."`` for the root, else the label of a directory outside it.
        loaded: Whether the trial imported or read it.
        embedded: Whether the content is in the book's blobs.
        reason: Why it is not embedded.
    """

    path: str
    mode: str
    size_bytes: int
    digest: str
    base: str = ROOT
    loaded: bool = False
    embedded: bool = True
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class GitState:
    """What git says about the root.

    Args:
        commit: Full hash, or ``None`` before the first commit.
        branch: Short name, or ``None`` when the head is detached.
        remote: URL of the upstream's remote or ``origin``, without userinfo; ``None`` without one.
        dirty: Whether tracked files differ from the commit or untracked ones exist.
        prefix: The root's path inside the repository, ``""`` at its top.
    """

    commit: str | None
    branch: str | None
    remote: str | None
    dirty: bool
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class CodeState:
    """The state of the code coordinate.

    Args:
        git: ``None`` without a repository, or when git cannot be asked (see coverage).
        files: Sorted by base and path.
    """

    git: GitState | None
    files: tuple[FileEntry, ...]

    @property
    def loaded(self) -> tuple[FileEntry, ...]:
        """The files that were imported or read: the identity of the code."""
        return tuple(entry for entry in self.files if entry.loaded)

    @property
    def identity(self) -> str:
        """Digest of the loaded files' paths and contents, those of the root apart from others.

        Labels of other bases do not count: they follow how the process was started.
        """
        return digest_of(sorted([e.base == ROOT, e.path, e.digest] for e in self.loaded))


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """How the objective is found again.

    Args:
        how: ``module`` (import it, then take ``name``), ``file`` (execute the file as a module,
            then take ``name``), ``script`` (execute the file with its argv; its ``optimize`` call
            runs the trial) or ``none`` (it cannot be found again).
        module: Dotted module name, for ``module``.
        path: File relative to ``base``, for ``file`` and ``script``.
        base: The base of ``path``, as in ``FileEntry``.
        name: Qualified name of the objective inside the module or file.
        reason: Why it is a script or cannot be found again.
    """

    how: Literal["module", "file", "script", "none"]
    module: str | None = None
    path: str | None = None
    base: str = ROOT
    name: str | None = None
    reason: str | None = None

"""Ask git what it knows about a tree, without changing anything and without running anything.

A repository's own configuration can name programs (``core.fsmonitor``, hooks, ``diff.external``,
clean filters, text conversion, pagers) and a mere ``git status`` runs some and rewrites the
index. Only plumbing that neither looks at working files nor diffs them is called here, and what
could still run is switched off by the environment of our own process. Whether a file differs from
the commit is computed here, from its bytes, as git would (``changes.py``).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trialbook.records.secrets import sanitized_url

GITLINK = "160000"
_TIMEOUT_S = 60.0
_SETTINGS = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.untrackedCache": "keep",
    "diff.external": "",
    "protocol.allow": "never",  # a partial clone must not fetch what it lacks
    "credential.helper": "",
    "submodule.recurse": "false",
    "safe.directory": "*",  # reading is safe; git would refuse a repository of another user
}
_PLACE = (
    "rev-parse",
    "--is-inside-work-tree",
    "--show-object-format",
    "--show-cdup",
    "--git-path",
    "index",
)
_SETTINGS_READ = r"^(branch\..*\.remote|remote\..*\.url|core\.(autocrlf|filemode))$"
_STAGED = (
    "diff-index",
    "--cached",
    "--quiet",
    "--no-ext-diff",
    "--no-textconv",
    "--no-renames",
    "--ignore-submodules=dirty",
)
_KEPT_VARIABLES = (
    "GIT_CEILING_DIRECTORIES",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_SYSTEM",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM",
)
_ENTRY = re.compile(
    rb"(\d{6}) ([0-9a-f]+) (\d)\t([^\0]*)\0"
    rb"  ctime: (\d+):(\d+)\n  mtime: (\d+):(\d+)\n  dev: \d+\tino: \d+\n"
    rb"  uid: \d+\tgid: \d+\n  size: (\d+)\tflags: ([0-9a-f]+)\n"
)
_PLAIN_ENTRY = re.compile(rb"(\d{6}) ([0-9a-f]+) (\d)\t([^\0]*)\0")
_SKIP_WORKTREE = 1 << 30
_INTENT_TO_ADD = 1 << 29


class GitUnavailableError(Exception):
    """A repository is there, and git cannot be asked; the text says why."""


@dataclass(frozen=True, slots=True)
class TrackedFile:
    """One entry of a repository's index.

    Args:
        path: Relative to the repository's top, as bytes.
        mode: ``100644``, ``100755``, ``120000`` or ``160000`` (a submodule).
        oid: Object id of its content.
        merged: Whether it is at stage 0, that is, in no conflict.
        size_bytes: Size that the working file had when git last looked; modulo 2**32.
        mtime_s: Its modification time then, whole seconds.
        mtime_part_ns: Nanoseconds of that; 0 where git does not keep them.
        ctime_s: Its change time then, whole seconds.
        absent: Whether git does not expect a working file (sparse checkout).
        intended: Whether only the intention to add it is recorded.
    """

    path: bytes
    mode: str
    oid: str
    merged: bool
    size_bytes: int
    mtime_s: int
    mtime_part_ns: int
    ctime_s: int
    absent: bool
    intended: bool


@dataclass(frozen=True, slots=True)
class Repository:
    """What git says about one working tree.

    Args:
        top: Its top directory.
        prefix: Path of the directory that was asked about, inside it; ``b""`` or ending in a
            slash.
        commit: Full hash, ``None`` before the first commit.
        branch: Short name, ``None`` when the head is detached.
        remote: URL of the upstream's remote or ``origin``, without credentials.
        object_format: ``sha1`` or ``sha256``.
        tracked: The index below the prefix.
        untracked: Files that are neither tracked nor ignored, relative to the top; a directory
            that is a repository of its own ends in a slash.
        staged: Whether the index differs from the commit.
        index_mtime_ns: When the index was written; entries touched since may be stale.
        file_mode: Whether git looks at the executable bit (``core.fileMode``).
        autocrlf: ``core.autocrlf``: ``false``, ``true`` or ``input``.
    """

    top: Path
    prefix: bytes
    commit: str | None
    branch: str | None
    remote: str | None
    object_format: str
    tracked: tuple[TrackedFile, ...]
    untracked: tuple[bytes, ...]
    staged: bool
    index_mtime_ns: int
    file_mode: bool
    autocrlf: str


def repository_at(directory: Path) -> Repository | None:
    """The working tree that a directory lies in.

    Args:
        directory: Any existing directory.

    Returns:
        ``None`` when it lies in none.

    Raises:
        GitUnavailableError: There is one, and git is missing, fails or takes too long.
    """
    if shutil.which("git") is None:
        if any((parent / ".git").exists() for parent in (directory, *directory.parents)):
            raise GitUnavailableError("git is not installed")
        return None
    with _Questions(directory) as ask:
        output, message = ask(*_PLACE).failure()
    if message is not None:
        # "must be run in a work tree" is said inside a bare repository.
        if "not a git repository" in message or "work tree" in message:
            return None
        raise GitUnavailableError(f"git fails: {message.splitlines()[0]}")
    if not output.startswith(b"true\n"):
        return None  # inside .git itself
    _, object_format, up, index = output.removesuffix(b"\n").split(b"\n", 3)
    top = Path(os.path.realpath(directory / os.fsdecode(up)))
    prefix = os.fsencode(os.path.relpath(os.path.realpath(directory), top)) + b"/"
    if prefix.startswith(b"../"):
        return None  # core.worktree points somewhere else
    with _Questions(directory) as ask:
        settings = ask("config", "-z", "--get-regexp", _SETTINGS_READ)
        branch = ask("symbolic-ref", "-q", "--short", "HEAD")
        commit = ask("rev-parse", "-q", "--verify", "HEAD^{commit}")
        tracked = ask("ls-files", "-z", "--stage", "--full-name", "--debug")
        untracked = ask("ls-files", "-z", "--full-name", "--others", "--exclude-standard")
        staged = ask(*_STAGED, "HEAD", "--")
        read = _settings(settings.output(0, 1))
        head, name = commit.line(), branch.line()
        entries = _tracked(tracked.output(0), directory)
        return Repository(
            top=top,
            prefix=b"" if prefix == b"./" else prefix,
            commit=head,
            branch=name,
            remote=_remote(read, name),
            object_format=object_format.decode(),
            tracked=entries,
            untracked=tuple(path for path in untracked.output(0).split(b"\0") if path),
            # Without a commit git has nothing to hold the index against, and fails.
            staged=bool(entries) if head is None else staged.returncode(0, 1) == 1,
            index_mtime_ns=_mtime_ns(Path(os.path.join(directory, os.fsdecode(index)))),  # noqa: PTH118
            file_mode=read.get("core.filemode", "true") != "false",
            autocrlf=read.get("core.autocrlf", "false").lower(),
        )


def attributes_of(top: Path, paths: Sequence[bytes]) -> dict[bytes, dict[str, str]]:
    """The attributes that decide how git converts files: text, eol, crlf, filter and others.

    Args:
        top: Top of the working tree.
        paths: Relative to it.

    Raises:
        GitUnavailableError: git fails.
    """
    names = ("text", "eol", "crlf", "filter", "ident", "working-tree-encoding")
    with _Questions(top) as ask:
        answer = ask("check-attr", "-z", "--stdin", *names, given=b"\0".join(paths) + b"\0")
        fields = answer.output(0).split(b"\0")
    found: dict[bytes, dict[str, str]] = {path: {} for path in paths}
    for path, name, value in zip(fields[0::3], fields[1::3], fields[2::3], strict=False):
        found[path][name.decode()] = value.decode(errors="replace")
    return found


def _tracked(output: bytes, directory: Path) -> tuple[TrackedFile, ...]:
    found, end = [], 0
    for match in _ENTRY.finditer(output):
        if match.start() != end:
            break
        end = match.end()
        mode, oid, stage, path = match.group(1, 2, 3, 4)
        changed, seconds, part, size = (int(text) for text in match.group(5, 7, 8, 9))
        flags = int(match.group(10), 16)
        found.append(
            TrackedFile(
                path=path,
                mode=mode.decode(),
                oid=oid.decode(),
                merged=stage == b"0",
                size_bytes=size,
                mtime_s=seconds,
                mtime_part_ns=part,
                ctime_s=changed,
                absent=bool(flags & _SKIP_WORKTREE),
                intended=bool(flags & _INTENT_TO_ADD),
            )
        )
    if end == len(output):
        return tuple(found)
    # git says that the form of --debug may change; then every file is compared by content.
    with _Questions(directory) as ask:
        plain = ask("ls-files", "-z", "--stage", "--full-name").output(0)
    return tuple(
        TrackedFile(path, mode.decode(), oid.decode(), stage == b"0", -1, 0, 0, 0, False, False)
        for mode, oid, stage, path in _PLAIN_ENTRY.findall(plain)
    )


def _settings(output: bytes) -> dict[str, str]:
    """Settings by key; of several values the last, as git does."""
    found = {}
    for item in output.split(b"\0"):
        key, _, value = item.partition(b"\n")
        found[os.fsdecode(key)] = os.fsdecode(value)
    return found


def _remote(settings: Mapping[str, str], branch: str | None) -> str | None:
    name = settings.get(f"branch.{branch}.remote", "origin")
    url = settings.get(f"remote.{name}.url")
    return None if url is None else sanitized_url(url)


class _Answer:
    """A git process that was started; asking for its result waits for it."""

    def __init__(self, process: subprocess.Popen[bytes], name: str, given: bytes | None) -> None:
        self._process = process
        self._name = name
        self._given = given

    def _finished(self) -> tuple[bytes, bytes]:
        try:
            return self._process.communicate(self._given, timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise GitUnavailableError(f"git did not answer within {_TIMEOUT_S:g} s") from None

    def output(self, *accepted: int) -> bytes:
        """Standard output; any other exit status than the accepted ones raises."""
        output, message = self._finished()
        if self._process.returncode not in accepted:
            raise GitUnavailableError(f"git {self._name} fails: {_first_line(message)}")
        return output

    def returncode(self, *accepted: int) -> int:
        """The exit status, one of the accepted ones."""
        self.output(*accepted)
        return self._process.returncode

    def line(self) -> str | None:
        """One line of answer, ``None`` when git says that there is no such thing."""
        output, _ = self._finished()
        if self._process.returncode != 0:
            return None
        return os.fsdecode(output.removesuffix(b"\n")) or None

    def failure(self) -> tuple[bytes, str | None]:
        """Standard output, and git's message when it failed."""
        output, message = self._finished()
        if self._process.returncode == 0:
            return output, None
        return output, message.decode(errors="replace").strip() or "no message"

    def abandon(self) -> None:
        """Leave no process behind when an error kept the result from being asked for."""
        if self._process.poll() is None:
            self._process.kill()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None and not stream.closed:
                stream.close()
        self._process.wait()


class _Questions:
    """Several questions to git about one directory, answered at the same time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._answers: list[_Answer] = []
        self._environment = _environment()

    def __enter__(self) -> _Questions:
        return self

    def __exit__(self, *exception: object) -> None:
        for answer in self._answers:
            answer.abandon()

    def __call__(self, *arguments: str, given: bytes | None = None) -> _Answer:
        try:
            process = subprocess.Popen(
                ["git", "--no-pager", *arguments],
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise GitUnavailableError(f"git cannot be started: {error}") from error
        answer = _Answer(process, arguments[0], given)
        self._answers.append(answer)
        return answer


def _environment() -> dict[str, str]:
    """Ours, without what would point git elsewhere, and with what keeps it quiet."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name in _KEPT_VARIABLES
    }
    environment |= {
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_PAGER": "cat",
        "LC_ALL": "C",
        "GIT_CONFIG_COUNT": str(len(_SETTINGS)),
    }
    for number, (key, value) in enumerate(_SETTINGS.items()):
        environment[f"GIT_CONFIG_KEY_{number}"] = key
        environment[f"GIT_CONFIG_VALUE_{number}"] = value
    return environment


def _mtime_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # no index yet: nothing is tracked
        return 0


def _first_line(message: bytes) -> str:
    lines = message.decode(errors="replace").strip().splitlines()
    return lines[0] if lines else "no message"

"""The data probe: declared inputs by name, and files read without being declared."""

from __future__ import annotations

import difflib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trialbook.capture.imports import import_watch
from trialbook.capture.inputs import (
    Content,
    InputReader,
    Listing,
    exclusions,
    is_as_listed,
    iter_paths,
    latest_change_ns,
    signature,
)
from trialbook.capture.probe import Observation
from trialbook.capture.shared_digests import Ask
from trialbook.capture.stat_cache import StatCache
from trialbook.capture.undeclared import (
    UndeclaredFiles,
    candidate_paths,
    digested,
    native_reader_remarks,
)
from trialbook.errors import CaptureError, InvalidInputError
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.data import DataState, HashedFile, InputState
from trialbook.records.secrets import redacted_text

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_RACY_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Data:
    """A declared input with more to say than its path.

    Args:
        path: A file, a directory, or a pattern.
        digest: ``sha256:`` and 64 hexadecimal digits for an input that is too large to hash now;
            it is recorded as declared, not verified, until ``--paranoid`` hashes it. A file's is
            what ``sha256sum`` prints, a directory's the digest of its manifest.

    Raises:
        InvalidInputError: The digest is not written like that.
    """

    path: str | Path
    digest: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.path, (str, os.PathLike)):
            raise InvalidInputError(
                f"a data input must be a path, not {type(self.path).__name__}",
                hint="pass text or a pathlib.Path",
            )
        if self.digest is not None and not _DIGEST.fullmatch(self.digest):
            raise InvalidInputError(
                f"{self.digest!r:.90} is no digest",
                hint='write digest="sha256:" and the 64 digits that sha256sum prints',
            )


@dataclass(slots=True)
class _Input:
    """A declared input, where it lies here, and what was last seen of it."""

    name: str
    declared: str
    path: Path
    digest: str | None
    is_mapped: bool
    listing: Listing | None = None


class DataProbe:
    """Observes the data.

    Args:
        inputs: Name to path or ``Data``.
        base: Directory that relative paths are relative to.
        mapping: Name to the path where an input lies on this machine; relative ones are relative
            to the working directory.
        paranoid: Read every file again, whatever its ``stat`` says, and verify declared digests.
        cache_dir: Where digests are kept between processes; the user's cache by default.
        exclude: The book's files and directories, which are never opened.
        is_code: Whether an absolute path is in the code's manifest, which then records it.
        scope: What the cache of digests is about; ``None`` for the base.
        ask: Asks for digests that other workers have computed; not with ``paranoid``.

    Raises:
        InvalidInputError: A name or path that is none, or a mapping of an unknown name.
    """

    kind = Kind.DATA

    def __init__(
        self,
        inputs: Mapping[str, str | Path | Data],
        *,
        base: Path,
        mapping: Mapping[str, Path] = {},
        paranoid: bool = False,
        cache_dir: Path | None = None,
        exclude: Sequence[Path] = (),
        is_code: Callable[[str], bool] | None = None,
        scope: str | None = None,
        ask: Ask | None = None,
    ) -> None:
        self._inputs = _checked(inputs, base, mapping)
        self._paranoid = paranoid
        self._cache = StatCache(cache_dir, scope=f"data {base if scope is None else scope}")
        self._reader = InputReader(self._cache, exclude=exclude, rehash=paranoid, ask=ask)
        self._exclude = exclusions(exclude)
        self._is_code = is_code
        self._undeclared = UndeclaredFiles((), (), {})
        self._candidates: tuple[str, ...] = ()
        self._generation = -1
        self._is_settled = False
        self._declared_files: frozenset[str] = frozenset()
        self._declared_directories: tuple[str, ...] = ()

    @property
    def paths(self) -> dict[str, Path]:
        """Name to absolute path, mapped ones included: what ``trial.data`` holds."""
        return {item.name: item.path for item in self._inputs}

    def ask_others(self, ask: Ask) -> None:
        """Ask for digests that other workers have computed from now on."""
        if not self._paranoid:
            self._reader.ask_others(ask)

    @property
    def hashed_here(self) -> tuple[HashedFile, ...]:
        """The large files whose digests this machine has computed, for other workers."""
        listings = [item.listing for item in self._inputs if item.listing is not None]
        return tuple(file for found in listings for file in self._reader.hashed_here(found))

    def observe(self) -> Observation:
        """Hash what has to be hashed, and digest what was read without being declared.

        Raises:
            DataMissingError: An input is not there.
            CaptureError: An input cannot be read, or is not what its declared digest says.
        """
        gaps: list[str] = []
        states = []
        began_ns = time.time_ns()
        for item in self._inputs:
            state, listing = self._observed(item, gaps)
            item.listing = listing
            states.append(state)
        changes = [latest_change_ns(item.listing) for item in self._inputs if item.listing]
        # Written so shortly ago that a later write could leave the same times.
        self._is_settled = began_ns - max(changes, default=0) > _RACY_NS
        self._remember_declared()
        self._generation = import_watch().generation
        self._candidates = candidate_paths(self._is_elsewhere)
        self._undeclared = digested(self._candidates, self._cache)
        self._cache.save()
        faults = [f"the import watch failed: {fault}" for fault in import_watch().faults]
        coverage = Coverage.of(
            [*gaps, *self._undeclared.gaps, *faults],
            remarks=(*self._borrowed_remarks(), *native_reader_remarks()),
        )
        data = DataState(tuple(states), self._undeclared.files)
        return Observation(Snapshot.of(Kind.DATA, coverage, data))

    def changed(self) -> bool:
        """Whether an input or an undeclared file is not as it was, or another one was read."""
        if not self._is_settled or self._paranoid:
            return True
        for item in self._inputs:
            if item.listing is None or not is_as_listed(item.listing, item.path):
                return True
        return self._reads_changed()

    def _reads_changed(self) -> bool:
        for path, known in self._undeclared.signatures.items():
            try:
                if signature(os.stat(path)) != known:  # noqa: PTH116
                    return True
            except OSError:
                return True
        generation = import_watch().generation
        if generation != self._generation:
            if candidate_paths(self._is_elsewhere) != self._candidates:
                return True
            self._generation = generation
        return False

    def _observed(self, item: _Input, gaps: list[str]) -> tuple[InputState, Listing]:
        if item.digest is not None and not (self._paranoid or item.is_mapped):
            listing = self._reader.listing(item.name, item.path)
            gaps.append(f"{item.name} is not hashed here; its digest is the declared one")
            return _state(item, listing, item.digest, verified=False), listing
        content = self._reader.content(item.name, item.path)
        gaps += [f"{item.name}: {gap}" for gap in content.listing.gaps]
        if item.digest is not None and content.digest != item.digest:
            if not item.is_mapped:
                raise CaptureError(
                    f"the data input {item.name!r} does not have its declared digest: "
                    f"it has sha256:{content.digest}, declared is sha256:{item.digest}",
                    where=redacted_text(str(item.path))[0],
                    hint="restore the file, or correct the digest",
                )
            gaps.append(f"{item.name} does not have its declared digest, sha256:{item.digest}")
        return _state(item, content.listing, content.digest, content), content.listing

    def _borrowed_remarks(self) -> Iterator[str]:
        for item in self._inputs:
            count = 0 if item.listing is None else self._reader.borrowed(item.listing)
            if count:
                files = "1 file" if count == 1 else f"{count} files"
                yield f"{item.name}: {files} hashed by another worker, told by path, size and time"

    def _remember_declared(self) -> None:
        files: set[str] = set()
        directories: list[str] = []
        for item in self._inputs:
            if item.listing is None:
                continue
            files.update(iter_paths(item.listing))
            if item.listing.kind == "directory":
                path = str(item.path)
                directories += [f"{path}{os.sep}", f"{os.path.realpath(path)}{os.sep}"]
        self._declared_files = frozenset(files)
        self._declared_directories = tuple(directories)

    def _is_elsewhere(self, path: str) -> bool:
        return (
            path in self._declared_files
            or path.startswith(self._declared_directories)
            or self._exclude(path)
            or (self._is_code is not None and self._is_code(path))
        )


def _state(
    item: _Input,
    listing: Listing,
    digest: str,
    content: Content | None = None,
    *,
    verified: bool = True,
) -> InputState:
    return InputState(
        name=item.name,
        kind=listing.kind,
        declared=redacted_text(item.declared)[0],
        path=redacted_text(str(item.path))[0],
        digest=digest,
        size_bytes=listing.size_bytes,
        files=() if content is None else content.files,
        verified=verified,
    )


def _checked(
    inputs: Mapping[str, str | Path | Data], base: Path, mapping: Mapping[str, Path]
) -> tuple[_Input, ...]:
    """The inputs sorted by name, with absolute paths.

    Raises:
        InvalidInputError: A name or path that is none, or a mapping of an unknown name.
    """
    for name in mapping:
        if name not in inputs:
            close = difflib.get_close_matches(name, [str(known) for known in inputs], n=1)
            known = ", ".join(sorted(str(known) for known in inputs)) or "none"
            raise InvalidInputError(
                f"no data input is called {name!r}",
                hint=f"did you mean {close[0]!r}?"
                if close
                else f"the declared inputs are: {known}",
            )
    checked = []
    for name, given in inputs.items():
        if not isinstance(name, str) or not name:
            raise InvalidInputError(
                f"the name of a data input must be text, not {name!r:.80}", hint="name it"
            )
        data = given if isinstance(given, Data) else Data(given)
        declared = os.fspath(data.path)
        mapped = mapping.get(name)
        path = Path(declared).expanduser() if mapped is None else Path(mapped).expanduser()
        start = base if mapped is None else Path.cwd()
        digest = data.digest.partition(":")[2] if data.digest else None
        checked.append(
            _Input(name, declared, (start / path).absolute(), digest, mapped is not None)
        )
    return tuple(sorted(checked, key=lambda item: item.name))

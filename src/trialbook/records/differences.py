"""In which ways two snapshots of one coordinate differ, as typed values. Printing is elsewhere.

What counts is what can change a result, so not every byte of a snapshot is compared:

* code: the loaded files, which are its identity. A file that only one side had loaded yet, and
  that lies unchanged on the other, is no difference.
* data: declared inputs by name, directories file by file; undeclared files that both sides read.
* config: every key of the resolved configuration, and the search where both sides know it.
* environment: interpreter, machine, packages, libraries that both sides had loaded, variables.
* execution: isolation, entry point, and whether it differs from its study; host, user and process
  are expected to differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from trialbook.errors import InvalidInputError
from trialbook.records.canonical import canonical_bytes
from trialbook.records.code import ROOT, CodeState, FileEntry
from trialbook.records.config import ConfigState
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.data import DataState, InputState
from trialbook.records.environment import EnvironmentState, Interpreter, Machine, Package
from trialbook.records.execution import LaunchState
from trialbook.records.verdict import CoordinateDifference

Pair = tuple[str, str | None, str | None]
"""What differs, its recorded value, its value here."""


def coordinate_differences(
    recorded: Snapshot | None, here: Snapshot | None
) -> tuple[CoordinateDifference, ...]:
    """Every way in which the coordinate differs, in a stable order.

    Args:
        recorded: The snapshot of the record, ``None`` when it has none.
        here: The snapshot to hold against it, ``None`` when there is none.

    Returns:
        Empty when nothing that can change a result differs.

    Raises:
        InvalidInputError: The snapshots are of two coordinates.
    """
    if recorded is None and here is None:
        return ()
    if recorded is None or here is None:
        return (_one_sided(recorded, here),)
    if recorded.kind is not here.kind:
        raise InvalidInputError(
            f"a {recorded.kind} snapshot cannot be held against a {here.kind} snapshot",
            hint="compare snapshots of one coordinate",
        )
    if recorded.digest == here.digest:
        return ()
    return tuple(
        CoordinateDifference(str(recorded.kind), what, before, now)
        for what, before, now in _pairs(recorded, here)
        if before != now
    )


def _one_sided(recorded: Snapshot | None, here: Snapshot | None) -> CoordinateDifference:
    present = recorded or here
    assert present is not None
    return CoordinateDifference(
        str(present.kind),
        "snapshot",
        recorded.digest if recorded else None,
        here.digest if here else None,
    )


def _pairs(recorded: Snapshot, here: Snapshot) -> Iterator[Pair]:
    match recorded.kind:
        case Kind.CODE:
            return _code(recorded.state_as(CodeState), here.state_as(CodeState))
        case Kind.DATA:
            return _data(recorded.state_as(DataState), here.state_as(DataState))
        case Kind.CONFIG:
            return _config(recorded.state_as(ConfigState), here.state_as(ConfigState))
        case Kind.ENVIRONMENT:
            return _environment(
                recorded.state_as(EnvironmentState), here.state_as(EnvironmentState)
            )
        case Kind.EXECUTION:
            return _execution(recorded.state_as(LaunchState), here.state_as(LaunchState))


def _united(
    recorded: Mapping[str, str], here: Mapping[str, str], prefix: str = ""
) -> Iterator[Pair]:
    """One pair for each key of either side."""
    for key in sorted(recorded.keys() | here.keys()):
        yield f"{prefix}{key}", recorded.get(key), here.get(key)


def _shared(
    recorded: Mapping[str, str], here: Mapping[str, str], prefix: str = ""
) -> Iterator[Pair]:
    """One pair for each key that both sides have."""
    for key in sorted(recorded.keys() & here.keys()):
        yield f"{prefix}{key}", recorded[key], here[key]


def _code(recorded: CodeState, here: CodeState) -> Iterator[Pair]:
    before = {entry.path: entry.digest for entry in recorded.files if entry.base == ROOT}
    now = {entry.path: entry.digest for entry in here.files if entry.base == ROOT}
    for path in sorted({e.path for e in (*recorded.loaded, *here.loaded) if e.base == ROOT}):
        yield path, before.get(path), now.get(path)
    yield from _outside(recorded, here)


def _outside(recorded: CodeState, here: CodeState) -> Iterator[Pair]:
    """Files outside the root, by path alone: their labels follow how the process was started.

    They are in a manifest only once they were imported, so one that a side lacks says nothing.
    """
    now: dict[str, set[str]] = {}
    for entry in here.loaded:
        if entry.base != ROOT:
            now.setdefault(entry.path, set()).add(entry.digest)
    for entry in sorted(recorded.loaded, key=_label):
        if entry.base != ROOT and entry.path in now and entry.digest not in now[entry.path]:
            yield _label(entry), entry.digest, ", ".join(sorted(now[entry.path]))


def _label(entry: FileEntry) -> str:
    return entry.path if entry.base == ROOT else f"{entry.base}:{entry.path}"


def _data(recorded: DataState, here: DataState) -> Iterator[Pair]:
    before = {item.name: item for item in recorded.inputs}
    now = {item.name: item for item in here.inputs}
    for name in sorted(before.keys() | now.keys()):
        yield from _input(name, before.get(name), now.get(name))
    yield from _shared(
        {file.path: file.digest for file in recorded.undeclared},
        {file.path: file.digest for file in here.undeclared},
    )


def _input(name: str, before: InputState | None, now: InputState | None) -> Iterator[Pair]:
    if before is None or now is None or not (before.files and now.files):
        yield name, before.digest if before else None, now.digest if now else None
        return
    if before.digest == now.digest:
        return
    yield from _united(
        {file.path: file.digest for file in before.files},
        {file.path: file.digest for file in now.files},
        f"{name}/",
    )


def _config(recorded: ConfigState, here: ConfigState) -> Iterator[Pair]:
    yield from _united(_flat(recorded.resolved), _flat(here.resolved))
    for part in ("sampler", "pruner"):
        before, now = getattr(recorded.search, part), getattr(here.search, part)
        if before is not None and now is not None:
            yield from _united(
                _flat(msgspec.to_builtins(before)),
                _flat(msgspec.to_builtins(now)),
                f"search.{part}.",
            )
    if recorded.search.sampler is not None and here.search.sampler is not None:
        yield "search.seed", _text(recorded.search.seed), _text(here.search.seed)


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted key to canonical JSON text; an empty mapping is a value of its own."""
    flat: dict[str, str] = {}
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            flat.update(_flat(item, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = _text(item)
    return flat


def _text(value: object) -> str:
    return value if isinstance(value, str) else canonical_bytes(value).decode()


def _environment(recorded: EnvironmentState, here: EnvironmentState) -> Iterator[Pair]:
    yield from _interpreter(recorded.interpreter, here.interpreter)
    yield from _machine(recorded.machine, here.machine)
    yield from _packages(recorded.packages, here.packages)
    for part in ("version", "threads", "kernel"):
        yield from _shared(
            {pool.library: str(getattr(pool, part)) for pool in recorded.thread_pools},
            {pool.library: str(getattr(pool, part)) for pool in here.thread_pools},
            f"{part} of ",
        )
    yield from _shared(
        {key: _text(value) for key, value in recorded.determinism.items()},
        {key: _text(value) for key, value in here.determinism.items()},
    )
    yield from _united(recorded.variables, here.variables, "$")
    yield "locale", recorded.locale, here.locale
    yield "timezone", recorded.timezone, here.timezone


def _interpreter(recorded: Interpreter, here: Interpreter) -> Iterator[Pair]:
    for part in ("implementation", "version", "build", "compiler"):
        what = "python" if part == "version" else f"python {part}"
        yield what, getattr(recorded, part), getattr(here, part)
    yield "hash seed", recorded.hash_seed, here.hash_seed
    yield from _united(_flat(recorded.flags), _flat(here.flags), "python flag ")


_MACHINE_PARTS = (
    "system",
    "kernel",
    "architecture",
    "distribution",
    "libc",
    "cpu_model",
    "cpu_count",
    "cpu_affinity",
    "gpu_driver",
    "cuda",
)


def _machine(recorded: Machine, here: Machine) -> Iterator[Pair]:
    for part in _MACHINE_PARTS:
        before, now = getattr(recorded, part), getattr(here, part)
        yield (
            part.replace("_", " "),
            None if before is None else str(before),
            None if now is None else str(now),
        )
    # Hundreds of flags say little; the ones that differ say which instructions were there.
    lost = sorted(set(recorded.cpu_flags) - set(here.cpu_flags))
    gained = sorted(set(here.cpu_flags) - set(recorded.cpu_flags))
    yield "cpu flags", " ".join(lost) or None, " ".join(gained) or None
    yield "gpus", ", ".join(recorded.gpus) or None, ", ".join(here.gpus) or None


def _packages(recorded: Iterable[Package], here: Iterable[Package]) -> Iterator[Pair]:
    before = {package.name: package for package in recorded}
    now = {package.name: package for package in here}
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if old is None or new is None or old.version != new.version:
            yield f"package {name}", old.version if old else None, new.version if new else None
        elif (old.origin, old.url) != (new.origin, new.url):
            yield f"package {name}", _origin(old), _origin(new)
        elif old.record_digest and new.record_digest and old.origin == "index":
            yield f"files of package {name}", old.record_digest, new.record_digest


def _origin(package: Package) -> str:
    return f"{package.version} ({package.origin}{' ' + package.url if package.url else ''})"


def _execution(recorded: LaunchState, here: LaunchState) -> Iterator[Pair]:
    yield "isolation", recorded.isolation, here.isolation
    yield "differs from the study", _marks(recorded), _marks(here)
    yield from _united(_present(recorded.entry), _present(here.entry), "entry ")


def _marks(launch: LaunchState) -> str | None:
    return "; ".join(launch.differs) or None


def _present(value: object) -> dict[str, str]:
    return {
        key: item for key, item in msgspec.to_builtins(value).items() if item and key != "reason"
    }

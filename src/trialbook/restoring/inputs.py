"""Finding the recorded inputs on this machine: by name, by digest, never silently another one.

An input is looked for where ``--data`` says, in the restored code (data that lay in the tree), at
its original path. Whatever holds the recorded content will do; the names of files do not count.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from trialbook.capture.data import Data, DataProbe
from trialbook.capture.shared_digests import Ask
from trialbook.errors import CaptureError, InvalidInputError, RestoreDataError
from trialbook.records.data import DataState, InputState
from trialbook.records.verdict import CoordinateDifference
from trialbook.restoring.places import CodePlaces


@dataclass(frozen=True, slots=True)
class FoundInputs:
    """The inputs of a rerun.

    Args:
        paths: Input name to absolute path.
        differences: Inputs whose content is not the recorded one, which was allowed.
    """

    paths: dict[str, Path]
    differences: tuple[CoordinateDifference, ...] = ()


@dataclass(frozen=True, slots=True)
class DigestSources:
    """Who may answer for the digest of a file that has not changed, see ``DataProbe``.

    Args:
        scope: What the cache of digests is about.
        ask: Asks other workers.
    """

    scope: str
    ask: Ask | None = None


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A place that was looked at; ``digest`` is ``None`` when nothing is there."""

    path: Path
    digest: str | None


def found_inputs(
    data: DataState,
    code: CodePlaces,
    mapping: Mapping[str, Path],
    *,
    allow_other: bool,
    sources: DigestSources | None = None,
    elsewhere: Mapping[str, Path] | None = None,
) -> FoundInputs:
    """Find every declared input.

    Args:
        data: What was recorded.
        code: The restored code.
        mapping: Input name to a path given for it; no other place is looked at then.
        allow_other: Accept content that is not the recorded one.
        sources: Who may answer for a file's digest; an input of a declared digest then counts as
            what it is declared to be. ``None`` reads every file.
        elsewhere: Input name to one more place where it may lie.

    Raises:
        InvalidInputError: The mapping names an input that the trial does not have.
        RestoreDataError: Inputs are missing or have other content; every one is named.
    """
    names = [item.name for item in data.inputs]
    unknown = [name for name in mapping if name not in names]
    if unknown:
        raise InvalidInputError(
            f"the recorded trial has no input {', '.join(map(repr, unknown))}",
            hint=f"its inputs are: {', '.join(names) or 'none'}",
        )
    paths: dict[str, Path] = {}
    differences: list[CoordinateDifference] = []
    faults: list[str] = []
    wrong = False
    for item in data.inputs:
        looked_at = []
        for candidate in _candidates(item, code, mapping, sources, elsewhere or {}):
            looked_at.append(candidate)
            if candidate.digest == item.digest:
                paths[item.name] = candidate.path
                break
        else:
            other = next((c for c in looked_at if c.digest is not None), None)
            if other is not None and allow_other:
                paths[item.name] = other.path
                differences.append(
                    CoordinateDifference("data", item.name, item.digest, other.digest)
                )
            else:
                wrong = wrong or other is not None
                faults.append(_fault(item, looked_at))
    if faults:
        ways = "give the recorded one with --data NAME=PATH"
        if wrong:
            ways += ", or run on what is there with --allow data"
        raise RestoreDataError("; ".join(faults), hint=ways)
    return FoundInputs(paths, tuple(differences))


def place_inputs(
    data: DataState, code: CodePlaces, found: FoundInputs, *, sources: DigestSources | None = None
) -> tuple[CoordinateDifference, ...]:
    """Put into the restored tree what lay in the original one without being part of the code.

    An objective may open its data by a relative path. Declared inputs are linked; undeclared
    files are copied, since nobody promised that the objective only reads them. Nothing is put
    where a link of the code leads out of the tree: that place is the user's.

    Args:
        data: What was recorded.
        code: The restored code.
        found: Where the declared inputs are.
        sources: As in ``found_inputs``.

    Returns:
        Undeclared files that are missing or have other content now. They stop nothing: what a
        process happened to read need not have changed its results.
    """
    for item in data.inputs:
        place = code.counterpart(item.path)
        if place is not None and item.kind != "glob" and _is_vacant(place, code):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(found.paths[item.name])
    differences: list[CoordinateDifference] = []
    for file in data.undeclared:
        place = code.counterpart(file.path)
        if place is not None and os.path.lexists(place):
            continue
        item = InputState(file.path, "file", file.path, file.path, file.digest, file.size_bytes)
        here = _candidate(item, Path(file.path), sources).digest
        if here != file.digest:
            differences.append(CoordinateDifference("data", file.path, file.digest, here))
        elif place is not None and _is_vacant(place, code):
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.path, place)
    return tuple(differences)


def _is_vacant(place: Path, code: CodePlaces) -> bool:
    """Whether nothing lies at a place, and it is in the restored tree wherever links lead."""
    parent = Path(os.path.realpath(place.parent))
    within = any(parent.is_relative_to(os.path.realpath(r)) for r in code.restored.values())
    return within and not os.path.lexists(place)


def _fault(item: InputState, looked_at: list[_Candidate]) -> str:
    changed = [candidate for candidate in looked_at if candidate.digest is not None]
    expected = f"{item.size_bytes} bytes of sha256:{item.digest}"
    if changed:
        other = changed[0]
        return (
            f"the input {item.name!r} has changed: expected {expected}, "
            f"found sha256:{other.digest} at {other.path}"
        )
    places = ", ".join(dict.fromkeys(str(candidate.path) for candidate in looked_at))
    return f"the input {item.name!r} is missing: expected {expected} at {places}"


def _candidates(
    item: InputState,
    code: CodePlaces,
    mapping: Mapping[str, Path],
    sources: DigestSources | None,
    elsewhere: Mapping[str, Path],
) -> Iterator[_Candidate]:
    given = mapping.get(item.name)
    if given is not None:
        yield _candidate(item, given.expanduser().absolute(), sources)
        return
    counterpart = code.counterpart(item.path)
    if counterpart is not None:
        candidate = _candidate(item, counterpart, sources)
        # A tree restored without its data is no changed input.
        if candidate.digest == item.digest:
            yield candidate
    if item.kind == "file":
        for path in code.holding(item.digest):
            yield _candidate(item, path, sources)
    yield _candidate(item, Path(item.path), sources)
    other = elsewhere.get(item.name)
    if other is not None and str(other) != item.path:
        yield _candidate(item, other, sources)


def _candidate(item: InputState, path: Path, sources: DigestSources | None) -> _Candidate:
    """The digest of what lies at a path, taken as the recorded input was."""
    if item.kind != "glob" and not path.exists():
        return _Candidate(path, None)
    try:
        if sources is not None and not item.verified:
            # Too large to hash, said who declared its digest; a size that fits must do.
            declared = Data(path, digest=f"sha256:{item.digest}")
            candidate, size_bytes = _observed(item.name, declared, sources)
            if size_bytes == item.size_bytes:
                return candidate
        return _observed(item.name, Data(path), sources)[0]
    except CaptureError:
        return _Candidate(path, None)


def _observed(name: str, data: Data, sources: DigestSources | None) -> tuple[_Candidate, int]:
    """What lies there, and its size."""
    base = Path(data.path).parent
    probe = DataProbe(
        {name: data},
        base=base,
        paranoid=sources is None,
        scope=None if sources is None else sources.scope,
        ask=None if sources is None else sources.ask,
    )
    state = probe.observe().snapshot.state_as(DataState).inputs[0]
    return _Candidate(probe.paths[name], state.digest), state.size_bytes

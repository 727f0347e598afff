"""The code of a study for a worker that joins it: from the book, or of the checkout it stands in.

Also how its objective is found there; whether a script can be imported is in ``scripts.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from trialbook.book.reading import Reader
from trialbook.book.storage import BookStorage
from trialbook.capture.cache_file import default_cache_dir
from trialbook.capture.code import code_root
from trialbook.errors import ObjectiveNotFoundError, RestoreError
from trialbook.records.code import ROOT, EntryPoint
from trialbook.restoring.code import restore_code
from trialbook.restoring.contents import KeptContents
from trialbook.restoring.places import CodePlaces, found_files, placed_code, require_loaded
from trialbook.restoring.search_path import SearchPath
from trialbook.running.objectives import ObjectiveSource
from trialbook.running.recorded_study import RecordedStudy
from trialbook.running.scripts import BY_FILE_AND_NAME, script_obstacle
from trialbook.running.surroundings import CodePlace


@dataclass(frozen=True, slots=True)
class JoinedCode:
    """Code that a worker can run.

    Args:
        places: Where it lies.
        source: The objective.
        entry: The same as the record is to name it.
        search_path: Directories where modules are looked for first.
        place: What a child is to be told of restored code; ``None`` for a checkout.
    """

    places: CodePlaces
    source: ObjectiveSource
    entry: EntryPoint
    search_path: tuple[str, ...] = ()
    place: CodePlace | None = None


def code_from_book(
    study: RecordedStudy,
    storage: BookStorage,
    directory: Path,
    supply: dict[str, Path],
    tool: Path | None,
    tell: Callable[[str], None],
) -> JoinedCode:
    """Restore the code of a study.

    Args:
        study: The study.
        storage: Its book.
        directory: The worker's own; gets the code.
        supply: Files that the book holds by digest only, to a copy of them.
        tool: Directory through which another interpreter finds Trialbook.
        tell: Is told what takes time.

    Raises:
        RestoreError: The code cannot be restored, or its objective cannot be found in it.
    """
    contents = KeptContents(default_cache_dir() / "code", Reader(storage.book).blob)
    embedded = {entry.digest for entry in study.code.files if entry.embedded}
    contents.gather(study.code_snapshot.digest, embedded, tell)
    bases = study.launch.bases
    supplied = {**found_files(study.code, bases), **supply}
    restored = restore_code(study.code, contents.content, directory / "code", supply=supplied)
    require_loaded(restored)
    places = placed_code(study.code, bases, restored, directory / "code")
    # An empty directory is in no manifest, so the recorded one may have to be made.
    cwd = places.counterpart(study.launch.cwd) or places.restored[ROOT]
    cwd.mkdir(parents=True, exist_ok=True)
    snapshot = directory / "code.json"
    snapshot.write_bytes(study.code_snapshot.document)
    entry = importable_entry(study, places)
    place = CodePlace(
        path=SearchPath(
            recorded=study.launch.sys_path,
            originals=dict(bases),
            restored={label: str(path) for label, path in places.restored.items()},
            tool=None if tool is None else str(tool),
        ),
        cwd=str(cwd),
        snapshot=str(snapshot),
        caches=str(directory / "caches"),
        scope=data_scope(study),
    )
    return JoinedCode(places, _source(entry, places), entry, place=place)


def code_here(study: RecordedStudy) -> JoinedCode:
    """The checkout around the working directory, with the recorded objective in it.

    Raises:
        RestoreError: The objective lies outside the code's root, or cannot be found again.
        ObjectiveNotFoundError: There is no such file here.
    """
    root = code_root(Path.cwd())
    bases = study.launch.bases
    originals = {ROOT: bases[ROOT]} if ROOT in bases else {}
    places = CodePlaces(study.code, originals, {ROOT: root})
    if study.launch.entry.base != ROOT:
        raise RestoreError(
            f"the objective of study {study.record.name!r} lies outside the root of its code",
            where=f"{study.launch.entry.base}/{study.launch.entry.path}",
            hint="leave --code here out, to use the code that the book holds",
        )
    entry = importable_entry(study, places)
    marked = [item.partition(":")[2] for item in study.launch.sys_path if item.startswith(".:")]
    search_path = dict.fromkeys(str(place) for place in (Path.cwd(), *(root / m for m in marked)))
    return JoinedCode(places, _source(entry, places), entry, tuple(search_path))


def data_scope(study: RecordedStudy) -> str:
    """What the cache of digests of a study's data is about, wherever its code lies."""
    return f"study {study.record.uid}"


def importable_entry(study: RecordedStudy, places: CodePlaces) -> EntryPoint:
    """How a worker imports the objective.

    Raises:
        RestoreError: It cannot; the reason is said.
        ObjectiveNotFoundError: Its file is not where the code lies.
    """
    entry = study.launch.entry
    if entry.how in ("module", "file"):
        if entry.how == "file":
            _existing(entry, places)
        return entry
    reason = entry.reason or "it has no name"
    if entry.how == "script":
        obstacle = script_obstacle(_existing(entry, places).read_bytes(), entry.name or "")
        if obstacle is None:
            return replace(entry, how="file", reason=None)
        reason = f"{reason}, and {obstacle}"
    raise RestoreError(
        f"a worker cannot import the objective of study {study.record.name!r}: {reason}",
        where=entry.path,
        hint=BY_FILE_AND_NAME,
    )


def _existing(entry: EntryPoint, places: CodePlaces) -> Path:
    # What is to run is named by another coordinate than the code that was trusted or pinned.
    if not any((file.base, file.path) == (entry.base, entry.path) for file in places.state.files):
        raise RestoreError(
            "the record names an objective in a file that is not among its code",
            where=entry.path,
            hint="do not run this study: its record is damaged or was tampered with",
        )
    file = places.restored[entry.base] / (entry.path or "")
    if not file.is_file():
        raise ObjectiveNotFoundError(
            "the file of the objective is not here",
            where=str(file),
            hint="start the worker in the project's directory, or leave --code here out",
        )
    return file


def _source(entry: EntryPoint, places: CodePlaces) -> ObjectiveSource:
    if entry.how == "module":
        return ObjectiveSource(entry.name or "", module=entry.module)
    return ObjectiveSource(entry.name or "", file=str(_existing(entry, places)))

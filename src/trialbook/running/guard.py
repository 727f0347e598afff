"""The guard: before a worker's first trial its coordinates are held against the study's.

What they are held against is the study's reference (``BookStorage.reference``). A run goes on in
its owner's name: code, data and configuration must be those of the reference, or be allowed, and
then the study goes on with the new ones. A worker that joins must be the same, its environment
too, and never moves the reference; one that is let in with differences says so in every trial.
Sampler, pruner and seed are held by ``study.py``; what weighs is in ``admission.py``.
"""

from __future__ import annotations

import hashlib
import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trialbook.book.storage import BookStorage
from trialbook.errors import InputsChangedError
from trialbook.records.code import CodeState, GitState
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.differences import coordinate_differences
from trialbook.records.marks import mark_of, mark_summary
from trialbook.records.references import StudyReference
from trialbook.records.verdict import CoordinateDifference
from trialbook.running.admission import (
    FLAGS,
    Weighed,
    by_kind,
    changed_names,
    refusal_text,
    remedies,
    told_lines,
    weighed,
)
from trialbook.running.messages import Job, Ready


@dataclass(frozen=True, slots=True)
class Admission:
    """A worker that may run trials.

    Args:
        differs: What its trials say of it; empty when it is as the study is.
        told: What its user should hear of it and of this machine, a line each.
        moves: Whether the study goes on with what is here, so that it is to become the reference.
        held_against: The reference of a worker that joined; when the study's is another one, its
            owner has gone on with something else.
    """

    differs: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    moves: bool = False
    held_against: StudyReference | None = field(default=None, compare=False)


def admitted(storage: BookStorage, job: Job, ready: Ready) -> Admission:
    """Hold what a child has observed against the study's reference.

    Args:
        storage: The book.
        job: What the worker is to run; says whether it joins, and what may differ.
        ready: The coordinates as they are now.

    Raises:
        InputsChangedError: Something differs and is not allowed to; it is named.
    """
    reference = storage.reference(job.study_id)
    if reference is None:
        return Admission()
    found = [
        difference
        for difference in _differences(storage, reference, ready)
        if not _is_unknown(difference, job, ready)
    ]
    if not job.joined:
        return _owner_admitted(job, reference, weighed(found, {*job.allowed, _OWN}))
    verdict = weighed(found, job.allowed)
    if verdict.refused:
        raise InputsChangedError(
            f"this worker differs from study {job.study!r}: {refusal_text(verdict.refused)}",
            where=socket.gethostname(),
            hint=remedies(
                verdict.refused, _git(storage, reference), restored=job.place is not None
            ),
        )
    if not reference.fixed:
        # Else its own trials would be what the next worker is held against, and runs the code of.
        fixed = storage.fix_reference(job.study_id)
        if fixed is not None and fixed.coordinates != reference.coordinates:
            return admitted(storage, job, ready)  # another trial has begun since it was looked at
        reference = fixed or reference
    if not verdict.allowed:
        return Admission(told=told_lines(verdict.told), held_against=reference)
    mark = mark_of(verdict.allowed)
    let_in = f"let in although it differs: {mark_summary(mark)}; its trials say so"
    return Admission(mark, (let_in, *told_lines(verdict.told)), held_against=reference)


_OWN = FLAGS[Kind.ENVIRONMENT]
"""The environment of a run is its owner's business: it is told of what differs."""


def _owner_admitted(job: Job, reference: StudyReference, verdict: Weighed) -> Admission:
    if verdict.refused:
        kinds = by_kind(verdict.refused)
        flags = " ".join(f"--allow {FLAGS[kind]}" for kind in kinds)
        how = "differs from that of" if reference.fixed else "changed since the last trial of"
        raise InputsChangedError(
            f"{' and '.join(kinds)} {how} study {job.study!r}: {changed_names(verdict.refused)}",
            hint=f"{flags} to go on and have the trials say so, or --study NAME for a new study",
        )
    environment = tuple(item for item in verdict.allowed if item.kind == Kind.ENVIRONMENT)
    asked = any(FLAGS[Kind(item.kind)] in job.allowed for item in verdict.allowed)
    told = told_lines((*environment, *verdict.told))
    return Admission(told=told, moves=reference.fixed and asked)


def _differences(
    storage: BookStorage, reference: StudyReference, ready: Ready
) -> Iterator[CoordinateDifference]:
    for document in (ready.code, ready.data, ready.config, ready.environment):
        here = Snapshot.from_document(document.encode())
        digest = reference.coordinates.of(here.kind)
        if digest is not None and digest != here.digest:
            yield from coordinate_differences(storage.snapshot(digest), here)


def _is_unknown(difference: CoordinateDifference, job: Job, ready: Ready) -> bool:
    """Whether a file of the code that one side lacks may well be the same there.

    A file that git ignores is in a manifest only once it was imported, and a trial imports while
    it runs. In a run a file that one side lacks is therefore no sign of a change: whatever imports
    it would have changed as well. A worker that joins is held to more: a file that the study has
    loaded must lie here.
    """
    if difference.kind != Kind.CODE:
        return False
    if not job.joined:
        return None in (difference.recorded, difference.here)
    return (
        difference.here is None
        and difference.recorded is not None
        and _lies_here(Path(ready.root), difference.what, difference.recorded)
    )


def _lies_here(root: Path, path: str, digest: str) -> bool:
    file = Path(os.path.normpath(root / path))
    try:
        if not file.is_relative_to(root) or not stat.S_ISREG(file.stat().st_mode):
            return False
        return hashlib.sha256(file.read_bytes()).hexdigest() == digest
    except (OSError, ValueError):
        return False


def _git(storage: BookStorage, reference: StudyReference) -> GitState | None:
    digest = reference.coordinates.code
    return None if digest is None else storage.snapshot(digest).state_as(CodeState).git

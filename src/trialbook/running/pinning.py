"""Writing down what a study's workers are held to, before anybody has run a trial of it.

The objective is imported and observed in a process of its own, as for a trial, and the process
writes what it saw; nothing of the user's code runs in the one that asks.
"""

from __future__ import annotations

import select
from collections.abc import Mapping

import msgspec

from trialbook.errors import InputsChangedError, ObjectiveNotFoundError
from trialbook.records.references import StudyReference
from trialbook.running.faults import error_of
from trialbook.running.guard import admitted
from trialbook.running.messages import Ready
from trialbook.running.own_study import OwnStudy
from trialbook.running.supervision import SupervisedChild

_TICK_S = 0.1


def pinned_reference(own: OwnStudy, environment: Mapping[str, str]) -> StudyReference:
    """The reference of a study, fixed: as it is, or as the objective is observed now.

    A study that has none gets what is observed. One that has keeps it where the objective is as
    the study's; where it differs and was allowed to, the study goes on with what is observed, as
    in a run.

    Args:
        own: The study.
        environment: Variables that its workers will have on top of this process's own, so that
            they are no difference later.

    Raises:
        InputsChangedError: Code, data or configuration differ and are not allowed to.
        TrialbookError: The objective cannot be found or observed.
    """
    storage, study_id = own.storage, own.job.study_id
    child = SupervisedChild(own.job, storage.known_digests, environment)
    try:
        ready = _ready(child)
        storage.learn_digests(ready.hashed)  # the workers to come need not hash these
        before = storage.reference(study_id)
        if before is None or not _is_same(own, ready):
            admitted(storage, own.job, ready)
            child.pin()
            while not child.pinned:
                _wait(child)
        fixed = storage.fix_reference(study_id)
    finally:
        child.kill()
        child.close()
    assert fixed is not None
    return fixed


def _is_same(own: OwnStudy, ready: Ready) -> bool:
    """Whether nothing differs that would have to be allowed."""
    try:
        admitted(own.storage, msgspec.structs.replace(own.job, allowed=()), ready)
    except InputsChangedError:
        return False
    return True


def _ready(child: SupervisedChild) -> Ready:
    while child.ready is None:
        _wait(child)
    return child.ready


def _wait(child: SupervisedChild) -> None:
    select.select(child.sources(), [], [], _TICK_S)
    child.pump()
    if child.failed is not None:
        raise error_of(child.failed.fault)
    if child.ended:
        error = ObjectiveNotFoundError(
            f"the process that imports the objective {child.death}",
            hint="import it by hand to see why; --debug shows what it wrote",
        )
        if child.written():
            error.add_note(child.written())
        raise error

"""Which launches and jobs a user means: ``STUDY``, ``LAUNCH`` or ``LAUNCH/INDEX``."""

from __future__ import annotations

from dataclasses import dataclass

from trialbook.book.storage import BookStorage
from trialbook.errors import BadReferenceError, NotFoundError
from trialbook.records.launches import JobId, LaunchRecord, PlacedJob


@dataclass(frozen=True, slots=True)
class Selection:
    """What was named.

    Args:
        name: As it was written.
        study_id: The study, also of a launch or job; ``None`` for all studies.
        study: Its name, likewise.
        launches: The launches, oldest first; of a study all that it has.
        index: The job, when one was named.
    """

    name: str | None
    study_id: int | None
    study: str | None
    launches: tuple[LaunchRecord, ...]
    index: int | None = None

    @property
    def is_study(self) -> bool:
        """Whether a study was named, or all of them."""
        return self.name is None or self.name == self.study

    def jobs(self, launch: LaunchRecord) -> tuple[PlacedJob, ...]:
        """The jobs of one of the launches that are meant."""
        return tuple(job for job in launch.jobs if self.index in (None, job.index))

    def names(self, launch: LaunchRecord) -> tuple[JobId, ...]:
        """The same by name, those too that were never placed."""
        wanted = range(launch.workers) if self.index is None else (self.index,)
        return tuple(JobId(launch.launch_id, index) for index in wanted)


def selected(storage: BookStorage, name: str | None) -> Selection:
    """What a user named.

    A study of just that name comes first: an id of a launch is random, and nobody calls a study so.

    Args:
        storage: The book.
        name: ``STUDY``, ``LAUNCH`` or ``LAUNCH/INDEX``; ``None`` for everything.

    Raises:
        NotFoundError: The book has none of these.
    """
    if name is None:
        return Selection(None, None, None, tuple(storage.launches.all()))
    try:
        study_id = storage.get_study_id_from_name(name)
    except KeyError:
        return _launch(storage, name)
    return Selection(name, study_id, name, tuple(storage.launches.all(study_id)))


def _launch(storage: BookStorage, name: str) -> Selection:
    try:
        job = JobId.of(name)
    except BadReferenceError:
        job = None
    launch_id = name if job is None else job.launch
    try:
        launch = storage.launches.one(launch_id)
    except NotFoundError:
        raise NotFoundError(
            f"there is no study and no launch {name!r}",
            where=storage.url,
            hint="'trialbook jobs' lists the launches, 'trialbook ls' the studies",
        ) from None
    if job is not None and job.index >= launch.workers:
        raise NotFoundError(
            f"launch {launch_id} has no job {job.index}: it is of {launch.workers} workers",
            hint=f"'trialbook jobs {launch_id}' lists them",
        )
    index = None if job is None else job.index
    return Selection(name, launch.study_id, launch.study, (launch,), index)

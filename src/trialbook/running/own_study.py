"""The study that a user runs in their own name: opened or created, and its job described.

What is asked for is a ``RunSpec``; a worker that joins by the book's record alone is elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from trialbook.book.location import book_url
from trialbook.book.storage import BookStorage
from trialbook.capture.code import code_root
from trialbook.capture.process import observed_placement
from trialbook.errors import InputsChangedError, TrialbookError
from trialbook.records.study import StudyRecord, StudySpec
from trialbook.running.budget import recorded_budget
from trialbook.running.messages import Job
from trialbook.running.objectives import ObjectiveSource
from trialbook.running.spec import RunSpec
from trialbook.running.study import Study, create_study, is_bare
from trialbook.running.trust import UNPICKLES, require_trust


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a study is run here and now; none of it belongs to the study.

    Args:
        storage: The book, as in ``create_study``; ``None`` for the default one.
        timeout_s: Seconds after which no trial begins any more, ``None`` for no limit.
        mapped: Input name to path, for inputs that lie elsewhere on this machine.
        allow: Which of ``code``, ``data`` and ``settings`` may differ from earlier trials.
        gpus_per_worker: Devices for each worker, ``None`` to leave them all visible to all.
        paranoid: Hash the data again even when its stat has not changed.
        grace_s: How long a trial that does not ask may go on after a signal to stop.
        trust: Go on with a study that was not created on this machine.
    """

    storage: str | None = None
    timeout_s: float | None = None
    mapped: dict[str, str] = field(default_factory=dict)
    allow: tuple[str, ...] = ()
    gpus_per_worker: int | None = None
    paranoid: bool = False
    grace_s: float = 20.0
    trust: bool = False


@dataclass(frozen=True, slots=True)
class OwnStudy:
    """A study that is open to be run.

    Args:
        storage: Its book.
        study: The study.
        job: What its workers run.
    """

    storage: BookStorage
    study: Study
    job: Job


@contextmanager
def own_study(spec: RunSpec, options: RunOptions) -> Iterator[OwnStudy]:
    """Open a study, created if it is not there; the book is closed at the end of the block.

    When the block fails, a study that was created for it and has nothing in it is gone again.

    Args:
        spec: The study.
        options: How it is run.

    Raises:
        SettingsDifferError: It is recorded with another sampler, pruner, seed or direction.
        InputsChangedError: It is a search of another objective.
        UntrustedCodeError: It was created elsewhere and is not trusted.
        BookError: The book cannot be opened.
    """
    url = book_url(options.storage)
    storage = BookStorage(url)
    study: Study | None = None
    made = False
    try:
        recorded = _recorded(storage, spec.study)
        made = recorded is None
        if recorded is not None and not is_bare(storage, recorded):
            require_trust(recorded, options.trust, because=UNPICKLES)
        if recorded is not None:
            _require_same_objective(recorded.spec, spec, options.allow)
        study = create_study(
            storage=storage,
            study_name=spec.study,
            directions=spec.directions,
            load_if_exists=True,
            allow=options.allow,
            spec=spec.study_spec,
        )
        if made:  # somebody else may have made it meanwhile
            _require_same_objective(study.spec, spec, options.allow)
        conduct = _kept_conduct(storage, study, spec)
        yield OwnStudy(storage, study, _job(spec, options, study, conduct, (url, storage.url)))
    except TrialbookError:
        # An objective that cannot be prepared leaves no empty study behind.
        if made and study is not None:
            storage.discard_untouched_study(study._study_id)
        raise
    finally:
        storage.close()


def _recorded(storage: BookStorage, study: str) -> StudyRecord | None:
    try:
        return storage.get_study_record(storage.get_study_id_from_name(study))
    except KeyError:
        return None


def _kept_conduct(storage: BookStorage, study: Study, spec: RunSpec) -> StudySpec:
    """The study's settings with what is asked of its conduct now; the last one asked for stands."""
    recorded = study.spec
    if spec.conducted(recorded) == recorded:
        return recorded
    return storage.change_study_spec(study._study_id, lambda found, _: spec.conducted(found))


def _require_same_objective(
    settings: StudySpec | None, spec: RunSpec, allow: tuple[str, ...]
) -> None:
    """Two functions of one file have the same code, so the guard of the code is blind to this."""
    recorded = None if settings is None else settings.objective
    if recorded is None or "code" in allow:
        return
    before = ObjectiveSource.of(recorded, spec.base)
    now = spec.objective
    same_place = (
        before.module == now.module
        if before.file is None or now.file is None
        else Path(before.file).name == Path(now.file).name
    )
    if before.name != now.name or not same_place:
        raise InputsChangedError(
            f"study {spec.study!r} is a search of {recorded}, not of {now.relative_to(spec.base)}",
            hint="--study NAME for a new study, or --allow code to go on in this one",
        )


def _job(
    spec: RunSpec, options: RunOptions, study: Study, conduct: StudySpec, urls: tuple[str, str]
) -> Job:
    """What the workers run; ``urls`` is the book's with its password and without."""
    search_path = () if spec.objective.module is None else _search_path(code_root(spec.base))
    return Job(
        book=urls[0],
        shown_book=urls[1],
        study=spec.study,
        study_id=study._study_id,
        search=study.spec.search,
        name=spec.objective.name,
        file=spec.objective.file,
        module=spec.objective.module,
        search_path=search_path,
        data=dict(spec.data),
        mapped={name: str(Path(path).absolute()) for name, path in options.mapped.items()},
        config=spec.config,
        overrides=dict(spec.overrides),
        seed=spec.seed,
        isolation=spec.isolation,
        paranoid=options.paranoid,
        allowed=tuple(options.allow),
        budget=recorded_budget(study._book, study._study_id, spec.trials),
        lease_s=conduct.lease_s,
        limits=conduct.limits,
        grace_s=options.grace_s,
        placement=observed_placement(os.environ),
    )


def _search_path(root: Path) -> tuple[str, ...]:
    return tuple(dict.fromkeys((str(Path.cwd()), str(root))))

"""The study that a user runs in their own name: opened or created, and its job described.

What is asked for is a ``RunSpec``; a worker that joins by the book's record alone is elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from optuna.trial import FrozenTrial

from trialbook.book.location import book_url
from trialbook.book.storage import BookStorage
from trialbook.capture.code import code_root
from trialbook.capture.process import observed_placement
from trialbook.errors import InputsChangedError, TrialbookError
from trialbook.records.study import StudyRecord, StudySpec
from trialbook.running.messages import Job
from trialbook.running.objectives import ObjectiveSource
from trialbook.running.samplers import grid_size
from trialbook.running.spec import RunSpec
from trialbook.running.study import Study, create_study, is_bare
from trialbook.running.trust import require_trust


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
            require_trust(recorded, options.trust, because=_FOREIGN)
        study = create_study(
            storage=storage,
            study_name=spec.study,
            directions=spec.directions,
            load_if_exists=True,
            allow=options.allow,
            spec=spec.study_spec,
        )
        _require_same_objective(study, spec, options.allow)
        conduct = _kept_conduct(storage, study, spec)
        yield OwnStudy(storage, study, _job(spec, options, study, conduct, (url, storage.url)))
    except TrialbookError:
        # An objective that cannot be prepared leaves no empty study behind.
        if made and study is not None:
            storage.discard_untouched_study(study._study_id)
        raise
    finally:
        storage.close()


_FOREIGN = (
    "going on with study {name!r} would give what the book holds for it to Optuna, which unpickles "
    "the state of some samplers"
)


def _recorded(storage: BookStorage, study: str) -> StudyRecord | None:
    try:
        return storage.get_study_record(storage.get_study_id_from_name(study))
    except KeyError:
        return None


def _kept_conduct(storage: BookStorage, study: Study, spec: RunSpec) -> StudySpec:
    """The study's settings with what is asked of its conduct now; the last one asked for stands."""
    recorded = study.spec
    asked = spec.conducted(recorded)
    if asked != recorded:
        storage.set_study_spec(study._study_id, asked)
    return asked


def _require_same_objective(study: Study, spec: RunSpec, allow: tuple[str, ...]) -> None:
    """Two functions of one file have the same code, so the guard of the code is blind to this."""
    recorded = study.spec.objective
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
            f"study {spec.study!r} is a search of {recorded}, not of {now}",
            hint="--study NAME for a new study, or --allow code to go on in this one",
        )


def _budget(spec: RunSpec, study: Study) -> int | None:
    """Total of trials, ``None`` for no limit: what was asked for, and no more than a grid needs.

    When the last points of a grid are being worked at, or were lost and wait to be tried again,
    Optuna would give them to further trials too. Where trials took no point of the grid, its
    points no longer go by the trials' numbers, and Optuna finds out when all are done.
    """
    asked = spec.trials if spec.trials is not None else study.spec.search.trials
    points = grid_size(study.spec.search.sampler)
    if points is None or any(map(_is_off_the_grid, study.get_trials(deepcopy=False))):
        return asked
    return points if asked is None else min(asked, points)


def _is_off_the_grid(trial: FrozenTrial) -> bool:
    """Whether a trial took its params from elsewhere: it was enqueued, or added as it was."""
    attrs = trial.system_attrs
    return "grid_id" not in attrs and ("fixed_params" in attrs or trial.state.is_finished())


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
        budget=_budget(spec, study),
        lease_s=conduct.lease_s,
        limits=conduct.limits,
        grace_s=options.grace_s,
        placement=observed_placement(os.environ),
    )


def _search_path(root: Path) -> tuple[str, ...]:
    return tuple(dict.fromkeys((str(Path.cwd()), str(root))))

"""The decorator: an objective whose every trial is recorded before, while and after it runs."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, overload
from weakref import WeakKeyDictionary

import optuna

from trialbook.book.location import book_files
from trialbook.book.storage import BookStorage
from trialbook.capture.data import Data
from trialbook.capture.imports import install_import_watch
from trialbook.capture.search import component_settings
from trialbook.errors import NotABookError, ObjectiveSignatureError
from trialbook.records.config import ComponentSettings, SearchSettings
from trialbook.records.study import StudySpec
from trialbook.tracking.recording import Recording, StudyFacts
from trialbook.tracking.replaying import Replay, active_replay
from trialbook.tracking.seeding import seed_globals
from trialbook.tracking.session import Inputs, Session, directory_of_definition
from trialbook.tracking.trial import Surroundings, TrackedTrial, current

Objective = Callable[[TrackedTrial], Any]
DataInputs = Mapping[str, str | Path | Data]
Config = str | Path | Mapping[str, Any] | None


class TrackedObjective:
    """An objective that records each of its trials in the book of its study.

    Args:
        function: The user's function; it takes a trial and returns one value or several.
        inputs: Declared data and configuration.
        seed: Seed that trial seeds are derived from when the study has none.
    """

    def __init__(self, function: Objective, inputs: Inputs, seed: int | None = None) -> None:
        if not callable(function):
            raise ObjectiveSignatureError(
                f"a tracked objective must be callable, not {type(function).__name__}",
                hint="put @tracked_objective above a function that takes a trial",
            )
        self.function = function
        self.inputs = inputs
        self.seed = seed
        self._sessions: dict[tuple[str, str], Session] = {}
        self._studies: WeakKeyDictionary[BookStorage, dict[int, StudyFacts]] = WeakKeyDictionary()
        self._lock = threading.RLock()
        functools.update_wrapper(self, function, updated=())
        install_import_watch()

    @property
    def data(self) -> DataInputs:
        """Declared inputs."""
        return self.inputs.data

    @property
    def config(self) -> Config:
        """Declared configuration."""
        return self.inputs.config

    def with_settings(
        self,
        *,
        data: DataInputs | None = None,
        config: Config = None,
        overrides: Mapping[str, Any] | None = None,
        seed: int | None = None,
        base: Path | None = None,
    ) -> TrackedObjective:
        """This objective with some settings replaced; ``None`` keeps what the decorator says.

        Args:
            data: Inputs that replace those of the same name.
            config: Another configuration.
            overrides: Dotted keys set over the configuration.
            seed: Another seed.
            base: Directory that relative paths of ``data`` and ``config`` start from.
        """
        own = self.inputs
        start = base if base is not None else own.base
        given = {name: _based(value, start) for name, value in (data or {}).items()}
        inputs = replace(
            own,
            data={**own.data, **given},
            config=own.config if config is None else _based(config, start),
            overrides={**own.overrides, **(overrides or {})},
        )
        return TrackedObjective(self.function, inputs, self.seed if seed is None else seed)

    def __call__(self, trial: optuna.Trial) -> Any:
        """Run one trial under tracking, or replay it inside a rerun.

        Raises:
            NotABookError: The trial's study is not kept in a book.
            CaptureError: A coordinate cannot be observed; the objective does not run.
        """
        replay = active_replay()
        if replay is not None:
            return self._replayed(trial, replay)
        if isinstance(trial, TrackedTrial):
            return self.function(trial)
        storage = _book_storage(trial)
        facts = self._facts(storage, trial.study)
        session = self._session(storage.url, facts.search)
        return Recording(self.function, trial, storage, session, facts, self.seed, self._lock).run()

    def _replayed(self, trial: optuna.Trial, replay: Replay) -> Any:
        if replay.seeds.set_globals:
            seed_globals(replay.seeds.trial)
        surroundings = Surroundings(
            replay.sink,
            replay.seeds.trial,
            deepcopy(replay.config),
            dict(replay.data),
            lambda: replay.directory,
        )
        tracked = TrackedTrial.of(trial, surroundings)
        try:
            with current(tracked):
                value = self.function(tracked)
        except BaseException as error:
            if replay.raised is not None:
                replay.raised(error)
            raise
        replay.sink.returned(value)
        return value

    def prepare(self, search: SearchSettings, url: str) -> Session:
        """Observe every coordinate now, without a book open, so that forked children inherit it.

        Args:
            search: The study's recorded settings.
            url: The book's ``url``; its files are in no manifest.
        """
        session = self._session(url, search)
        with self._lock:
            session.observe()
        return session

    def _session(self, url: str, search: SearchSettings) -> Session:
        key = (url, repr(search))
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                exclude = book_files(url)
                session = Session(self.function, self.inputs, search=search, exclude=exclude)
                self._sessions[key] = session
            return session

    def _facts(self, storage: BookStorage, study: optuna.Study) -> StudyFacts:
        with self._lock:
            known = self._studies.setdefault(storage, {})
            facts = known.get(study._study_id)
            asked = (study.sampler, study.pruner)
            if facts is None or facts.components != asked:
                record = storage.get_study_record(study._study_id)
                spec = record.spec or StudySpec()
                search = replace(
                    spec.search,
                    sampler=_used(spec.search.sampler, study.sampler),
                    pruner=_used(spec.search.pruner, study.pruner),
                )
                facts = StudyFacts(
                    record.name,
                    record.uid,
                    search,
                    asked,
                    lease_s=spec.lease_s,
                    seed=self._seed_of_trials(spec),
                )
                known[study._study_id] = facts
            return facts

    def _seed_of_trials(self, spec: StudySpec) -> int | None:
        """The study's seed, unless nobody gave it one and the decorator has one."""
        return None if spec.seed_from_sampler and self.seed is not None else spec.search.seed


def _used(recorded: ComponentSettings | None, component: object) -> ComponentSettings:
    """Settings of the sampler or pruner that is used: as recorded, unless it is another one."""
    here = component_settings(component)
    return recorded if recorded is not None and recorded.name == here.name else here


def _based(value: Any, base: Path) -> Any:
    """A path or ``Data`` made absolute; mappings and ``None`` as they are."""
    if isinstance(value, (str, Path)):
        return base / value
    if isinstance(value, Data):
        return replace(value, path=base / value.path)
    return value


def _book_storage(trial: optuna.Trial) -> BookStorage:
    storage = getattr(trial, "storage", None)
    if isinstance(storage, BookStorage):
        return storage
    if storage is None:
        raise NotABookError(
            f"a tracked objective cannot record a {type(trial).__name__}",
            hint="call objective.function(trial) to run it without a record",
        )
    if type(storage).__name__ == "GrpcStorageProxy":
        raise NotABookError(
            "a tracked objective cannot record through Optuna's gRPC proxy: "
            "coordinates and series have no place in its protocol",
            hint="open the book itself: storage=trialbook.BookStorage(URL)",
        )
    raise NotABookError(
        f"the study {trial.study.study_name!r} is kept in {type(storage).__name__}, not in a book",
        hint="optuna.create_study(storage=trialbook.BookStorage(), ...)",
    )


@overload
def tracked_objective(function: Objective, /) -> TrackedObjective: ...


@overload
def tracked_objective(
    *,
    data: DataInputs | None = None,
    config: Config = None,
    seed: int | None = None,
    paranoid: bool = False,
) -> Callable[[Objective], TrackedObjective]: ...


def tracked_objective(
    function: Objective | None = None,
    /,
    *,
    data: DataInputs | None = None,
    config: Config = None,
    seed: int | None = None,
    paranoid: bool = False,
) -> TrackedObjective | Callable[[Objective], TrackedObjective]:
    """Record every trial of an objective: code, data, config, environment, execution, metrics.

    Args:
        function: The objective, when the decorator is used without arguments.
        data: Inputs by name: a file, a directory, a glob, or ``Data``. Relative paths start from
            the directory of the file that defines the objective. ``trial.data[name]`` is a path.
        config: A YAML file or a mapping; ``trial.config`` holds it resolved.
        seed: Seed that trial seeds are derived from, unless the study has one.
        paranoid: Hash the data again even when its stat has not changed.

    Returns:
        The objective, to be passed to ``study.optimize`` or called with a trial.

    Raises:
        ObjectiveSignatureError: What is decorated is not callable.
    """

    def decorated(objective: Objective) -> TrackedObjective:
        base = directory_of_definition(objective)
        return TrackedObjective(objective, Inputs(data or {}, config, {}, base, paranoid), seed)

    return decorated if function is None else decorated(function)

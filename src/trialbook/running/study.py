"""Studies: created, resumed with their recorded settings, and asked for trials reproducibly."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import DuplicatedStudyError
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState

from trialbook.book.storage import BookStorage
from trialbook.book.texts import returned_text
from trialbook.capture.search import component_settings
from trialbook.errors import (
    AttemptFencedError,
    NotABookError,
    SettingsDifferError,
    TrialbookWarning,
)
from trialbook.records.canonical import parsed
from trialbook.records.config import ComponentSettings, SearchSettings
from trialbook.records.execution import EndReason
from trialbook.records.returned import unusable_return
from trialbook.records.study import StudyRecord, StudySpec
from trialbook.running.sampler_seeds import (
    SamplerSeed,
    reseed,
    resumed_with_seed,
    seed_of_sampler,
    seed_of_settings,
    with_sampler_seed,
)
from trialbook.running.samplers import (
    DEFAULT_PRUNER,
    DEFAULT_SAMPLER,
    MissingPruner,
    MissingSampler,
    pruner_by_name,
    sampler_by_name,
)
from trialbook.running.trust import origin_of
from trialbook.tracking.kept_params import KeepingTrial
from trialbook.tracking.replaying import active_replay
from trialbook.tracking.seeding import study_entropy

Storage = str | Path | BaseStorage | None
Direction = Literal["minimize", "maximize"] | StudyDirection


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """How a claimed trial went.

    Args:
        error: The exception that left the objective, recorded already; ``None`` when none did.
        reason: Why the attempt ended; ``None`` where that was not recorded.
        is_given_back: Whether the trial is to be tried again, and nothing was told; or what was
            told does not count, because another worker has the trial (``fenced``).
        unusable: What the objective returned that is no result, as in ``unusable_return``.
    """

    error: BaseException | None
    reason: EndReason | None
    is_given_back: bool = False
    unusable: str = ""


class Study(optuna.Study):
    """An ``optuna.Study`` kept in a book.

    It differs in one thing: before each trial its sampler is seeded from the study's seed and the
    trial's number, so that a resumed search goes on where an uninterrupted one would be.
    """

    def __init__(
        self,
        study_name: str,
        storage: BookStorage,
        sampler: BaseSampler | None = None,
        pruner: BasePruner | None = None,
    ) -> None:
        super().__init__(study_name, storage, sampler, pruner)
        self._book = storage
        self._record = storage.get_study_record(self._study_id)
        self._entropy = study_entropy(self.spec.search.seed, None, self._record.uid)

    @property
    def spec(self) -> StudySpec:
        """What the study was asked to be, as recorded."""
        return self._record.spec or StudySpec()

    @property
    def uid(self) -> str:
        """The study's random identity, 32 hexadecimal digits."""
        return self._record.uid

    def ask(self, fixed_distributions: dict[str, BaseDistribution] | None = None) -> optuna.Trial:
        """As in Optuna; the sampler is seeded for the new trial first."""
        # Optuna's own ask makes the trial and shows it to the sampler in one go, while the seed
        # depends on the number that the trial gets.
        self.require_components()
        self._thread_local.cached_all_trials = None
        trial_id = self._pop_waiting_trial_id()
        if trial_id is None:
            trial_id = self._storage.create_new_trial(self._study_id)
        trial = self._trial(trial_id)
        for name, distribution in (fixed_distributions or {}).items():
            trial._suggest(name, distribution)
        return trial

    def require_components(self) -> None:
        """Refuse to search on with another sampler or pruner than the recorded one.

        Raises:
            SettingsDifferError: It is recorded with one that the user built and did not pass.
        """
        for component in (self.sampler, self.pruner):
            if isinstance(component, (MissingSampler, MissingPruner)):
                raise component.refusal()

    def _trial(self, trial_id: int) -> optuna.Trial:
        number = self._storage.get_trial_number_from_id(trial_id)
        reseed(self.sampler, self._entropy, number)
        return KeepingTrial(self, trial_id)

    def run_claimed(self, trial_id: int, objective: Callable[[optuna.Trial], Any]) -> ClaimedRun:
        """Run one trial that was claimed before, and tell its result or give it back.

        Args:
            trial_id: The claimed trial.
            objective: A tracked objective.

        Raises:
            Exception: The trial could not begin under tracking; nothing was told.
        """
        self.require_components()
        self._thread_local.cached_all_trials = None
        self._thread_local.in_optimize_loop = True
        error: BaseException | None = None
        value: Any = None
        state: TrialState | None = None
        try:
            trial = self._trial(trial_id)
            try:
                value = objective(trial)
            except optuna.TrialPruned as pruned:
                error, state = pruned, TrialState.PRUNED
            except (Exception, KeyboardInterrupt, SystemExit) as failure:
                error, state = failure, TrialState.FAIL
            attempt = self._book.held_attempt(trial_id)
            if attempt is None:
                # It has not begun, and may be another worker's by now.
                assert error is not None
                raise error
            reason = None if attempt.outcome is None else attempt.outcome.reason
            if reason not in (None, EndReason.COMPLETE, EndReason.PRUNED):
                if self._is_given_back(trial_id):
                    return ClaimedRun(error, reason, is_given_back=True)
                # What a trial returns that was told to stop is no result.
                value, state = None, TrialState.FAIL
            with warnings.catch_warnings():
                # A value that is no number makes the trial fail, and its record says so; what
                # Trialbook itself has to say of a late result is not to be lost.
                warnings.simplefilter("ignore")
                warnings.simplefilter("always", TrialbookWarning)
                told = self.tell(trial, value, state)
        finally:
            self._thread_local.in_optimize_loop = False
        if attempt.fenced:
            return ClaimedRun(error, EndReason.FENCED, is_given_back=True)
        if state is None and told.state is TrialState.FAIL:
            returned = parsed(returned_text(value))
            unusable = unusable_return(
                EndReason.FAILED, EndReason.COMPLETE, returned, len(self.directions)
            )
            return ClaimedRun(error, reason, unusable=unusable)
        return ClaimedRun(error, reason)

    def _is_given_back(self, trial_id: int) -> bool:
        try:
            return self._book.retried(trial_id)
        except AttemptFencedError:
            return False  # telling keeps what is told with the fenced attempt, and warns


def create_study(
    *,
    storage: Storage = None,
    sampler: BaseSampler | None = None,
    pruner: BasePruner | None = None,
    study_name: str | None = None,
    direction: Direction | None = None,
    load_if_exists: bool = False,
    directions: Sequence[Direction] | None = None,
    seed: int | None = None,
    allow: Container[str] = (),
    spec: StudySpec | None = None,
) -> Study:
    """Create a study in a book, or resume it. The signature is Optuna's, with three more.

    Args:
        storage: The book: a storage URL, a file, a ``BookStorage``, or ``None`` for the default
            book (``.trialbook/book.db``, found by walking up).
        sampler: As in Optuna; ``None`` is TPE, or the recorded one when resuming.
        pruner: As in Optuna; ``None`` is the median pruner, or the recorded one when resuming.
        study_name: As in Optuna.
        direction: As in Optuna.
        load_if_exists: As in Optuna. A resumed study goes on with its recorded settings.
        directions: As in Optuna.
        seed: The study's seed, for samplers and trials. ``None`` is the seed that the sampler was
            built with. Where there is none either, the study's own random identity stands for one,
            so that even then a resumed search is not repeated.
        allow: ``("settings",)`` lets a resumed study go on with other settings; the change is
            recorded.
        spec: Everything else that a study's file says; its settings are used where the
            arguments above are ``None``.

    Raises:
        optuna.exceptions.DuplicatedStudyError: It exists and ``load_if_exists`` is false.
        SettingsDifferError: It exists with another sampler, pruner, seed or direction.
        NotABookError: ``storage`` is another storage of Optuna.
    """
    replay = active_replay()
    if replay is not None and replay.study is not None:
        return replay.study  # type: ignore[return-value]
    book = _book(storage)
    asked = _asked(spec, sampler, pruner, seed)
    given = _sampler_seed(asked, sampler)
    try:
        study_name = optuna.create_study(
            storage=book, study_name=study_name, direction=direction, directions=directions
        ).study_name
        created = True
    except DuplicatedStudyError:
        if not load_if_exists or study_name is None:
            raise
        created = False
    study_id = book.get_study_id_from_name(study_name)
    record = book.get_study_record(study_id)
    asked_directions = _directions(direction, directions)
    if created or is_bare(book, record):
        _require_directions(record, asked_directions)
        spec = _of_new_study(with_sampler_seed(asked, given))
        book.set_study_spec(study_id, spec, origin=origin_of(record.uid))
    else:
        asked = resumed_with_seed(asked, given, record.spec, may_change="settings" in allow)
        _resume(book, record, asked, asked_directions, allow)
    return _opened(book, study_name, sampler, pruner)


def _of_new_study(asked: StudySpec) -> StudySpec:
    """The settings that a new study begins with: what is asked for, and defaults for the rest."""
    search = replace(
        asked.search,
        sampler=asked.search.sampler or DEFAULT_SAMPLER,
        pruner=asked.search.pruner or DEFAULT_PRUNER,
    )
    return replace(asked, search=search, keeps_adjustments=True)


def is_bare(book: BookStorage, record: StudyRecord) -> bool:
    """Whether a study is nothing but a name, as one whose making process was killed in between.

    It is then made to the end: it has no settings to keep, and holds nothing to be trusted.
    """
    return (
        record.spec is None
        and not any(record.states.values())
        and not record.user_attrs
        and not book.get_study_system_attrs(record.study_id)
    )


def load_study(
    *,
    study_name: str | None,
    storage: Storage = None,
    sampler: BaseSampler | None = None,
    pruner: BasePruner | None = None,
    seed: int | None = None,
    allow: Container[str] = (),
) -> Study:
    """Load a study of a book. The signature is Optuna's, with two more.

    Args:
        study_name: Its name; ``None`` when the book holds a single study.
        storage: As in ``create_study``.
        sampler: ``None`` for the recorded one.
        pruner: ``None`` for the recorded one.
        seed: ``None`` for the recorded one.
        allow: As in ``create_study``.

    Raises:
        NotFoundError: The book holds no such study.
        SettingsDifferError: It is recorded with another sampler, pruner or seed.
    """
    replay = active_replay()
    if replay is not None and replay.study is not None:
        return replay.study  # type: ignore[return-value]
    book = _book(storage)
    if study_name is None:
        study_name = optuna.load_study(study_name=None, storage=book).study_name
    record = book.get_study_record(book.get_study_id_from_name(study_name))
    asked = _asked(None, sampler, pruner, seed)
    given = _sampler_seed(asked, sampler)
    asked = resumed_with_seed(asked, given, record.spec, may_change="settings" in allow)
    _resume(book, record, asked, None, allow)
    return _opened(book, study_name, sampler, pruner)


def _book(storage: Storage) -> BookStorage:
    if isinstance(storage, BookStorage):
        return storage
    if isinstance(storage, BaseStorage):
        raise NotABookError(
            f"{type(storage).__name__} is not a book", hint="storage=trialbook.BookStorage(URL)"
        )
    return BookStorage(storage)


def _asked(
    spec: StudySpec | None,
    sampler: BaseSampler | None,
    pruner: BasePruner | None,
    seed: int | None,
) -> StudySpec:
    """The spec with what was passed as objects; parts that nobody asked for stay ``None``."""
    spec = spec or StudySpec()
    search = spec.search
    if sampler is not None:
        search = replace(search, sampler=component_settings(sampler))
    if pruner is not None:
        search = replace(search, pruner=component_settings(pruner))
    if seed is not None:
        search = replace(search, seed=seed)
    return replace(spec, search=search)


def _sampler_seed(asked: StudySpec, sampler: BaseSampler | None) -> SamplerSeed | None:
    if sampler is not None:
        return seed_of_sampler(sampler)
    return None if asked.search.sampler is None else seed_of_settings(asked.search.sampler)


def _directions(
    direction: Direction | None, directions: Sequence[Direction] | None
) -> tuple[str, ...] | None:
    if direction is None and directions is None:
        return None
    every = [direction] if directions is None else directions
    return tuple(d.name.lower() if isinstance(d, StudyDirection) else str(d) for d in every)


def _resume(
    book: BookStorage,
    record: StudyRecord,
    asked: StudySpec,
    directions: tuple[str, ...] | None,
    allow: Container[str],
) -> None:
    """Check what is asked of an existing study against its record; keep an allowed change."""
    _require_directions(record, directions)
    recorded = record.spec

    def changed(found: StudySpec, finished: int) -> StudySpec:
        return _changed(found, asked, record.name, finished, allow)

    if recorded is not None and changed(recorded, 0) != recorded:
        book.change_study_spec(record.study_id, changed)


def _changed(
    recorded: StudySpec, asked: StudySpec, name: str, finished: int, allow: Container[str]
) -> StudySpec:
    """The settings with what is asked for; the budget may grow or shrink at any time.

    Raises:
        SettingsDifferError: Another sampler, pruner or seed is asked for, and that is not allowed.
    """
    search = recorded.search
    budgeted = replace(
        search,
        trials=search.trials if asked.search.trials is None else asked.search.trials,
        hours=search.hours if asked.search.hours is None else asked.search.hours,
    )
    differences = _differences(search, asked.search)
    if not differences:
        return replace(recorded, search=budgeted)
    if "settings" not in allow:
        raise SettingsDifferError(
            f"study {name!r} is recorded with other settings: {'; '.join(differences)}",
            hint="leave them out to go on as recorded, allow 'settings' to change them on the "
            "record, or choose a new study name",
        )
    searched = replace(
        budgeted,
        sampler=asked.search.sampler or search.sampler,
        pruner=asked.search.pruner or search.pruner,
        seed=search.seed if asked.search.seed is None else asked.search.seed,
    )
    trials = "1 trial" if finished == 1 else f"{finished} trials"
    note = f"after {trials}: {'; '.join(differences)}"
    from_sampler = recorded.seed_from_sampler
    if asked.search.seed is not None:
        from_sampler = asked.seed_from_sampler
    return replace(
        recorded,
        search=searched,
        changes=(*recorded.changes, note),
        seed_from_sampler=from_sampler,
    )


def _require_directions(record: StudyRecord, directions: tuple[str, ...] | None) -> None:
    if directions is not None and directions != record.directions:
        raise SettingsDifferError(
            f"study {record.name!r} is to {' and '.join(record.directions)}, "
            f"not to {' and '.join(directions)}",
            hint="choose a new study name; a study's directions never change",
        )


def _differences(recorded: SearchSettings, asked: SearchSettings) -> list[str]:
    differences = []
    for what in ("sampler", "pruner"):
        old: ComponentSettings | None = getattr(recorded, what)
        new: ComponentSettings | None = getattr(asked, what)
        if old is not None and new is not None:
            differences += _component_differences(what, old, new)
    if asked.seed is not None and asked.seed != recorded.seed:
        differences.append(f"seed {recorded.seed} is now {asked.seed}")
    return differences


def _component_differences(what: str, old: ComponentSettings, new: ComponentSettings) -> list[str]:
    if old.name != new.name:
        return [f"{what} {old.name} is now {new.name}"]
    before, after = _settings_shown(what, old), _settings_shown(what, new)
    return [
        f"{what} {old.name}: {key} {before.get(key)!r} is now {after.get(key)!r}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def _settings_shown(what: str, component: ComponentSettings) -> Mapping[str, Any]:
    """Settings with defaults filled in, so that naming a default is no difference."""
    if not component.by_name:
        return {key: value for key, value in component.settings.items() if key != "seed"}
    build = sampler_by_name(component, 0) if what == "sampler" else pruner_by_name(component)
    seen = {**component_settings(build).settings, **component.settings}
    return {key: value for key, value in seen.items() if key != "seed"}


def _opened(
    book: BookStorage,
    study_name: str,
    sampler: BaseSampler | None,
    pruner: BasePruner | None,
) -> Study:
    record = book.get_study_record(book.get_study_id_from_name(study_name))
    search = record.spec.search if record.spec is not None else SearchSettings()
    entropy = study_entropy(search.seed, None, record.uid)
    if sampler is None and search.sampler is not None:
        sampler = (
            sampler_by_name(search.sampler, entropy)
            if search.sampler.by_name
            else MissingSampler(search.sampler)
        )
    if pruner is None and search.pruner is not None:
        pruner = (
            pruner_by_name(search.pruner) if search.pruner.by_name else MissingPruner(search.pruner)
        )
    return Study(study_name, book, sampler, pruner)

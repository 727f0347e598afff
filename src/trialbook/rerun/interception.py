"""What a replayed script gets when it opens storages and studies: the scratch study, never a book.

A script's own in-memory studies are left alone; another study of the same book is passed over,
since its trials are not replayed. An objective that opens one leaves the record.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import optuna
from optuna.storages import InMemoryStorage

from trialbook.book import storage as book_storage_home
from trialbook.rerun.replay import ReplayStudy
from trialbook.running import study as running_study


class PassedOverStudy(optuna.Study):
    """A study of the script that the recorded trial does not belong to; it runs nothing."""

    def optimize(self, *args: Any, **kwargs: Any) -> None:
        """Run nothing."""

    def ask(self, *args: Any, **kwargs: Any) -> optuna.Trial:
        """Refuse: its trials are not replayed.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(f"the trials of study {self.study_name!r} are not replayed")


class Studies:
    """Gives out studies by name while a trial is replayed.

    Args:
        study: The scratch study of the replayed trial.
    """

    def __init__(self, study: ReplayStudy) -> None:
        self._study = study
        self._create = optuna.create_study

    def create_study(self, *args: Any, **kwargs: Any) -> optuna.Study:
        """Stands for ``create_study`` of Trialbook."""
        return self._named(kwargs.get("study_name"), kwargs)

    def load_study(self, *args: Any, **kwargs: Any) -> optuna.Study:
        """Stands for ``load_study`` of Optuna and of Trialbook."""
        return self._named(args[0] if args else kwargs.get("study_name"), {})

    def create_study_of_optuna(self, *args: Any, **kwargs: Any) -> optuna.Study:
        """Stands for ``optuna.create_study``; a study in memory is the script's own business."""
        storage = kwargs.get("storage")
        if storage is None or isinstance(storage, InMemoryStorage):
            return self._create(*args, **kwargs)
        return self.create_study(*args, **kwargs)

    def deleted(self, *args: Any, **kwargs: Any) -> None:
        """Stands for ``optuna.delete_study`` and ``copy_study``: nothing is there."""

    def _named(self, name: str | None, settings: dict[str, Any]) -> optuna.Study:
        if name is None or name == self._study.study_name:
            return self._study
        self._study.pass_over(name)
        kept = {
            key: settings[key]
            for key in ("direction", "directions")
            if settings.get(key) is not None
        }
        inner = self._create(study_name=name, **kept)
        return PassedOverStudy(name, inner._storage)


@contextmanager
def studies_replaced(study: ReplayStudy) -> Iterator[None]:
    """Give the scratch study to whoever creates, loads or stores one, until the block ends."""
    studies = Studies(study)

    def book_storage(*args: Any, **kwargs: Any) -> Any:
        return study._storage

    replaced: list[tuple[ModuleType, str, Any]] = []

    def replace(home: ModuleType, name: str, stand_in: Callable[..., Any]) -> None:
        if name in vars(home):
            replaced.append((home, name, vars(home)[name]))
            setattr(home, name, stand_in)

    for home in (optuna, optuna.study, optuna.study.study):
        replace(home, "create_study", studies.create_study_of_optuna)
        replace(home, "load_study", studies.load_study)
        replace(home, "delete_study", studies.deleted)
        replace(home, "copy_study", studies.deleted)
    # The facade takes a name from its home at its first use.
    for home in (sys.modules["trialbook"], running_study):
        replace(home, "create_study", studies.create_study)
        replace(home, "load_study", studies.load_study)
    for home in (sys.modules["trialbook"], book_storage_home):
        replace(home, "BookStorage", book_storage)
    try:
        yield
    finally:
        for module, name, original in replaced:
            setattr(module, name, original)

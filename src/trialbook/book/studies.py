"""Studies in the tables: creating, naming, attributes, what was asked of them, deleting.

Everything here is one transaction a call and is written through.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from optuna.exceptions import DuplicatedStudyError
from optuna.storages._base import DEFAULT_STUDY_NAME_PREFIX
from optuna.study._frozen import FrozenStudy
from optuna.study._study_direction import StudyDirection
from optuna.trial import TrialState
from sqlalchemy import bindparam, delete, func, select, update

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.clock import database_time
from trialbook.book.removal_mark import note_removal
from trialbook.book.rows import METRIC_NAMES, objective_names
from trialbook.book.statements import Statement, insert_or_update
from trialbook.book.texts import checked_name, json_text, tagged_text
from trialbook.book.translation import is_duplicate
from trialbook.errors import BookError, NotFoundError
from trialbook.records.adjustments import adjustments
from trialbook.records.canonical import parsed
from trialbook.records.coordinates import CoordinateDigests
from trialbook.records.study import Direction, StudyRecord, StudySpec

_s, _a = schema.study.c, schema.study_attr.c
_living = (_s.study_id == bindparam("study_id"), _s.deleted.is_(None))
_facts = Statement(select(_s.name, _s.directions).where(*_living))
_exists = Statement(select(_s.study_id).where(*_living))
_by_name = Statement(select(_s.study_id).where(_s.name == bindparam("name"), _s.deleted.is_(None)))
_attrs = Statement(select(_a.scope, _a.key, _a.value).where(_a.study_id == bindparam("study_id")))
_set_attr = insert_or_update(schema.study_attr, "value")


class Studies:
    """The studies of a book.

    Args:
        book: An open book.
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        self._known: dict[int, tuple[str, list[StudyDirection]]] = {}

    def create(self, directions: Sequence[StudyDirection], name: str | None) -> int:
        """Make a study; its id.

        Args:
            directions: One for each objective.
            name: ``None`` for a name that Optuna would make up.

        Raises:
            DuplicatedStudyError: There is a study of that name.
            InvalidInputError: The name cannot be kept.
        """
        if name is None:
            name = DEFAULT_STUDY_NAME_PREFIX + str(uuid.uuid4())
        checked_name(name, "a study")
        texts = [direction.name.lower() for direction in directions]
        try:
            with self._book.writing(durable=True) as connection:
                if _by_name.row(connection, name=name) is not None:
                    raise _duplicate(name)
                study_id = connection.execute(
                    schema.study.insert()
                    .values(
                        uid=uuid.uuid4().hex,
                        name=name,
                        directions=json.dumps(texts),
                        created=time.time(),
                    )
                    .returning(_s.study_id)
                ).scalar_one()
        except BookError as error:
            if is_duplicate(error):
                raise _duplicate(name) from error
            raise
        return int(study_id)

    def delete(self, study_id: int) -> None:
        """Leave a tombstone of a study and its trials; ``gc`` takes what they held.

        Raises:
            NotFoundError: There is no such study.
        """
        self._known.pop(study_id, None)
        now = time.time()
        with self._book.writing(durable=True) as connection:
            changed = connection.execute(
                update(schema.study)
                .where(_s.study_id == study_id, _s.deleted.is_(None))
                .values(deleted=now)
            ).rowcount
            if not changed:
                raise _no_study(study_id)
            connection.execute(
                update(schema.trial)
                .where(schema.trial.c.study_id == study_id, schema.trial.c.deleted.is_(None))
                .values(deleted=now)
            )
            note_removal(connection)

    def id_of(self, name: str) -> int:
        """The id of the study of that name.

        Raises:
            NotFoundError: There is none.
        """
        with self._book.reading() as connection:
            row = _by_name.row(connection, name=name)
        if row is None:
            raise NotFoundError(
                f"there is no study {name!r}",
                where=self._book.url,
                hint="list the studies with 'trialbook ls'",
            )
        return int(row[0])

    def name(self, study_id: int) -> str:
        """The name of a study."""
        return self._facts(study_id)[0]

    def directions(self, study_id: int) -> list[StudyDirection]:
        """The directions of a study, one for each objective."""
        return list(self._facts(study_id)[1])

    def _facts(self, study_id: int) -> tuple[str, list[StudyDirection]]:
        known = self._known.get(study_id)
        if known is None:
            with self._book.reading() as connection:
                row = _facts.row(connection, study_id=study_id)
            if row is None:
                raise _no_study(study_id)
            known = row[0], _directions(row[1])
            self._known[study_id] = known
        return known

    def set_attr(self, study_id: int, scope: str, key: str, value: object) -> None:
        """Set an attribute of a study.

        Args:
            study_id: The study.
            scope: ``user`` or ``system``.
            key: Its name.
            value: A JSON value.
        """
        checked_name(key, "an attribute")
        text = json_text(value, f"the attribute {key!r}")
        with self._book.writing() as connection:
            if _exists.row(connection, study_id=study_id) is None:
                raise _no_study(study_id)
            _set_attr.run(connection, study_id=study_id, scope=scope, key=key, value=text)

    def attrs(self, study_id: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """User and system attributes of a study."""
        with self._book.reading() as connection:
            if _exists.row(connection, study_id=study_id) is None:
                raise _no_study(study_id)
            found = _attrs.rows(connection, study_id=study_id)
        scopes: dict[str, dict[str, Any]] = {"user": {}, "system": {}}
        for scope, key, value in found:
            scopes[scope][key] = json.loads(value)
        return scopes["user"], scopes["system"]

    def frozen(self) -> list[FrozenStudy]:
        """Every study that lives, by id, as Optuna has it."""
        attrs: dict[int, dict[str, dict[str, Any]]] = defaultdict(
            lambda: {"user": {}, "system": {}}
        )
        with self._book.reading() as connection:
            rows = connection.execute(
                select(_s.study_id, _s.name, _s.directions)
                .where(_s.deleted.is_(None))
                .order_by(_s.study_id)
            ).all()
            for row in connection.execute(select(schema.study_attr)):
                attrs[row.study_id][row.scope][row.key] = json.loads(row.value)
        return [
            FrozenStudy(
                study_name=row.name,
                direction=None,
                directions=_directions(row.directions),
                user_attrs=attrs[row.study_id]["user"],
                system_attrs=attrs[row.study_id]["system"],
                study_id=row.study_id,
            )
            for row in rows
        ]

    def set_spec(self, study_id: int, spec: StudySpec, origin: str | None) -> None:
        """Keep what a study was asked to be.

        Args:
            study_id: The study.
            spec: What was asked.
            origin: Proof of the machine that created it; ``None`` keeps what is there.
        """
        values: dict[str, Any] = {"spec": tagged_text(spec)}
        if origin is not None:
            values["origin"] = origin
        with self._book.writing(durable=True) as connection:
            changed = connection.execute(
                update(schema.study)
                .where(_s.study_id == study_id, _s.deleted.is_(None))
                .values(**values)
            ).rowcount
            if not changed:
                raise _no_study(study_id)

    def change_spec(
        self, study_id: int, change: Callable[[StudySpec, int], StudySpec]
    ) -> StudySpec:
        """Change what a study was asked to be; what changed of its budget and limits is kept in it.

        Args:
            study_id: The study.
            change: Makes the new settings of the old ones and of how many trials have finished. It
                runs in the transaction, and may run again.

        Returns:
            The settings as they are now.
        """
        with self._book.writing(durable=True) as connection:
            row = connection.execute(
                select(_s.spec, _s.finished, database_time())
                .where(_s.study_id == study_id, _s.deleted.is_(None))
                .with_for_update()
            ).one_or_none()
            if row is None:
                raise _no_study(study_id)
            before = (
                StudySpec() if row.spec is None else msgspec.convert(parsed(row.spec), StudySpec)
            )
            after = change(before, row.finished)
            if after != before:
                found = adjustments(before, after, row.finished, float(row[2]))
                after = replace(after, adjustments=(*before.adjustments, *found))
                connection.execute(
                    update(schema.study)
                    .where(_s.study_id == study_id)
                    .values(spec=tagged_text(after))
                )
        return after

    def record(self, study_id: int) -> StudyRecord:
        """The record of a study."""
        with self._book.reading() as connection:
            row = connection.execute(
                select(schema.study).where(_s.study_id == study_id, _s.deleted.is_(None))
            ).one_or_none()
            if row is None:
                raise _no_study(study_id)
            counts = connection.execute(
                select(schema.trial.c.state, func.count())
                .where(schema.trial.c.study_id == study_id, schema.trial.c.deleted.is_(None))
                .group_by(schema.trial.c.state)
            ).all()
            attrs = _attrs.rows(connection, study_id=study_id)
        states: Counter[Any] = Counter({TrialState(state).name: n for state, n in counts})
        directions: tuple[Direction, ...] = tuple(json.loads(row.directions))
        return StudyRecord(
            study_id=study_id,
            uid=row.uid,
            name=row.name,
            directions=directions,
            spec=None if row.spec is None else msgspec.convert(parsed(row.spec), StudySpec),
            origin=row.origin,
            created_s=row.created,
            deleted_s=row.deleted,
            states=dict(states),
            user_attrs={key: json.loads(v) for scope, key, v in attrs if scope == "user"},
            metric_names=objective_names(
                next((json.loads(v) for *key, v in attrs if key == ["system", METRIC_NAMES]), None),
                len(directions),
            ),
        )

    def discard_untouched(self, study_id: int) -> bool:
        """Forget a study that never had a trial, as if it had not been created.

        Returns:
            Whether it was forgotten; ``False`` when it has had a trial, or is not there.
        """
        s = schema.study.c
        with self._book.writing() as connection:
            found = connection.execute(
                select(s.study_id)
                .where(s.study_id == study_id, s.next_number == 0, s.deleted.is_(None))
                .with_for_update()
            ).one_or_none()
            if found is None:
                return False
            attrs = schema.study_attr
            connection.execute(delete(attrs).where(attrs.c.study_id == study_id))
            connection.execute(delete(schema.study).where(s.study_id == study_id))
        return True

    def tracked_coordinates(self, study_id: int, *, newest: bool) -> CoordinateDigests | None:
        """The coordinates of the newest or oldest tracked attempt, ``None`` when there is none."""
        t, a = schema.trial.c, schema.attempt.c
        with self._book.reading() as connection:
            row = connection.execute(
                select(a.code, a.data, a.config, a.environment, a.execution)
                .join(schema.trial, t.trial_id == a.trial_id)
                .where(t.study_id == study_id, t.deleted.is_(None), a.seeds.is_not(None))
                .order_by(a.attempt_id.desc() if newest else a.attempt_id)
                .limit(1)
            ).one_or_none()
        return None if row is None else CoordinateDigests(*row)


def _directions(text: str) -> list[StudyDirection]:
    return [StudyDirection[name.upper()] for name in json.loads(text)]


def _no_study(study_id: int) -> NotFoundError:
    return NotFoundError(f"there is no study of id {study_id}")


def _duplicate(name: str) -> DuplicatedStudyError:
    return DuplicatedStudyError(f"there is already a study {name!r}")

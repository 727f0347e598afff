"""What in a study's records tells who ran it and where: for documents that must not say so."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.rows import readable
from trialbook.records.canonical import parsed
from trialbook.records.code import ROOT
from trialbook.records.coordinates import Kind

_t, _a, _w, _n = schema.trial.c, schema.attempt.c, schema.worker.c, schema.snapshot.c
_l, _r = schema.launch.c, schema.rerun.c


@dataclass(frozen=True, slots=True)
class Identifying:
    """Names of people, machines and places, each once, in the order in which they were met.

    Args:
        hosts: Host names.
        users: User names.
        jobs: Ids that an engine gave to jobs, and of launches.
        paths: Absolute paths, and declared ones.
        addresses: URLs.
        remotes: Remotes of the code's repository.
        roots: Where the code lay.
        commits: Full hashes of commits.
        branches: Branches that were checked out.
        files: Loaded files of the code, relative to where it lay.
        choices: Texts that a param could be, in the order of the trials.
        settings: Texts of the resolved configuration.
    """

    hosts: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    remotes: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    commits: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


def identifying(book: Book, study_ids: Iterable[int]) -> Identifying:
    """What the records of studies, read in their order, tell of people, machines and places.

    After their own hosts and users come all others of the book: a study may speak of a machine on
    which only another one ran.
    """
    with book.reading() as connection:
        return _joined(_parts(connection, study_ids))


def _joined(parts: Iterable[Identifying]) -> Identifying:
    """What all parts tell, each name once."""
    names: dict[str, dict[str, None]] = {field.name: {} for field in fields(Identifying)}
    for part in parts:
        for kind, met in names.items():
            met.update(dict.fromkeys(getattr(part, kind)))
    return Identifying(**{kind: tuple(met) for kind, met in names.items()})


def _parts(connection: Connection, study_ids: Iterable[int]) -> Iterator[Identifying]:
    """What each row that is read tells, in the order of reading."""
    for study_id in study_ids:
        mine = _t.study_id == study_id
        yield from _of_machines(connection, mine, study_id)
        yield from _of_snapshots(connection, mine)
        yield from _of_spaces(connection, mine)
    for host, user in connection.execute(
        select(_l.host, _l.user).distinct().order_by(_l.host, _l.user)
    ):
        yield Identifying(hosts=_told(host), users=_told(user))
    for host in connection.scalars(select(_w.host).distinct().order_by(_w.host)):
        yield Identifying(hosts=_told(host))


def _of_machines(
    connection: Connection, mine: ColumnElement[bool], study_id: int
) -> Iterator[Identifying]:
    for host, job, launch in connection.execute(
        select(_w.host, _w.job, _w.launch)
        .join(schema.attempt, _a.worker_id == _w.worker_id)
        .join(schema.trial, _t.trial_id == _a.trial_id)
        .where(mine)
        .distinct()
        .order_by(_w.host, _w.job, _w.launch)
    ):
        of_launch = None if launch is None else launch.partition("/")[0]
        yield Identifying(hosts=_told(host), jobs=_told(job, launch, of_launch))
    for host, user in connection.execute(
        select(_l.host, _l.user).where(_l.study_id == study_id).order_by(_l.launch_id)
    ):
        yield Identifying(hosts=_told(host), users=_told(user))
    for host in connection.scalars(
        select(_r.host)
        .join(schema.attempt, _a.attempt_id == _r.attempt_id)
        .join(schema.trial, _t.trial_id == _a.trial_id)
        .where(mine)
        .order_by(_r.rerun_id)
    ):
        yield Identifying(hosts=_told(host))


def _of_snapshots(connection: Connection, mine: ColumnElement[bool]) -> Iterator[Identifying]:
    for kind in Kind:
        documents = connection.scalars(
            select(_n.document)
            .where(
                _n.digest.in_(
                    select(schema.attempt.c[str(kind)])
                    .join(schema.trial, _t.trial_id == _a.trial_id)
                    .where(mine)
                )
            )
            .order_by(_n.digest)
        )
        for document in documents:
            with readable(f"a snapshot of {kind}"):
                yield _of_state(kind, parsed(document)["state"])


def _of_spaces(connection: Connection, mine: ColumnElement[bool]) -> Iterator[Identifying]:
    for space in connection.scalars(
        select(_n.document)
        .join(schema.trial, _t.space == _n.digest)
        .where(mine)
        .group_by(_n.digest, _n.document)
        .order_by(func.min(_t.number))
    ):
        with readable("a search space"):
            asked = [json.loads(text)["attributes"] for text in json.loads(space).values()]
            yield Identifying(choices=_told(*_texts([one.get("choices") for one in asked])))


def _of_state(kind: Kind, state: Any) -> Identifying:
    """What the state of a coordinate tells."""
    match kind:
        case Kind.EXECUTION:
            argv = [part for part in state["argv"] if "/" in part or "\\" in part]
            bases = state["bases"].values()
            return Identifying(
                hosts=_told(state["host"]),
                users=_told(state["user"]),
                jobs=_told(state.get("job_id")),
                paths=_told(state["cwd"], state["python"], *bases, *state["sys_path"], *argv),
                roots=_told(state["bases"].get(ROOT)),
            )
        case Kind.CODE:
            git = state["git"] or {}
            return Identifying(
                files=_told(*(one["path"] for one in state["files"] if one["loaded"])),
                remotes=_told(git.get("remote")),
                commits=_told(git.get("commit")),
                branches=_told(git.get("branch")),
            )
        case Kind.DATA:
            inputs = [(one["path"], *_if_path(one["declared"])) for one in state["inputs"]]
            undeclared = [one["path"] for one in state["undeclared"]]
            return Identifying(paths=_told(*chain.from_iterable(inputs), *undeclared))
        case Kind.CONFIG:
            return Identifying(
                paths=_told(*_if_path(state.get("source"))),
                settings=_told(*_texts(state["resolved"])),
            )
        case Kind.ENVIRONMENT:
            interpreter = state["interpreter"]
            urls = [package.get("url") for package in state["packages"]]
            return Identifying(
                paths=_told(interpreter["executable"], interpreter["prefix"]),
                jobs=_told(state.get("job")),
                addresses=_told(state.get("index_url"), *urls),
            )


def _told(*values: Any) -> tuple[str, ...]:
    """Those that are a text and not empty."""
    return tuple(value for value in values if isinstance(value, str) and value)


def _if_path(text: Any) -> list[str]:
    """A declared path, when it has more than one part: a lone name may be a word of the report."""
    return [text] if isinstance(text, str) and ("/" in text or "\\" in text) else []


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value; the keys of an object are none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)

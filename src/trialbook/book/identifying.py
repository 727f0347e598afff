"""What in a study's records tells who ran it and where: for documents that must not say so."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from sqlalchemy import Connection, func, select

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


_Names = dict[str, None]


@dataclass(slots=True)
class _Found:
    hosts: _Names = field(default_factory=dict)
    users: _Names = field(default_factory=dict)
    jobs: _Names = field(default_factory=dict)
    paths: _Names = field(default_factory=dict)
    addresses: _Names = field(default_factory=dict)
    remotes: _Names = field(default_factory=dict)
    roots: _Names = field(default_factory=dict)
    commits: _Names = field(default_factory=dict)
    branches: _Names = field(default_factory=dict)
    files: _Names = field(default_factory=dict)
    choices: _Names = field(default_factory=dict)
    settings: _Names = field(default_factory=dict)


def identifying(book: Book, study_ids: Iterable[int]) -> Identifying:
    """What the records of studies, read in their order, tell of people, machines and places.

    After their own hosts and users come all others of the book: a study may speak of a machine on
    which only another one ran.
    """
    found = _Found()
    with book.reading() as connection:
        for study_id in study_ids:
            _of_study(found, connection, study_id)
        for host, user in connection.execute(
            select(_l.host, _l.user).distinct().order_by(_l.host, _l.user)
        ):
            _add(found.hosts, [host])
            _add(found.users, [user])
        _add(found.hosts, connection.scalars(select(_w.host).distinct().order_by(_w.host)))
    return Identifying(**{one.name: tuple(getattr(found, one.name)) for one in fields(found)})


def _of_study(found: _Found, connection: Connection, study_id: int) -> None:
    mine = _t.study_id == study_id
    for host, job, launch in connection.execute(
        select(_w.host, _w.job, _w.launch)
        .join(schema.attempt, _a.worker_id == _w.worker_id)
        .join(schema.trial, _t.trial_id == _a.trial_id)
        .where(mine)
        .distinct()
        .order_by(_w.host, _w.job, _w.launch)
    ):
        _add(found.hosts, [host])
        _add(found.jobs, [job, launch, None if launch is None else launch.partition("/")[0]])
    for host, user in connection.execute(
        select(_l.host, _l.user).where(_l.study_id == study_id).order_by(_l.launch_id)
    ):
        _add(found.hosts, [host])
        _add(found.users, [user])
    _add(
        found.hosts,
        connection.scalars(
            select(_r.host)
            .join(schema.attempt, _a.attempt_id == _r.attempt_id)
            .join(schema.trial, _t.trial_id == _a.trial_id)
            .where(mine)
            .order_by(_r.rerun_id)
        ),
    )
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
                _look(found, kind, parsed(document)["state"])
    for space in connection.scalars(
        select(_n.document)
        .join(schema.trial, _t.space == _n.digest)
        .where(mine)
        .group_by(_n.digest, _n.document)
        .order_by(func.min(_t.number))
    ):
        with readable("a search space"):
            for text in json.loads(space).values():
                _add(found.choices, _texts(json.loads(text)["attributes"].get("choices")))


def _add(names: dict[str, None], values: Iterable[Any]) -> None:
    for value in values:
        if isinstance(value, str) and value:
            names.setdefault(value)


def _look(found: _Found, kind: Kind, state: Any) -> None:
    match kind:
        case Kind.EXECUTION:
            _add(found.hosts, [state["host"]])
            _add(found.users, [state["user"]])
            _add(found.jobs, [state.get("job_id")])
            argv = [part for part in state["argv"] if "/" in part or "\\" in part]
            bases = state["bases"].values()
            _add(found.paths, [state["cwd"], state["python"], *bases, *state["sys_path"], *argv])
            _add(found.roots, [state["bases"].get(ROOT)])
        case Kind.CODE:
            _add(found.files, (one["path"] for one in state["files"] if one["loaded"]))
            if state["git"] is not None:
                _add(found.remotes, [state["git"]["remote"]])
                _add(found.commits, [state["git"]["commit"]])
                _add(found.branches, [state["git"]["branch"]])
        case Kind.DATA:
            for one in state["inputs"]:
                _add(found.paths, [one["path"], *_if_path(one["declared"])])
            _add(found.paths, [one["path"] for one in state["undeclared"]])
        case Kind.CONFIG:
            _add(found.paths, _if_path(state.get("source")))
            _add(found.settings, _texts(state["resolved"]))
        case Kind.ENVIRONMENT:
            interpreter = state["interpreter"]
            _add(found.paths, [interpreter["executable"], interpreter["prefix"]])
            _add(found.jobs, [state.get("job")])
            _add(found.addresses, [state.get("index_url")])
            _add(found.addresses, [package.get("url") for package in state["packages"]])


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

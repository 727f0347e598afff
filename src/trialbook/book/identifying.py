"""What in a study's records tells who ran it and where: for documents that must not say so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.rows import readable
from trialbook.records.canonical import parsed
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
        addresses: Remotes and URLs.
    """

    hosts: tuple[str, ...]
    users: tuple[str, ...]
    jobs: tuple[str, ...]
    paths: tuple[str, ...]
    addresses: tuple[str, ...]


@dataclass(slots=True)
class _Found:
    hosts: dict[str, None]
    users: dict[str, None]
    jobs: dict[str, None]
    paths: dict[str, None]
    addresses: dict[str, None]


def identifying(book: Book, study_id: int) -> Identifying:
    """What the records of a study, deleted trials left out, tell of people, machines and places."""
    found = _Found({}, {}, {}, {}, {})
    mine = _t.study_id == study_id
    with book.reading() as connection:
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
    return Identifying(
        tuple(found.hosts),
        tuple(found.users),
        tuple(found.jobs),
        tuple(found.paths),
        tuple(found.addresses),
    )


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
        case Kind.CODE:
            if state["git"] is not None:
                _add(found.addresses, [state["git"]["remote"]])
        case Kind.DATA:
            for one in state["inputs"]:
                _add(found.paths, [one["path"], *_if_path(one["declared"])])
            _add(found.paths, [one["path"] for one in state["undeclared"]])
        case Kind.CONFIG:
            _add(found.paths, _if_path(state.get("source")))
        case Kind.ENVIRONMENT:
            interpreter = state["interpreter"]
            _add(found.paths, [interpreter["executable"], interpreter["prefix"]])
            _add(found.jobs, [state.get("job")])
            _add(found.addresses, [state.get("index_url")])
            _add(found.addresses, [package.get("url") for package in state["packages"]])


def _if_path(text: Any) -> list[str]:
    """A declared path, when it has more than one part: a lone name may be a word of the report."""
    return [text] if isinstance(text, str) and ("/" in text or "\\" in text) else []

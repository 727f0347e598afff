"""One call that replicates: what is chosen, placed in its linked study, and run here.

What runs are ordinary supervised workers that join the linked study; others may join it too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from trialbook.book.location import book_url
from trialbook.book.reading import Reader
from trialbook.book.replicates import finished, replicates
from trialbook.book.storage import BookStorage
from trialbook.errors import InvalidInputError
from trialbook.records.references import trial_reference
from trialbook.records.replicates import DEFAULT
from trialbook.running.joining import JoinOptions, join_study
from trialbook.running.outcome import RunOutcome
from trialbook.running.progress import Progress, Silence
from trialbook.running.replicating.choosing import choice
from trialbook.running.replicating.linked import SUFFIX, Placed, placed, require_searched
from trialbook.running.trust import require_trust


@dataclass(frozen=True, slots=True)
class ReplicateOptions:
    """What is replicated, and how often.

    Args:
        reference: ``STUDY/NUMBER``, ``STUDY/best`` or ``STUDY/best~K``.
        seeds: Under how many seeds each configuration is to have run in all; ``None`` for as many
            as were asked for before, or 10.
        also: What to compare with: ``default``, ``best:K`` (the trial of rank K), ``NUMBER``.
        study: Name of the linked study, ``None`` for the source's followed by ``.replicates``.
        default: Params of the default configuration by name; empty for what the study has.
        seed: What the seeds are derived from; ``None`` to derive that from the source's own.
        place_only: Place the replicates for workers elsewhere, and run none here.
        join: How they are run here; its study is not looked at.
    """

    reference: str
    seeds: int | None = None
    also: tuple[str, ...] = ()
    study: str | None = None
    default: Mapping[str, Any] | None = None
    seed: int | None = None
    place_only: bool = False
    join: JoinOptions = field(default_factory=lambda: JoinOptions(""))


@dataclass(frozen=True, slots=True)
class ReplicationRun:
    """What came of one call.

    Args:
        source: Name of the source study.
        study: Name of the linked study.
        added: How many replicates were placed now.
        total: How many it has.
        left: How many of them are still to run, or run elsewhere.
        notes: What the user should know, one sentence each.
        outcome: What came of the workers here; ``None`` when none were started.
    """

    source: str
    study: str
    added: int
    total: int
    left: int
    notes: tuple[str, ...] = ()
    outcome: RunOutcome | None = None


def replicate(
    reference: str,
    *,
    seeds: int | None = None,
    also: Sequence[str] = (),
    study: str | None = None,
    default: Mapping[str, Any] | None = None,
    seed: int | None = None,
    storage: str | Path | None = None,
    workers: int = 1,
    data: Mapping[str, str | Path] | None = None,
    code: Literal["book", "here"] = "book",
    env: Literal["here", "recreate"] = "here",
    allow: Collection[str] = (),
    trust: bool = False,
    place_only: bool = False,
) -> ReplicationRun:
    """Run a chosen configuration again under fresh seeds, as trials of a linked study.

    The same call again goes on where the last one ended, and runs nothing when all has run; with
    more seeds it adds to the same study, with fewer it withdraws what has not begun of the others.
    ``trialbook.analysis.replication`` gives the result.

    Args:
        reference: ``STUDY/NUMBER``, ``STUDY/best`` or ``STUDY/best~K``.
        seeds: Under how many seeds each configuration is to have run in all; ``None`` for as many
            as were asked for before, or 10.
        also: What to compare with: ``"default"``, ``"best:2"`` (the runner-up), ``"12"``.
        study: Name of the linked study, by default the source's followed by ``.replicates``.
        default: Params of the default configuration, by name.
        seed: What the seeds are derived from, by default the source's own.
        storage: The book, as in ``create_study``.
        workers: How many replicates run at the same time.
        data: Input name to where it lies on this machine.
        code: ``"book"`` for the code that the chosen trial ran, ``"here"`` for that of this
            directory if it is the same.
        env: ``"here"``, or ``"recreate"`` for the recorded environment.
        allow: Which of ``code``, ``data``, ``settings`` and ``environment`` may differ.
        trust: Run the book's code although the study was not created on this machine.
        place_only: Place the replicates for workers elsewhere, and run none here.

    Raises:
        NotFoundError: There is no such study or trial.
        BadReferenceError: The text names no trial, or ``best`` of several objectives.
        InvalidInputError: A trial cannot be replicated, or an argument cannot be used.
        SettingsDifferError: The linked study replicates another choice.
        UntrustedCodeError: The study was not created here and ``trust`` is false.
        TrialbookError: As in ``join_study``.
    """
    options = ReplicateOptions(
        reference,
        seeds=seeds,
        also=tuple(also),
        study=study,
        default=default,
        seed=seed,
        place_only=place_only,
        join=JoinOptions(
            "",
            storage=None if storage is None else str(storage),
            mapped={name: str(path) for name, path in (data or {}).items()},
            code=code,
            env=env,
            allow=tuple(allow),
            trust=trust,
            workers=workers,
        ),
    )
    return replicate_as_asked(options)


def replicate_as_asked(
    options: ReplicateOptions, progress: Progress | None = None
) -> ReplicationRun:
    """Run a chosen configuration again, as ``replicate`` says.

    Args:
        options: What is replicated, and how.
        progress: Shows how it goes on.
    """
    if options.seeds is not None and options.seeds < 1:
        raise InvalidInputError(f"there must be 1 or more seeds, not {options.seeds}")
    progress = progress or Silence()
    storage = BookStorage(book_url(options.join.storage), create=False)
    try:
        source, notes, done = _placed(storage, options)
        for note in notes:
            progress.said(note)
    finally:
        storage.close()
    outcome = None
    if not options.place_only:
        outcome = join_study(replace(options.join, study=done.study), progress)
    return ReplicationRun(
        source,
        done.study,
        done.added,
        done.total,
        _left(options, done),
        notes,
        outcome,
    )


def _placed(storage: BookStorage, options: ReplicateOptions) -> tuple[str, tuple[str, ...], Placed]:
    """The source's name, what the user should know, and what was placed."""
    reader = Reader(storage.book)
    source = trial_reference(options.reference).study
    record = reader.study(source)
    require_searched(storage, record)
    require_trust(record, options.join.trust)
    known = _known_default(storage, options.study or source + SUFFIX)
    found = choice(reader, options.reference, options.also, options.default, known)
    done = placed(storage, found, name=options.study, count=options.seeds, seed=options.seed)
    return source, (*found.notes, *done.notes), done


def _known_default(storage: BookStorage, study: str) -> Mapping[str, Any] | None:
    """The default configuration that the linked study goes on with, if it has one."""
    try:
        study_id = storage.get_study_id_from_name(study)
    except KeyError:
        return None
    for replicate_ in replicates(storage.book, study_id):
        if replicate_.configuration.key == DEFAULT:
            return {param.name: param.value for param in replicate_.configuration.params}
    return None


def _left(options: ReplicateOptions, done: Placed) -> int:
    storage = BookStorage(book_url(options.join.storage), create=False)
    try:
        # An abandoned one is to be placed again, and counts as one that was never run.
        return done.total - finished(storage.book, done.study_id)
    finally:
        storage.close()

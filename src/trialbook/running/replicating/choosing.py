"""Which configurations are replicated: what the user names, found in the source study."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trialbook.book.reading import Reader
from trialbook.errors import BookCorruptError, InvalidInputError, NotFoundError
from trialbook.records.code import CodeState
from trialbook.records.coordinates import Kind
from trialbook.records.differences import coordinate_differences
from trialbook.records.distributions import distribution_of
from trialbook.records.execution import LaunchState
from trialbook.records.marks import difference_text, named
from trialbook.records.references import TrialReference, trial_reference
from trialbook.records.replicates import DEFAULT, Configuration, GivenParam
from trialbook.records.shell_words import arguments
from trialbook.records.study import AttemptRecord, StudyRecord, StudySpec, TrialRecord
from trialbook.running.given_params import internal_value
from trialbook.running.scripts import BY_FILE_AND_NAME, script_obstacle

_FIXED_PARAMS = "fixed_params"
"""Optuna's system attribute of a trial that was enqueued."""

_RANKED = re.compile(r"best(?::([1-9][0-9]*)|~([0-9]+))?")
_COMPARED = (Kind.CODE, Kind.DATA, Kind.CONFIG)
_LOOKED_AT = 50
"""Trials that a default configuration is held against."""

_FORMS = "write default, best:2 (the runner-up) or the number of a trial, separated by commas"


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be replicated.

    Args:
        source: The study that it is taken from.
        chosen: The configuration that the user chose.
        others: Those to compare with; none of them is the chosen one.
        attempt: The attempt of the chosen trial that counts: its code, data and configuration are
            what all replicates run on.
        seeds: The seeds that their trials had in the search.
        notes: What the user should know, one sentence each.
    """

    source: StudyRecord
    chosen: Configuration
    others: tuple[Configuration, ...]
    attempt: AttemptRecord
    seeds: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        """All of them, the chosen one first."""
        return (self.chosen, *self.others)


def choice(
    reader: Reader,
    reference: str,
    also: Sequence[str] = (),
    default: Mapping[str, Any] | None = None,
    known: Mapping[str, Any] | None = None,
) -> Choice:
    """Find what is to be replicated.

    Args:
        reader: The open book.
        reference: ``STUDY/NUMBER``, ``STUDY/best`` or ``STUDY/best~K``.
        also: What to compare with: ``default``, ``best:K`` (rank K), ``best~K``, ``NUMBER``.
        default: Params of the default configuration; ``None`` for what the study has.
        known: Those that were given earlier and stand while no others are.

    Raises:
        NotFoundError: There is no such study or trial.
        BadReferenceError: The text names no trial, or ``best`` of several objectives.
        InvalidInputError: A trial cannot be replicated; or nothing says what the default is.
    """
    parsed = trial_reference(reference)
    source = reader.study(parsed.study)
    trial = reader.trial(parsed)
    attempt = _replicable(trial)
    _require_importable(reader, trial, attempt)
    own = _Source(reader, source, attempt, trial.number)
    chosen = own.configuration(trial, _name_of(parsed), _rank_of(parsed))
    found: dict[str, Configuration] = {}
    notes = []
    for text in also:
        other = own.default(default or known) if text == DEFAULT else own.named(text)
        if other.key == chosen.key or other.key in found:
            same = chosen.name if other.key == chosen.key else found[other.key].name
            notes.append(f"{text} is the same configuration as {same}; it is replicated once")
        else:
            found[other.key] = other
    if default and DEFAULT not in also:
        raise InvalidInputError(
            "a default configuration is given, and it is not to be replicated",
            hint="add --also default",
        )
    for one in (chosen, *found.values()):
        notes += [f"{one.name}: {remark}" for remark in one.remarks]
    return Choice(
        source, chosen, tuple(found.values()), attempt, frozenset(own.seeds), tuple(notes)
    )


class _Source:
    """The study that configurations are taken from, and what the replicates run on."""

    def __init__(
        self, reader: Reader, study: StudyRecord, attempt: AttemptRecord, number: int
    ) -> None:
        self._reader = reader
        self._study = study
        self._attempt = attempt
        self._number = number
        self.seeds: set[int] = set()

    def named(self, text: str) -> Configuration:
        """The configuration that a text of ``--also`` names."""
        ranked = _RANKED.fullmatch(text)
        if ranked is not None:
            by_count, by_offset = ranked.groups()
            rank = int(by_count) - 1 if by_count else int(by_offset or 0)
            reference = TrialReference(self._study.name, rank=rank)
        elif text.isdecimal() and text.isascii():
            reference = TrialReference(self._study.name, number=int(text))
        else:
            raise InvalidInputError(f"{text!r} names no configuration", hint=_FORMS)
        trial = self._reader.trial(reference)
        _replicable(trial)
        return self.configuration(trial, _name_of(reference), _rank_of(reference))

    def configuration(self, trial: TrialRecord, name: str, rank: int | None) -> Configuration:
        """The configuration of a trial."""
        if trial.attempt is not None and trial.attempt.seeds is not None:
            self.seeds.add(trial.attempt.seeds.trial)
        return Configuration(
            name=name,
            params=tuple(
                GivenParam(param.name, param.value, param.internal, param.distribution)
                for param in trial.params
            ),
            trial=trial.number,
            rank=rank,
            values=trial.values if trial.state == "COMPLETE" else None,
            record=trial.record_digest,
            remarks=tuple(self._remarks(trial)),
        )

    def default(self, given: Mapping[str, Any] | None) -> Configuration:
        """The default configuration: as given, as the study's file says, or its enqueued trial."""
        spec = self._study.spec or StudySpec()
        params = given or spec.default
        if params:
            self._require_possible(params)
            return Configuration(DEFAULT, tuple(GivenParam(n, v) for n, v in params.items()))
        first = self._enqueued()
        if first is None:
            raise InvalidInputError(
                f"nothing says what the default configuration of study {self._study.name!r} is",
                hint="give each param with --default NAME=VALUE, or all of them under 'default' in "
                "the study file and run it once more; or enqueue it as the study's first trial",
            )
        if first.state in ("COMPLETE", "PRUNED") and _obstacle(first) is None:
            return self.configuration(first, DEFAULT, None)
        fixed = first.system_attrs[_FIXED_PARAMS]
        return Configuration(DEFAULT, tuple(GivenParam(n, v) for n, v in fixed.items()))

    def _require_possible(self, params: Mapping[str, Any]) -> None:
        """Refuse a default that no trial could run, before any replicate of it fails.

        Raises:
            InvalidInputError: It has a param that the study does not know, lacks one that every
                trial has, or a value is not in the param's distribution; every fault is named.
        """
        name = self._study.name
        known = self._reader.param_names(name)
        looked_at = [t for t in self._reader.trials(name, last=_LOOKED_AT, brief=True) if t.params]
        shared = set.intersection(*({p.name for p in trial.params} for trial in looked_at))
        problems = [f"no trial has a param {given!r}" for given in params if given not in known]
        problems += [f"{param!r} is missing" for param in known if param in shared - params.keys()]
        for param in {p.name: p for trial in looked_at for p in trial.params}.values():
            if param.name in params:
                given = GivenParam(param.name, params[param.name])
                if internal_value(given, distribution_of(param.distribution)) is None:
                    problems.append(
                        f"{given.value!r} is no value of {param.name!r} ({param.distribution})"
                    )
        if problems:
            raise InvalidInputError(
                f"the default configuration cannot be run: {'; '.join(problems)}",
                hint=f"the params are {', '.join(known)}",
            )

    def _enqueued(self) -> TrialRecord | None:
        """The study's first trial, if its params were given to it."""
        try:
            first = self._reader.trial(TrialReference(self._study.name, number=0))
        except NotFoundError:  # deleted
            return None
        return first if first.system_attrs.get(_FIXED_PARAMS) else None

    def _remarks(self, trial: TrialRecord) -> Iterator[str]:
        """In what another trial differed from what the replicates run on."""
        attempt = trial.attempt
        if attempt is None or trial.number == self._number:
            return
        for kind in _COMPARED:
            before, now = attempt.coordinates.of(kind), self._attempt.coordinates.of(kind)
            if before == now or before is None or now is None:
                continue
            differences = [
                difference
                for difference in coordinate_differences(
                    self._reader.snapshot(before), self._reader.snapshot(now)
                )
                if not difference.what.startswith("search.")
            ]
            if differences:
                what = named([difference_text(item) for item in differences])
                yield (
                    f"trial {trial.number} was recorded with other {kind} ({what}); its replicates "
                    f"run on that of trial {self._number}"
                )


def _replicable(trial: TrialRecord) -> AttemptRecord:
    """The attempt of a trial whose configuration can be run again.

    Raises:
        InvalidInputError: It cannot; the reason is said.
    """
    obstacle = _obstacle(trial)
    attempt = trial.attempt
    if obstacle is not None or attempt is None:
        raise InvalidInputError(
            f"trial {trial.reference} cannot be replicated: {obstacle}",
            hint=f"see what is recorded: trialbook show {arguments(trial.reference)}",
        )
    return attempt


def _require_importable(reader: Reader, trial: TrialRecord, attempt: AttemptRecord) -> None:
    """Refuse what no worker could run, before replicates of it are placed.

    Raises:
        InvalidInputError: The objective is in no file, or in a script that would search again.
    """
    try:
        reason = _not_importable(reader, attempt)
    except (NotFoundError, BookCorruptError):
        return  # what a damaged book lacks is told by whoever needs it
    if reason:
        raise InvalidInputError(
            f"trial {trial.reference} cannot be replicated: a worker cannot import its objective: "
            f"{reason}",
            hint=BY_FILE_AND_NAME,
        )


def _not_importable(reader: Reader, attempt: AttemptRecord) -> str:
    """Why no worker can import the objective; empty when one can, as far as the record tells."""
    entry = reader.snapshot(str(attempt.coordinates.execution)).state_as(LaunchState).entry
    if entry.how in ("module", "file"):
        return ""
    reason = entry.reason or "it has no name"
    if entry.how == "none":
        return reason
    code = reader.snapshot(str(attempt.coordinates.code)).state_as(CodeState)
    script = [file for file in code.files if (file.base, file.path) == (entry.base, entry.path)]
    if not script:
        return f"{reason}, and the script is not among the code of the record"
    if not script[0].embedded:
        return ""  # a worker judges it, which is given the file
    obstacle = script_obstacle(reader.blob(script[0].digest), entry.name or "")
    return "" if obstacle is None else f"{reason}, and {obstacle}"


def _obstacle(trial: TrialRecord) -> str | None:
    if trial.state not in ("COMPLETE", "PRUNED"):
        return f"it is {trial.state}, so its params may not be all"
    attempt = trial.attempt
    if attempt is None or attempt.seeds is None:
        return "it was never executed under tracking, so its code is not in the book"
    missing = [kind.value for kind in Kind if attempt.coordinates.of(kind) is None]
    return f"no {', '.join(missing)} is recorded of it" if missing else None


def _name_of(reference: TrialReference) -> str:
    if reference.number is not None:
        return f"trial {reference.number}"
    rank = (reference.rank or 0) + 1
    return "best" if rank == 1 else f"best:{rank}"


def _rank_of(reference: TrialReference) -> int | None:
    return None if reference.rank is None else reference.rank + 1

"""Several clients do anything to one book in any order, and a plain model says what must hold.

The clients stand for processes: each has its own ``BookStorage`` and shares no memory with the
others. What waits to be written is written only when a rule says so, so that an example is the same
each time. After every rule the book is read by somebody else and compared with the model, trial by
trial, and ``trialbook.testing.invariants`` is asked.

To hunt for longer: ``HYPOTHESIS_PROFILE=hunt pytest tests/book/test_state_machine.py``.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from optuna.distributions import FloatDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from sqlalchemy import select, update

from trialbook.book import schema
from trialbook.book.attempt import Attempt
from trialbook.book.reading import Reader
from trialbook.book.removal import remove_trial
from trialbook.book.retrying import Fate
from trialbook.book.storage import BookStorage
from trialbook.book.storage_attempts import SILENCE
from trialbook.errors import AttemptFencedError, NotFoundError, TrialbookWarning
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.records.study import StudySpec
from trialbook.records.workers import Claim, Holder, WorkerIdentity
from trialbook.testing import invariants

from .modelled import BUDGETS, FINAL, RUNNING, SAYS, WAITING, Hold, Known, Tried, bits, same

_settings: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "print_blob": True,
}
PROFILES = {
    "ci": settings(
        derandomize=True, max_examples=30, stateful_step_count=40, database=None, **_settings
    ),
    "hunt": settings(max_examples=3000, stateful_step_count=60, **_settings),
}
PROFILE = PROFILES[os.environ.get("HYPOTHESIS_PROFILE", "ci")]

UNIT = FloatDistribution(0, 1)
CLIENTS = 3

clients = st.integers(0, CLIENTS - 1)
picks = st.integers(0, 40)
numbers = st.sampled_from([0.5, -0.0, math.inf, -math.inf, math.nan, 5e-324, 1e300, -1.5])
keys = st.sampled_from(["a", "b", "note"])
system_keys = st.sampled_from(["grid_id", "completed_rung_0", "constraints", "cma:0"])
final_states = st.sampled_from(FINAL)
steps = st.sampled_from([0, 1, 2, -(2**63), 2**63 - 1])


class Client:
    """Stands for a process."""

    def __init__(self, url: str, study_id: int, worker_id: str) -> None:
        self.holder = Holder(WorkerIdentity(worker_id, "host", 1), 3600.0)
        self.storage = BookStorage(url, create=False)
        # No threads: what waits is written when a rule says so.
        self.storage._shelf.flusher._start = lambda: None  # type: ignore[method-assign]
        self.storage._renewal.begin = lambda _: None  # type: ignore[method-assign]
        self.storage.leases.register(self.holder.worker, study_id)
        self.claims: dict[int, Claim] = {}
        self.holds: dict[int, Hold] = {}
        self.lost: set[int] = set()

    def short(self) -> Holder:
        return Holder(self.holder.worker, -1.0)

    def flushed(self) -> bool:
        """Everything that is pending is written; whether that says that something is fenced."""
        said = [hold.flush() for hold in self.holds.values()]
        return any(said)

    def die(self) -> None:
        """As a killed process: nothing that is pending is ever written."""
        self.storage._after_fork()
        self.storage.close()


class BookMachine(RuleBasedStateMachine):
    url: str
    names: Iterator[int]

    def __init__(self) -> None:
        super().__init__()
        self.observer = BookStorage(self.url)
        self.study = f"study {next(self.names)}"
        self.study_id = self.observer.create_new_study([StudyDirection.MINIMIZE], self.study)
        self.observer.set_study_spec(self.study_id, StudySpec(retries=BUDGETS))
        self.reader = Reader(self.observer.book)
        self.workers = count()
        self.trials: list[Known] = []
        self.clients: list[Client] = []

    @initialize()
    def start(self) -> None:
        self.clients = [self.new_client() for _ in range(CLIENTS)]

    def new_client(self) -> Client:
        return Client(self.url, self.study_id, f"{self.study_id:016x}{next(self.workers):016x}")

    def picked(self, pick: int, *states: TrialState) -> Known | None:
        """One of the trials that are in such a state, the newest for 0."""
        living = [t for t in reversed(self.trials) if not t.deleted]
        chosen = [t for t in living if not states or t.state in states]
        return chosen[pick % len(chosen)] if chosen else None

    def held(self, client: int, pick: int) -> Hold | None:
        holds = list(self.clients[client].holds.values())
        return holds[pick % len(holds)] if holds else None

    def known(self, trial_id: int) -> Known:
        return next(t for t in self.trials if t.trial_id == trial_id)

    def add(self, trial_id: int, state: TrialState) -> Known:
        known = Known(trial_id, len(self.trials), state)
        self.trials.append(known)
        return known

    # Trials come.

    @rule(client=clients, key=keys)
    def enqueue(self, client: int, key: str) -> None:
        template = create_trial(state=WAITING, system_attrs={"fixed_params": {key: 0.5}})
        trial_id = self.clients[client].storage.create_new_trial(self.study_id, template)
        self.add(trial_id, WAITING).system["fixed_params"] = {key: 0.5}

    @rule(client=clients)
    def ask(self, client: int) -> None:
        self.add(self.clients[client].storage.create_new_trial(self.study_id), RUNNING)

    @rule(client=clients, state=st.sampled_from([*FINAL, RUNNING]), reported=st.booleans())
    def add_template(self, client: int, state: TrialState, reported: bool) -> None:
        reports = {0: 0.5, 3: -0.0} if reported else {}
        value = 1.0 if state is TrialState.COMPLETE else None
        template = create_trial(state=state, value=value, intermediate_values=reports)
        known = self.add(
            self.clients[client].storage.create_new_trial(self.study_id, template), RUNNING
        )
        if reported:
            known.some_attempt().reports.update(reports)
        if state is not RUNNING:
            known.finish(state, None if value is None else [value], SAYS[state])

    @rule(
        client=clients,
        lease=st.sampled_from(["long", "short", "none"]),
        budget=st.none() | st.integers(0, 8),
    )
    def claim(self, client: int, lease: str, budget: int | None) -> None:
        one = self.clients[client]
        holder = {"long": one.holder, "short": one.short(), "none": None}[lease]
        claimed = one.storage.claim(self.study_id, budget=budget, holder=holder)
        living = [t for t in self.trials if not t.deleted]
        taken = sum(
            (t.state is not WAITING or t.current > 0)
            and (t.attempt is None or t.attempt.reason is not EndReason.ABANDONED)
            for t in living
        )
        met = budget is not None and taken >= budget
        waiting = sorted(
            (t for t in living if t.state is WAITING and (not met or t.current > 0)),
            key=lambda t: (t.current == 0, t.number),
        )
        if met and not waiting:
            assert claimed is None
            return
        assert isinstance(claimed, Claim)
        known = waiting[0] if waiting else self.add(claimed.trial_id, RUNNING)
        assert (claimed.trial_id, claimed.number) == (known.trial_id, known.number)
        known.state = RUNNING
        if holder is not None:
            tried = known.next_attempt(holder, False)
            assert claimed.attempt == tried.number
            one.claims[known.trial_id] = claimed

    @rule(client=clients, pick=picks)
    def claim_by_hand(self, client: int, pick: int) -> None:
        """As ``Study.ask`` does it."""
        known, one = self.picked(pick), self.clients[client]
        if known is None:
            return
        storage = one.storage
        if known.trial_id in one.holds or known.trial_id in one.lost:
            assert not storage.set_trial_state_values(known.trial_id, RUNNING)
        elif known.finished:
            with pytest.raises(UpdateFinishedTrialError):
                storage.set_trial_state_values(known.trial_id, RUNNING)
        else:
            won = storage.set_trial_state_values(known.trial_id, RUNNING)
            assert won == (known.state is WAITING)
            known.state = RUNNING

    # Trials are begun.

    @precondition(lambda self: any(one.claims for one in self.clients))
    @rule(client=clients, pick=picks)
    def begin_claimed(self, client: int, pick: int) -> None:
        one = self.clients[client]
        if not one.claims:
            return
        claim = list(one.claims.values())[pick % len(one.claims)]
        known = self.known(claim.trial_id)
        del one.claims[claim.trial_id]
        self.leave_hold(one, known)
        tried = known.tried[claim.attempt]
        if known.deleted:
            error: type[Exception] | None = NotFoundError
        elif known.finished:
            error = UpdateFinishedTrialError
        elif not known.counts(claim.attempt) or tried.began:
            error = AttemptFencedError
        else:
            error = None
        if error is not None:
            with pytest.raises(error):
                self.begun(one, claim.trial_id, claimed=claim.attempt)
            return
        attempt = self.begun(one, claim.trial_id, claimed=claim.attempt)
        assert (attempt.number, attempt.attempt_id) == (claim.attempt, claim.attempt_id)
        tried.began = True
        one.holds[known.trial_id] = Hold(known, attempt, tried)

    @rule(client=clients, pick=picks, lease=st.sampled_from(["long", "short", "none"]))
    def begin(self, client: int, pick: int, lease: str) -> None:
        """As ``study.optimize`` does it: whoever had begun the trial before is fenced."""
        known, one = self.picked(pick, RUNNING), self.clients[client]
        if known is None:
            return
        holder = {"long": one.holder, "short": one.short(), "none": None}[lease]
        self.leave_hold(one, known)
        attempt = self.begun(one, known.trial_id, holder=holder)
        tried = known.next_attempt(holder, True)
        assert attempt.number == tried.number
        one.holds[known.trial_id] = Hold(known, attempt, tried)

    def begun(self, one: Client, trial_id: int, **how: Any) -> Attempt:
        return one.storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(trial=1), **how)

    def leave_hold(self, one: Client, known: Known) -> None:
        """Beginning a trial again writes what is pending of the attempt before."""
        hold = one.holds.pop(known.trial_id, None)
        if hold is not None:
            hold.flush()

    # Trials are worked on.

    @rule(client=clients, pick=picks, name=keys, value=st.sampled_from([0.0, 0.25, 1.0]))
    def suggest(self, client: int, pick: int, name: str, value: float) -> None:
        hold = self.held(client, pick)
        if hold is None:
            return
        storage = self.clients[client].storage
        storage.set_trial_param(hold.known.trial_id, name, value, UNIT)
        hold.params[name] = hold.own["params"][name] = value
        hold.pending = True

    @rule(client=clients, pick=picks, key=keys, value=picks)
    def set_user_attr(self, client: int, pick: int, key: str, value: int) -> None:
        hold = self.held(client, pick)
        if hold is None:
            return
        self.clients[client].storage.set_trial_user_attr(hold.known.trial_id, key, value)
        hold.user[key] = hold.own["user"][key] = value
        hold.pending = True

    @rule(client=clients, pick=picks, key=system_keys, value=picks)
    def set_system_attr(self, client: int, pick: int, key: str, value: int) -> None:
        hold = self.held(client, pick)
        if hold is None:
            return
        self.clients[client].storage.set_trial_system_attr(hold.known.trial_id, key, value)
        hold.system[key] = value
        hold.pending = True

    @rule(client=clients, pick=picks, step=steps, value=numbers)
    def report(self, client: int, pick: int, step: int, value: float) -> None:
        hold = self.held(client, pick)
        if hold is None:
            return
        storage = self.clients[client].storage
        storage.set_trial_intermediate_value(hold.known.trial_id, step, value)
        hold.reports[step] = hold.own["reports"][step] = value
        hold.pending = True

    @rule(client=clients, pick=picks, step=steps, value=numbers)
    def log(self, client: int, pick: int, step: int, value: float) -> None:
        hold = self.held(client, pick)
        if hold is None:
            return
        hold.attempt.log({"loss": value}, step, 0.0)
        hold.points.append((step, value))
        hold.pending = True

    @rule(
        client=clients,
        pick=picks,
        what=st.sampled_from(["param", "user", "system", "report"]),
        key=keys,
        value=st.sampled_from([0.0, 0.75]),
    )
    def write_from_elsewhere(
        self, client: int, pick: int, what: str, key: str, value: float
    ) -> None:
        """As the dashboard does, or a bare ``ask``: of a trial that this client does not hold."""
        known, one = self.picked(pick), self.clients[client]
        if known is None or known.trial_id in one.holds:
            return
        writes = {
            "param": lambda: one.storage.set_trial_param(known.trial_id, key, value, UNIT),
            "user": lambda: one.storage.set_trial_user_attr(known.trial_id, key, value),
            "system": lambda: one.storage.set_trial_system_attr(known.trial_id, key, value),
            "report": lambda: one.storage.set_trial_intermediate_value(known.trial_id, 7, value),
        }
        if known.finished:
            with pytest.raises(UpdateFinishedTrialError):
                writes[what]()
            return
        writes[what]()
        if what == "report":
            known.some_attempt().reports[7] = value
        else:
            {"param": known.params, "user": known.user, "system": known.system}[what][key] = value

    # Trials are told.

    @rule(client=clients, pick=picks, state=final_states, value=numbers)
    def tell(self, client: int, pick: int, state: TrialState, value: float) -> None:
        hold, one = self.held(client, pick), self.clients[client]
        if hold is None:
            return
        values = [value] if state is TrialState.COMPLETE else None
        counts = hold.counts
        self.told(one, hold, state, values)
        hold.write()
        if counts:
            hold.known.finish(state, values, hold.reason(state))
        elif hold.tried.reason is None:
            hold.tried.reason = EndReason.FENCED

    @rule(client=clients, pick=picks)
    def tell_waiting(self, client: int, pick: int) -> None:
        hold, one = self.held(client, pick), self.clients[client]
        if hold is None:
            return
        counts = hold.counts
        self.told(one, hold, WAITING, None)
        hold.write()
        if counts:
            hold.tried.reason = EndReason.PREEMPTED
            hold.known.give_back()

    def told(self, one: Client, hold: Hold, state: TrialState, values: list[float] | None) -> None:
        """Tell of a held trial: it returns normally, and warns when it does not count."""
        counts, trial_id = hold.counts, hold.known.trial_id
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            assert one.storage.set_trial_state_values(trial_id, state, values)
        assert [w.category for w in warned] == ([] if counts else [TrialbookWarning])
        del one.holds[trial_id]
        if not counts:
            one.lost.add(trial_id)

    @rule(client=clients, pick=picks, state=st.sampled_from([*FINAL, WAITING]), value=numbers)
    def tell_from_elsewhere(self, client: int, pick: int, state: TrialState, value: float) -> None:
        known, one = self.picked(pick), self.clients[client]
        if known is None or known.trial_id in one.holds:
            return
        values = [value] if state is TrialState.COMPLETE else None
        if known.finished:
            with pytest.raises(UpdateFinishedTrialError):
                one.storage.set_trial_state_values(known.trial_id, state, values)
            return
        assert one.storage.set_trial_state_values(known.trial_id, state, values)
        if state is not WAITING:
            known.finish(state, values, SAYS[state])
        elif known.state is RUNNING:
            if known.attempt is not None:
                known.attempt.reason = EndReason.PREEMPTED
            known.give_back()

    @rule(
        client=clients,
        pick=picks,
        reason=st.sampled_from([EndReason.FAILED, EndReason.OUT_OF_MEMORY, EndReason.PREEMPTED]),
    )
    def end_and_retry(self, client: int, pick: int, reason: EndReason) -> None:
        """As the objective's own exception: tried again when the budget leaves one more try."""
        hold, one = self.held(client, pick), self.clients[client]
        if hold is None:
            return
        hold.attempt.end(OutcomeState(reason))
        hold.pending = True
        hold.flush()
        retried = one.storage.retried(hold.known.trial_id)
        if not hold.counts:
            assert not retried
            return
        fate = hold.known.dies(reason, False, only_retry=True)
        assert retried == (fate is Fate.RETRIED)
        if retried:
            del one.holds[hold.known.trial_id]

    @rule(
        client=clients,
        pick=picks,
        outcome=st.sampled_from(
            [
                OutcomeState(EndReason.LOST, signal="SIGKILL", died=True),
                OutcomeState(EndReason.PREEMPTED),
                OutcomeState(EndReason.OUT_OF_MEMORY),
                OutcomeState(EndReason.ABANDONED),
                OutcomeState(EndReason.TIMED_OUT),
            ]
        ),
        older=st.integers(0, 1),
    )
    def end_dead(self, client: int, pick: int, outcome: OutcomeState, older: int) -> None:
        """As a supervisor whose child has died; it may speak of an attempt that is over."""
        known = self.picked(pick)
        if known is None:
            return
        number = known.current - older if known.current else None
        fate = self.clients[client].storage.end_dead_attempt(
            known.trial_id, outcome, attempt=number
        )
        none_there = number is not None and known.attempt is None
        if known.state is not RUNNING or number not in (None, known.current) or none_there:
            assert fate is Fate.OVER
        else:
            assert fate is known.dies(outcome.reason, outcome.died)

    # Time passes, processes come and go.

    @rule(client=clients)
    def flush(self, client: int) -> None:
        one = self.clients[client]
        if one.flushed():
            with pytest.raises(AttemptFencedError):
                one.storage.flush()
        else:
            one.storage.flush()

    @rule(client=clients)
    def die(self, client: int) -> None:
        self.clients[client].die()
        self.clients[client] = self.new_client()

    @rule(client=clients)
    def resume(self, client: int) -> None:
        """The process ends as it should, and another one goes on with the study."""
        one = self.clients[client]
        if one.flushed():
            with pytest.raises(AttemptFencedError):
                one.storage.close()
        else:
            one.storage.close()
        one.storage._after_fork()  # no flush at the end of the tests
        self.clients[client] = self.new_client()

    @rule(pick=picks)
    def expire(self, pick: int) -> None:
        leased = [
            t
            for t in self.trials
            if t.counts(t.current) and t.attempt and t.attempt.lease == "live"
        ]
        if not leased:
            return
        known = leased[pick % len(leased)]
        assert known.attempt is not None
        known.attempt.lease = "over"
        a = schema.attempt.c
        with self.observer.book.writing() as connection:
            connection.execute(
                update(schema.attempt)
                .where(a.trial_id == known.trial_id, a.number == known.current)
                .values(lease=a.lease - 10_000)
            )

    @rule(client=clients)
    def renew(self, client: int) -> None:
        one = self.clients[client]
        ids: dict[int, Tried] = {}
        for claim in one.claims.values():
            ids[claim.attempt_id] = self.known(claim.trial_id).tried[claim.attempt]
        for hold in one.holds.values():
            if hold.tried.worker is not None:
                ids[hold.attempt.attempt_id] = hold.tried
        held = one.storage.leases.renew(one.holder.worker.worker_id, ids, 3600.0)
        for attempt_id, tried in ids.items():
            deleted = any(
                tried is gone
                for known in self.trials
                if known.deleted
                for gone in known.tried.values()
            )
            still = tried.reason is None and not deleted
            assert (attempt_id in held) == still
            if still:
                tried.lease = "live"

    @rule(client=clients)
    def reap(self, client: int) -> None:
        over = [
            t
            for t in self.trials
            if t.counts(t.current) and t.attempt and t.attempt.lease == "over"
        ]
        reaped = self.clients[client].storage.reap(self.study_id)
        found = {(r.number, r.attempt, r.fate) for r in reaped}
        expected = set()
        for known in over:
            number = known.current
            expected.add((known.number, number, known.dies(SILENCE.reason, SILENCE.died)))
        assert found == expected

    @precondition(lambda self: len(self.trials) > 2)
    @rule(pick=picks)
    def delete(self, pick: int) -> None:
        known = self.picked(pick)
        if known is None:
            return
        record = self.reader.trial(f"{self.study}/{known.number}")
        remove_trial(self.observer.book, record, running=True)
        known.deleted = True

    # What everybody sees.

    @rule(client=clients)
    def read(self, client: int) -> None:
        """A process sees the book, and over it what it has written itself."""
        one = self.clients[client]
        found = {t._trial_id: t for t in one.storage.get_all_trials(self.study_id)}
        assert set(found) == {t.trial_id for t in self.trials if not t.deleted}
        for known in self.trials:
            if known.deleted:
                continue
            trial, hold = found[known.trial_id], one.holds.get(known.trial_id)
            if hold is None:
                assert trial.state is known.state
                assert trial.params == known.params
                assert trial.user_attrs == known.user
                assert trial.system_attrs == known.system
                reports = {} if known.attempt is None else known.attempt.reports
                assert same(trial.intermediate_values, reports)
                continue
            assert trial.state is RUNNING
            assert hold.own["params"].items() <= trial.params.items()
            assert hold.own["user"].items() <= trial.user_attrs.items()
            seen = trial.intermediate_values
            assert same({step: seen[step] for step in hold.own["reports"]}, hold.own["reports"])

    @invariant()
    def the_book_is_as_the_model_says(self) -> None:
        self.trials_are_as_the_model_says()
        assert invariants(self.observer.book, self.study) == []

    def trials_are_as_the_model_says(self) -> None:
        records = {record.number: record for record in self.reader.trials(self.study)}
        assert set(records) == {t.number for t in self.trials if not t.deleted}
        for known in self.trials:
            if known.deleted:
                continue
            record = records[known.number]
            assert record.state == known.state.name
            assert record.current == known.current
            assert [bits(v) for v in record.values or ()] == [bits(v) for v in known.values or ()]
            assert {p.name: p.value for p in record.params} == known.params
            assert record.user_attrs == known.user
            assert record.system_attrs == known.system
            assert [a.number for a in record.attempts] == sorted(known.tried)
            for attempt in record.attempts:
                tried = known.tried[attempt.number]
                assert attempt.end_reason == tried.reason
                assert attempt.worker_id == tried.worker
                self.points_are(attempt.attempt_id, tried)

    def points_are(self, attempt_id: int, tried: Tried) -> None:
        series = self.reader.series(attempt_id)
        reported = series.get("objective")
        reports = (
            {}
            if reported is None
            else dict(zip(reported.steps.tolist(), reported.values.tolist(), strict=True))
        )
        assert same(reports, tried.reports)
        logged = series.get("loss")
        points = (
            []
            if logged is None
            else list(zip(logged.steps.tolist(), logged.values.tolist(), strict=True))
        )
        assert [(s, bits(v)) for s, v in points] == [(s, bits(v)) for s, v in tried.points]

    def teardown(self) -> None:
        """Everybody dies; whoever comes next ends what they have left."""
        try:
            for one in self.clients:
                one.die()
            a, t = schema.attempt.c, schema.trial.c
            of_study = select(t.trial_id).where(t.study_id == self.study_id)
            with self.observer.book.writing() as connection:
                connection.execute(
                    update(schema.attempt)
                    .where(a.trial_id.in_(of_study), a.lease.is_not(None))
                    .values(lease=a.lease - 10_000)
                )
            self.observer.reap(self.study_id)
            assert invariants(self.observer.book, self.study, overdue_s=0.0) == []
        finally:
            self.observer.close()


@pytest.mark.slow
def test_clients_that_do_anything_to_a_book(url: str) -> None:
    BookStorage(url).close()
    bound = {"url": url, "names": count()}
    run_state_machine_as_test(type("BookMachine", (BookMachine,), bound), settings=PROFILE)

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
from pathlib import Path
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
from trialbook.records.checkpoints import Told
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.records.series import Series
from trialbook.records.study import StudySpec
from trialbook.records.workers import Claim, Holder, WorkerIdentity
from trialbook.testing import invariants

from .modelled import BUDGETS, FINAL, RUNNING, SAYS, WAITING, Hold, Known, Tried, bits, same

_settings: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "print_blob": True,
}
HUNTING = os.environ.get("HYPOTHESIS_PROFILE", "ci") == "hunt"


def profile(url: str) -> settings:
    """How long to look. Otherwise than in a hunt, the examples are the same each time.

    They are then also the same on both databases, so that a server, which takes four times as long,
    is shown the first of those that the model has been through on SQLite.
    """
    if HUNTING:
        return settings(max_examples=3000, stateful_step_count=60, **_settings)
    examples = 16 if url.startswith("sqlite") else 6
    return settings(
        derandomize=True, max_examples=examples, stateful_step_count=50, database=None, **_settings
    )


UNIT = FloatDistribution(0, 1)
CLIENTS = 3

clients = st.integers(0, CLIENTS - 1)
picks = st.integers(0, 40)
numbers = st.sampled_from([0.5, -0.0, math.inf, -math.inf, math.nan, 5e-324, 1e300, -1.5])
SYSTEM_KEYS = {"a": "grid_id", "b": "completed_rung_0", "note": "constraints"}
keys = st.sampled_from(list(SYSTEM_KEYS))
final_states = st.sampled_from(FINAL)
steps = st.sampled_from([0, 1, 2, -(2**63), 2**63 - 1])


holding = precondition(lambda self: any(one.holds for one in self.clients))


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
    place: Path

    def __init__(self) -> None:
        super().__init__()
        self.observer = BookStorage(self.url)
        self.content = self.place / "state"
        self.content.write_text("state")
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
        for client in range(CLIENTS):
            self.work(client)

    def new_client(self) -> Client:
        return Client(self.url, self.study_id, f"{self.study_id:016x}{next(self.workers):016x}")

    def picked(self, pick: int, *states: TrialState) -> Known | None:
        """One of the trials that are in such a state, the newest for 0."""
        living = [t for t in reversed(self.trials) if not t.deleted]
        chosen = [t for t in living if not states or t.state in states]
        return chosen[pick % len(chosen)] if chosen else None

    def leased(self, lease: str) -> list[Known]:
        """The trials whose lease goes on, or is over and nobody has ended them."""
        running = [t for t in self.trials if t.counts(t.current) and t.attempt is not None]
        return [t for t in running if t.attempt is not None and t.attempt.lease == lease]

    def held(self, pick: int) -> tuple[Client, Hold]:
        """One of the trials that are held by anybody."""
        holds = [(one, hold) for one in self.clients for hold in one.holds.values()]
        return holds[pick % len(holds)]

    def known(self, trial_id: int) -> Known:
        return next(t for t in self.trials if t.trial_id == trial_id)

    def add(self, trial_id: int, state: TrialState) -> Known:
        known = Known(trial_id, len(self.trials), state)
        self.trials.append(known)
        return known

    # Trials come.

    @rule(client=clients, state=st.sampled_from(list(TrialState)), reported=st.booleans())
    def add_template(self, client: int, state: TrialState, reported: bool) -> None:
        """As ``enqueue_trial``, a bare ``ask`` and ``add_trial`` do it."""
        storage, reports = self.clients[client].storage, {0: 0.5, 3: -0.0} if reported else {}
        if state is RUNNING and not reported:
            self.add(storage.create_new_trial(self.study_id), RUNNING)
            return
        value = 1.0 if state is TrialState.COMPLETE else None
        fixed = {"fixed_params": {"a": 0.5}} if state is WAITING else {}
        template = create_trial(
            state=state, value=value, intermediate_values=reports, system_attrs=fixed
        )
        known = self.add(storage.create_new_trial(self.study_id, template), state)
        known.system.update(fixed)
        if reported:
            known.some_attempt().reports.extend(reports.items())
        if state in FINAL:
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

    @rule(client=clients)
    def work(self, client: int) -> None:
        """As a worker does it."""
        self.claim(client, "long", None)
        one = self.clients[client]
        if one.claims:
            self.begin_claim(one, list(one.claims.values())[-1])

    @precondition(lambda self: any(one.claims for one in self.clients))
    @rule(pick=picks)
    def begin_claimed(self, pick: int) -> None:
        claims = [(one, claim) for one in self.clients for claim in one.claims.values()]
        self.begin_claim(*claims[pick % len(claims)])

    def begin_claim(self, one: Client, claim: Claim) -> None:
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

    @holding
    @rule(pick=picks, what=st.sampled_from(["param", "user", "system"]), key=keys, value=picks)
    def write(self, pick: int, what: str, key: str, value: int) -> None:
        one, hold = self.held(pick)
        trial_id = hold.known.trial_id
        if what == "param":
            one.storage.set_trial_param(trial_id, key, value / 64, UNIT)
            hold.params[key] = hold.own["params"][key] = value / 64
        elif what == "user":
            one.storage.set_trial_user_attr(trial_id, key, value)
            hold.user[key] = hold.own["user"][key] = value
        else:
            key = SYSTEM_KEYS[key]
            one.storage.set_trial_system_attr(trial_id, key, value)
            hold.system[key] = hold.own["system"][key] = value
        hold.pending = True

    @holding
    @rule(pick=picks, step=steps, value=numbers, reported=st.booleans())
    def add_point(self, pick: int, step: int, value: float, reported: bool) -> None:
        one, hold = self.held(pick)
        if reported:
            one.storage.set_trial_intermediate_value(hold.known.trial_id, step, value)
            hold.reports.append((step, value))
            hold.own["reports"][step] = value
        else:
            hold.attempt.log({"loss": value}, step, 0.0)
            hold.points.append((step, value))
        hold.pending = True

    @holding
    @rule(pick=picks)
    def save_checkpoint(self, pick: int) -> None:
        _, hold = self.held(pick)
        counts = hold.counts
        assert hold.attempt.save_checkpoint(self.content, Told({}, {}, {})) == counts
        hold.write()
        hold.noticed = hold.noticed or not counts
        if counts:
            hold.tried.save(hold.own)

    def able_to_resume(self) -> list[Hold]:
        return [
            hold
            for one in self.clients
            for hold in one.holds.values()
            if hold.counts and hold.tried.number > 1 and hold.tried.resumed is None
        ]

    @precondition(lambda self: self.able_to_resume())
    @rule(pick=picks)
    def load_checkpoint(self, pick: int) -> None:
        able = self.able_to_resume()
        hold = able[pick % len(able)]
        saved = hold.known.newest_saved(hold.tried.number)
        found = hold.attempt.load_checkpoint(lambda: self.place)
        assert (found.path is None) == (saved is None)
        assert found.gaps == ()
        if saved is None:
            return
        assert same(found.reports, dict(saved.reports))
        assert found.user_attrs == saved.user
        hold.own["reports"] = {**dict(saved.reports), **hold.own["reports"]}
        for scope, restored in (("user", saved.user), ("system", saved.system)):
            hold.own[scope].update(restored)
            (hold.user if scope == "user" else hold.system).update(restored)
        hold.write()
        hold.tried.resumed = saved

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
            known.some_attempt().reports.append((7, value))
        else:
            {"param": known.params, "user": known.user, "system": known.system}[what][key] = value

    # Trials are told.

    @holding
    @rule(pick=picks, state=final_states, value=numbers)
    def tell(self, pick: int, state: TrialState, value: float) -> None:
        one, hold = self.held(pick)
        values = [value] if state is TrialState.COMPLETE else None
        counts = hold.counts
        self.told(one, hold, state, values)
        hold.write()
        if counts:
            hold.known.finish(state, values, hold.reason(state))
        elif hold.tried.reason is None:
            hold.tried.reason = EndReason.FENCED

    @holding
    @rule(pick=picks)
    def tell_waiting(self, pick: int) -> None:
        one, hold = self.held(pick)
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

    @holding
    @rule(
        pick=picks,
        reason=st.sampled_from([EndReason.FAILED, EndReason.OUT_OF_MEMORY, EndReason.PREEMPTED]),
    )
    def end_and_retry(self, pick: int, reason: EndReason) -> None:
        """As the objective's own exception: tried again when the budget leaves one more try."""
        one, hold = self.held(pick)
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

    @holding
    @rule(pick=picks, again=clients)
    def lose(self, pick: int, again: int) -> None:
        """The lease of a trial runs out, and somebody else goes on with it."""
        _, hold = self.held(pick)
        tried = hold.tried
        if not hold.counts or tried.lease is None:
            return
        if tried.lease == "live":
            self.expire(self.leased("live").index(hold.known))
        self.reap(again)
        self.work(again)

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

    @precondition(lambda self: self.leased("live"))
    @rule(pick=picks)
    def expire(self, pick: int) -> None:
        leased = self.leased("live")
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

    @precondition(lambda self: any(one.claims or one.holds for one in self.clients))
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

    @precondition(lambda self: self.leased("over"))
    @rule(client=clients)
    def reap(self, client: int) -> None:
        over = self.leased("over")
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
                reports = {} if known.attempt is None else known.attempt.counted_reports
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
            if known.attempt is not None:
                counted = self.reader.trial_series(record).get("loss")
                assert logged(counted) == [(s, bits(v)) for s, v in known.attempt.counted_points]

    def points_are(self, attempt_id: int, tried: Tried) -> None:
        series = self.reader.series(attempt_id)
        reported = series.get("objective")
        reports = (
            {}
            if reported is None
            else dict(zip(reported.steps.tolist(), reported.values.tolist(), strict=True))
        )
        assert same(reports, dict(tried.reports))
        assert logged(series.get("loss")) == [(s, bits(v)) for s, v in tried.points]

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


def logged(series: Series | None) -> list[tuple[int, bytes]]:
    if series is None:
        return []
    points = zip(series.steps.tolist(), series.values.tolist(), strict=True)
    return [(step, bits(value)) for step, value in points]


@pytest.mark.slow
def test_clients_that_do_anything_to_a_book(url: str, tmp_path: Path) -> None:
    BookStorage(url).close()
    bound = {"url": url, "names": count(), "place": tmp_path}
    run_state_machine_as_test(type("BookMachine", (BookMachine,), bound), settings=profile(url))

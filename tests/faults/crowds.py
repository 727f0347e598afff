"""Many processes at one book at the same moment.

``python crowds.py race URL ROUNDS`` sends two processes at one WAITING trial, so many times.
``python crowds.py crowd URL PROCESSES TRIALS`` lets many processes make and finish trials.
One JSON line with what was seen goes to standard output.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import time
import traceback
from collections.abc import Callable

import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from trialbook.book.storage import BookStorage
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.records.workers import Claim, Holder, WorkerIdentity

OF_A_STUDY = 100
_MINIMIZE = [optuna.study.StudyDirection.MINIMIZE]


class Barrier:
    """Where two processes meet before each round."""

    def __init__(self) -> None:
        self._page = memoryview(mmap.mmap(-1, 64)).cast("q")

    def meet(self, number: int, me: int) -> None:
        self._page[me] = number + 1
        until = time.monotonic() + 60
        looks = 0
        while self._page[1 - me] <= number:
            looks += 1
            # Where every core is busy, spinning would keep the other one from coming.
            time.sleep(0.0 if looks < 20 else 0.0001)
            if time.monotonic() > until:
                raise TimeoutError("the other one does not come")


def together(works: list[Callable[[], None]]) -> int:
    """Run each in a forked process; how many failed."""
    pids = []
    for work in works:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                work()
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        pids.append(pid)
    return sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0 for pid in pids)


def _holder(storage: BookStorage) -> Holder:
    worker = WorkerIdentity(os.urandom(16).hex(), "here", os.getpid())
    storage.leases.register(worker, None)
    return Holder(worker, 60.0)


def race(url: str, rounds: int) -> dict[str, object]:
    """Two processes at one WAITING trial, by turns as a worker and as Optuna claims it."""
    storage = BookStorage(url)
    trials: list[tuple[int, int]] = []
    for number in range(0, rounds, OF_A_STUDY):
        study_id = storage.create_new_study(_MINIMIZE, f"s{number}")
        for _ in range(min(OF_A_STUDY, rounds - number)):
            waiting = create_trial(state=TrialState.WAITING)
            trials.append((study_id, storage.create_new_trial(study_id, waiting)))
    storage.close()
    wins = mmap.mmap(-1, rounds * 2)
    barrier = Barrier()

    def worker(me: int) -> None:
        storage = BookStorage(url)
        holder = _holder(storage)
        for number, (study_id, trial_id) in enumerate(trials):
            place = number % OF_A_STUDY
            barrier.meet(number, me)
            if number % 2:
                won = storage.set_trial_state_values(trial_id, TrialState.RUNNING)
            else:
                claim = storage.claim(study_id, budget=place + 1, holder=holder)
                won = isinstance(claim, Claim)
                assert claim is None or (won and claim.trial_id == trial_id), (claim, trial_id)
            wins[number * 2 + me] = won
        storage.close()

    began_s = time.monotonic()
    failed = together([lambda: worker(0), lambda: worker(1)])
    took_s = time.monotonic() - began_s
    both = sum(wins[2 * n] + wins[2 * n + 1] == 2 for n in range(rounds))
    none = sum(wins[2 * n] + wins[2 * n + 1] == 0 for n in range(rounds))
    first = sum(wins[2 * n] for n in range(rounds))
    return {
        "failed": failed,
        "rounds": rounds,
        "both": both,
        "none": none,
        "first": first,
        "took_s": round(took_s, 2),
    }


def crowd(url: str, processes: int, trials: int) -> dict[str, object]:
    """Many processes that claim, begin, write and tell; the longest wait for a write."""
    storage = BookStorage(url)
    study_id = storage.create_new_study(_MINIMIZE, "digits")
    storage.close()
    waits = memoryview(mmap.mmap(-1, processes * 8)).cast("d")

    def worker(me: int) -> None:
        storage = BookStorage(url)
        holder = _holder(storage)

        def timed(call: Callable[[], object]) -> object:
            began_s = time.monotonic()
            result = call()
            waits[me] = max(waits[me], time.monotonic() - began_s)
            return result

        budget = processes * trials
        while claim := timed(lambda: storage.claim(study_id, budget=budget, holder=holder)):
            assert isinstance(claim, Claim)
            attempt = storage.begin_attempt(
                claim.trial_id, snapshots=[], seeds=Seeds(trial=1), claimed=claim.attempt
            )
            storage.set_trial_param(claim.trial_id, "x", 0.5, FloatDistribution(0, 1))
            attempt.log({"loss": 1.0}, 0, 0.0)
            timed(attempt.flush)
            attempt.end(OutcomeState(EndReason.COMPLETE))
            value = [float(claim.number)]
            state = TrialState.COMPLETE
            timed(lambda: storage.set_trial_state_values(claim.trial_id, state, value))  # noqa: B023
        storage.close()

    began_s = time.monotonic()
    failed = together([lambda me=me: worker(me) for me in range(processes)])  # type: ignore[misc]
    return {
        "failed": failed,
        "longest_wait_s": round(max(waits), 3),
        "took_s": round(time.monotonic() - began_s, 2),
    }


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    run = {"race": race, "crowd": crowd}[sys.argv[1]]
    print(json.dumps(run(sys.argv[2], *(int(argument) for argument in sys.argv[3:]))))

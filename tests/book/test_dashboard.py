"""optuna-dashboard on a book: its own HTTP interface reads and writes."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable
from typing import Any

import optuna
import pytest

from trialbook.book.attempt import Attempt
from trialbook.book.storage import BookStorage
from trialbook.records.execution import Seeds

Application = Callable[..., Any]


@pytest.fixture
def study(storage: BookStorage) -> optuna.Study:
    study = optuna.create_study(storage=storage, study_name="digits", direction="maximize")

    def objective(trial: optuna.Trial) -> float:
        storage.begin_attempt(trial._trial_id, snapshots=[], seeds=Seeds(trial=1))
        x = trial.suggest_float("x", 0, 1)
        trial.suggest_categorical("kind", ["a", "b"])
        for step in range(3):
            trial.report(x * step, step)
        return x

    study.optimize(objective, n_trials=5)
    return study


@pytest.fixture
def dashboard(storage: BookStorage) -> Application:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from optuna_dashboard import wsgi

        application: Application = wsgi(storage)
    return application


def _ask(application: Application, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Status and JSON of one request, through the WSGI protocol."""
    content = b"" if body is None else json.dumps(body).encode()
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(content)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.input": io.BytesIO(content),
        "wsgi.errors": io.StringIO(),
        "wsgi.url_scheme": "http",
    }
    status: list[str] = []
    answer = b"".join(application(environ, lambda line, headers, info=None: status.append(line)))
    return int(status[0].split()[0]), json.loads(answer) if answer else None


def test_it_reads(dashboard: Application, study: optuna.Study) -> None:
    status, found = _ask(dashboard, "GET", "/api/studies")
    assert status == 200
    assert [s["study_name"] for s in found["study_summaries"]] == ["digits"]
    status, detail = _ask(dashboard, "GET", f"/api/studies/{study._study_id}")
    assert status == 200
    assert [trial["number"] for trial in detail["trials"]] == [0, 1, 2, 3, 4]
    assert len(detail["trials"][0]["intermediate_values"]) == 3
    assert detail["best_trials"][0]["number"] == study.best_trial.number


def test_it_writes_notes(dashboard: Application, study: optuna.Study, storage: BookStorage) -> None:
    note = {"body": "# Looks good\n" + "x" * 5000, "version": 1}
    study_id, trial_id = study._study_id, study.trials[1]._trial_id
    for path in (f"/api/studies/{study_id}/note", f"/api/studies/{study_id}/{trial_id}/note"):
        status, _ = _ask(dashboard, "PUT", path, note)
        assert status == 204
    status, detail = _ask(dashboard, "GET", f"/api/studies/{study_id}")
    assert detail["note"]["body"] == note["body"]
    assert detail["trials"][1]["note"]["body"] == note["body"]
    status, _ = _ask(
        dashboard, "PUT", f"/api/studies/{study_id}/note", {"body": "late", "version": 1}
    )
    assert status == 409


def test_it_sets_attributes_and_tells(
    dashboard: Application, study: optuna.Study, storage: BookStorage
) -> None:
    trial = study.ask()
    path = f"/api/trials/{trial._trial_id}"
    status, _ = _ask(
        dashboard, "POST", f"{path}/user-attrs", {"user_attrs": {"rating": 5, "by": "me"}}
    )
    assert status == 204
    status, _ = _ask(dashboard, "POST", f"{path}/tell", {"state": "Complete", "values": [0.5]})
    assert status == 204
    told = study.trials[-1]
    assert (told.value, told.user_attrs) == (0.5, {"rating": 5, "by": "me"})


def test_it_writes_beside_a_running_attempt(
    dashboard: Application, study: optuna.Study, storage: BookStorage
) -> None:
    trial = study.ask()
    attempt: Attempt = storage.begin_attempt(trial._trial_id, snapshots=[], seeds=Seeds(trial=1))
    trial.set_user_attr("mine", 1)
    status, _ = _ask(
        dashboard,
        "POST",
        f"/api/trials/{trial._trial_id}/user-attrs",
        {"user_attrs": {"theirs": 2}},
    )
    assert status == 204
    study.tell(trial, 1.0)
    assert attempt.number == 1
    assert study.trials[-1].user_attrs == {"mine": 1, "theirs": 2}


def test_it_makes_renames_and_deletes_studies(
    dashboard: Application, study: optuna.Study, storage: BookStorage
) -> None:
    status, made = _ask(
        dashboard, "POST", "/api/studies", {"study_name": "new", "directions": ["minimize"]}
    )
    assert status == 201
    status, _ = _ask(
        dashboard, "POST", f"/api/studies/{study._study_id}/rename", {"study_name": "renamed"}
    )
    assert status == 201
    assert sorted(optuna.get_all_study_names(storage)) == ["new", "renamed"]
    assert len(optuna.load_study(study_name="renamed", storage=storage).trials) == 5
    study_id = made["study_summary"]["study_id"]
    status, _ = _ask(dashboard, "DELETE", f"/api/studies/{study_id}")
    assert status == 204
    assert optuna.get_all_study_names(storage) == ["renamed"]

"""Input that not every database could keep is refused, by one error, and leaves nothing behind."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import DuplicatedStudyError
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from trialbook.book.attempt import Attempt
from trialbook.book.storage import BookStorage
from trialbook.book.texts import DEEPEST, json_text, merged_text, object_text, returned_text
from trialbook.errors import InvalidInputError, NotFoundError
from trialbook.records.canonical import parsed

Begin = Callable[..., Attempt]
UNIT = FloatDistribution(0, 1)
BAD_NAMES = ["a\0b", "x" * 513, "\ud800", "ok\udfff"]


def _deep(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"k": value}
    return value


@pytest.fixture(params=["held", "not held"])
def trial_id(request: pytest.FixtureRequest, begin: Begin, storage: BookStorage) -> int:
    attempt = begin()
    if request.param == "held":
        return attempt.trial_id
    return storage.create_new_trial(attempt.study_id)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names(storage: BookStorage, study_id: int, trial_id: int, name: str) -> None:
    for write in (
        lambda: storage.create_new_study([StudyDirection.MINIMIZE], name),
        lambda: storage.set_study_user_attr(study_id, name, 1),
        lambda: storage.set_study_system_attr(study_id, name, 1),
        lambda: storage.set_trial_user_attr(trial_id, name, 1),
        lambda: storage.set_trial_system_attr(trial_id, name, 1),
        lambda: storage.set_trial_param(trial_id, name, 0.5, UNIT),
        lambda: storage.create_new_trial(study_id, create_trial(value=1.0, user_attrs={name: 1})),
        lambda: storage.create_new_trial(
            study_id, create_trial(value=1.0, params={name: 0.5}, distributions={name: UNIT})
        ),
    ):
        with pytest.raises(InvalidInputError, match="name of"):
            write()
    assert len(storage.get_all_studies()) == 1
    assert storage.get_study_user_attrs(study_id) == storage.get_study_system_attrs(study_id) == {}
    trial = storage.get_trial(trial_id)
    assert (trial.user_attrs, trial.system_attrs, trial.params) == ({}, {}, {})
    assert all(not t.state.is_finished() for t in storage.get_all_trials(study_id))


def test_the_longest_name_and_every_other_character(
    storage: BookStorage, study_id: int, trial_id: int
) -> None:
    for name in ("x" * 512, "", "\n\t\x7f", "ключ", "🙂" * 512, "'; DROP TABLE tb_trial; --", "$a"):
        storage.set_trial_user_attr(trial_id, name, name)
        storage.set_study_user_attr(study_id, name, name)
        storage.set_trial_param(trial_id, name, 0.5, UNIT)
        storage.create_new_study([StudyDirection.MINIMIZE], name)
        assert storage.get_study_user_attrs(study_id)[name] == name
        trial = storage.get_trial(trial_id)
        assert trial.user_attrs[name] == name
        assert trial.params[name] == 0.5
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.0])


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, 1j, b"bytes", _deep(DEEPEST + 1), _deep(90_000)]
)
def test_values_that_are_no_json(
    storage: BookStorage, study_id: int, trial_id: int, value: object
) -> None:
    for write in (
        lambda: storage.set_study_user_attr(study_id, "k", value),
        lambda: storage.set_trial_user_attr(trial_id, "k", value),
        lambda: storage.set_trial_system_attr(trial_id, "k", value),
        lambda: storage.create_new_trial(
            study_id, create_trial(value=1.0, user_attrs={"k": value})
        ),
    ):
        with pytest.raises(InvalidInputError):
            write()
    assert storage.get_trial(trial_id).user_attrs == {}
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.0])


def test_a_circle_is_refused(storage: BookStorage, trial_id: int) -> None:
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(InvalidInputError, match="[Cc]irc"):
        storage.set_trial_user_attr(trial_id, "k", circle)


@pytest.mark.parametrize(
    "value",
    [
        "\0 and \ud800",
        _deep(DEEPEST),
        2**100,
        -(2**63) - 1,
        5e-324,
        {"nan": [math.inf, -math.inf]},
        {"z": 1, "a": 2, "": {}},
        [[], {}, None, True],
        "x" * 100_000,
    ],
)
def test_values_that_come_back(storage: BookStorage, trial_id: int, value: object) -> None:
    storage.set_trial_user_attr(trial_id, "k", value)
    storage.flush()
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.0])
    found = storage.get_trial(trial_id).user_attrs["k"]
    assert found == value
    if isinstance(value, dict):
        assert list(found) == list(value)


@pytest.mark.parametrize("step", [2**63, -(2**63) - 1, 1.5, "1", None])
def test_steps(storage: BookStorage, trial_id: int, step: Any) -> None:
    with pytest.raises(InvalidInputError):
        storage.set_trial_intermediate_value(trial_id, step, 0.5)
    assert storage.get_trial(trial_id).intermediate_values == {}


@pytest.mark.parametrize("step", [2**63 - 1, -(2**63), 0, np.int64(5), True])
def test_every_step_of_64_bits(storage: BookStorage, trial_id: int, step: Any) -> None:
    storage.set_trial_intermediate_value(trial_id, step, math.nan)
    storage.flush()
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.0])
    values = storage.get_trial(trial_id).intermediate_values
    assert list(values) == [int(step)]
    assert math.isnan(values[int(step)])


@pytest.mark.parametrize("value", [-0.0, math.inf, -math.inf, 5e-324, 1.7976931348623157e308])
def test_objective_values_survive_bit_for_bit(
    storage: BookStorage, trial_id: int, value: float
) -> None:
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [value])
    found = storage.get_trial(trial_id).values[0]
    assert (found, math.copysign(1, found)) == (value, math.copysign(1, value))


def test_several_objective_values_keep_their_order(storage: BookStorage) -> None:
    study_id = storage.create_new_study([StudyDirection.MINIMIZE] * 3, "many")
    trial_id = storage.create_new_trial(study_id)
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [3.0, math.inf, -1.0])
    assert storage.get_trial(trial_id).values == [3.0, math.inf, -1.0]


@pytest.mark.parametrize(
    ("distribution", "internal"),
    [
        (FloatDistribution(1e-300, 1e300, log=True), 0.1 + 0.2),
        (FloatDistribution(0.0, 1.0, step=0.25), 0.75),
        (IntDistribution(1, 2**40, log=True), 2.0**40),
        (IntDistribution(0, 100, step=5), 35.0),
        (CategoricalDistribution((None, True, 1, 1.0, "1", math.nan)), 3),
    ],
)
def test_params_keep_their_internal_value_and_distribution(
    storage: BookStorage, trial_id: int, distribution: Any, internal: float
) -> None:
    storage.set_trial_param(trial_id, "p", internal, distribution)
    storage.flush()
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.0])
    assert storage.get_trial_param(trial_id, "p") == internal
    trial = storage.get_trial(trial_id)
    assert trial.distributions["p"] == distribution
    value = distribution.to_external_repr(internal)
    assert (trial.params["p"], type(trial.params["p"])) == (value, type(value))


def test_equal_choices_of_other_types_are_other_spaces(storage: BookStorage) -> None:
    study = optuna.create_study(storage=storage)
    other = optuna.create_study(storage=storage)
    study.optimize(lambda trial: trial.suggest_categorical("c", (1, 2)), n_trials=1)
    other.optimize(lambda trial: trial.suggest_categorical("c", (1.0, 2.0)), n_trials=1)
    assert type(study.trials[0].params["c"]) is int
    assert type(other.trials[0].params["c"]) is float


def test_choices_that_are_no_json(storage: BookStorage, trial_id: int) -> None:
    with pytest.warns(UserWarning, match="categorical"):
        distribution = CategoricalDistribution((object(), 1))  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError):
        storage.set_trial_param(trial_id, "c", 1, distribution)
    assert storage.get_trial(trial_id).params == {}


def test_what_is_not_there(storage: BookStorage, study_id: int) -> None:
    for read in (
        lambda: storage.get_trial(999),
        lambda: storage.get_study_record(999),
        lambda: storage.get_study_id_from_name("nope"),
        lambda: storage.get_trial_id_from_study_id_trial_number(study_id, 0),
        lambda: storage.set_study_user_attr(999, "k", 1),
        lambda: storage.snapshot("0" * 64),
    ):
        with pytest.raises(NotFoundError):
            read()
    with pytest.raises(DuplicatedStudyError):
        storage.create_new_study([StudyDirection.MINIMIZE], "digits")


def test_a_deleted_name_can_be_used_again_and_ids_cannot(storage: BookStorage) -> None:
    first = storage.create_new_study([StudyDirection.MINIMIZE], "again")
    trial_id = storage.create_new_trial(first)
    storage.delete_study(first)
    second = storage.create_new_study([StudyDirection.MINIMIZE], "again")
    assert second > first
    assert storage.create_new_trial(second) > trial_id
    with pytest.raises(NotFoundError):
        storage.get_trial(trial_id)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_text_is_ascii_and_comes_back(value: Any) -> None:
    text = json_text(value, "it")
    assert text.isascii()
    assert "\0" not in text
    assert repr(parsed_plain(text)) == repr(value)


def parsed_plain(text: str) -> Any:
    import json

    return json.loads(text)


@given(st.dictionaries(st.text(), st.integers()), st.dictionaries(st.text(), st.integers()))
def test_merging_is_by_key(a: dict[str, int], b: dict[str, int]) -> None:
    text = object_text({key: str(value) for key, value in a.items()})
    merged = parsed_plain(merged_text(text, {key: str(value) for key, value in b.items()}))
    assert merged == {**a, **b}
    assert list(merged) == list({**a, **b})


@pytest.mark.parametrize(
    ("value", "recorded"),
    [
        (1, 1.0),
        (0.5, 0.5),
        (np.float32(0.5), 0.5),
        ((1, 2.5), [1.0, 2.5]),
        ([], []),
        (None, None),
        ("text", "text"),
        ({"a": 1}, "{'a': 1}"),
        ((1, "x"), "(1, 'x')"),
        (10**400, "1" + "0" * 400),
    ],
)
def test_returned_values(value: object, recorded: object) -> None:
    found = parsed(returned_text(value))
    assert (found, type(found)) == (recorded, type(recorded))

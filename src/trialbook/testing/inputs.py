"""The contract of a book, first part: what it takes and what it refuses.

The same input is taken or refused on every database, with the same error and text, and what is
refused leaves nothing behind. What is taken comes back as it was, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import DuplicatedStudyError
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from trialbook.book.attempt import Attempt
from trialbook.book.storage import BookStorage
from trialbook.book.texts import DEEPEST
from trialbook.errors import InvalidInputError, NotFoundError
from trialbook.testing.case import BookCase, bits

UNIT = FloatDistribution(0, 1)
BAD_NAMES = {
    "a\0b": "the name of {} holds a NUL character\n  at: 'a\\x00b'\n  try: remove it",
    "x" * 513: "the name of {} has 513 characters: 512 are allowed\n"
    f"  at: {'x' * 40!r}...\n  try: shorten it",
    "ok\udfff": "the name of {} holds a lone surrogate\n  at: 'ok\\udfff'\n"
    "  try: decode the bytes that it came from with another encoding",
}
TOO_DEEP = "nested too deeply: 100 levels are allowed"
FLOATS = (-0.0, 0.1 + 0.2, math.inf, -math.inf, 5e-324, 1.7976931348623157e308, -1e300)


def deep(levels: int) -> Any:
    """A JSON value that is nested so deep."""
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"k": value}
    return value


def refusal(write: Callable[[], object]) -> str:
    """The text with which something is refused."""
    with pytest.raises(InvalidInputError) as caught:
        write()
    assert type(caught.value) is InvalidInputError
    return str(caught.value)


class InputContract(BookCase):
    """What a book takes, what it refuses, and how."""

    @pytest.fixture(params=["held", "not held"])
    def trial_id(
        self,
        request: pytest.FixtureRequest,
        begin: Callable[..., Attempt],
        storage: BookStorage,
        study_id: int,
    ) -> int:
        """A RUNNING trial; writes to one that is held here are gathered first."""
        if request.param == "held":
            return begin().trial_id
        return storage.create_new_trial(study_id)

    @pytest.mark.parametrize("name", BAD_NAMES, ids=["NUL", "too long", "surrogate"])
    def test_names_that_are_refused(
        self, storage: BookStorage, study_id: int, trial_id: int, name: str
    ) -> None:
        text = BAD_NAMES[name]
        params: Any = {"params": {name: 0.5}, "distributions": {name: UNIT}}
        for write, what in (
            (lambda: storage.create_new_study([StudyDirection.MINIMIZE], name), "a study"),
            (lambda: storage.set_study_user_attr(study_id, name, 1), "an attribute"),
            (lambda: storage.set_study_system_attr(study_id, name, 1), "an attribute"),
            (lambda: storage.set_trial_user_attr(trial_id, name, 1), "an attribute"),
            (lambda: storage.set_trial_system_attr(trial_id, name, 1), "an attribute"),
            (lambda: storage.set_trial_param(trial_id, name, 0.5, UNIT), "a param"),
            (
                lambda: storage.create_new_trial(
                    study_id, create_trial(value=1.0, user_attrs={name: 1})
                ),
                "an attribute",
            ),
            (
                lambda: storage.create_new_trial(study_id, create_trial(value=1.0, **params)),
                "a param",
            ),
        ):
            assert refusal(write) == text.format(what)
        assert storage.get_study_user_attrs(study_id) == {}
        assert storage.get_study_system_attrs(study_id) == {}
        trial = storage.get_trial(trial_id)
        assert (trial.user_attrs, trial.system_attrs, trial.params) == ({}, {}, {})
        assert len(storage.get_all_trials(study_id)) == 1

    @pytest.mark.parametrize("name", BAD_NAMES, ids=["NUL", "too long", "surrogate"])
    def test_metrics_and_artifacts_that_are_refused(
        self, begin: Callable[..., Attempt], tmp_path: Any, name: str
    ) -> None:
        attempt = begin()
        file = tmp_path / "model.npz"
        file.write_bytes(b"model")
        text = BAD_NAMES[name]
        assert refusal(lambda: attempt.log({name: 1.0}, 0, 0.0)) == text.format("a metric")
        assert refusal(lambda: attempt.add_artifact(name, file, "")) == text.format("an artifact")

    def test_the_longest_name_and_every_other_character(
        self, storage: BookStorage, study: str, study_id: int, trial_id: int
    ) -> None:
        odd = ("x" * 512, "", "\n\t\x7f", "ключ", "🙂" * 512, "'; DROP TABLE tb_trial; --", "$a")
        for name in odd:
            storage.set_trial_user_attr(trial_id, name, name)
            storage.set_study_user_attr(study_id, name, name)
            storage.set_trial_param(trial_id, name, 0.5, UNIT)
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.0])
        assert storage.get_study_user_attrs(study_id) == {name: name for name in odd}
        trial = storage.get_trial(trial_id)
        assert trial.user_attrs == {name: name for name in odd}
        assert trial.params == dict.fromkeys(odd, 0.5)

    @pytest.mark.parametrize("rest", ["", "\n\t\x7f", "ключ", "🙂" * 400, "'; --"])
    def test_studies_with_every_name(self, storage: BookStorage, study: str, rest: str) -> None:
        name = study + rest
        study_id = storage.create_new_study([StudyDirection.MINIMIZE], name)
        assert storage.get_study_id_from_name(name) == study_id
        assert storage.get_study_name_from_id(study_id) == name
        with pytest.raises(DuplicatedStudyError, match="there is already a study"):
            storage.create_new_study([StudyDirection.MINIMIZE], name)
        storage.delete_study(study_id)

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (object(), "Object of type object is not JSON serializable"),
            ({1, 2}, "Object of type set is not JSON serializable"),
            (1j, "Object of type complex is not JSON serializable"),
            (b"bytes", "Object of type bytes is not JSON serializable"),
            ({(1, 2): 3}, "keys must be str, int, float, bool or None, not tuple"),
            (deep(DEEPEST + 1), TOO_DEEP),
            (deep(90_000), TOO_DEEP),
        ],
        ids=["object", "set", "complex", "bytes", "key", "deep", "very deep"],
    )
    def test_values_that_are_no_json(
        self, storage: BookStorage, study_id: int, trial_id: int, value: object, text: str
    ) -> None:
        template = create_trial(value=1.0, user_attrs={"k": value})
        for write in (
            lambda: storage.set_study_user_attr(study_id, "k", value),
            lambda: storage.set_trial_user_attr(trial_id, "k", value),
            lambda: storage.set_trial_system_attr(trial_id, "k", value),
            lambda: storage.create_new_trial(study_id, template),
        ):
            assert text in refusal(write)
        assert storage.get_trial(trial_id).user_attrs == {}
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.0])

    def test_a_circle_is_refused(self, storage: BookStorage, trial_id: int) -> None:
        circle: list[object] = []
        circle.append(circle)
        assert "Circular" in refusal(lambda: storage.set_trial_user_attr(trial_id, "k", circle))

    @pytest.mark.parametrize(
        "value",
        [
            "\0 and \ud800",
            deep(DEEPEST),
            2**100,
            -(2**63) - 1,
            2**53 + 1,
            [*FLOATS, math.nan],
            {"nan": [math.inf, -math.inf]},
            {"z": 1, "a": 2, "": {}},
            [[], {}, None, True],
            [1, 1.0, True],
            "x" * 3_000_000,
        ],
        ids=lambda value: f"{value!r:.20}",
    )
    def test_values_that_come_back(
        self, storage: BookStorage, elsewhere: BookStorage, trial_id: int, value: object
    ) -> None:
        storage.set_trial_user_attr(trial_id, "k", value)
        storage.set_trial_system_attr(trial_id, "k", value)
        storage.flush()
        assert repr(elsewhere.get_trial(trial_id).user_attrs["k"]) == repr(value)
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.0])
        for one in (storage, elsewhere):
            trial = one.get_trial(trial_id)
            assert repr(trial.user_attrs["k"]) == repr(trial.system_attrs["k"]) == repr(value)

    @pytest.mark.parametrize(
        ("step", "text"),
        [
            (2**63, "the step 9.22337e+18 does not fit into 64 bits\n  try: count from zero"),
            (-(2**63) - 1, "the step -9.22337e+18 does not fit into 64 bits"),
            (1.5, "a step must be an integer, not 1.5"),
            ("1", "a step must be an integer, not '1'"),
            (None, "a step must be an integer, not None"),
        ],
    )
    def test_steps_that_are_refused(
        self, storage: BookStorage, study_id: int, trial_id: int, step: Any, text: str
    ) -> None:
        template = create_trial(value=1.0, intermediate_values={0: 1.0})
        template.intermediate_values = {step: 1.0}
        for write in (
            lambda: storage.set_trial_intermediate_value(trial_id, step, 0.5),
            lambda: storage.create_new_trial(study_id, template),
        ):
            assert refusal(write).startswith(text)
        assert storage.get_trial(trial_id).intermediate_values == {}
        assert len(storage.get_all_trials(study_id)) == 1

    @pytest.mark.parametrize("step", [2**63 - 1, -(2**63), 0, np.int64(5), True])
    def test_every_step_of_64_bits(
        self, storage: BookStorage, elsewhere: BookStorage, trial_id: int, step: Any
    ) -> None:
        storage.set_trial_intermediate_value(trial_id, step, math.nan)
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.0])
        for one in (storage, elsewhere):
            values = one.get_trial(trial_id).intermediate_values
            assert list(values) == [int(step)]
            assert math.isnan(values[int(step)])

    def test_reports_survive_bit_for_bit(
        self, storage: BookStorage, elsewhere: BookStorage, trial_id: int
    ) -> None:
        reports = dict(enumerate((*FLOATS, math.nan)))
        for step, value in reports.items():
            storage.set_trial_intermediate_value(trial_id, step, value)
        storage.set_trial_state_values(trial_id, TrialState.FAIL)
        found = elsewhere.get_trial(trial_id).intermediate_values
        assert {s: bits(v) for s, v in found.items()} == {s: bits(v) for s, v in reports.items()}

    @pytest.mark.parametrize("value", [*FLOATS, math.nan])
    def test_objective_values_survive_bit_for_bit(
        self, storage: BookStorage, elsewhere: BookStorage, trial_id: int, value: float
    ) -> None:
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [value])
        for one in (storage, elsewhere):
            assert bits(one.get_trial(trial_id).values[0]) == bits(value)

    def test_several_objective_values_keep_their_order(
        self, storage: BookStorage, elsewhere: BookStorage, study: str
    ) -> None:
        study_id = storage.create_new_study([StudyDirection.MINIMIZE] * 3, study)
        trial_id = storage.create_new_trial(study_id)
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [3.0, math.inf, -1.0])
        assert elsewhere.get_trial(trial_id).values == [3.0, math.inf, -1.0]
        storage.delete_study(study_id)

    @pytest.mark.parametrize(
        ("distribution", "internal"),
        [
            (FloatDistribution(1e-300, 1e300, log=True), 0.1 + 0.2),
            (FloatDistribution(0.0, 1.0, step=0.25), 0.75),
            (IntDistribution(1, 2**40, log=True), 2.0**40),
            (IntDistribution(0, 100, step=5), 35.0),
            (CategoricalDistribution((None, True, 1, 1.0, "1", math.nan)), 3),
        ],
        ids=["log", "step", "int", "int step", "choices"],
    )
    def test_params_keep_their_internal_value_and_distribution(
        self,
        storage: BookStorage,
        elsewhere: BookStorage,
        trial_id: int,
        distribution: Any,
        internal: float,
    ) -> None:
        storage.set_trial_param(trial_id, "p", internal, distribution)
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.0])
        for one in (storage, elsewhere):
            assert one.get_trial_param(trial_id, "p") == internal
            trial = one.get_trial(trial_id)
            assert trial.distributions["p"] == distribution
            value = distribution.to_external_repr(internal)
            assert (trial.params["p"], type(trial.params["p"])) == (value, type(value))

    def test_equal_choices_of_other_types_are_other_spaces(
        self, storage: BookStorage, study: str
    ) -> None:
        for number, choices in enumerate(((1, 2), (1.0, 2.0))):
            one = optuna.create_study(study_name=f"{study}-{number}", storage=storage)
            trial = one.ask()
            trial.suggest_categorical("c", choices)
            one.tell(trial, 0.0)
            assert type(one.trials[0].params["c"]) is type(choices[0])
            storage.delete_study(one._study_id)

    def test_choices_that_are_no_json(self, storage: BookStorage, trial_id: int) -> None:
        with pytest.warns(UserWarning, match="categorical"):
            distribution = CategoricalDistribution((object(), 1))  # type: ignore[arg-type]
        assert "is not JSON" in refusal(
            lambda: storage.set_trial_param(trial_id, "c", 1, distribution)
        )
        assert storage.get_trial(trial_id).params == {}

    def test_what_is_not_there(self, storage: BookStorage, study: str, study_id: int) -> None:
        nowhere = 2**40
        for look, text in (
            (lambda: storage.get_trial(nowhere), f"there is no trial of id {nowhere}"),
            (lambda: storage.get_study_record(nowhere), f"there is no study of id {nowhere}"),
            (lambda: storage.get_study_id_from_name(study + "-"), "there is no study"),
            (
                lambda: storage.get_trial_id_from_study_id_trial_number(study_id, 0),
                "the study has no trial of number 0",
            ),
            (
                lambda: storage.set_study_user_attr(nowhere, "k", 1),
                f"there is no study of id {nowhere}",
            ),
            (lambda: storage.claim(nowhere), f"there is no study of id {nowhere}"),
            (lambda: storage.snapshot("0" * 64), "the snapshot " + "0" * 64),
        ):
            with pytest.raises(NotFoundError) as caught:
                look()
            assert str(caught.value).startswith(text)

    def test_a_deleted_name_can_be_used_again_and_ids_cannot(
        self, storage: BookStorage, study: str, study_id: int
    ) -> None:
        trial_id = storage.create_new_trial(study_id)
        storage.delete_study(study_id)
        second = storage.create_new_study([StudyDirection.MINIMIZE], study)
        assert second > study_id
        assert storage.create_new_trial(second) > trial_id
        with pytest.raises(NotFoundError):
            storage.get_trial(trial_id)
        storage.delete_study(second)

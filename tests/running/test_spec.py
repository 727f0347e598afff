"""Study files: what they may hold, and that every fault is told at once with a suggestion."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook.errors import ObjectiveNotFoundError, SpecError
from trialbook.records.config import ComponentSettings
from trialbook.running.inputs import InputSpec
from trialbook.running.spec import objective_spec, parsed_spec, read_spec

WHOLE = """
study: digits
objective: code/train.py:Model.objective
directions: [maximize, minimize]
sampler:
  name: PartialFixedSampler
  settings:
    fixed_params: {lr: 1e-3}
    base_sampler: {name: TPESampler, settings: {multivariate: true, n_startup_trials: 4}}
pruner: {name: PatientPruner, settings: {patience: 2, wrapped_pruner: {name: MedianPruner}}}
seed: 7
budget: {trials: 40, hours: 1.5}
workers: 3
data:
  train: data/train.csv
  big: {path: /mnt/big, digest: "sha256:%s"}
config: conf.yaml
tags: {paper: table-2, year: 2025}
isolation: fresh
max_failures: 0
default: {lr: 1e-3, layers: [64, 64]}
""" % ("a" * 64)


def spec_of(text: str):
    return parsed_spec(text, Path("/lab/studies/digits-mlp.yaml"))


def problems_of(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        spec_of(text)
    return "\n".join(caught.value.problems)


def test_every_key_is_read() -> None:
    spec = spec_of(WHOLE)
    assert spec.study == "digits"
    assert (spec.objective.file, spec.objective.name) == (
        "/lab/studies/code/train.py",
        "Model.objective",
    )
    assert spec.directions == ("maximize", "minimize")
    assert spec.sampler is not None
    assert spec.sampler.settings["fixed_params"] == {"lr": 0.001}
    assert spec.sampler.settings["base_sampler"]["name"] == "TPESampler"
    assert spec.pruner is not None
    assert spec.pruner.settings["wrapped_pruner"] == {"name": "MedianPruner"}
    assert (spec.seed, spec.trials, spec.hours, spec.workers) == (7, 40, 1.5, 3)
    assert spec.data == {
        "train": InputSpec("/lab/studies/data/train.csv"),
        "big": InputSpec("/mnt/big", "sha256:" + "a" * 64),
    }
    assert spec.config == "/lab/studies/conf.yaml"
    assert spec.tags == {"paper": "table-2", "year": "2025"}
    assert (spec.isolation, spec.max_failures) == ("fresh", 0)
    assert spec.default == {"lr": 0.001, "layers": [64, 64]}


def test_what_the_book_keeps_is_free_of_this_machine() -> None:
    kept = spec_of(WHOLE).study_spec
    assert kept.objective == "code/train.py:Model.objective"
    assert kept.search.trials == 40
    assert kept.source == WHOLE


@pytest.mark.parametrize(
    "inline",
    [
        "{db_password: CANARY, lr: 0.1}",
        '{"db_password": "CANARY"}',
        "{url: 'postgresql://bob:CANARY@host/db'}",
        "\n  db_password: |\n    CANARY\n    more",
        "\n  credentials:\n    user: CANARY\n    extra: 1",
        "\n  db_password:\n    - CANARY\n    - other",
    ],
)
def test_credentials_of_an_inline_config_are_not_kept(inline: str) -> None:
    secret = "hunter2" + "canary"  # in no file, so that the checkout holds no credential
    text = f"objective: train.py:objective\nconfig: {inline}\n".replace("CANARY", secret)
    spec = spec_of(text)
    kept = spec.study_spec.source
    assert secret in str(spec.config)
    assert kept is not None
    assert secret not in kept
    assert "train.py:objective" in kept


def test_only_the_objective_is_required() -> None:
    spec = spec_of("objective: package.train:objective")
    assert spec.study == "digits-mlp"
    assert (spec.objective.module, spec.objective.file) == ("package.train", None)
    assert (spec.workers, spec.isolation, spec.max_failures) == (1, "auto", 3)
    assert spec.directions is spec.sampler is spec.pruner is spec.seed is spec.trials is None


def test_names_alone_stand_for_samplers_and_pruners() -> None:
    spec = spec_of("objective: t.py:f\nsampler: RandomSampler\npruner: NopPruner")
    assert spec.sampler == ComponentSettings("RandomSampler")
    assert spec.pruner == ComponentSettings("NopPruner")


def test_every_fault_is_told_at_once_with_its_line() -> None:
    text = """
objectve: train.py:objective
direction: maximise
sampler: {name: TPESampler, settings: {multivariat: true}}
pruner: {nam: MedianPruner}
seed: -1
budget: {trails: 40, hours: 0}
workers: two
data: train.csv
tags: [a]
isolation: froked
"""
    problems = problems_of(text)
    for line in (
        "line 2: objectve: unknown key; did you mean 'objective'?",
        "objective: missing",
        "line 3: direction: must be minimize or maximize, not 'maximise'; did you mean 'maximize'?",
        "line 4: sampler.settings.multivariat: TPESampler has no setting 'multivariat'; "
        "did you mean 'multivariate'?",
        "line 5: pruner.nam: unknown key; did you mean 'name'?",
        "line 6: seed: must be a whole number from 0 to 4294967295, not -1",
        "line 7: budget.trails: unknown key; did you mean 'trials'?",
        "line 7: budget.hours: must be a number above 0, not 0",
        "line 8: workers: must be a whole number from 1 up, not 'two'",
        "line 9: data: must be a mapping",
        "line 10: tags: must be a mapping",
        "line 11: isolation: must be one of auto, fork, fresh, none; did you mean 'fork'?",
    ):
        assert line in problems


@pytest.mark.parametrize(
    ("component", "problem"),
    [
        ("sampler: TPE", "did you mean 'TPESampler'?"),
        ("sampler: {name: TpeSampler}", "did you mean 'TPESampler'?"),
        ("sampler: MedianPruner", "Optuna has no sampler 'MedianPruner'"),
        ("sampler: {name: GridSampler}", "GridSampler needs the setting 'search_space'"),
        ("sampler: {name: TPESampler, settings: {gamma: 3}}", "a file cannot hold"),
        ("sampler: {name: TPESampler, settings: [1]}", "must be a mapping of arguments"),
        (
            "sampler: {name: PartialFixedSampler, settings: {fixed_params: {}, "
            "base_sampler: {name: RandmSampler}}}",
            "sampler.settings.base_sampler.name: Optuna has no sampler 'RandmSampler'; "
            "did you mean 'RandomSampler'?",
        ),
        ("pruner: {name: PatientPruner, settings: {patience: 1}}", "needs the setting 'wrapped_"),
        ("pruner: {name: PercentilePruner, settings: {percentile: 250}}", "between 0 and 100"),
        ("pruner: {name: MedianPruner, settings: {n_min_trials: 0}}", "n_min_trials"),
    ],
)
def test_samplers_and_pruners_are_held_against_optuna(component: str, problem: str) -> None:
    assert problem in problems_of(f"objective: t.py:f\n{component}")


@pytest.mark.parametrize(
    "objective", ["train.py", "train.py:", ":f", "train.py:f-g", "a-b:f", "", "3", "[a]"]
)
def test_an_objective_has_a_form(objective: str) -> None:
    assert "objective" in problems_of(f"objective: '{objective.strip(chr(39))}'")


@pytest.mark.parametrize("text", ["", "- a\n- b", "just text", "3"])
def test_a_file_holds_a_mapping(text: str) -> None:
    assert "must hold a mapping" in problems_of(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("objective: [", "expected"),
        ("objective: t.py:f\nseed: 1\nseed: 2", "'seed' stands here twice"),
        ("objective: !!python/object:os.system x", "tag"),
    ],
)
def test_what_is_no_usable_yaml_says_where(text: str, problem: str) -> None:
    assert problem in problems_of(text)


def test_both_kinds_of_direction_are_one_too_many() -> None:
    assert "not both" in problems_of(
        "objective: t.py:f\ndirection: minimize\ndirections: [minimize]"
    )


def test_a_bad_digest_is_refused() -> None:
    assert "64 hexadecimal digits" in problems_of(
        "objective: t.py:f\ndata: {a: {path: x, digest: 'sha256:12'}}"
    )


def test_infinite_settings_survive() -> None:
    spec = spec_of(
        "objective: t.py:f\npruner: {name: ThresholdPruner, settings: {lower: 0, upper: .inf}}"
    )
    assert spec.pruner is not None
    assert spec.pruner.settings["upper"] == math.inf


def test_a_missing_file_is_a_fault_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        read_spec(tmp_path / "nothing.yaml")
    assert str(tmp_path / "nothing.yaml") in str(caught.value)


def test_paths_begin_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "studies").mkdir()
    file = tmp_path / "studies" / "s.yaml"
    file.write_text("objective: ../train.py:f\ndata: {a: a.csv}\nconfig: {x: 1}")
    monkeypatch.chdir(tmp_path)
    spec = read_spec(Path("studies/s.yaml"))
    assert spec.objective.file == str(tmp_path / "studies" / ".." / "train.py")
    assert spec.data["a"].path == str(tmp_path / "studies" / "a.csv")
    assert spec.config == {"x": 1}


@pytest.mark.parametrize(
    ("text", "study"),
    [
        ("train.py:objective", "train"),
        ("train.py::objective", "train"),
        ("train.py:other", "train-other"),
        ("package.train:objective", "package.train"),
    ],
)
def test_an_objective_alone_names_its_study(text: str, study: str) -> None:
    assert objective_spec(text, Path("/lab")).study == study


def test_a_text_that_names_nothing_is_refused() -> None:
    with pytest.raises(ObjectiveNotFoundError, match="does not name a function"):
        objective_spec("digits", Path("/lab"))


@given(st.text(max_size=80))
def test_any_text_gives_a_spec_or_its_faults(text: str) -> None:
    faults: tuple[str, ...] = ("none",)
    try:
        spec_of(text)
    except SpecError as error:
        faults = error.problems
    assert faults


def test_the_default_stays_with_the_study_until_another_is_given() -> None:
    first, later = spec_of(WHOLE), spec_of("objective: a.py:f")
    assert later.conducted(first.study_spec).default == first.default
    other = spec_of("objective: a.py:f\ndefault: {lr: 1}")
    assert other.conducted(first.study_spec).default == {"lr": 1}


@pytest.mark.parametrize("default", ["3", "[lr]"])
def test_a_default_that_is_none_is_a_fault(default: str) -> None:
    assert "default" in problems_of(f"objective: a.py:f\ndefault: {default}")

import datetime
import math
import os
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook.capture.config import ConfigProbe, parsed_overrides
from trialbook.errors import ConfigError
from trialbook.records.canonical import digest_of_bytes
from trialbook.records.config import ComponentSettings, ConfigState, SearchSettings
from trialbook.records.coverage import Level

YAML = "lr: 1e-3\nmodel: {depth: 3, sizes: [64, 32]}\na.b: 1\n"


def state_of(probe: ConfigProbe) -> ConfigState:
    return probe.observe().snapshot.state_as(ConfigState)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/mlp.yaml").write_text(YAML)
    return tmp_path


def test_a_file_is_read_relative_to_its_base_and_recorded(base):
    probe = ConfigProbe("conf/mlp.yaml", base=base)
    assert probe.config == {"lr": 1e-3, "model": {"depth": 3, "sizes": [64, 32]}, "a.b": 1}
    observation = probe.observe()
    state = observation.snapshot.state_as(ConfigState)
    assert state.source == "conf/mlp.yaml"
    assert state.source_digest == digest_of_bytes(YAML.encode())
    assert state.resolved == probe.config
    assert observation.snapshot.coverage.level is Level.COMPLETE
    assert observation.blobs == ()


def test_overrides_are_merged_over_the_file(base):
    overrides = parsed_overrides(
        ["lr=1e-2", "model.sizes.1=16", r"a\.b=2", "+model.act=relu", "+new.deep.key=[1, .nan]"]
    )
    probe = ConfigProbe(base / "conf/mlp.yaml", overrides=overrides, base=base)
    config = probe.config
    assert math.isnan(config["new"]["deep"]["key"][1])
    config["new"]["deep"]["key"].pop()
    assert config == {
        "lr": 0.01,
        "model": {"depth": 3, "sizes": [64, 16], "act": "relu"},
        "a.b": 2,
        "new": {"deep": {"key": [1]}},
    }
    assert state_of(probe).overrides["lr"] == 0.01


def test_the_later_of_two_overrides_stands():
    assert parsed_overrides(["a=1", "a=2", "b=x=y"]) == {"a": 2, "b": "x=y"}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("lrr=1", "did you mean lr"),
        ("model.dept=1", r"did you mean model\.depth"),
        ("unheard_of=1", r"\+unheard_of"),
        ("lr.x=1", "cannot be set"),
        ("model.sizes.2=1", "no item"),
        ("model.sizes.x=1", "no item"),
        ("model=1", "group of settings"),
        ("=1", "sets nothing"),
        ("lr", "sets nothing"),
        ("lr=[", "cannot be read"),
    ],
)
def test_overrides_that_do_not_fit_are_refused(base, override, said):
    with pytest.raises(ConfigError, match=said):
        ConfigProbe("conf/mlp.yaml", overrides=parsed_overrides([override]), base=base)


@pytest.mark.parametrize("text", ["- 1\n", "5\n", "just text\n"])
def test_a_configuration_that_is_no_mapping(base, text):
    (base / "bad.yaml").write_text(text)
    with pytest.raises(ConfigError, match="must be a mapping"):
        ConfigProbe("bad.yaml", base=base)


def test_an_empty_file_is_an_empty_configuration(base):
    (base / "empty.yaml").write_text("# nothing yet\n")
    assert ConfigProbe("empty.yaml", base=base).config == {}
    assert ConfigProbe(None, base=base).config == {}


@pytest.mark.parametrize("config", ["missing.yaml", ".", 5, [("a", 1)]])
def test_what_is_no_configuration(base, config):
    with pytest.raises(ConfigError):
        ConfigProbe(config, base=base)


def test_a_mapping_becomes_plain_json_values(base):
    config = {
        "date": datetime.date(2024, 1, 5),
        "when": datetime.datetime(2024, 1, 5, 6, 7),
        "path": Path("a/b"),
        "tuple": (1, 2.5),
        "number": np.float32(0.5),
        "count": np.int64(3),
        "flag": np.bool_(True),
        "scalar": np.array(7),
        "proxy": MappingProxyType({"x": None}),
        "nan": math.nan,
        "big": 2**80,
    }
    probe = ConfigProbe(config, base=base)
    found = probe.config
    assert math.isnan(found.pop("nan"))
    assert found == {
        "date": "2024-01-05", "when": "2024-01-05T06:07:00", "path": "a/b", "tuple": [1, 2.5],
        "number": 0.5, "count": 3, "flag": True, "scalar": 7, "proxy": {"x": None}, "big": 2**80,
    }  # fmt: skip
    assert {type(value) for value in found.values()} <= {str, list, float, int, bool, dict}
    assert state_of(probe).resolved["big"] == 2**80


@pytest.mark.parametrize("bad", [{"a": {1, 2}}, {1: "a"}, {"a": object()}, {"a": np.ones(2)}])
def test_a_mapping_that_is_not_json_is_refused(base, bad):
    with pytest.raises(ConfigError):
        ConfigProbe(bad, base=base)


def test_a_mapping_that_contains_itself_is_refused(base):
    config: dict = {}
    config["self"] = config
    with pytest.raises(ConfigError, match="deeply"):
        ConfigProbe(config, base=base)


def test_what_a_trial_does_to_its_configuration_stays_with_it(base):
    given = {"a": [1]}
    probe = ConfigProbe(given, base=base)
    before = probe.observe().snapshot.digest
    probe.config["a"].append(2)
    given["a"].append(3)
    assert probe.config == {"a": [1]}
    assert not probe.changed()
    assert probe.observe().snapshot.digest == before


def test_an_edited_file_is_noticed(base):
    probe = ConfigProbe("conf/mlp.yaml", base=base)
    assert probe.changed()
    first = probe.observe().snapshot.digest
    assert not probe.changed()
    path = base / "conf/mlp.yaml"
    path.write_text(YAML.replace("3", "5"))
    os.utime(path, ns=(1, 1))
    assert probe.changed()
    assert probe.observe().snapshot.digest != first
    assert probe.config["model"]["depth"] == 5
    path.unlink()
    assert probe.changed()
    with pytest.raises(ConfigError):
        probe.observe()


def test_credentials_reach_the_trial_and_not_the_record(base, monkeypatch):
    monkeypatch.setenv("LAB_API_TOKEN", "canary-9f8e7d6c5b")
    config = {"db": {"password": "canary-config", "host": "h"}, "note": "x canary-9f8e7d6c5b y"}
    search = SearchSettings(
        ComponentSettings("Own", {"api_key": "canary-search"}), ComponentSettings("NopPruner")
    )
    probe = ConfigProbe(
        config, overrides={"db.password": "canary-override"}, base=base, search=search
    )
    assert probe.config["db"]["password"] == "canary-override"
    snapshot = probe.observe().snapshot
    assert b"canary" not in snapshot.document
    state = snapshot.state_as(ConfigState)
    assert state.redacted == ("db.password", "note")
    assert state.resolved["db"]["host"] == "h"
    assert snapshot.coverage.level is Level.PARTIAL
    assert any("db.password" in reason for reason in snapshot.coverage.reasons)


def test_the_search_is_recorded(base):
    search = SearchSettings(ComponentSettings("TPESampler", {"seed": 3}), None, 3, 40, 1.5)
    assert state_of(ConfigProbe(None, base=base, search=search)).search == search


KEY = st.text("abcdef", min_size=1, max_size=4)
LEAF = st.one_of(st.integers(), st.floats(allow_nan=False), st.booleans(), st.none(), KEY)
TREE = st.recursive(LEAF, lambda inner: st.dictionaries(KEY, inner, max_size=3), max_leaves=10)


def leaves(tree, path=()):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


@given(st.dictionaries(KEY, TREE, min_size=1, max_size=4), st.data(), LEAF)
def test_an_override_changes_its_key_and_nothing_else(config, data, value):
    places = list(leaves(config))
    if not places:
        return
    place = data.draw(st.sampled_from(places))
    probe = ConfigProbe(config, overrides={".".join(place): value}, base=Path())
    expected = ConfigProbe(config, base=Path()).config
    container = expected
    for key in place[:-1]:
        container = container[key]
    container[place[-1]] = value
    assert probe.config == expected


@given(st.lists(KEY, min_size=1, max_size=4), LEAF)
def test_a_plus_adds_what_is_not_there(path, value):
    config = ConfigProbe({}, overrides={"+" + ".".join(path): value}, base=Path()).config
    for key in path:
        config = config[key]
    assert config == value


def test_what_was_taken_from_a_record_comes_from_where_that_came_from(base):
    recorded = state_of(ConfigProbe("conf/mlp.yaml", base=base, overrides={"lr": 0.5}))
    again = ConfigProbe(recorded.as_seen, base=base, origin=recorded)
    assert state_of(again) == recorded
    other = ConfigProbe(recorded.as_seen, base=base, overrides={"lr": 0.25}, origin=recorded)
    assert state_of(other).source is None
    assert state_of(other).overrides == {"lr": 0.25}

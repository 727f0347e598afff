"""What a replicate is, as an attribute and back."""

from __future__ import annotations

import json
import math

import pytest

from trialbook.errors import BookCorruptError
from trialbook.records.config import ComponentSettings, SearchSettings
from trialbook.records.replicates import (
    GIVEN_PARAMS,
    REPLICATE,
    REPLICATES,
    Configuration,
    GivenParam,
    Replicate,
    ReplicationLink,
    as_attribute,
    link_of,
    replicate_of,
    runs_given_trials,
)
from trialbook.running.given_params import GivenParamsSampler
from trialbook.running.samplers import sampler_by_name


def test_attributes_come_back_from_json_as_they_were():
    params = (
        GivenParam("kind", [1, 2], 0.0, '{"name": "CategoricalDistribution"}'),
        GivenParam("rate", 1e-300),
    )
    configuration = Configuration(
        "best", params, 3, 1, (0.5, -math.inf), "ab" * 32, ("it ran elsewhere",)
    )
    replicate = Replicate(configuration, 4, 2**32 - 1)
    stored = json.loads(json.dumps(as_attribute(replicate)))
    assert replicate_of({REPLICATE: stored}) == replicate
    link = ReplicationLink("0" * 32, "s", "trial 3", 2**64, "c" * 64, 40)
    assert link_of({REPLICATES: json.loads(json.dumps(as_attribute(link)))}) == link


def test_other_trials_and_studies_have_none():
    assert replicate_of({"fixed_params": {}}) is None
    assert link_of({}) is None


@pytest.mark.parametrize("damaged", [3, "x", {}, {"index": 1}])
def test_a_damaged_attribute_is_told(damaged: object):
    with pytest.raises(BookCorruptError, match="trialbook:replicate cannot be read"):
        replicate_of({REPLICATE: damaged})


def test_the_sampler_is_built_by_its_recorded_name():
    settings = ComponentSettings(GIVEN_PARAMS)
    assert isinstance(sampler_by_name(settings, 0), GivenParamsSampler)
    kind = GivenParamsSampler
    assert f"{kind.__module__}.{kind.__qualname__}" == GIVEN_PARAMS
    assert runs_given_trials(SearchSettings(settings))
    assert not runs_given_trials(SearchSettings())

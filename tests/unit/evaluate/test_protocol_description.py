"""What a protocol says: the same hash however it is written, and nothing in it that does not exist."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocols import METRICS, protocol

from workbench import evaluate
from workbench.data.scenes import SceneSource
from workbench.errors import DtypeError, InputError, UnknownNameError
from workbench.evaluate.protocol.choices import as_choice


def test_a_protocol_is_frozen_hashable_and_read_back(small):
    again = evaluate.Protocol.from_json(small.to_json())
    assert again == small
    assert hash(again) == hash(small)
    assert again.hash == small.hash
    assert len({small, again}) == 1
    with pytest.raises(AttributeError):
        small.seeds = (1,)


@pytest.mark.parametrize(
    "changes",
    [
        {"methods": ("gradcam", "saliency")},
        {"metrics": METRICS[:-1]},
        {"seeds": (0, 1)},
        {"binarisers": ["otsu"]},
        {"target": "label"},
        {"models": ["scenes_object"]},
        {"data": [SceneSource("part", 6, seed=6)]},
        {"data": [SceneSource("part", 7, seed=5)]},
    ],
)
def test_whatever_changes_the_numbers_changes_the_hash(small, changes):
    assert protocol(**changes).hash != small.hash


def test_how_parameters_are_written_does_not_matter():
    written = ["occlusion(patch=12, baseline=mean)", "occlusion(baseline='mean',patch=12)"]
    given_as = [*written, ("occlusion", {"baseline": "mean", "patch": np.int64(12)})]
    assert len({protocol(methods=[item]).hash for item in given_as}) == 1


@given(
    st.dictionaries(
        st.sampled_from(["patch", "stride", "baseline", "seed"]),
        st.one_of(st.integers(-5, 300), st.floats(-1, 1), st.booleans(), st.sampled_from(["mean", "zero"])),
    )
)
def test_text_says_all_of_a_choice(parameters):
    choice = as_choice(("occlusion", parameters))
    if not any(isinstance(value, bool) for value in parameters.values()):  # JSON's true is not Python's True
        assert as_choice(str(choice)) == choice
    assert choice.parameters == parameters


def test_metrics_that_cut_maps_have_a_column_a_binariser():
    found = protocol(metrics=["waiou", "binarised_iou(binarise=li)", "pointing_game"], weightings=["frequency", "area"])
    assert [(column.choice.name, column.binariser, column.weights) for column in found.columns] == [
        ("waiou", "otsu", "frequency"),
        ("waiou", "otsu", "area"),
        ("waiou", "fraction(fraction=0.3)", "frequency"),
        ("waiou", "fraction(fraction=0.3)", "area"),
        ("binarised_iou", "li", ""),
        ("pointing_game", "", ""),
    ]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"methods": ["gradcan"]}, UnknownNameError, "gradcam"),
        ({"metrics": ["pointing"]}, UnknownNameError, "pointing_game"),
        ({"methods": ["ablation_curve"]}, UnknownNameError, "method"),
        ({"methods": ["occlusion(ptch=3)"]}, InputError, "patch"),
        ({"methods": ["gradcam", "gradcam"]}, InputError, "more than once"),
        ({"methods": ["gradcam(seed=1)"]}, InputError, "protocol's own"),
        ({"methods": [("occlusion", {"patch": object()})]}, DtypeError, "object"),
        ({"methods": ["occlusion(12)"]}, InputError, "parameter=value"),
        ({"methods": ["a b"]}, InputError, "neither"),
        ({"methods": [3]}, DtypeError, "names no method"),
        ({"methods": []}, InputError, "empty"),
        ({"metrics": ["binarised_iou(binarise=otsuu)"]}, UnknownNameError, "otsu"),
        ({"binarisers": ["otsuu"]}, UnknownNameError, "otsu"),
        ({"weightings": ["size"]}, UnknownNameError, "area"),
        ({"seeds": [-1]}, InputError, "zero or more"),
        ({"seeds": [True]}, InputError, "whole number"),
        ({"target": "best"}, InputError, "predicted"),
        ({"models": ["scenes_parts"]}, UnknownNameError, "scenes_part"),
        ({"models": [3]}, DtypeError, "models.load"),
        ({"data": []}, InputError, "empty"),
    ],
)
def test_bad_descriptions_are_refused(changes, error, words):
    with pytest.raises(error, match=words):
        protocol(**changes)


def test_a_layer_without_maps_is_refused():
    with pytest.raises(InputError, match="unit, y, x"):
        evaluate.ModelChoice.of("scenes_part", layer="classifier")
    with pytest.raises(UnknownNameError, match="layer"):
        evaluate.ModelChoice.of("scenes_part", layer="layer9")


def test_no_protocol_is_told_from_one():
    with pytest.raises(InputError, match="no protocol"):
        evaluate.Protocol.from_json("{")
    with pytest.raises(InputError, match="no protocol"):
        evaluate.Protocol.from_json("{}")
    other = json.loads(protocol().to_json()) | {"version": 99}
    with pytest.raises(InputError, match="version 99"):
        evaluate.Protocol.from_json(json.dumps(other))

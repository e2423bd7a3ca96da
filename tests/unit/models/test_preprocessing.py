"""Preprocessing: there and back, and refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import DtypeError, InputError
from workbench.models import Preprocessing


@given(
    resize=st.one_of(st.none(), st.integers(8, 20), st.tuples(st.integers(8, 20), st.integers(8, 20))),
    crop=st.one_of(st.none(), st.integers(1, 8), st.tuples(st.integers(1, 8), st.integers(1, 8))),
    channels=st.sampled_from([1, 3]),
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
)
def test_json_round_trip(resize: object, crop: object, channels: int, interpolation: str) -> None:
    made = Preprocessing(
        resize=resize,  # type: ignore[arg-type]
        crop=crop,  # type: ignore[arg-type]
        mean=0.4,
        std=tuple([0.25] * channels),
        channels=channels,
        interpolation=interpolation,
    )
    assert Preprocessing.from_json(json.loads(json.dumps(made.to_json()))) == made
    inputs = made.apply(np.zeros((2, 9, 11, 3), dtype=np.uint8), names=["a", "b"])
    assert inputs.shape[:2] == (2, channels)
    if made.size is not None:
        assert tuple(inputs.shape[2:]) == made.size


def test_pictures_are_what_was_prepared() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)
    made = Preprocessing(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    np.testing.assert_allclose(made.invert(made.apply(picture, names=["a", "b"])), picture / 255, atol=1e-6)


def test_grey_and_colour_are_converted() -> None:
    colour = np.array([[[[255, 0, 0]]]], dtype=np.uint8)
    assert Preprocessing(channels=1).apply(colour, names=["a"]).flatten().tolist() == pytest.approx([0.299])
    grey = np.array([[[[51]]]], dtype=np.uint8)
    assert Preprocessing().apply(grey, names=["a"]).flatten().tolist() == pytest.approx([0.2] * 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 2}, "channels is 2"),
        ({"std": 0.0}, "above 0"),
        ({"mean": (0.5,)}, "mean has 1 entries; expected 3"),
        ({"interpolation": "cubic"}, "interpolation is 'cubic'"),
    ],
)
def test_refusals(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Preprocessing(**arguments)  # type: ignore[arg-type]


def test_unknown_json_field_and_foreign_preset() -> None:
    with pytest.raises(InputError, match="no field 'size'"):
        Preprocessing.from_json({"size": 3})
    with pytest.raises(DtypeError, match="not a torchvision preset"):
        Preprocessing.from_torchvision("imagenet")

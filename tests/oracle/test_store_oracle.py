"""The store against the shortest code that could do the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from workbench import models
from workbench.store import ActivationStore
from workbench.store.quantiles import streamed_quantiles


@pytest.fixture(scope="module")
def network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 7, 3), nn.ReLU(), nn.MaxPool2d(3), nn.Flatten(), nn.Linear(7 * 16, 4))


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (17, 16, 16, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def store(network: nn.Sequential, pictures: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    preprocessing = models.Preprocessing(resize=None, crop=(16, 16), mean=(0.5,) * 3, std=(0.25,) * 3)
    model = models.load(network, preprocessing=preprocessing, categories=["a", "b", "c", "d"], name="oracle")
    path = tmp_path_factory.mktemp("oracle") / "store"
    return ActivationStore.extract(
        model, pictures, layers=["1", "2"], path=path, batch_size=3, block_bytes=20_000, threads=1, progress=False
    )


def naive_outputs(network: nn.Sequential, pictures: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Layer by layer, in the batches of the plan, without a hook."""
    relu, pool, logits = [], [], []
    with torch.no_grad():
        for start in range(0, len(pictures), 3):
            batch = torch.from_numpy(pictures[start : start + 3]).permute(0, 3, 1, 2).float() / 255
            hidden = network[1](network[0]((batch - 0.5) / 0.25))
            pooled = network[2](hidden)
            relu.append(hidden.numpy())
            pool.append(pooled.numpy())
            logits.append(network[4](network[3](pooled)).numpy())
    return [np.concatenate(relu), np.concatenate(pool)], np.concatenate(logits)


def test_maps_logits_and_pooled_values(store: ActivationStore, network: nn.Sequential, pictures: np.ndarray) -> None:
    outputs, logits = naive_outputs(network, pictures)
    np.testing.assert_allclose(store.logits, logits, rtol=1e-5, atol=1e-6)
    for layer, expected in zip(("1", "2"), outputs, strict=True):
        dataset = store.dataset(layer).load()
        maps = dataset["maps"].values
        # one unit in the last place of float16: the order of a float32 sum may differ
        np.testing.assert_allclose(maps.astype(np.float32), expected, rtol=2**-10, atol=1e-6)
        for image in range(maps.shape[0]):
            for unit in range(maps.shape[1]):
                single = maps[image, unit]
                y, x = np.unravel_index(np.argmax(single), single.shape)
                assert dataset["max"].values[image, unit] == single.max()
                assert (dataset["argmax_y"].values[image, unit], dataset["argmax_x"].values[image, unit]) == (y, x)
                mean = single.astype(np.float64).mean()
                assert dataset["mean"].values[image, unit] == pytest.approx(mean, rel=1e-6, abs=1e-9)


def test_top_images_is_a_sort(store: ActivationStore) -> None:
    maps = store.dataset("1")["maps"].values
    for unit in range(7):
        ranked = sorted(range(17), key=lambda image: (-float(maps[image, unit].max()), image))
        assert list(store.top_images("1", unit, 5)["index"].values) == ranked[:5]


@pytest.mark.parametrize("q", [0.0, 0.003, 0.5, 0.995, 1.0, [0.1, 0.9, 0.9]])
def test_quantile_of_a_store(store: ActivationStore, q: float | list[float]) -> None:
    for layer in ("1", "2"):
        maps = store.dataset(layer)["maps"].values.astype(np.float64)
        expected = np.quantile(maps.transpose(1, 0, 2, 3).reshape(7, -1), q, axis=1)
        np.testing.assert_allclose(store.quantile(layer, q), expected, rtol=1e-12)


@settings(max_examples=60)
@given(
    st.sampled_from(["float16", "float32", "float64"]).flatmap(
        lambda dtype: arrays.arrays(
            dtype,
            arrays.array_shapes(min_dims=2, max_dims=2, max_side=12),
            elements=st.floats(
                allow_nan=False,
                allow_infinity=False,
                width=int(dtype[5:]),
                allow_subnormal=True,
                min_value=-60_000,
                max_value=60_000,
            ),
        )
    ),
    st.lists(st.floats(0, 1), min_size=1, max_size=4),
    st.integers(4, 12),
)
def test_streamed_quantiles_are_those_of_numpy(values: np.ndarray, q: list[float], size: int) -> None:
    def chunks() -> list[np.ndarray]:
        return [values[:, start : start + size] for start in range(0, values.shape[1], size)]

    found = streamed_quantiles(chunks, np.array(q), units=len(values), count=values.shape[1], dtype=values.dtype.name)
    expected = np.quantile(values.astype(np.float64), q, axis=1)
    scale = np.abs(values.astype(np.float64)).max()
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15 * scale)

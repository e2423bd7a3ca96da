"""The plan: pure decisions, tested as a table and by property."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import DtypeError, InputError, StoreError
from workbench.store.plan import (
    BLOCK_BYTES,
    LayerPlan,
    Plan,
    balanced_chunks,
    block_size,
    check_batch_size,
    check_dtype,
    choose_batch_size,
)


def make_plan(images: int = 20, *, batch_size: int = 4, block_images: int = 8) -> Plan:
    layers = (
        LayerPlan("conv", ("unit", "y", "x"), (6, 5, 4)),
        LayerPlan("tokens", ("token", "unit"), (7, 6)),
        LayerPlan("linear", ("unit",), (10,)),
        LayerPlan("odd", ("axis_1", "axis_2", "axis_3", "axis_4"), (2, 3, 2, 2)),
    )
    return Plan(images, ("a", "b"), layers, "float16", batch_size, block_images, 1, (), {"model": "m"})


@pytest.mark.parametrize(
    ("bytes_per_image", "batch_size", "images", "budget", "expected"),
    [
        (1000, 4, 100, 8000, 8),  # two batches fit
        (1000, 4, 100, 11_999, 8),  # two and a half fit
        (1000, 4, 6, 10**9, 8),  # never more than the images need
        (1000, 4, 10**6, 10**9, 1024),  # never more than 1024: a block is what a crash loses
        (1000, 4, 100, 3000, 2),  # half a batch
        (1000, 12, 100, 5000, 4),  # a third of a batch, although five images would fit
        (10**9, 4, 100, 1000, 1),  # one image at least
    ],
)
def test_block_size(bytes_per_image: int, batch_size: int, images: int, budget: int, expected: int) -> None:
    assert block_size(bytes_per_image, batch_size, images, budget=budget) == expected


@given(st.integers(1, 10**8), st.integers(1, 300), st.integers(1, 5000), st.integers(1, 2**30))
def test_blocks_respect_budget_and_batches(size: int, batch: int, images: int, budget: int) -> None:
    block = block_size(size, batch, images, budget=budget)
    assert block % batch == 0 or batch % block == 0
    assert block == 1 or block * size <= budget


@given(st.integers(1, 300), st.sampled_from([(1, 1), (4, 8), (8, 4), (6, 2), (7, 7), (32, 64), (64, 32)]), st.data())
def test_tasks_compute_each_wanted_block_in_whole_batches(
    images: int, sizes: tuple[int, int], data: st.DataObject
) -> None:
    plan = make_plan(images, batch_size=sizes[0], block_images=sizes[1])
    covered = [index for block in plan.blocks for index in range(block.start, block.stop)]
    assert covered == list(range(images))
    wanted = data.draw(st.lists(st.sampled_from(plan.blocks), unique=True))
    tasks = list(plan.tasks(wanted))
    assert sorted(block.index for task in tasks for block in task.blocks) == sorted(block.index for block in wanted)
    for task in tasks:
        computed = {index for span in task.batches for index in range(span.start, span.stop)}
        assert all(span.start % plan.batch_size == 0 for span in task.batches)
        assert all(len(span) == plan.batch_size or span.stop == images for span in task.batches)
        for block in task.blocks:
            assert set(range(block.start, block.stop)) <= computed


@given(st.integers(1, 1024), st.integers(1, 3000), st.integers(1, 120), st.sampled_from([2, 4, 8]))
def test_chunks_are_balanced_and_divide_the_shard(block: int, units: int, side: int, itemsize: int) -> None:
    chunk = balanced_chunks(block, ("image", "unit", "y", "x"), (units, side, side), itemsize)
    assert block % chunk[0] == 0
    assert chunk[2:] == (side, side)
    assert math.prod(chunk) * itemsize <= max(2**18, side * side * itemsize * 2)


def test_chunks_of_the_measured_layout() -> None:
    chunk = balanced_chunks(256, ("image", "unit", "y", "x"), (512, 14, 14), 2)
    assert chunk == (16, 40, 14, 14)  # between (16, 32) and its neighbours, which the design measured as the best


def test_arrays_have_shards_of_whole_chunks() -> None:
    plan = make_plan()
    assert set(plan.block_arrays) == {
        *(f"layers/conv/{name}" for name in ("maps", "max", "mean", "argmax_y", "argmax_x")),
        *(f"layers/tokens/{name}" for name in ("maps", "max", "mean", "argmax_token")),
        *(f"layers/linear/{name}" for name in ("maps", "max", "mean")),
        "layers/odd/maps",
        "images/logits",
        "images/predicted",
    }
    for array in plan.block_arrays.values():
        assert array.shards is not None
        assert array.shards[0] == plan.block_images
        for size, shard, chunk in zip(array.shape[1:], array.shards[1:], array.chunks[1:], strict=True):
            assert shard >= size
            assert shard % chunk == 0


def test_bytes_per_image_counts_every_array() -> None:
    plan = make_plan()
    maps = 2 * (6 * 5 * 4 + 7 * 6 + 10 + 24)
    pooled = 4 * (6 * 4 + 6 * 3 + 10 * 2)
    assert plan.bytes_per_image == maps + pooled + 2 * 4 + 8


def test_plan_survives_json_and_keeps_its_digest() -> None:
    plan = make_plan()
    back = Plan.from_json(json.loads(json.dumps(plan.to_json(), sort_keys=True)), where="x")
    assert back == plan
    assert back.digest == plan.digest
    assert make_plan(images=21).digest != plan.digest


@pytest.mark.parametrize(("version", "advice"), [(0, "To migrate it"), (2, "Upgrade"), (None, "To migrate it")])
def test_other_versions_are_refused_with_the_way_out(version: int | None, advice: str) -> None:
    value = {**make_plan().to_json(), "version": version}
    with pytest.raises(StoreError, match=advice) as caught:
        Plan.from_json(value, where="some/path")
    assert "some/path" in str(caught.value)
    assert "reads format 1" in str(caught.value)


def test_another_format_is_refused() -> None:
    with pytest.raises(StoreError, match="not an activation store"):
        Plan.from_json({"format": "something"}, where="some/path")


@pytest.mark.parametrize(
    ("size", "images", "accelerator", "expected"),
    [
        (1, 1000, False, 32),
        (1, 1000, True, 128),
        (1, 5, True, 5),
        (BLOCK_BYTES // 10, 1000, False, 8),
        (10**12, 9, True, 1),
    ],
)
def test_automatic_batch_size(size: int, images: int, accelerator: bool, expected: int) -> None:
    assert choose_batch_size(size, images, accelerator=accelerator) == expected


@pytest.mark.parametrize("value", [0, -1, 2.5, "many", True, None])
def test_bad_batch_size(value: object) -> None:
    with pytest.raises(InputError, match="batch_size is"):
        check_batch_size(value, 10)


@pytest.mark.parametrize("value", ["int8", "bfloat16", "nonsense", complex, object()])
def test_bad_dtype(value: object) -> None:
    with pytest.raises(DtypeError, match="float16, float32, float64"):
        check_dtype(value)


def test_dtype_in_any_spelling() -> None:
    assert check_dtype(np.float16) == check_dtype("f2") == check_dtype("float16") == "float16"

"""The extraction's own memory does not grow with the dataset."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.context import BaseContext
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = [pytest.mark.crash, pytest.mark.slow]
MEGABYTE = 2**20


@pytest.fixture
def peak(processes: BaseContext, work: ModuleType, tmp_path: Path) -> Callable[[str, int], int]:
    """Most bytes that a fresh process held at once, above what it held before, while it did something to images."""

    def measure(what: str, images: int) -> int:
        receiver, sender = processes.Pipe(duplex=False)
        process = processes.Process(target=work.measure_peak, args=(sender, what, images, tmp_path / f"{what}{images}"))
        process.start()
        peak = receiver.recv()
        process.join()
        return int(peak)

    return measure


def test_bounded_above_one_batch(peak: Callable[[str, int], int]) -> None:
    # each image gives 1.5 MB in the store: 96 images are 12 blocks, 384 are 48
    batch = peak("batch", 16)
    short, long = peak("extract", 96), peak("extract", 384)
    assert short - batch < 300 * MEGABYTE
    assert long - batch < 300 * MEGABYTE
    # 432 MB more went through it
    assert long - short < 150 * MEGABYTE

"""The activation store against the bare forward pass, torch.save and HDF5: prints a markdown table.

    python benchmarks/store.py [--images 600] [--rounds 3] [--threads 2] [--layers features.13 features.18]

With ``WORKBENCH_MIRROR`` set it uses MobileNetV2's weights and photographs from there, else random weights and noise.
All contenders get the same decoded, normalised images in memory and the same batches, and write the same float16 maps
to the same disk. Times are paired: every round runs all of them in turn, and the ratio is taken within a round. CPU
seconds, of all threads, are told too: a busy machine does not change them much.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from workbench import data, models
from workbench.models import capture
from workbench.store import ActivationStore

BATCH = 32


def load() -> tuple[models.ImageModel, str]:
    """MobileNetV2 with the mirror's weights, or random ones where there is no mirror."""
    setting = os.environ.get("WORKBENCH_MIRROR")
    if setting:
        return models.load("mobilenet_v2", weights=Path(setting) / "weights" / "mobilenet_v2.safetensors"), "ImageNet"
    from torchvision.models import mobilenet_v2

    torch.manual_seed(0)
    network = mobilenet_v2(weights=None)
    return models.load(network, preprocessing=models.Preprocessing.imagenet(), name="mobilenet_v2"), "random"


def prepare(model: models.ImageModel, count: int) -> torch.Tensor:
    """Network input of some images, in memory: decoding is nobody's part here."""
    setting = os.environ.get("WORKBENCH_MIRROR")
    if not setting:
        return torch.randn((count, 3, 224, 224), generator=torch.Generator().manual_seed(0))
    files = sorted((Path(setting) / "imagenet-samples").rglob("*.jpg"))
    return model.prepare(data.as_source([files[index % len(files)] for index in range(count)][: len(files)]))[:count]


def batches(inputs: torch.Tensor) -> list[torch.Tensor]:
    return [inputs[start : start + BATCH] for start in range(0, len(inputs), BATCH)]


def bare(model: models.ImageModel, inputs: torch.Tensor, layers: list[str], folder: Path) -> None:
    """The forward pass alone: nothing is kept."""
    with torch.no_grad():
        for batch in batches(inputs):
            model.logits(batch)


def store(model: models.ImageModel, inputs: torch.Tensor, layers: list[str], folder: Path) -> None:
    threads = torch.get_num_threads()
    ActivationStore.extract(
        model, inputs, layers=layers, path=folder / "store", batch_size=BATCH, threads=threads, progress=False
    )


def torch_save(model: models.ImageModel, inputs: torch.Tensor, layers: list[str], folder: Path) -> None:
    """One file a batch, as most scripts do it; no checksum, no fsync, no pooled values."""
    with torch.no_grad():
        for number, batch in enumerate(batches(inputs)):
            with capture(model, layers) as found:
                logits = model.logits(batch)
            kept = {name: output.half() for name, output in found.items()}
            torch.save({**kept, "logits": logits}, folder / f"{number:05d}.pt")


def hdf5(compression: dict[str, Any]) -> Callable[..., None]:
    def write(model: models.ImageModel, inputs: torch.Tensor, layers: list[str], folder: Path) -> None:
        """One file, chunks of one batch by 32 units."""
        with h5py.File(folder / "maps.h5", "w") as file, torch.no_grad():
            for number, batch in enumerate(batches(inputs)):
                with capture(model, layers) as found:
                    model.logits(batch)
                for name, output in found.items():
                    if name not in file:
                        shape = (len(inputs), *output.shape[1:])
                        chunks = (min(16, len(inputs)), min(32, shape[1]), *shape[2:])
                        file.create_dataset(name, shape, "float16", chunks=chunks, **compression)
                    start = number * BATCH
                    file[name][start : start + len(batch)] = output.half().numpy()

    return write


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def read_times(kind: str, folder: Path, layer: str, count: int) -> tuple[float, float]:
    """Median milliseconds to read one image's maps of a layer, and one unit's over all images."""
    rng = np.random.default_rng(0)
    images = [int(index) for index in rng.integers(0, count, 15)]
    units = [int(index) for index in rng.integers(0, 90, 7)]
    if kind == "store":
        opened = ActivationStore.open(folder / "store")
        one_image, one_unit = (lambda i: opened.image_maps(layer, i)), (lambda u: opened.unit_map(layer, u))
    elif kind == "torch.save":
        files = sorted(folder.glob("*.pt"))

        def one_image(index: int) -> Any:
            return torch.load(files[index // BATCH], weights_only=True)[layer][index % BATCH]

        def one_unit(unit: int) -> Any:
            return torch.cat([torch.load(file, weights_only=True)[layer][:, unit] for file in files])

    else:
        file = h5py.File(folder / "maps.h5")
        one_image, one_unit = (lambda i: file[layer][i]), (lambda u: file[layer][:, u])
    return median_ms(one_image, images), median_ms(one_unit, units)


def median_ms(read: Callable[[int], Any], indices: list[int]) -> float:
    read(indices[0])
    times = []
    for index in indices:
        begun = time.perf_counter()
        read(index)
        times.append(time.perf_counter() - begun)
    return 1000 * statistics.median(times)


def ratios(ours: list[float], bare: list[float]) -> str:
    """Median and range of the ratios within rounds."""
    found = [one / base for one, base in zip(ours, bare, strict=True)]
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--layers", nargs="+", default=["features.13", "features.18"])
    parser.add_argument("--folder", type=Path, default=None, help="on the disk that is to be measured")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    model, weights = load()
    inputs = prepare(model, chosen.images)
    contenders = {
        "bare forward pass": bare,
        "store": store,
        "torch.save": torch_save,
        "HDF5": hdf5({}),
        "HDF5, gzip 1": hdf5({"compression": "gzip", "compression_opts": 1}),
    }
    bare(model, inputs[:BATCH], chosen.layers, Path())
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    processor: dict[str, list[float]] = {name: [] for name in contenders}
    bytes_written: dict[str, int] = {}
    reads: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory(dir=chosen.folder) as base:
        for number in range(chosen.rounds):
            for name, run in contenders.items():
                folder = Path(base) / f"{number}-{name.replace(' ', '-')}"
                folder.mkdir()
                begun, used = time.perf_counter(), time.process_time()
                run(model, inputs, chosen.layers, folder)
                seconds[name].append(time.perf_counter() - begun)
                processor[name].append(time.process_time() - used)
                bytes_written[name] = size(folder)
                if number == chosen.rounds - 1 and name != "bare forward pass":
                    reads[name] = read_times(name, folder, chosen.layers[0], len(inputs))
                shutil.rmtree(folder)
    shapes = ", ".join(f"{layer} {model.layers[layer]}" for layer in chosen.layers)
    print(
        f"MobileNetV2 ({weights} weights), {len(inputs)} images of 224 x 224, {shapes}, batches of {BATCH}, "
        f"{chosen.threads} threads, float16; medians of {chosen.rounds} paired rounds.\n"
    )
    print(
        "| | seconds | times the bare pass (range) | CPU seconds | times the bare pass (range) "
        "| MB on disk | one image, ms | one unit, ms |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, times in seconds.items():
        wall = ratios(times, seconds["bare forward pass"])
        cpu = ratios(processor[name], processor["bare forward pass"])
        read = "".join(f" {value:.1f} |" for value in reads[name]) if name in reads else " - | - |"
        written = f"{bytes_written[name] / 1e6:.1f}" if bytes_written[name] else "-"
        spent = statistics.median(processor[name])
        print(f"| {name} | {statistics.median(times):.2f} | {wall} | {spent:.2f} | {cpu} | {written} |{read}")


if __name__ == "__main__":
    main()

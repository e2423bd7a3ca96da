"""How long one waits in the occlusion panel: for the first picture, and for one that is near the map of all windows.

    WORKBENCH_MIRROR=... python benchmarks/occlusion_panel.py [--images 5] [--threads 2] [--output table.md]

The panel runs as in a notebook, on its own threads, each picture drawn and encoded as PNG; only the browser is left
out. The processor time until the first picture holds the search too, which goes on meanwhile; it depends less on what
else the machine does. Every image is new to the panel; the first one, which also warms the libraries up, is told
apart. Without a mirror of weights MobileNetV2 gets random ones, which is fair for the first picture alone.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from workbench import data, models
from workbench.data.scenes import SceneSource
from workbench.panels import OcclusionPanel

HEAD = (
    "# The occlusion panel: how long one waits",
    "",
    "```",
    "WORKBENCH_MIRROR=... python benchmarks/occlusion_panel.py --images 6 --output docs/benchmarks/occlusion_panel.md",
    "```",
    "",
    "The panel runs as in a notebook, on its own threads, each picture drawn and encoded as PNG; only the browser is",
    "left out. Every image is new to the panel; the first, which also warms the libraries up, is told apart. Asked:",
    "a first picture within 0.3 s for a shipped network of 96 px and within 1.5 s for MobileNetV2 at 224 px, and a",
    "predicted fidelity of 0.9 within 3 s there, on two cores. Seconds by the clock are meaningful only where the",
    "machine does nothing else; processor time until the first picture includes the search that goes on meanwhile.",
    "",
)
FIDELITY = 0.9
LARGEST = 2048
LONGEST_WAIT = 120.0  # seconds an image


class Watched(OcclusionPanel):
    """A panel that notes when its pictures were there, and ends the search at the wanted fidelity."""

    began = 0.0
    began_busy = 0.0
    busy = 0.0  # processor seconds of all threads until the first picture
    seen: tuple[tuple[float, float, float], ...] = ()  # seconds, certificate, forward-equivalents

    def shown(self, result: xr.Dataset) -> None:
        super().shown(result)
        certificate = float(result["certificate"])
        if not self.seen:
            self.busy = time.process_time() - self.began_busy
        self.seen += ((time.perf_counter() - self.began, certificate, float(result["forward_equivalents"])),)
        if certificate >= FIDELITY:
            self.stop()

    def look_at(self, image: int) -> tuple[tuple[float, float, float], ...]:
        """Show an image, and wait until it is known well enough."""
        if not self._started:
            self.state.parameters = {"budget": LARGEST}
        self.seen, self.began, self.began_busy = (), time.perf_counter(), time.process_time()
        if self._started:
            self.state.image = image
        else:
            self.start()
        self.wait(LONGEST_WAIT)
        self.stop()
        self.wait()
        if self.error is not None:
            raise self.error
        return self.seen


def cases(images: int) -> Iterator[tuple[str, Any, Any]]:
    """Name, model and images of each measurement."""
    yield "scenes_object, 96 px", models.load("scenes_object"), SceneSource("object", images + 1, seed=7)
    mirror = os.environ.get("WORKBENCH_MIRROR")
    if mirror:
        weights = Path(mirror) / "weights" / "mobilenet_v2.safetensors"
        photographs = sorted((Path(mirror) / "imagenet-samples" / "images").rglob("*.jp*g"))[: images + 1]
        yield "MobileNetV2, 224 px", models.load("mobilenet_v2", weights=weights), data.as_source(photographs)
        return
    torch.manual_seed(0)
    from torchvision.models import mobilenet_v2

    network = models.load(mobilenet_v2(), name="mobilenet_v2", preprocessing=models.Preprocessing.imagenet())
    yield "MobileNetV2, 224 px, random weights", network, data.photographs()


def rows(images: int) -> Iterator[str]:
    """The table, line by line."""
    yield (
        "| network | first picture, s | its processor time, s | first picture of the first image, s | "
        f"predicted fidelity {FIDELITY}, s | reached | forward passes there |"
    )
    yield "|---|---|---|---|---|---|---|"
    for name, model, source in cases(images):
        panel = Watched(model, source)
        looks, busy = [], []
        for image in range(min(images + 1, len(source))):
            looks.append(panel.look_at(image))
            busy.append(panel.busy)
        first = [seen[0][0] for seen in looks]
        reached = [next((item for item in seen if item[1] >= FIDELITY), None) for seen in looks[1:]]
        known = [item for item in reached if item is not None]
        seconds = f"{statistics.median(item[0] for item in known):.2f}" if known else "not reached"
        passes = f"{statistics.median(item[2] for item in known):.0f}" if known else ""
        yield (
            f"| {name} | {statistics.median(first[1:]):.2f} ({min(first[1:]):.2f} to {max(first[1:]):.2f}) | "
            f"{statistics.median(busy[1:]):.2f} | {first[0]:.2f} | {seconds} | "
            f"{len(known)} of {len(reached)} | {passes} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, default=5, help="images after the first")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore", category=UserWarning)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    lines = [
        *HEAD,
        f"{platform.machine()}, {os.cpu_count()} cores, {options.threads} threads, torch {torch.__version__}; "
        f"load average {load} when it began. Medians over {options.images} images (least to most).",
        "",
    ]
    for line in rows(options.images):
        lines.append(line)
        print(line, flush=True)
    lines += ["", f"Load average at the end: {', '.join(f'{value:.1f}' for value in os.getloadavg())}."]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

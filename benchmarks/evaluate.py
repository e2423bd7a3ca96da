"""What it costs to judge a heatmap: every metric that asks the model or the map, against captum and Quantus.

    python benchmarks/evaluate.py [--repeats 5] [--output docs/benchmarks/evaluate.md]

Each row does the same work three ways, one after another in one process, and this is repeated: the same network, the
same images and maps, and equally many pictures given to the network, which a counter shows. A peer is left out of a
row where it has no such metric. *Forward passes* is what the network alone takes for that many pictures, in batches of
the same size: a metric that costs about as much has no overhead of its own. Quantus gives the network one step of all
images at a time, captum all samples of all images at once (64 at most where they are large); the workbench fills
batches across images and steps, of 64 at most, and on the CPU of as many as it is quick with. Where a peer fails on
this work it is helped as little as needed: Quantus 0.6.0 refuses colour images for ROAD, so it is given their pixels,
and the area under its curves is left out, which NumPy 2.4 no longer computes for it.

captum comes with the package. Quantus does not (its licence is LGPL, so the workbench never depends on it): install
`quantus==0.6.0` into an environment of its own that also has the workbench, and run this command there. Without it its
column says "not installed".
"""

from __future__ import annotations

import argparse
import os
import platform
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from evaluate_parts.peers import quantus
from evaluate_parts.rows import UNITS, binarisers, localisation, of_maps, rows
from evaluate_parts.subjects import Subject
from evaluate_parts.timing import scaling, table
from threadpoolctl import threadpool_limits


def sections(repeats: int) -> Iterator[str]:
    slower: list[str] = []
    small, large = Subject.of("scenes_object", 16, 48), Subject.of("mobilenet_v3_small", 4, 12)
    for subject, about in (
        (small, "a small network: what the metric itself costs shows"),
        (large, "random weights: forward passes dominate"),
    ):
        yield f"## {subject.name}, {len(subject.inputs)} images of {subject.side} x {subject.side}, {about}"
        yield ""
        yield from table(subject, rows(subject), repeats, slower)
        yield ""
    maps = small
    yield f"## Maps alone, {len(maps.inputs)} of {maps.side} x {maps.side}"
    yield ""
    yield from table(maps, of_maps(maps), 3 * repeats, slower)
    yield ""
    yield f"## Maps and masks, {len(maps.inputs)} of {maps.side} x {maps.side}"
    yield ""
    yield from table(maps, localisation(maps), 3 * repeats, slower, peers=("Quantus", "scikit-learn"))
    yield ""
    yield f"## Binarisers, {UNITS} maps an image, {len(maps.inputs)} images, against scikit-image a map at a time"
    yield ""
    yield from table(maps, binarisers(maps), 3 * repeats, slower, peers=("scikit-image",))
    yield ""
    yield "## Milliseconds a heatmap by the number of images, scenes_object"
    yield ""
    yield from scaling(Subject.of("scenes_object", 64, 48), 2)
    yield ""
    yield "## Slower than a peer"
    yield ""
    yield from ([f"- {line}" for line in slower] or ["Nothing."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, help="write the section of the benchmark page there")
    given = parser.parse_args()
    torch.set_num_threads(1)
    load, lines = os.getloadavg()[0], []
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Quantus warns of every perturbation that changes nothing
        for line in sections(given.repeats):
            print(line, flush=True)
            lines.append(line)
    if given.output is not None:
        installed = "not installed" if quantus is None else quantus.__version__
        text = [
            "# Metrics of explanations: time a heatmap, against captum and Quantus",
            "",
            "```",
            f"python benchmarks/evaluate.py --repeats {given.repeats} --output docs/benchmarks/evaluate.md",
            "```",
            "",
            (__doc__ or "").strip().partition("\n\n")[2].partition("\n\n")[2],
            "",
            f"Measured with one thread ({platform.machine()}), Python {platform.python_version()}, PyTorch "
            f"{torch.__version__}, Quantus {installed}, {time.strftime('%Y-%m-%d')}, load average {load:.1f} when it "
            f"began. Milliseconds are processor time of one core, medians of {given.repeats} repeats "
            f"({3 * given.repeats} where maps are not given to a network, 2 for the number of images); the last column "
            "is the median of the peer's time over the workbench's in the same repeat. Model randomisation: the "
            "workbench computes four measures of similarity, Quantus one. Scores by the workbench come with a "
            "bootstrap interval and the score of chance, those of peers without. Goal: no slower where forward passes "
            "dominate, faster elsewhere.",
            "",
            *lines,
        ]
        given.output.write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

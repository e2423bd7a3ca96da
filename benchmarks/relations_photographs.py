"""Places in photographs: do units that find objects lie to each other as the objects do?

    WORKBENCH_MIRROR=... python benchmarks/relations_photographs.py [--output docs/benchmarks/relations_photographs.md]
    python benchmarks/relations_photographs.py --cub70 MASKS --birds CUB_200_2011

*Objects.* Photographs of COCO (128 of train, 60 of val), masks of each category's objects together, categories of
things that cover at least 1 % of the network's view. *Parts.* CUB70: the part masks of birds, with the same rule.

Photographs are dealt into ten parts at random. On nine parts each category that is in at least 4 photographs there is
linked to the unit with the best IoU (dissection); in each photograph of the tenth that shows two of these categories,
with different units, the displacement of their masks' centres is compared with that of their units' soft maxima (those
of ``spatial_edges``): the angle between both. Pairs of categories count where they occur in at least 2 photographs;
photographs in which either displacement is shorter than one position of the layer have no angle and are left out.

*Photographs dealt anew* is the mean angle when the displacements of the units are permuted among the photographs of a
pair: it keeps where objects of these categories usually lie, and each unit's usual place. *Units dealt anew* gives the
units of the categories to each other. The p-value is the share of 999 permutations whose mean angle is no larger.
Intervals are 95 % bootstrap intervals over photographs.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from threadpoolctl import threadpool_limits

from workbench import data, evaluate, models
from workbench.data import AnnotatedImage, ImageSource
from workbench.data.loaders import CUB70_PARTS
from workbench.interpret import dissect, observe, select
from workbench.interpret.relations.activity import unit_activity
from workbench.interpret.relations.peaks import find_peaks
from workbench.models import ImageModel
from workbench.stats import holm

LEAST_AREA = 0.01  # of the network's view
LEAST_PHOTOGRAPHS = 4  # in which a category is linked to a unit
LEAST_TOGETHER = 2  # in which a pair occurs
FOLDS = 10
Row = tuple[list[Any], float]
DRAWS = 999
NETWORKS = (("mobilenet_v2", "features.13"), ("mobilenet_v2", "features.17"), ("squeezenet1_0", "features.12"))
COLUMNS = (
    "network, layer", "photographs", "categories (mean best IoU)", "pairs", "angles", "median error", "mean error",
    "photographs dealt anew (95 %)", "p", "units dealt anew (95 %)", "p",
)  # fmt: skip


@dataclass(frozen=True)
class Scenes:
    """Where the categories of photographs are, and where units are highest.

    Attributes:
        centres: (image, part, 2) of the masks; NaN where a part is not there, or was linked to no unit.
        places: (2, image, unit) of the units' soft maxima.
        linked: (image, part) unit of each part, found on other photographs.
        shortest: a displacement below this has no direction.
    """

    centres: np.ndarray
    places: np.ndarray
    linked: np.ndarray
    shortest: float

    def pairs(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """Two parts, and the photographs that show both, where they have different units."""
        seen = np.isfinite(self.centres).all(axis=2)
        for one, other in itertools.combinations(range(seen.shape[1]), 2):
            rows = np.flatnonzero(seen[:, one] & seen[:, other] & (self.linked[:, one] != self.linked[:, other]))
            if len(rows) >= LEAST_TOGETHER:
                yield one, other, rows

    def angles(
        self, *, photographs: np.random.Generator | None = None, units: np.random.Generator | None = None
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Degrees between both displacements, the photograph of each, and how many pairs there are; or dealt anew."""
        order = np.arange(self.linked.shape[1]) if units is None else units.permutation(self.linked.shape[1])
        found, where, count = [np.empty(0)], [np.empty(0, int)], 0
        for one, other, rows in self.pairs():
            true = self.centres[rows, other] - self.centres[rows, one]
            ends = [self.places[:, rows, self.linked[rows, order[each]]] for each in (one, other)]
            away = (ends[1] - ends[0]).T
            away = away if photographs is None else away[photographs.permutation(len(rows))]
            lengths = np.linalg.norm(true, axis=1), np.linalg.norm(away, axis=1)
            kept = np.minimum(*lengths) >= self.shortest
            cosine = (true * away).sum(axis=1)[kept] / (lengths[0] * lengths[1])[kept]
            found.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
            where.append(rows[kept])
            count += bool(kept.any())
        return np.concatenate(found), np.concatenate(where), count


def on_grid(items: Sequence[AnnotatedImage], names: Sequence[str], model: ImageModel) -> xr.DataArray:
    """(image, part, y, x) bool: masks as the network sees their photographs."""
    grid = np.zeros((len(items), len(names), *model.input_shape[1:]), dtype=bool)
    for number, item in enumerate(items):
        seen = [index for index, name in enumerate(names) if name in item.masks]
        if seen:
            grid[number, seen] = evaluate.masks_on_grid([item.masks[names[index]] for index in seen], model).values
    grid &= (grid.mean(axis=(2, 3)) >= LEAST_AREA)[:, :, None, None]
    return xr.DataArray(grid, dims=("image", "part", "y", "x"), coords={"part": list(names)})


def centres(masks: np.ndarray) -> np.ndarray:
    """(image, part, y, x) to (image, part, 2), down and to the right; NaN where a part is not there."""
    area = masks.sum(axis=(2, 3)).astype(float)
    area[area == 0] = np.nan
    down = np.einsum("ipyx,y->ip", masks, np.arange(masks.shape[2], dtype=float)) / area
    right = np.einsum("ipyx,x->ip", masks, np.arange(masks.shape[3], dtype=float)) / area
    return np.stack([down, right], axis=-1)


def row(name: str, layer: str, model: ImageModel, sources: Sequence[ImageSource], names: Sequence[str]) -> Row:
    """One network and layer: its cells, and the p-value with photographs dealt anew."""
    items = [source[index] for source in sources for index in range(len(source))]
    store = observe(model, torch.cat([model.prepare(source) for source in sources]), layers=layer)
    generator = np.random.default_rng(0)
    fold = generator.permutation(len(items)) % FOLDS
    masks = on_grid(items, names, model)
    often = masks.values.any(axis=(2, 3)).sum(axis=0) > LEAST_PHOTOGRAPHS
    masks = masks.isel(part=np.flatnonzero(often)).assign_coords(image=list(store.identifiers))
    peaks = find_peaks(
        store, {layer: unit_activity(store, layer, quantile=0.8)}, [(layer, layer)], size=model.input_shape[1:]
    )
    middle, linked, best = centres(masks.values), np.zeros(masks.shape[:2], dtype=int), []
    for number in range(FOLDS):
        linking, testing = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        iou = dissect(select(store, linking), masks.isel(image=linking), layer=layer)["iou"].fillna(-1)
        linked[testing] = iou.argmax("unit").values
        few = masks.values[linking].any(axis=(2, 3)).sum(axis=0) < LEAST_PHOTOGRAPHS
        middle[np.ix_(testing, few)] = np.nan
        best.append(iou.max("unit").values[~few].mean())
    found = Scenes(middle, peaks.places[layer], linked, max(peaks.cells[layer]))
    angle, image, pairs = found.angles()
    images = [found.angles(photographs=generator)[0].mean() for _ in range(DRAWS)]
    units = [found.angles(units=generator)[0].mean() for _ in range(DRAWS)]
    cells = [
        f"{name}, {layer}", len(items), f"{int(often.sum())} ({np.mean(best):.2f})", pairs, len(angle),
        f"{np.median(angle):.0f}°", interval(angle, image, generator), *against(angle.mean(), images),
        *against(angle.mean(), units),
    ]  # fmt: skip
    return cells, float(cells[8])


def against(mean: float, null: Sequence[float]) -> tuple[str, str]:
    low, high = np.quantile(null, [0.025, 0.975])
    p_value = (1 + sum(each <= mean for each in null)) / (1 + len(null))
    return f"{np.mean(null):.0f}° ({low:.0f}° to {high:.0f}°)", f"{p_value:.3f}"


def interval(angle: np.ndarray, image: np.ndarray, generator: np.random.Generator) -> str:
    """Mean angle with an interval from photographs drawn again."""
    known, member = np.unique(image, return_inverse=True)
    total, count = np.bincount(member, angle), np.bincount(member)
    drawn = generator.integers(len(known), size=(DRAWS, len(known)))
    low, high = np.quantile(total[drawn].sum(axis=1) / count[drawn].sum(axis=1), [0.025, 0.975])
    return f"{angle.mean():.0f}° ({low:.0f}° to {high:.0f}°)"


def table(sources: Sequence[ImageSource], names: Sequence[str]) -> Iterator[str]:
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'---|' * len(COLUMNS)}"
    chances = []
    for name, layer in NETWORKS:
        cells, chance = row(name, layer, models.load(name, weights=data.fetch(name)), sources, names)
        chances.append(chance)
        yield f"| {' | '.join(map(str, cells))} |"
    least = holm(np.array(chances)).min()
    yield ""
    yield (
        f"Over the {len(chances)} rows, with photographs dealt anew and Holm's correction, the smallest p-value is "
        f"{least:.3f}: "
        + (
            "the angle is smaller than chance has it in at least one row."
            if least <= 0.05
            else "no row is told from chance at 0.05."
        )
    )


def objects() -> Iterator[str]:
    """Pairs of objects in photographs of COCO."""
    yield "## Objects in photographs of COCO"
    yield ""
    if not os.environ.get("WORKBENCH_MIRROR"):
        yield "Not run. `WORKBENCH_MIRROR=... python benchmarks/relations_photographs.py`"
        return
    things = data.coco_train128(masks="category")
    yield from table([things, data.coco_panoptic(masks="category")], sorted(things.categories))


def parts(options: argparse.Namespace) -> Iterator[str]:
    """Parts of birds, where the masks are."""
    yield "## Parts of birds, CUB70"
    yield ""
    if options.cub70 is None:
        yield (
            "Not run: the masks and the photographs that they belong to are not in the mirror. `WORKBENCH_MIRROR=... "
            "python benchmarks/relations_photographs.py --cub70 MASKS --birds CUB_200_2011`"
        )
        return
    source = data.cub70(options.cub70, birds=options.birds)
    some = data.Subset(source, np.sort(np.random.default_rng(0).permutation(len(source))[: options.most]))
    yield from table([some], list(CUB70_PARTS))


def report(options: argparse.Namespace) -> Iterator[str]:
    yield "# Places in photographs"
    yield ""
    yield "```"
    command = "python benchmarks/relations_photographs.py --output docs/benchmarks/relations_photographs.md"
    yield f"WORKBENCH_MIRROR=... {command}"
    yield "```"
    yield ""
    yield (__doc__ or "").split("\n\n", 2)[2].strip()
    yield ""
    yield (
        f"Measured with one thread ({platform.machine()}), Python {platform.python_version()}, torch "
        f"{torch.__version__}, {time.strftime('%Y-%m-%d')}, load average {os.getloadavg()[0]:.1f}."
    )
    sections: tuple[Callable[[], Iterator[str]], ...] = (objects, lambda: parts(options))
    for section in sections:
        yield ""
        yield from section()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cub70", type=Path, help="the folder of CUB70's part masks")
    parser.add_argument("--birds", type=Path, help="the folder of CUB-200-2011")
    parser.add_argument("--most", type=int, default=600, help="at most so many photographs of CUB70")
    parser.add_argument("--output", type=Path, help="write the report here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        lines = list(report(options))
    print("\n".join(lines))
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

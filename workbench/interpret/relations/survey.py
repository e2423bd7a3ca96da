"""What must be known of two layers before one is changed: when units are active, and what takes their place."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workbench.arrays import check_array
from workbench.data import as_source
from workbench.errors import InputError, NotFiniteError, ShapeError, unknown_name
from workbench.models import capture

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from workbench.explain import Meter
    from workbench.interpret.relations.continuation import Layout
    from workbench.models import ImageModel

BASELINES = ("mean", "swap", "zero")
POOL = 32  # images whose maps may stand in for those of others
PEAK = 0.99  # quantile of a unit's maxima that counts as its height: single images may lie far above it
EVEN = 0.1  # share of the layer's median spread below which a target counts as constant


@dataclass(frozen=True, eq=False)
class Survey:
    """One pass over all images, nothing changed.

    Attributes:
        identifiers: (image) names.
        source_max: (image, unit) float32, maximum of each source unit over its positions.
        source_at: (image, unit) int64, the position of that maximum.
        target_max: (image, unit) float32, maximum of each target unit.
        mean: (unit, position) float32, mean map of each source unit.
        pool: (stand-in, unit, position) float32, maps of the source in some images.
        pool_image: (stand-in) int64, of which images.
        predicted: (image) int64, category of the largest logit.
        categories: names of the categories.
        digests: (batch) int64, of the network input, by which the same images are known again.
    """

    identifiers: NDArray[np.object_]
    source_max: NDArray[np.float32]
    source_at: NDArray[np.int64]
    target_max: NDArray[np.float32]
    mean: NDArray[np.float32]
    pool: NDArray[np.float32]
    pool_image: NDArray[np.int64]
    predicted: NDArray[np.int64]
    categories: NDArray[np.object_]
    digests: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.source_max)

    def as_arrays(self) -> dict[str, NDArray[Any]]:
        """All of it, to be kept in a file."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: values.astype(str) if values.dtype == object else values for name, values in found.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Survey:
        """The survey that :meth:`as_arrays` was made of."""
        return cls(
            **{name: array.astype(object) if array.dtype.kind == "U" else array for name, array in arrays.items()}
        )

    def active(self, share: float) -> NDArray[np.bool_]:
        """In which images a source unit is active: its maximum is above a share of its range.

        Args:
            share: 0 is the unit's lowest maximum, 1 its height (the 99 % quantile of its maxima).

        Returns:
            (image, unit) bool; nowhere True for a unit whose maximum never changes.
        """
        low = self.source_max.min(axis=0)
        height = np.maximum(np.quantile(self.source_max, PEAK, axis=0), low)
        return np.asarray(self.source_max > low + share * (height - low))

    @property
    def spread(self) -> NDArray[np.float64]:
        """(unit) standard deviation of each target's maximum over the images."""
        return np.asarray(self.target_max.std(axis=0, dtype=np.float64))

    @property
    def constant(self) -> NDArray[np.bool_]:
        """(unit) targets that hardly vary, measured by the others of their layer."""
        spread = self.spread
        size = np.abs(self.target_max).max(axis=0)
        return np.asarray((spread < EVEN * np.median(spread)) | (spread <= 1e-6 * size))


def count_images(images: Any) -> int:
    """How many images there are, without reading them."""
    if isinstance(images, torch.Tensor) and images.is_floating_point():
        return 1 if images.ndim == 3 else len(images)
    return len(as_source(images))


def digest(inputs: torch.Tensor) -> int:
    """A number by which a batch of network input is known again."""
    return zlib.crc32(np.ascontiguousarray(inputs.detach().float().cpu().numpy()).data)


def survey(
    model: ImageModel, images: Any, source: Layout, target: Layout, *, seed: int, batch_size: int, meter: Meter
) -> Survey:
    """Look at all images once.

    Args:
        model: the model.
        images: what ``model.prepare`` takes.
        source: layout of the layer that will be changed.
        target: layout of the layer that will be read.
        seed: of the choice of stand-ins.
        batch_size: images a forward pass.
        meter: is told of each image.

    Returns:
        The survey.

    Raises:
        InputError: fewer than two images.
        NotFiniteError: NaN or infinity in a layer; the image is named.
        Interrupted: on request.
    """
    count = count_images(images)
    if count < 2:
        raise InputError(f"There is {count} image; effects are means over images, and need at least two.")
    stand_ins = np.sort(np.random.default_rng(seed).permutation(count)[:POOL])
    parts: dict[str, list[Any]] = {field.name: [] for field in fields(Survey)}
    total = torch.zeros(1)
    start = 0
    categories: list[str] = []
    for names, inputs in model.batches(images, batch_size=batch_size):
        with torch.no_grad(), capture(model, [source.layer, target.layer]) as found:
            logits = model.logits(inputs)
        maps, read = (layout.units_first(found[layout.layer]).float().cpu() for layout in (source, target))
        for layout, values in ((source, maps), (target, read)):
            _refuse_not_finite(layout.layer, values, names)
        largest = maps.max(dim=2)
        total = total + maps.double().sum(dim=0)
        chosen = stand_ins[(stand_ins >= start) & (stand_ins < start + len(names))]
        for name, part in (
            ("identifiers", np.array([str(each) for each in names], dtype=object)),
            ("source_max", largest.values.numpy()),
            ("source_at", largest.indices.numpy()),
            ("target_max", read.amax(dim=2).numpy()),
            ("pool", maps[torch.from_numpy(chosen - start)].numpy()),
            ("predicted", logits.argmax(dim=1).cpu().numpy()),
            ("digests", np.array([digest(inputs)], dtype=np.int64)),
        ):
            parts[name].append(part)
        categories = model.category_names(logits.shape[1])
        start += len(names)
        meter.advance(len(names))
    together = {name: np.concatenate(each) for name, each in parts.items() if each}
    mean = (total / start).float().numpy()
    return Survey(**together, mean=mean, pool_image=stand_ins, categories=np.array(categories, dtype=object))


def _refuse_not_finite(layer: str, values: torch.Tensor, names: tuple[str, ...]) -> None:
    bad = ~torch.isfinite(values).flatten(1).all(1)
    if bad.any():
        raise NotFiniteError(
            f"layer {layer!r} holds NaN or infinity in image {names[int(bad.nonzero()[0])]!r}. Repair the image or the "
            "network, or leave the image out."
        )


@dataclass(frozen=True, eq=False)
class Baseline:
    """What takes the place of a unit's map.

    Attributes:
        maps: (stand-in, unit, position) float, on the model's device; a single stand-in serves every image.
        choice: (image, unit) int64: which stand-in each unit gets in each image.
    """

    maps: torch.Tensor
    choice: NDArray[np.int64]

    def of(self, images: NDArray[np.int64], units: NDArray[np.int64]) -> torch.Tensor:
        """The maps that replace those of some units.

        Args:
            images: (row) positions of images.
            units: (row) units.

        Returns:
            (row, position).
        """
        return self.maps[tuple(self._index(self.choice[images, units], units))]

    def whole(self, images: NDArray[np.int64]) -> torch.Tensor:
        """The maps that replace those of all units: (row, unit, position)."""
        units = np.broadcast_to(np.arange(self.choice.shape[1]), (len(images), self.choice.shape[1]))
        return self.maps[tuple(self._index(self.choice[images], units))]

    def _index(self, *positions: NDArray[np.int64]) -> list[torch.Tensor]:
        return [torch.from_numpy(np.array(each)).to(self.maps.device) for each in positions]


def baseline_of(
    baseline: Any,
    seen: Survey,
    active: NDArray[np.bool_],
    source: Layout,
    *,
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
) -> Baseline:
    """Make the baseline that was asked for.

    Args:
        baseline: ``"mean"``, ``"swap"``, ``"zero"``, or (unit, ...) float in the layer's own order.
        seen: the survey.
        active: (image, unit) bool, in which images source units are active.
        source: layout of the source layer.
        seed: of the choice of stand-ins.
        device: where to put the maps.
        dtype: of the maps.

    Returns:
        The baseline.

    Raises:
        UnknownNameError: no such baseline.
        ShapeError, NotFiniteError: an array that cannot take the place of the layer's output.
    """
    choice = np.zeros(active.shape, dtype=np.int64)
    if not isinstance(baseline, str):
        values = check_array(baseline, name="baseline", dims=source.dims, kinds="iuf")
        if values.shape != source.sizes:
            raise ShapeError(f"baseline has shape {values.shape}; layer {source.layer!r} gives {source.sizes}.")
        maps = source.units_first(torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))[None])
    elif baseline == "mean":
        maps = torch.from_numpy(seen.mean)[None]
    elif baseline == "zero":
        maps = torch.zeros_like(torch.from_numpy(seen.mean))[None]
    elif baseline == "swap":
        maps, choice = torch.from_numpy(seen.pool), _stand_ins(seen, active, seed)
    else:
        raise unknown_name("baseline", baseline, BASELINES, hint="Or pass an array in the shape of the layer's output.")
    return Baseline(maps.to(device, dtype), choice)


def _stand_ins(seen: Survey, active: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    """(image, unit): which stand-in to take, of those in which the unit is not active, drawn anew for each image."""
    generator = np.random.default_rng(seed)
    choice = np.empty(active.shape, dtype=np.int64)
    for unit in range(active.shape[1]):
        silent = np.flatnonzero(~active[seen.pool_image, unit])
        if not len(silent):  # a unit that is active nearly everywhere: where it is weakest
            silent = seen.source_max[seen.pool_image, unit].argsort()[:1]
        choice[:, unit] = generator.choice(silent, size=len(active))
    return choice

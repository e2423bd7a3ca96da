"""The third question: photographs with masks, boxes and parts, where somebody has them."""

from __future__ import annotations

from collections.abc import Iterator

import xarray as xr

from protocol_parts.interpretations import by_binariser
from protocol_parts.settings import Named
from protocol_parts.written import best_first, cell, control, labels, lines, listed

Found = dict[str, tuple[Named, xr.Dataset]]
POINTING = "pointing_game"
SHOWN = (POINTING, "energy_pointing_game", "relevance_mass", "mask_average_precision", "box_iou", "mask_iou")
CONTROLS = ("random units", "shuffled images", "chance")
COMMAND = "WORKBENCH_MIRROR=... python benchmarks/protocol.py --keep FOLDER"


def answer(found: Found) -> Iterator[str]:
    """Who finds the objects of photographs better than looking at the centre does."""
    yield "3. **Photographs.** " + " ".join(_answers(found))


def _answers(found: Found) -> Iterator[str]:
    if "coco" not in found:
        yield "Not run: no mirror."
        return
    table = found["coco"][1]
    for data in table["data"].values:
        part = table.isel(model=0).sel(data=data)
        (pointing,) = labels(part, (POINTING,))
        leader = best_first(part, pointing)[0]
        one = part.sel({"metric": pointing})
        centre = float(one["control_high"].sel(control="centre").isel(method=0))
        above = [str(name) for name, low in zip(one["method"].values, one["low"].values, strict=True) if low > centre]
        yield (
            f"{data}: most often `{leader}` points at the object, {cell(one.sel({'method': leader}))}, the centre of "
            f"the image {control(one.isel(method=0), 'centre')}; with its whole interval above the centre's: "
            f"{listed(above)}."
        )


def section(found: Found, *, cub70: bool) -> Iterator[str]:
    """The tables."""
    yield "## 3. Photographs"
    yield ""
    if "coco" in found:
        yield from _coco(*found["coco"])
    if "ade20k" in found:
        yield from _streets(*found["ade20k"])
    if "coco" not in found:
        yield f"COCO and ADE20K: **not run**. `{COMMAND}`"
        yield ""
    if cub70:
        named, table = found["cub70"]
        yield f"### CUB70 (protocol `{named.protocol.hash[:12]}`)"
        yield ""
        yield from by_binariser(table.isel(model=0, data=0))
    else:
        yield (
            "CUB70 with its part masks: **not run**, since neither masks nor photographs may be shipped. With the "
            f"masks of CUB70-PartSegmentation and CUB-200-2011 on disk: `{COMMAND} --cub70 FOLDER_OF_CUB70`."
        )


def _coco(named: Named, table: xr.Dataset) -> Iterator[str]:
    for data in table["data"].values:
        part = table.isel(model=0).sel(data=data)
        columns = labels(part, SHOWN)
        yield f"### {data}, MobileNetV2 (protocol `{named.protocol.hash[:12]}`)"
        yield ""
        yield (
            "Photographs of COCO of which the network's first choice is a category that is in them "
            "(`benchmarks/imagenet_to_coco.csv`), drawn at random; the objects of that category are to be found. "
            "The pointing game's control is the centre of the image, the others' the share of the image."
        )
        yield ""
        yield from lines(part, columns, best_first(part, columns[0]))
        first = part.isel(method=0)
        for metric, name in ((columns[0], "centre"), (columns[2], "chance")):
            yield f"\n{name} by {metric}: {control(first.sel({'metric': metric}), name)}"
        yield ""


def _streets(named: Named, table: xr.Dataset) -> Iterator[str]:
    part = table.isel(model=0, data=0)
    yield f"### {named.title} (protocol `{named.protocol.hash[:12]}`)"
    yield ""
    yield (
        f"The mirror has three scenes, and on a whole one a wheel covers a pixel of MobileNetV2's maps of 7 x 7 cells. "
        f"So each is cut into tiles of its own: methods learn from those of the first scene, and of the "
        f"{named.protocol.data[0].count} of the other two with a part that covers a hundredth of them, one half gives "
        "the units their labels and the other is scored. Tiles of one scene are alike, so that these intervals are too "
        "narrow: that the protocol runs on real parts is shown, and no ranking."
    )
    yield ""
    yield "| method | metric | value | random units | shuffled images | chance |"
    yield "|---|---|---|---|---|---|"
    for method in part["method"].values:
        for metric in part["metric"].values:
            one = part.sel({"method": method, "metric": metric})
            yield f"| `{method}` | {metric} | {cell(one)} | {' | '.join(control(one, name) for name in CONTROLS)} |"
    yield ""

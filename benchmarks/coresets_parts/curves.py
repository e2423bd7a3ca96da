"""How little is enough, for which method and by which selector."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from coresets_parts.pairs import PAIRS, SIZES, Pair, prepared
from coresets_parts.summary import OWN, against_each, not_beaten, sentences
from workbench.interpret import coreset
from workbench.interpret.coreset.curve import FRACTIONS

TRIED = Path(__file__).parent / "tried.md"
ABOUT = """\
Rendered scenes and the networks that ship, last convolutional stage; with WORKBENCH_MIRROR also CIFAR-10 and COCO.
Coresets are chosen within the categories of one half of the images (for dissection by the target-aware selector: over
all) and compared with the interpretation of the other half. 1 is what all images of the first half reach, 0 what random
units reach; where the halves differ by chance, a selector can exceed 1. Where a share is less than one image of a
category, one is taken. Concepts and rules are found on half as many images, and units are dissected on two thirds.
Area is the mean height over the shares; *enough* is the share from which on the mean stays at 0.95.

For VEBI the target-aware selector searches with what the method reads of all images of the half, from which the
interpretation itself would follow at once: it finds which few images are enough, and does not save reading the others.

Ten splits were measured first. That there should be twenty, and eight shares for every method, was decided for their
power after that and before any of the further ones was looked at: with eight comparisons and Holm's correction, ten
splits leave little of it. Splits share images: intervals and tests are of the splits, not of other data. With --keep,
what was computed is kept, and a second run computes what is missing."""


@dataclass(frozen=True)
class Setting:
    """What to measure."""

    images: int
    splits: int
    random_draws: int
    workers: int
    pairs: Sequence[str]
    keep: Path | None


def report(setting: Setting) -> Iterator[str]:
    """What was found, all curves, the target-aware selector against the others, and what was tried for it."""
    wanted = [
        pair for pair in PAIRS if pair.name in setting.pairs and ("WORKBENCH_MIRROR" in os.environ or not pair.mirror)
    ]
    found: dict[Pair, xr.Dataset] = {}
    tables: list[str] = []
    for pair in wanted:
        print(pair.title, file=sys.stderr)
        found[pair], images = curve_of(pair, setting)
        tables += [f"## {pair.title}: normalised similarity by share of the half", ""]
        tables += [*facts_of(found[pair], images), "", *rows_of(found[pair]), ""]
    yield from sentences(found, [pair for pair in PAIRS if pair not in found])
    yield ""
    yield ABOUT
    yield ""
    yield from tables
    yield "## The target-aware selector against each other one"
    yield ""
    yield "Difference of the areas, mean over splits (p of the paired sign-flip test, Holm's correction over the row)."
    yield "Kernel herding on pooled means and maxima is our own earlier try; the last column asks for p of 0.05 or less"
    yield "against all others."
    yield ""
    yield from own_table(found)
    yield ""
    yield TRIED.read_text(encoding="utf-8").strip()


def facts_of(curve: xr.Dataset, images: int) -> Iterator[str]:
    """How it was measured."""
    yield (
        f"{images} images, {curve.sizes['split']} splits; ceiling {float(curve['ceiling'].mean()):.2f}, "
        f"floor {float(curve['floor'].mean()):.2f} ({curve.attrs['subject_similarity']})."
    )


def curve_of(pair: Pair, setting: Setting) -> tuple[xr.Dataset, int]:
    """The coreset curve of a method on a network, and of how many images."""
    images = round(setting.images * SIZES[pair.method])
    subject, store = prepared(pair, images)
    path = None if setting.keep is None else setting.keep / f"{pair.name}-{images}.jsonl"
    curve = coreset.coreset_curve(
        subject,
        store,
        list(coreset.selectors),
        fractions=FRACTIONS,
        splits=setting.splits,
        random_draws=setting.random_draws,
        workers=setting.workers,
        path=path,
        progress=True,
    )
    return curve, len(store.identifiers)


def rows_of(curve: xr.Dataset) -> Iterator[str]:
    shares = curve["fraction"].values
    yield (
        "| selector | "
        + " | ".join(f"{share:.0%}" for share in shares)
        + " | area | against random (p, Holm) | enough |"
    )
    yield "|---|" + "---|" * (len(shares) + 3)
    for name in curve["selector"].values:
        row = curve.sel(selector=name)
        heights = " | ".join(f"{float(value):.2f}" for value in row["value"])
        area = f"{float(row['area']):.3f} [{float(row['area_low']):.3f}, {float(row['area_high']):.3f}]"
        against = f"{float(row['area_against_random']):+.3f} ({float(row['area_adjusted']):.3f})"
        enough = float(row["enough"])
        yield (
            f"| {name} | {heights} | {area} | {'' if name == 'random' else against} | "
            f"{'none' if np.isnan(enough) else f'{enough:.0%}'} |"
        )


def own_table(found: Mapping[Pair, xr.Dataset]) -> Iterator[str]:
    """The target-aware selector against every other one, by method and network."""
    names = [str(name) for name in next(iter(found.values()))["selector"].values if name != OWN]
    yield "| method and network | " + " | ".join(names) + " | beats all published |"
    yield "|---|" + "---|" * (len(names) + 1)
    for pair, curve in found.items():
        row = against_each(curve)
        cells = " | ".join(f"{row[name][0]:+.3f} ({row[name][1]:.3f})" for name in names)
        yield f"| {pair.title} | {cells} | {'no' if not_beaten(curve) else 'yes'} |"

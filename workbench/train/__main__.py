"""``python -m workbench.train``: train the shipped networks again, and say whether they come out the same."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from workbench.models.shipped import FOLDER
from workbench.train import cards
from workbench.train.recipes import RECIPES
from workbench.train.shipped import Trained, recipe, train

POINT = 0.01
PAGE = Path("docs/models.md")


def main(arguments: list[str] | None = None) -> int:
    """Train, measure and write the networks that were named.

    Args:
        arguments: of the command line; those of the process by default.

    Returns:
        0; or 1 where a network misses its bounds, or an accuracy is more than one point from that of its card.
    """
    given = _parser().parse_args(arguments)
    if given.page:
        return _write_page(given.folder)
    # one thread: sums are then added in the same order on any number of cores, so the weights can be reproduced
    torch.set_num_threads(1)
    failures = []
    for name in given.names or RECIPES:
        before = _card(given.folder, name)
        with tqdm(desc=name, unit="step", mininterval=1.0) as bar:
            trained = train(recipe(name), processes=given.processes, progress=_Bar(bar), say=bar.write)
        failures += _report(trained, before)
        cards.write(trained, given.folder)
    if given.folder == FOLDER and PAGE.parent.is_dir():
        _write_page(FOLDER)
    for failure in failures:
        print(failure, file=sys.stderr)  # noqa: T201
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workbench.train", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which networks; all by default: {', '.join(RECIPES)}")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where weights and cards go (the package's own)")
    parser.add_argument("--processes", type=int, default=2, help="how many render the scenes (2)")
    parser.add_argument("--page", action="store_true", help="only write docs/models.md from the cards")
    return parser


class _Bar:
    """Shows the steps of training in a progress bar."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def __call__(self, step: Any) -> None:
        self._bar.total = step.total
        self._bar.set_postfix(loss=f"{step.loss:.3f}", refresh=False)
        self._bar.update()


def _card(folder: Path, name: str) -> dict[str, Any] | None:
    path = folder / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _report(trained: Trained, before: dict[str, Any] | None) -> list[str]:
    """Print what a network reaches, and give the lines on what it should not."""
    failures = []
    name = trained.recipe.name
    for measurement, result in trained.accuracy.items():
        old = None if before is None else before["accuracy"].get(measurement, {}).get("value")
        change = "" if old is None else f", {100 * (result.value - old):+.2f} points from its card"
        tqdm.write(
            f"{name}: {measurement} {100 * result.value:.2f} % of {result.images} "
            f"({100 * result.low:.2f} to {100 * result.high:.2f}){change}; {trained.seconds:.0f} s"
        )
        least, most = trained.recipe.bounds[measurement]
        if not least <= result.value <= most:
            failures.append(f"{name}: {measurement} is {result.value:.4f}, outside {least} to {most}.")
        if old is not None and abs(result.value - old) > POINT:
            failures.append(f"{name}: {measurement} is {result.value:.4f}, more than one point from its card's {old}.")
    return failures


def _write_page(folder: Path) -> int:
    found = [item for item in (_card(folder, name) for name in RECIPES) if item is not None]
    PAGE.write_text(cards.page(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Planted truth: which units carry which category is known; relevant units and rules are asked for them.

    python benchmarks/planted.py [--sets 10] [--output docs/benchmarks/planted.md]

The network is that of the tests, written by hand: two units carry each of three categories, ten others see something
that is in pictures of all of them. Each set is 120 pictures of its own, and 60 others on which units are switched off.
For rules the two units of a category are made to fire together, since a rule is of units that do. Precision and recall
are of (category, unit) for relevant units, and of (category, pair of units) for rules. The area is that under accuracy
against units switched off (0, 1 and 2 of each category; the lower, the steeper the fall).
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import xarray as xr

from workbench import interpret
from workbench.stats import bootstrap

PLANTED = Path(__file__).parent.parent / "tests" / "unit" / "interpret" / "conftest.py"
RULES = {"size": 6, "margin": 1, "most_patches": 3, "top_units": 2, "labels": "true"}


def planting() -> ModuleType:
    """The module that plants, whose home are the tests."""
    specification = importlib.util.spec_from_file_location("planting", PLANTED)
    if specification is None or specification.loader is None:
        raise SystemExit(f"{PLANTED} cannot be read.")
    module = importlib.util.module_from_spec(specification)
    sys.modules["planting"] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module


def rates(found: set[tuple[int, object]], true: set[tuple[int, object]]) -> tuple[float, float]:
    """Precision and recall."""
    return len(found & true) / max(len(found), 1), len(found & true) / len(true)


def of_units(planted) -> tuple[float, float]:
    weight = interpret.relevant_units(planted.store, "true", units_per_category=2)["weight"].values
    found = {(category, int(unit)) for category, unit in np.argwhere(weight > 0)}
    return rates(found, {(category, unit) for category in range(3) for unit in planted.true_units(category)})


def of_rules(planted) -> tuple[float, float]:
    maps = planted.store.maps["activation"].copy()
    for first in range(3):
        both = maps[:, [first, 3 + first]].sum("unit")
        maps[:, first] = both
        maps[:, 3 + first] = both
    together = interpret.MemoryActivations(
        {"activation": maps}, planted.store.categories, planted.labels, planted.store.logits, planted.store.identifiers
    )
    explained = planted.masks.any("part").astype(float)
    result = interpret.rules(together, explained, **RULES)
    found = {
        (int(result["category_index"][row]), tuple(np.flatnonzero(result["member"].values[row])))
        for row in range(result.sizes["rule"])
    }
    return rates(found, {(category, (category, 3 + category)) for category in range(3)})


def areas(planted, held_out) -> dict[str, float]:
    """Area under the ablation curve, by ranking."""
    weight = np.zeros((3, 16))
    for category in range(3):
        weight[category, list(planted.true_units(category))] = [2, 1]
    found = interpret.relevant_units(planted.store, "true", units_per_category=2)["weight"]
    true = xr.DataArray(weight, dims=("category", "unit"), coords={name: found[name] for name in ("category", "unit")})
    result = interpret.ablation_curve(
        planted.model, held_out.pictures, {"the true units": true, "relevant units": found}, store=planted.store,
        labels=held_out.labels, counts=(0, 1, 2),
    )  # fmt: skip
    return {str(name): float(area) for name, area in zip(result["ranking"].values, result["area"].values, strict=True)}


def report(sets: int) -> Iterator[str]:
    yield "# Planted truth: relevant units, rules and ablation"
    yield ""
    yield "```"
    yield f"python benchmarks/planted.py --sets {sets} --output docs/benchmarks/planted.md"
    yield "```"
    yield ""
    yield (__doc__ or "").split("\n\n", 2)[2].strip()
    yield ""
    module = planting()
    planted = [module.plant(seed=2 * number) for number in range(sets)]
    held_out = [module.plant(count=60, seed=2 * number + 1) for number in range(sets)]
    yield f"Mean over {sets} sets, with the 95 % interval of a bootstrap."
    yield ""
    yield "| method | precision | recall |"
    yield "|---|---|---|"
    rows = {
        "relevant units (VEBI), two a category": [of_units(each) for each in planted],
        "rules": [of_rules(each) for each in planted],
    }
    for name, values in rows.items():
        precision, recall = zip(*values, strict=True)
        yield f"| {name} | {_said(precision)} | {_said(recall)} |"
    yield ""
    yield "| units switched off | area under accuracy |"
    yield "|---|---|"
    found = [areas(one, other) for one, other in zip(planted, held_out, strict=True)]
    for name in sorted(found[0], key=lambda name: np.mean([each[name] for each in found])):
        yield f"| {name} | {_said([each[name] for each in found])} |"


def _said(values: Sequence[float]) -> str:
    estimate = bootstrap(np.asarray(values))
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=10, help="sets of pictures")
    parser.add_argument("--output", type=Path, help="write the report here too")
    options = parser.parse_args()
    lines = []
    for line in report(options.sets):
        print(line, flush=True)
        lines.append(line)
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

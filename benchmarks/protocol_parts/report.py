"""The page: what was found in words, then the tables that it is read from."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator, Sequence

import xarray as xr

from protocol_parts import explanations, interpretations, photographs, sanity
from protocol_parts.settings import Named

Results = Sequence[tuple[Named, xr.Dataset]]


def report(results: Results, *, cub70: bool) -> Iterator[str]:
    """The whole page."""
    found = {named.key: (named, table) for named, table in results}
    units = [found[key] for key in found if key.startswith("units ")]
    yield "# The evaluation protocol: interpretation and explanation methods, against controls and by intervention"
    yield ""
    yield "```"
    yield "WORKBENCH_MIRROR=... python benchmarks/protocol.py --keep FOLDER --output docs/benchmarks/protocol.md"
    yield "```"
    yield ""
    yield (
        "Every number is of a `workbench.evaluate.Protocol`, named by the start of its hash; in brackets its 95 % "
        "bootstrap interval over images, then n, the images. The command gives the same hashes, and with the same "
        "versions the same numbers; no figure here is a time, so the load of the machine changes none of them "
        f"({platform.machine()}, Python {platform.python_version()}, one thread, {time.strftime('%Y-%m-%d')}, load "
        f"average {os.getloadavg()[0]:.1f} at the end; all of it takes about 16 minutes of one core). Networks are "
        "small and scenes rendered; what holds here need not hold on photographs."
    )
    yield ""
    yield "## In short"
    yield ""
    yield from interpretations.answer(units)
    yield from explanations.answer(found["explanations"][1], found["baselines"][1])
    yield from photographs.answer(found)
    yield from sanity.answer(found["sanity"][1])
    yield ""
    yield from interpretations.section(units)
    yield ""
    yield from explanations.section(*found["explanations"], found["baselines"])
    yield ""
    yield from photographs.section(found, cub70=cub70)
    yield ""
    yield from sanity.section(*found["sanity"])
    yield ""
    versions = json.loads(str(found["sanity"][1].attrs["versions"]))
    yield f"Versions: {', '.join(f'{name} {version}' for name, version in versions.items())}."

"""Which interpretation, which explanation is right, by how much, and against what chance.

    python benchmarks/protocol.py [--keep FOLDER] [--threads 1] [--output docs/benchmarks/protocol.md]
        [--cub70 FOLDER_OF_CUB70]

Every number is the outcome of a `workbench.evaluate.Protocol`, named by its hash. With --keep, each cell is kept as
soon as it is known, and a second run computes what is missing. With WORKBENCH_MIRROR also on photographs of COCO and
street scenes of ADE20K; CUB70 where its folder is given.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
import xarray as xr
from protocol_parts.report import report
from protocol_parts.settings import Named, described


def compute(named: Named, folder: Path) -> tuple[Named, xr.Dataset]:
    """Run one protocol, and say on the way how far it is."""
    began = time.monotonic()

    def tell(progress: object) -> None:
        done, total = getattr(progress, "done", 0), getattr(progress, "total", 0)
        print(f"{named.key}: {done} of {total} cells, {time.monotonic() - began:.0f} s", flush=True)

    return named, named.protocol.run(path=folder, errors="keep", progress=tell)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="folder for finished cells")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--cub70", type=Path, help="folder of CUB70-PartSegmentation beside CUB-200-2011's images")
    parser.add_argument("--output", type=Path, help="write the report here too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folder = options.keep or Path(tempfile.mkdtemp(prefix="protocol-"))
    results = [compute(named, folder) for named in described(options.cub70)]
    text = "\n".join(report(results, cub70=options.cub70 is not None)) + "\n"
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

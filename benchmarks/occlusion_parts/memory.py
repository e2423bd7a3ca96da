"""Peak memory, measured in a process of its own, against the stated limit.

    python -m occlusion_parts.memory NETWORK METHOD

prints one JSON object: the peak beyond what the loaded network takes after one forward pass, and the largest tensor.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from occlusion_parts.results import ROOT, Deadline, Results, machine
from occlusion_parts.subjects import untrained
from workbench.explain import multi_resolution_occlusion
from workbench.explain.incremental import IncrementalEngine, incremental_occlusion, network_of
from workbench.explain.incremental.engine import MEMORY_LIMIT

NETWORKS = ("mobilenet_v2", "vgg16")
SIZE, PATCH, STRIDE = 224, 16, 8
METHODS: dict[str, Callable[..., Any]] = {
    "incremental": partial(incremental_occlusion, patch=PATCH, stride=STRIDE),
    "ours": partial(multi_resolution_occlusion, patches=(PATCH,), strides=(STRIDE,)),
}


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation gives, other than the weights themselves.

    Args:
        weights: first addresses of the network's own weights, which are there before anything is explained.
    """

    def __init__(self, weights: set[int]) -> None:
        super().__init__()
        self.size, self.shape = 0, ()
        self._weights = weights

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        for item in tree_leaves(answer):
            # an expanded view has more numbers than memory behind it
            if isinstance(item, torch.Tensor):
                memory = item.untyped_storage()
                if memory.nbytes() > self.size and memory.data_ptr() not in self._weights:
                    self.size, self.shape = memory.nbytes(), tuple(item.shape)
        return answer


def peak() -> int:
    """Bytes of this process at their highest so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(network: str, method: str) -> None:
    torch.set_num_threads(1)
    model = untrained(network)
    image = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.logits(image)
    before = peak()
    METHODS[method](model, image)
    after = peak()
    addresses = {tensor.untyped_storage().data_ptr() for tensor in model.module.state_dict().values()}
    with Largest(addresses) as largest:
        METHODS[method](model, image)
    engine = IncrementalEngine(network_of(model), image)
    kept = sum(4 * int(torch.Size(step.shape).numel()) for step in engine.program.steps)
    weights = sum(tensor.numel() * tensor.element_size() for tensor in model.module.state_dict().values())
    print(
        json.dumps(
            {"before": before, "peak": after - before, "largest": largest.size, "shape": list(largest.shape),
             "maps": kept, "weights": weights}
        )
    )  # fmt: skip


def measure(results: Results, deadline: Deadline) -> None:
    for network in NETWORKS:
        for method in METHODS:
            if deadline.over:
                return
            if results.has(network=network, method=method):
                continue
            command = [sys.executable, "-m", "occlusion_parts.memory", network, method]
            done = subprocess.run(command, cwd=ROOT / "benchmarks", check=True, capture_output=True, text=True)
            results.add(network=network, method=method, **json.loads(done.stdout.splitlines()[-1]))
            print(f"{network}, {method}", flush=True)


def tables(results: Results) -> Iterator[str]:
    if not results.rows:
        yield "Nothing is measured yet."
        return
    positions = len(range(0, SIZE - PATCH + 1, STRIDE)) ** 2
    together = positions * 3 * SIZE * SIZE
    limit = MEMORY_LIMIT / 2**20
    yield (
        f"The stated limit is {limit:.0f} MiB for a batch, beyond the network and the image's own maps. A tensor of "
        f"all {positions} occluded images would hold {together:,} numbers ({4 * together / 2**20:.0f} MiB)."
    )
    yield ""
    yield (
        "| network | method | peak beyond the loaded network, MiB | weights laid out anew, MiB | the image's maps, MiB "
        "| allowed, MiB | largest tensor beside the weights, MiB | verdict |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for row in results.rows:
        used, weights, maps = (row[name] / 2**20 for name in ("peak", "weights", "maps"))
        allowed = limit + weights + maps
        held = used <= allowed and row["largest"] < 4 * together
        yield (
            f"| {row['network']} | {row['method']} | {used:.0f} | {weights:.0f} | {maps:.0f} | {allowed:.0f} | "
            f"{row['largest'] / 2**20:.0f} {tuple(row['shape'])} | {'held' if held else 'MISSED'} |"
        )
    yield ""
    yield "Peak resident memory of a process of its own. " + machine(results.rows)


if __name__ == "__main__":
    main(*sys.argv[1:])

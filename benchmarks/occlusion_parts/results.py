"""What was measured, kept line by line, so that a benchmark can be stopped and taken up again."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from workbench import stats

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks" / "results"
T = TypeVar("T")


class Results:
    """Measured rows, one JSON object a line of ``benchmarks/results/occlusion_<name>.jsonl``.

    Each row carries the state of the code and the load of the machine when it was measured. A row that is there is
    not measured again; delete the file to begin anew.
    """

    def __init__(self, name: str, folder: Path = FOLDER) -> None:
        self.path = folder / f"occlusion_{name}.jsonl"
        self.rows: list[dict[str, Any]] = []
        code()  # what runs is what was there at the start, whatever is edited meanwhile
        if self.path.is_file():
            self.rows = [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]

    def has(self, **key: Any) -> bool:
        return bool(self.of(**key))

    def of(self, **key: Any) -> list[dict[str, Any]]:
        """The rows in which all of these are so."""
        return [row for row in self.rows if all(row.get(name) == value for name, value in key.items())]

    def add(self, **row: Any) -> dict[str, Any]:
        row = {**row, "load": round(os.getloadavg()[0], 2), "cores": os.cpu_count(), "code": code()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self.rows.append(row)
        return row


@cache
def code() -> str:
    """A short hash of the code of fast occlusion, as it is when measuring begins."""
    found = hashlib.sha256()
    for folder in ("adaptive", "incremental"):
        for path in sorted((ROOT / "workbench" / "explain" / folder).rglob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()[:8]


class Deadline:
    """When to stop measuring; what was measured until then is kept."""

    def __init__(self, minutes: float | None) -> None:
        self._end = None if minutes is None else time.monotonic() + 60 * minutes

    @property
    def over(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end


@dataclass(frozen=True)
class Seconds:
    """How long something took."""

    wall: float
    processor: float


def timed(work: Callable[[], T]) -> tuple[T, Seconds]:
    """What some work gives, and how long it took by the clock and by the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    answer = work()
    return answer, Seconds(time.perf_counter() - wall, time.process_time() - processor)


def machine(rows: Iterable[dict[str, Any]]) -> str:
    """A sentence on where and how rows were measured."""
    rows = list(rows)
    if not rows:
        return "Nothing is measured yet."
    loads, states = [row["load"] for row in rows], {row["code"] for row in rows}
    present = sum(row["code"] == code() for row in rows)
    states_text = "one state" if len(states) == 1 else f"{len(states)} states"
    return (
        f"Measured on {rows[-1]['cores']} cores ({platform.machine()}), torch {torch.__version__}, with a load average "
        f"of {min(loads):.1f} to {max(loads):.1f} from other work; {states_text} of the code of fast occlusion, "
        f"{present} of {len(rows)} rows with the present one."
    )


def mean(values: Iterable[float], digits: int = 3) -> str:
    """The mean with its 95 % bootstrap interval, for a table."""
    numbers = np.asarray(list(values), dtype=float)
    if len(numbers) < 2:
        return f"{numbers.mean():.{digits}f}" if len(numbers) else ""
    found = stats.bootstrap(numbers)
    return f"{found.value:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def tenth(values: Iterable[float], digits: int = 3) -> str:
    """The 10th percentile with its 95 % bootstrap interval, for a table."""
    numbers = np.asarray(list(values), dtype=float)
    if len(numbers) < 10:
        return "too few"

    def statistic(sample: Any, axis: int = -1) -> Any:
        return np.quantile(sample, 0.1, axis=axis)

    found = stats.bootstrap(numbers, statistic=statistic, kind="percentile")
    return f"{found.value:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"

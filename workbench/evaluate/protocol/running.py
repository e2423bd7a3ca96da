"""Who computes the cells: this process, processes of this machine, or a dask cluster. The numbers are the same."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from workbench.errors import InputError
from workbench.evaluate.protocol.cells import Cells
from workbench.evaluate.protocol.scoring import Cell, cells, score_cell
from workbench.evaluate.protocol.situation import situation_of
from workbench.evaluate.protocol.table import tabulate
from workbench.explain import Meter

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

    from workbench.evaluate.protocol.description import Protocol
    from workbench.explain.progress import Report, Stop

Errors = Literal["raise", "keep"]


def run(
    protocol: Protocol,
    engine: Any,
    *,
    path: str | Path | None,
    workers: int,
    errors: Errors,
    progress: Report,
    stop: Stop | None,
) -> xr.Dataset:
    """Compute what is missing and give the table; see :meth:`Protocol.run`.

    Args:
        protocol: with networks and images at hand.
        engine: ``"serial"``, ``"joblib"`` or a dask client.
        path: a folder, or None.
        workers: of ``"joblib"``.
        errors: ``"raise"`` or ``"keep"``.
        progress: as :class:`~workbench.explain.Meter` takes it.
        stop: likewise.

    Returns:
        The table.

    Raises:
        InputError: an unknown engine, or other options that cannot be used.
        WorkbenchError: see :meth:`Protocol.run`.
    """
    is_client = type(engine).__module__.startswith("distributed.") and hasattr(engine, "submit")
    if engine not in ("serial", "joblib") and not is_client:
        raise InputError(f"engine is {engine!r}; expected 'serial', 'joblib' or a dask.distributed Client.")
    if errors not in ("raise", "keep"):
        raise InputError(f"errors is {errors!r}; expected 'raise' or 'keep'.")
    if isinstance(workers, bool) or not isinstance(workers, int) or workers == 0:
        raise InputError(f"workers is {workers!r}; expected a whole number, -1 for as many as there are cores.")
    kept = Cells(protocol, path)
    todo = [cell for cell in cells(protocol) if cell not in kept.values]
    with Meter(len(todo), progress=progress, stop=stop, label="protocol") as meter:
        if engine == "serial":
            results = _serial(protocol, todo, errors, stop)
        elif engine == "joblib":
            results = _joblib(protocol, todo, errors, workers)
        else:
            results = _dask(engine, protocol, todo, errors)
        try:
            for cell, result in results:
                kept.add(cell, result)
                meter.advance(1)
        finally:
            results.close()
    return tabulate(protocol, kept.values)


Results = Iterator[tuple[Cell, dict[str, Any]]]


def _serial(protocol: Protocol, todo: list[Cell], errors: Errors, stop: Stop | None) -> Any:
    situation, of = None, ("", "")
    for cell in todo:
        if situation is None or of != (cell.model, cell.data):
            situation, of = situation_of(protocol, cell.model, cell.data, stop=stop), (cell.model, cell.data)
        yield cell, score_cell(protocol, situation, cell, errors=errors)


def _joblib(protocol: Protocol, todo: list[Cell], errors: Errors, workers: int) -> Any:
    from joblib import Parallel, delayed

    pool = Parallel(n_jobs=workers, return_as="generator_unordered")
    yield from pool(delayed(_elsewhere)(_part(protocol, cell), cell, protocol.hash, errors) for cell in todo)


def _dask(client: Any, protocol: Protocol, todo: list[Cell], errors: Errors) -> Any:
    from distributed import as_completed

    sent: dict[tuple[str, str], Any] = {}
    futures = []
    for cell in todo:
        of = (cell.model, cell.data)
        if of not in sent:
            sent[of] = client.scatter(_part(protocol, cell), hash=False)
        futures.append(client.submit(_elsewhere, sent[of], cell, protocol.hash, errors, pure=False))
    try:
        for future in as_completed(futures):  # type: ignore[no-untyped-call]  # distributed is half typed
            yield future.result()
    finally:
        client.cancel(futures)


def _part(protocol: Protocol, cell: Cell) -> Protocol:
    """The protocol with the one network and the one set of images that a cell needs, to be sent to a worker."""
    found = copy.copy(protocol)
    found.__dict__.pop("hash", None)
    for name, wanted in (("models", cell.model), ("data", cell.data)):
        object.__setattr__(found, name, tuple(item for item in getattr(protocol, name) if item.name == wanted))
    return found


_here = threading.local()  # what a worker made last: cells of the same network and images come one after another


def _elsewhere(protocol: Protocol, cell: Cell, key: str, errors: Errors) -> tuple[Cell, dict[str, Any]]:
    """Compute a cell on a worker.

    Threads of one worker are handed the same network, and methods hang hooks into it: each thread takes a copy.
    """
    of = (key, cell.model, cell.data)
    if getattr(_here, "of", None) != of:
        situation = situation_of(protocol, cell.model, cell.data)
        choice = situation.model_choice
        own = replace(situation.model, module=copy.deepcopy(situation.model.module))
        _here.situation, _here.of = replace(situation, model_choice=replace(choice, model=own)), of
    return cell, score_cell(protocol, _here.situation, cell, errors=errors)

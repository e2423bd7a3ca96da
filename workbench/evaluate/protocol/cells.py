"""Finished cells on disk: one sealed file each, in a folder that is named by the protocol's hash."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import StoreDamagedError, StoreMismatchError
from workbench.evaluate.protocol.choices import digest
from workbench.store.receipts import seal, unseal

if TYPE_CHECKING:
    from workbench.evaluate.protocol.description import Protocol
    from workbench.evaluate.protocol.scoring import Cell

DESCRIPTION = "protocol.json"


class Cells:
    """The results of one protocol, in memory and, where a folder is given, on disk.

    Args:
        protocol: whose cells.
        path: the folder; None keeps them in memory.

    Raises:
        StoreMismatchError: the folder of this hash holds another protocol, or a cell of another one.
        StoreDamagedError: a file is not what was written.
    """

    def __init__(self, protocol: Protocol, path: str | Path | None) -> None:
        self._protocol = protocol
        self.values: dict[Cell, dict[str, Any]] = {}
        self.folder = None if path is None else Path(path) / protocol.hash[:16]
        if self.folder is not None and self.folder.exists():
            self._read(self.folder)

    def add(self, cell: Cell, result: dict[str, Any]) -> None:
        """Keep a result; it is on disk, or not there at all, whenever the work is killed.

        Args:
            cell: which.
            result: what :func:`~workbench.evaluate.protocol.scoring.score_cell` gave.
        """
        self.values[cell] = result
        if self.folder is None:
            return
        if not (self.folder / DESCRIPTION).exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(self.folder / DESCRIPTION, seal({"protocol": self._protocol.hash, **self._protocol.document}))
        _write(
            self.folder / _name(cell),
            seal({"protocol": self._protocol.hash, "cell": cell.document, "result": _written(result)}),
        )

    def _read(self, folder: Path) -> None:
        from workbench.evaluate.protocol.scoring import cells

        described = folder / DESCRIPTION
        if described.exists():
            self._check(unseal(described.read_bytes(), key=str(described)), described)
        for cell in cells(self._protocol):
            file = folder / _name(cell)
            if not file.exists():
                continue
            try:
                content = unseal(file.read_bytes(), key=str(file))
            except StoreDamagedError as error:
                raise StoreDamagedError(f"{error} Delete it, and run again: only this cell is computed anew.") from None
            self._check(content, file)
            if content.get("cell") != cell.document:
                raise StoreMismatchError(f"{file} holds another cell, {content.get('cell')}. Delete it.")
            self.values[cell] = _as_read(content["result"])

    def _check(self, content: dict[str, Any], file: Path) -> None:
        if content.get("protocol") != self._protocol.hash:
            raise StoreMismatchError(
                f"{file} belongs to the protocol {str(content.get('protocol'))[:12]}, and this is "
                f"{self._protocol.hash[:12]}. Delete it, or choose another path."
            )


def _name(cell: Cell) -> str:
    return f"cell-{digest(cell.document)[:24]}.json"


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing: written beside, then moved there."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _written(value: Any) -> Any:
    """NaN as null, which every reader of JSON knows; infinity does not occur in scores."""
    if isinstance(value, dict):
        return {key: _written(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_written(item) for item in value]
    return None if isinstance(value, float) and value != value else value


def _as_read(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_read(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_read(item) for item in value]
    return float("nan") if value is None else value

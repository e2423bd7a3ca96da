"""Work that can be taken up where it was left: named arrays in a folder, each written whole or not at all."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import DamagedFileError, InputError, StoreMismatchError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from numpy.typing import NDArray

PLAN = "plan.json"


class Checkpoint:
    """A folder of finished pieces of one piece of work; without a path, nothing is kept.

    Args:
        path: a folder that does not exist, is empty, or was made by the same work.
        facts: what makes the work what it is: model, images, parameters.

    Raises:
        StoreMismatchError: the folder holds other work; the first difference is named.
        InputError: the folder holds something else.
        DamagedFileError: its plan cannot be read.
    """

    def __init__(self, path: str | PathLike[str] | None, facts: Mapping[str, Any]) -> None:
        self._folder = None if path is None else Path(path)
        if self._folder is None:
            return
        wanted = json.loads(json.dumps(dict(facts)))
        plan = self._folder / PLAN
        if not plan.exists():
            if self._folder.exists() and any(self._folder.iterdir()):
                raise InputError(
                    f"{self._folder} holds something else than interrupted work. Choose a path that does not exist yet."
                )
            self._folder.mkdir(parents=True, exist_ok=True)
            self._write(PLAN, json.dumps(wanted, indent=1).encode())
            return
        try:
            found = json.loads(plan.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DamagedFileError(f"{plan} cannot be read ({error}). Delete {self._folder} to begin again.") from error
        for name, value in wanted.items():
            if found.get(name) != value:
                raise StoreMismatchError(
                    f"{self._folder} holds work with {name} = {found.get(name)!r}; asked is {value!r}. Choose another "
                    "path, or ask for the same."
                )

    def get(self, name: str) -> dict[str, NDArray[Any]] | None:
        """A finished piece.

        Args:
            name: of the piece.

        Returns:
            Its arrays, or None where it was not finished.

        Raises:
            DamagedFileError: the file is there, but cannot be read.
        """
        if self._folder is None:
            return None
        file = self._folder / f"{name}.npz"
        if not file.exists():
            return None
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return dict(arrays)
        except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
            raise DamagedFileError(f"{file} cannot be read ({error}). Delete it; that piece is done again.") from error

    def put(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep a finished piece.

        Args:
            name: of the piece; an older one of the name is replaced.
            arrays: numbers or fixed-length strings.
        """
        if self._folder is None:
            return
        buffer = io.BytesIO()
        np.savez(buffer, **dict(arrays))  # type: ignore[arg-type]
        self._write(f"{name}.npz", buffer.getvalue())

    def _write(self, name: str, content: bytes) -> None:
        folder = self._folder or Path()
        partial = folder / f".{name}.partial"
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / name)

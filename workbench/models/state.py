"""Weights on disk and in memory: reading, fitting, hashing."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from workbench.errors import DamagedFileError, MissingFileError, WeightsMismatchError

_NESTED = ("state_dict", "model_state_dict", "model")
_SHOWN = 5


def read_state(path: str | Path) -> dict[str, torch.Tensor]:
    """Read weights from a file, never running code from it.

    Args:
        path: a ``.safetensors`` file, or one written by ``torch.save`` that holds tensors alone (a state dict, or a
            checkpoint with one under ``state_dict``, ``model_state_dict`` or ``model``).

    Returns:
        Parameter and buffer names to tensors on the CPU; a ``module.`` that data-parallel training put before every
        name is taken off.

    Raises:
        MissingFileError: there is no such file.
        DamagedFileError: the file cannot be read, or holds more than tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"There is no weights file {path}. Check the path.")
    try:
        if path.suffix == ".safetensors":
            found: Any = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DamagedFileError(
            f"{path} is damaged, or holds more than tensors, and unpickling that would run code from the file. "
            "Save module.state_dict() instead of the module."
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise DamagedFileError(f"{path} cannot be read as weights ({error}). Fetch or write it again.") from error
    for key in _NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise DamagedFileError(f"{path} holds {type(found).__name__}, not a state dict: names to tensors.")
    prefix = "module."
    if found and all(str(name).startswith(prefix) for name in found):
        return {str(name).removeprefix(prefix): value for name, value in found.items()}
    return {str(name): value for name, value in found.items()}


def fit(module: nn.Module, state: Mapping[str, torch.Tensor], *, origin: str) -> None:
    """Copy weights into a module, converting them to the module's own dtype.

    Args:
        module: the network; it is changed only where everything fits.
        state: names to tensors.
        origin: where the weights came from, for the message.

    Raises:
        WeightsMismatchError: names are missing or unknown, or shapes differ; each is named with what was expected
            and what came.
    """
    problems = mismatches(module, state)
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise WeightsMismatchError(
            f"The weights of {origin} do not fit {type(module).__name__}: {'; '.join(problems[:_SHOWN])}{more}. "
            "Pass the architecture that they were saved from."
        )
    counters = {name: value for name, value in module.state_dict().items() if _is_counter(name)}
    module.load_state_dict({**counters, **state})


def mismatches(module: nn.Module, state: Mapping[str, torch.Tensor]) -> list[str]:
    """Every reason why weights do not fit, one a name; empty where they do.

    Args:
        module: the network.
        state: names to tensors.

    Returns:
        Sentences such as ``"classifier.1.weight: expected (10, 64), got (9, 64)"``.
    """
    expected = module.state_dict()
    problems = [
        f"{name}: expected {tuple(value.shape)}, got {tuple(state[name].shape)}"
        for name, value in expected.items()
        if name in state and state[name].shape != value.shape
    ]
    problems += [
        f"{name}: expected {tuple(value.shape)}, got nothing"
        for name, value in expected.items()
        if name not in state and not _is_counter(name)
    ]
    problems += [
        f"{name}: got {tuple(value.shape)}, expected no such name"
        for name, value in state.items()
        if name not in expected
    ]
    return problems


def hash_state(module: nn.Module) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of all parameters and buffers.

    Args:
        module: the network.

    Returns:
        64 hexadecimal digits; the same on every device.
    """
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if not isinstance(value, torch.Tensor):
            digest.update(f"{name} {value!r}\n".encode())
            continue
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        data = value.detach().cpu().contiguous()
        if data.numel():
            digest.update(np.asarray(data.reshape(-1).view(torch.uint8).numpy()).data)
    return digest.hexdigest()


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")  # counts training steps; files from elsewhere often lack it

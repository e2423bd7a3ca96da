"""From a name, a module or a file to an :class:`ImageModel`."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torchvision
from torch import nn

from workbench.errors import DtypeError, InputError, MissingFileError, unknown_name
from workbench.models.image_model import ImageModel, Output
from workbench.models.preprocessing import Preprocessing
from workbench.models.shipped import FOLDER, card, shipped
from workbench.models.state import fit, read_state

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RANDOM_SEED = 0
_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")


class CallableModule(nn.Module):
    """A black box as a module: any function of network input.

    Args:
        function: (image, channel, y, x) float tensor to (image, category), tensor or array.
    """

    def __init__(self, function: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, inputs: torch.Tensor) -> Any:
        """Ask the function.

        Args:
            inputs: (image, channel, y, x) float.

        Returns:
            What the function gives, arrays as tensors.
        """
        found = self.function(inputs)
        return torch.from_numpy(found).to(inputs) if isinstance(found, np.ndarray) else found


@dataclass
class _Found:
    """What is known of a model before it becomes one."""

    module: nn.Module
    name: str
    categories: tuple[str, ...] = ()
    preprocessing: Preprocessing = field(default_factory=lambda: Preprocessing(declared=False))
    facts: dict[str, Any] = field(default_factory=dict)


def load(
    name_or_module: str | nn.Module | Callable[[torch.Tensor], Any],
    *,
    weights: Any = None,
    categories: Sequence[str] | str | Path | None = None,
    preprocessing: Preprocessing | Any = None,
    device: str | torch.device | None = None,
    output: Output | None = None,
    name: str | None = None,
) -> ImageModel:
    """Load an image classifier.

    Args:
        name_or_module: the name of a network that comes with the package (:func:`shipped`) or of a torchvision
            classifier; a module of your own, which is put into evaluation mode; or any function of network input
            (a black box: no gradients, no layers).
        weights: for a torchvision name, a member of its weights enum or that member's name; ``None`` and
            ``"DEFAULT"`` mean the enum's default, ``"random"`` an untrained network (the same one each time). For a
            torchvision name or a module, also the path of a ``.safetensors`` or state dict file, or the name of a
            data manifest for :func:`workbench.data.fetch`. Half precision on disk becomes the module's own dtype.
        categories: names of the outputs, or a text file with one a line; known by itself where the weights say so.
        preprocessing: how pictures become network input: :class:`Preprocessing`, or torchvision's own preset; known
            by itself where the weights say so. A module of your own without it takes prepared tensors only.
        device: where to put the network, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; None leaves it where it is.
        output: where the logits are in what the network gives, if not a tensor: a key, an index, or a function.
        name: what results call the model.

    Returns:
        The model, in evaluation mode.

    Raises:
        UnknownNameError: no such network or weights, with the nearest names.
        MissingFileError: a weights file that is not there, or that cannot be downloaded.
        DamagedFileError: a weights file that cannot be read safely.
        WeightsMismatchError: weights that do not fit; each misfit with its name, expected and got.
        InputError, DtypeError: an argument that cannot be used, or a device that this machine lacks.
    """
    found = _find(name_or_module, weights)
    if device is not None:
        found.module.to(_device(device))
    found.module.eval()
    model = ImageModel(
        module=found.module,
        name=name or found.name,
        categories=found.categories if categories is None else _categories(categories),
        preprocessing=found.preprocessing if preprocessing is None else _preprocessing(preprocessing),
        output=output,
        facts=found.facts,
    )
    if model.categories and categories is not None:
        _check_count(model)
    return model


def available() -> tuple[str, ...]:
    """Every name that :func:`load` knows: shipped networks, then torchvision's classifiers.

    Returns:
        The names.
    """
    return (*shipped(), *torchvision.models.list_models(module=torchvision.models))


def _find(name_or_module: Any, weights: Any) -> _Found:
    if isinstance(name_or_module, nn.Module):
        return _own_module(name_or_module, weights)
    if isinstance(name_or_module, str):
        if name_or_module in shipped():
            return _shipped(name_or_module, weights)
        if name_or_module in torchvision.models.list_models(module=torchvision.models):
            return _torchvision(name_or_module, weights)
    if isinstance(name_or_module, Path) or str(name_or_module).endswith(_SUFFIXES):
        raise InputError(
            f"{name_or_module} is a weights file; weights alone do not say which network they belong to. "
            "Use models.load(<torchvision name or your module>, weights=<the file>)."
        )
    if isinstance(name_or_module, str):
        raise unknown_name("model", name_or_module, available(), hint="Or pass a torch.nn.Module.")
    if callable(name_or_module) and not isinstance(name_or_module, type):
        return _own_module(CallableModule(name_or_module), weights)
    raise DtypeError(
        f"The model is {name_or_module!r}, {type(name_or_module).__name__}; expected a name, an instance of "
        "torch.nn.Module, or a function of network input."
    )


def _own_module(module: nn.Module, weights: Any) -> _Found:
    facts: dict[str, Any] = {}
    if weights is not None:
        path = _weights_path(weights)
        if path is None:
            raise InputError(f"weights is {weights!r}; for a module of your own, expected the path of a weights file.")
        fit(module, read_state(path), origin=str(path))
        facts["weights"] = path.name
    return _Found(module, type(module).__name__, facts=facts)


def _shipped(name: str, weights: Any) -> _Found:
    # by name, so that reading a card does not define the architectures
    networks = importlib.import_module("workbench.models.networks")
    facts = card(name)
    module = networks.build(facts["architecture"], **facts.get("architecture_arguments", {}))
    path = FOLDER / f"{name}.safetensors" if weights is None else _weights_path(weights)
    if path is None:
        raise InputError(f"weights is {weights!r}; for {name!r}, expected None or the path of a weights file.")
    fit(module, read_state(path), origin=str(path))
    preprocessing = Preprocessing.from_json(facts["preprocessing"])
    return _Found(module, name, tuple(facts["categories"]), preprocessing, facts)


def _torchvision(name: str, weights: Any) -> _Found:
    enum = torchvision.models.get_model_weights(name)
    first = next(iter(enum))  # the original recipe: names of ImageNet's categories, and the usual preparation
    found = _Found(nn.Identity(), name, _meta_categories(first), _preset(first), {"architecture": name})
    member = _member(enum, weights)
    path = None if member is not None or weights == "random" else _weights_path(weights)
    if isinstance(weights, str) and weights == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(RANDOM_SEED)
            found.module = _build(name)
    elif path is not None:
        found.module, count = _fitted(name, path)
        if count != len(found.categories):
            found.categories = ()
    elif member is not None:
        found.module = _download(name, member)
        found.categories, found.preprocessing = _meta_categories(member), _preset(member)
        found.facts |= {"recipe": member.meta.get("recipe", ""), "url": member.url}
        weights = member.name
    else:
        known = [*enum.__members__, "random"]
        raise unknown_name(f"weights of {name}", weights, known, hint="Or pass the path of a weights file.")
    found.facts["weights"] = path.name if path is not None else str(weights)
    return found


def _meta_categories(member: Any) -> tuple[str, ...]:
    return tuple(member.meta["categories"] or ())  # weights that stop at features have none


def _preset(member: Any) -> Preprocessing:
    return Preprocessing.from_torchvision(member.transforms())


def _member(enum: Any, weights: Any) -> Any:
    """The member of a torchvision weights enum that was meant, or None."""
    if weights is None:
        return enum.DEFAULT
    if isinstance(weights, enum):
        return weights
    short = weights.rpartition(".")[2] if isinstance(weights, str) else ""
    return enum[short] if short in enum.__members__ else None


def _build(name: str, **arguments: Any) -> nn.Module:
    if name in ("googlenet", "inception_v3"):
        arguments.setdefault("init_weights", False)  # else minutes of truncated normals, and a warning
    module: nn.Module = torchvision.models.get_model(name, weights=None, **arguments)
    return module


def _fitted(name: str, path: Path) -> tuple[nn.Module, int]:
    """Build a torchvision network with as many outputs as the weights have, and fill it."""
    state = read_state(path)
    module = _build(name)
    # the last parameter is the bias of the classifier in every torchvision classifier
    last, bias = list(module.named_parameters())[-1]
    count = state[last].shape[0] if last in state and state[last].ndim == 1 else bias.shape[0]
    if count != bias.shape[0]:
        module = _build(name, num_classes=count)
    fit(module, state, origin=str(path))
    return module, count


def _download(name: str, member: Any) -> nn.Module:
    try:
        module: nn.Module = torchvision.models.get_model(name, weights=member)
    except (OSError, RuntimeError) as error:  # no network, no room, or a file that is not what its hash says
        target = Path(torch.hub.get_dir()) / "checkpoints" / Path(member.url).name
        known = name in importlib.import_module("workbench.data").manifests()
        hint = f"weights={name!r} for the file that the data manifest of that name describes, " if known else ""
        raise MissingFileError(
            f"The weights {member} could not be fetched from {member.url} ({error}). Without a network, put that file "
            f"at {target}, pass weights=<path of a weights file>, {hint}or weights='random' for an untrained network."
        ) from error
    return module


def _weights_path(weights: Any) -> Path | None:
    """The weights file that was meant; None where the value is neither a path nor the name of a manifest."""
    if isinstance(weights, os.PathLike):
        return _single_file(Path(weights))
    if not isinstance(weights, str):
        return None
    if weights.endswith(_SUFFIXES) or len(Path(weights).parts) > 1:
        return _single_file(Path(weights))
    data = importlib.import_module("workbench.data")
    return _single_file(Path(data.fetch(weights))) if weights in data.manifests() else None


def _single_file(path: Path) -> Path:
    """The file itself, or the one weights file in a folder."""
    if not path.is_dir():
        return path
    inside = sorted(item for item in path.rglob("*") if item.name.endswith(_SUFFIXES))
    if len(inside) != 1:
        raise InputError(f"{path} holds {len(inside)} weights files; give the path of the one that is meant.")
    return inside[0]


def _device(device: str | torch.device) -> torch.device:
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"device is {device!r}; expected 'cpu', 'cuda', 'cuda:1' or 'mps'.") from error
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(wanted.type, True):
        raise InputError(f"device is {device!r}, which this machine does not have. Use device='cpu'.")
    return wanted


def _categories(categories: Sequence[str] | str | Path) -> tuple[str, ...]:
    if isinstance(categories, str | Path):
        path = Path(categories)
        if not path.is_file():
            raise MissingFileError(f"There is no file of category names {path}. Give a path, or a sequence of names.")
        return tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return tuple(str(category) for category in categories)


def _preprocessing(preprocessing: Any) -> Preprocessing:
    if isinstance(preprocessing, Preprocessing):
        return preprocessing
    return Preprocessing.from_torchvision(preprocessing)


def _check_count(model: ImageModel) -> None:
    """Ask the network once how many outputs it has, where the input size is known."""
    if model.preprocessing.size is None:
        return  # ImageModel.logits checks it at the first use
    zeros = torch.zeros((1, *model.input_shape), dtype=model.dtype, device=model.device)
    with torch.inference_mode():
        model.logits(zeros)

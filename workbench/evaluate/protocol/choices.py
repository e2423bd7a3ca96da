"""What a protocol is made of: methods and metrics with their parameters, models and data by their hashes.

Each is frozen and holds plain text and numbers only, so that two people can compare what they ran. The network or the
images themselves ride along where they are at hand, but count neither for equality nor for the hash.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.data.scenes import SceneSource
from workbench.data.source import as_source
from workbench.errors import DtypeError, InputError, StoreMismatchError
from workbench.models import ImageModel, load, shipped

if TYPE_CHECKING:
    from workbench.data.source import ImageSource

TARGET, ANY = "target", "any"


def canonical(value: Any) -> str:
    """JSON that is the same for the same content: keys sorted, no spaces.

    Args:
        value: plain content; NumPy numbers and tuples are turned into plain ones.

    Returns:
        The text.

    Raises:
        DtypeError: something that JSON cannot hold.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise DtypeError(
        f"A protocol holds text, numbers, lists and mappings of them; {value!r} is {type(value).__name__}. "
        "Register what you made yourself, and name it."
    )


def digest(value: Any) -> str:
    """SHA-256 (hexadecimal) of the canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


@dataclass(frozen=True)
class Choice:
    """A registered method or metric with its parameters.

    Written as text it is ``"gradcam"`` or ``"occlusion(patch=12, baseline=mean)"``.

    Attributes:
        name: registered name.
        settings: the parameters as canonical JSON; those left out have their defaults.
    """

    name: str
    settings: str = "{}"

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters, by name."""
        found: dict[str, Any] = json.loads(self.settings)
        return found

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={_short(value)}" for name, value in self.parameters.items())
        return f"{self.name}({inside})" if inside else self.name


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def as_choice(value: Any) -> Choice:
    """A choice from its text, or from a name and a mapping.

    Args:
        value: ``"name"``, ``"name(parameter=value, ...)"``, ``("name", {"parameter": value})``, or a choice.

    Returns:
        The choice; whether such a name exists is for the protocol to say.

    Raises:
        InputError: text that is neither.
        DtypeError: anything else, or parameters that JSON cannot hold.
    """
    if isinstance(value, Choice):
        return value
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], Mapping):
        return Choice(value[0], canonical(value[1]))
    if not isinstance(value, str):
        raise DtypeError(f"{value!r} names no method or metric; expected a name, or a name and a dict of parameters.")
    found = re.fullmatch(r"([\w.]+)\s*(?:\((.*)\))?", value.strip())
    if found is None:
        raise InputError(f"{value!r} is neither a name nor 'name(parameter=value)'.")
    parameters: dict[str, Any] = {}
    for pair in filter(str.strip, re.split(r",(?![^(]*\))", found[2] or "")):
        name, equals, text = (part.strip() for part in pair.partition("="))
        if not name.isidentifier() or not equals or not text:
            raise InputError(f"{value!r} has {pair.strip()!r} in its brackets; expected 'parameter=value'.")
        parameters[name] = _literal(text)
    return Choice(found[1], canonical(parameters))


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text  # a word, such as the name of a baseline


@dataclass(frozen=True)
class ModelChoice:
    """A network, by what it computes.

    Attributes:
        name: the model's name.
        weights_hash: SHA-256 of its weights.
        preprocessing: how pictures become its input, as JSON.
        layer: whose units interpretation methods look at.
        model: the network itself, where it is at hand; counts neither for equality nor for the hash.
    """

    name: str
    weights_hash: str
    preprocessing: str
    layer: str
    model: ImageModel | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, model: ImageModel | str, *, layer: str | None = None) -> ModelChoice:
        """Describe a model.

        Args:
            model: a model, or the name of one that ships with the package.
            layer: whose units are interpreted; the last that gives maps where omitted.

        Returns:
            The description, which holds the model.

        Raises:
            UnknownNameError: no such model or layer.
            InputError: a layer that gives no maps.
            DtypeError: neither a model nor a name.
        """
        if not isinstance(model, ImageModel | str):
            raise DtypeError(f"{model!r} is no model; expected one from models.load, or the name of a shipped one.")
        found = load(model) if isinstance(model, str) else model
        chosen = _last_maps(found) if layer is None else layer
        shape = found.check_layer(chosen)
        if len(shape) != 3:
            raise InputError(f"layer {chosen!r} gives {shape}; expected (unit, y, x). Choose a convolutional layer.")
        return cls(found.name, found.weights_hash, canonical(found.preprocessing.to_json()), chosen, found)

    @property
    def document(self) -> dict[str, str]:
        """What counts, as JSON holds it."""
        names = ("name", "weights_hash", "preprocessing", "layer")
        return {name: getattr(self, name) for name in names}

    def at_hand(self) -> ModelChoice:
        """The same with the network loaded.

        Returns:
            Itself where it holds the network.

        Raises:
            InputError: a network that does not ship with the package and was not given.
            StoreMismatchError: the shipped network of this name has other weights by now.
        """
        if self.model is not None:
            return self
        if self.name not in shipped():
            raise InputError(
                f"The protocol names the model {self.name!r}, which is not at hand. Pass it: run(models=[model])."
            )
        return self.holding(load(self.name))

    def holding(self, model: ImageModel) -> ModelChoice:
        """The same with this network, if it is the one that is described.

        Args:
            model: the network.

        Returns:
            The description, which holds the model.

        Raises:
            StoreMismatchError: other weights or another preprocessing.
        """
        found = ModelChoice.of(model, layer=self.layer)
        if found != self:
            raise StoreMismatchError(
                f"The model {model.name!r} is not the one that the protocol describes: its weights are "
                f"{found.weights_hash[:12]} and not {self.weights_hash[:12]}, or its preprocessing differs."
            )
        return found


def _last_maps(model: ImageModel) -> str:
    """The last layer whose units have more than one position; a layer that only hands on is passed over."""
    spatial = [name for name, shape in model.layers.items() if len(shape) == 3 and shape[1] * shape[2] > 1]
    if not spatial:
        raise InputError(f"No layer of {model.name!r} gives maps (unit, y, x); there are no units to draw.")
    return spatial[-1]


@dataclass(frozen=True)
class DataChoice:
    """Images with annotations, by what vouches for them.

    Attributes:
        name: what tables call them.
        content: hash of the manifest that vouches for them, or "content:" and a hash over everything that was decoded.
        images: SHA-256 of the identifiers in their order.
        count: how many.
        generator: parameters of rendered scenes as JSON; "" for others.
        objects: which masks an explanation should find: ``"target"`` (those named as the category that is explained,
            alone or as the last word), ``"any"`` (all of them), or names of masks.
        parts: names of the masks that units are linked to; all where empty.
        learn: images that interpretation methods learn from; None for a random half, the other being scored.
        source: the images themselves, where they are at hand; counts neither for equality nor for the hash.
    """

    name: str
    content: str
    images: str
    count: int
    generator: str = ""
    objects: str | tuple[str, ...] = TARGET
    parts: tuple[str, ...] = ()
    learn: DataChoice | None = None
    source: ImageSource | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(
        cls,
        images: Any,
        *,
        name: str = "",
        objects: str | Sequence[str] = TARGET,
        parts: Sequence[str] = (),
        learn: Any = None,
    ) -> DataChoice:
        """Describe images.

        Args:
            images: anything that :func:`workbench.data.as_source` takes; a :class:`~workbench.data.scenes.SceneSource`
                is remade from its description alone.
            name: what tables call them; made of the source's kind and its hash where omitted.
            objects: as the attribute.
            parts: as the attribute.
            learn: images, or a description of them.

        Returns:
            The description, which holds the images.

        Raises:
            InputError, ShapeError, DtypeError: images that cannot be used.
        """
        source = as_source(images)
        generator = canonical({**_scene_parameters(source)}) if isinstance(source, SceneSource) else ""
        content = source.manifest_hash or f"content:{_content(source)}"
        identifiers = [str(item) for item in source.identifiers]
        chosen = objects if isinstance(objects, str) else tuple(str(item) for item in objects)
        if isinstance(chosen, str) and chosen not in (TARGET, ANY):
            raise InputError(f"objects is {chosen!r}; expected 'target', 'any', or a list of names of masks.")
        return cls(
            name or _default_name(source, content),
            content,
            digest(identifiers),
            len(source),
            generator,
            chosen,
            tuple(str(item) for item in parts),
            learn if learn is None or isinstance(learn, DataChoice) else cls.of(learn),
            source,
        )

    @property
    def document(self) -> dict[str, Any]:
        """What counts, as JSON holds it."""
        names = ("name", "content", "images", "count", "generator", "objects", "parts")
        found = {name: getattr(self, name) for name in names}
        return {**found, "learn": None if self.learn is None else self.learn.document}

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> DataChoice:
        """Read back what :attr:`document` gave.

        Args:
            document: the mapping.

        Returns:
            The description, without images.
        """
        found = dict(document)
        objects = found.pop("objects")
        learn = found.pop("learn")
        return cls(
            **{**found, "parts": tuple(found["parts"])},
            objects=objects if isinstance(objects, str) else tuple(objects),
            learn=None if learn is None else cls.of_document(learn),
        )

    def at_hand(self) -> DataChoice:
        """The same with the images.

        Returns:
            Itself where it holds them; scenes are rendered again from their parameters.

        Raises:
            InputError: images that cannot be made again and were not given.
            StoreMismatchError: the generator gives other scenes by now.
        """
        learn = None if self.learn is None else self.learn.at_hand()
        if self.source is not None:
            return replace(self, learn=learn)
        if not self.generator:
            raise InputError(
                f"The protocol names the data {self.name!r}, which are not at hand. Pass them: run(data={{name: ...}})."
            )
        known = json.loads(self.generator)
        names = ("count", "seed", "size", "start", "confound")
        options = {name: known[name] for name in names}
        if "agreement" in known:
            options["agreement"] = known["agreement"]
        return replace(self.holding(SceneSource(known["task"], **options)), learn=learn)

    def holding(self, images: Any) -> DataChoice:
        """The same with these images, if they are those that are described.

        Args:
            images: the images.

        Returns:
            The description, which holds the images.

        Raises:
            StoreMismatchError: other images.
        """
        found = DataChoice.of(images, name=self.name, objects=self.objects, parts=self.parts)
        if (found.content, found.images, found.count) != (self.content, self.images, self.count):
            raise StoreMismatchError(
                f"The data given for {self.name!r} are not those that the protocol describes: {found.count} images, "
                f"{found.content[:20]}, and not {self.count}, {self.content[:20]}."
            )
        return replace(self, source=found.source)


def _scene_parameters(source: SceneSource) -> dict[str, Any]:
    return {**source.parameters, "count": int(source.count), "start": int(source.start)}


def _default_name(source: ImageSource, content: str) -> str:
    if isinstance(source, SceneSource):
        known = source.parameters
        return f"scenes {known['task']}, seed {known['seed']}"
    return f"{type(source).__name__.removesuffix('Source').lower()} {content.removeprefix('content:')[:8]}"


def _content(source: ImageSource) -> str:
    """SHA-256 over everything that is decoded, for images that no manifest vouches for."""
    found = hashlib.sha256()
    for index in range(len(source)):
        item = source[index]
        boxes = [[box.category, box.left, box.top, box.right, box.bottom] for box in item.boxes]
        found.update(canonical([item.identifier, list(item.image.shape), item.label, boxes]).encode())
        found.update(np.ascontiguousarray(item.image).tobytes())
        for name in sorted(item.masks):
            found.update(name.encode())
            found.update(np.packbits(item.masks[name]).tobytes())
    return found.hexdigest()

"""Why this prediction, on this picture: any explainer of the registry, with controls around it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from traitlets import Bool, Dict, Float, HasTraits, Int, Unicode, validate

from workbench import view
from workbench.arrays import strings
from workbench.data import ImageSource, Subset, as_source
from workbench.errors import InputError, UnknownNameError, unknown_name
from workbench.explain import Progress, explainers
from workbench.models import ImageModel, load
from workbench.panels.gallery import Gallery
from workbench.panels.method_controls import MethodControls, checked, defaults, has_layers, map_layers
from workbench.panels.parts import Cache, Choice, Panel, Range, Toggle, group
from workbench.panels.words import as_python, time_left
from workbench.view.heatmap import unit_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from workbench.panels.parts.panel import Report
    from workbench.view import Picture

PREDICTED = ""
RANKED = 3  # predictions that the controls name


@dataclass(frozen=True)
class Call:
    """One explainer with all its parameters, as JSON text, so that equal calls are equal."""

    method: str
    parameters: str

    @property
    def arguments(self) -> dict[str, Any]:
        """The parameters as keyword arguments."""
        found: dict[str, Any] = json.loads(self.parameters)
        return found


@dataclass(frozen=True)
class ExplanationRequest:
    """What an :class:`ExplanationState` asks for.

    Attributes:
        model: name of the model.
        image: index of the image.
        target: category, or "" for the predicted one.
        calls: the explainers.
    """

    model: str
    image: int
    target: str
    calls: tuple[Call, ...]


class ExplanationState(HasTraits):
    """What can be set in an :class:`ExplanationPanel`, by a person or from code; a value that cannot be is refused.

    Attributes:
        image: index of the image; uploaded images follow those of the source.
        model: name of the model.
        target: category that is explained, by name, or by index where names are not unique; "" for the one that the
            model predicts.
        method: name of an explainer.
        parameters: its parameters, all of them; those that are left out when it is set get their defaults.
        compare: whether a second method stands beside the first.
        second_method: its name.
        second_parameters: its parameters.
        opacity: of the heatmap over the picture, from 0 to 1.
        contour: per cent of the picture to outline, where the map is highest; 0 for no outline.
        clip: per cent of the values that may lie beyond the colours.
    """

    image = Int(0)
    model = Unicode()
    target = Unicode(PREDICTED)
    method = Unicode()
    parameters = Dict()
    compare = Bool(False)
    second_method = Unicode()
    second_parameters = Dict()
    opacity = Float(0.65, min=0, max=1)
    contour = Float(0.0, min=0, max=50)
    clip = Float(0.0, min=0, max=20)

    def __init__(self, *, models: Mapping[str, ImageModel], images: Callable[[], int], method: str) -> None:
        self._models, self._images = models, images
        first = explainers[method].card
        others = [name for name in explainers if name != method]
        second = explainers[others[0] if others else method].card
        super().__init__(
            model=next(iter(models)),
            method=first.name,
            parameters=defaults(first),
            second_method=second.name,
            second_parameters=defaults(second),
        )

    @validate("image")
    def _known_image(self, proposal: Any) -> int:
        count = self._images()
        if not 0 <= proposal["value"] < count:
            raise InputError(f"image is {proposal['value']}; there are {count}, numbered from 0.")
        return int(proposal["value"])

    @validate("model")
    def _known_model(self, proposal: Any) -> str:
        if proposal["value"] not in self._models:
            raise unknown_name("model", proposal["value"], self._models, hint="Give it to the panel first.")
        return str(proposal["value"])

    @validate("target")
    def _known_target(self, proposal: Any) -> str:
        if proposal["value"] != PREDICTED:
            category_index(self._models[self.model], proposal["value"])
        return str(proposal["value"])

    @validate("method", "second_method")
    def _known_method(self, proposal: Any) -> str:
        return explainers[proposal["value"]].card.name

    @validate("parameters", "second_parameters")
    def _known_parameters(self, proposal: Any) -> dict[str, Any]:
        name = self.method if proposal["trait"].name == "parameters" else self.second_method
        return checked(explainers[name].card, proposal["value"])


class ExplanationPanel(Panel[ExplanationState, ExplanationRequest]):
    """Explain a model's prediction on a picture, and see the heatmap grow.

    Args:
        model: an :class:`ImageModel`, the name of one that comes with the package, or a sequence of these to choose
            among.
        images: anything that :func:`workbench.data.as_source` takes.
        method: the explainer to begin with.

    Raises:
        UnknownNameError: no such model or explainer.
        InputError: no model or no image.

    >>> panel = ExplanationPanel("scenes_object", images)              # doctest: +SKIP
    >>> panel.state.method = "integrated_gradients"                    # doctest: +SKIP
    >>> panel.result["heatmap"].sel(explainer="Integrated gradients")     # doctest: +SKIP
    """

    heading = "Why this prediction?"
    file_name = "explanation"
    drawing_traits = frozenset({"opacity", "contour", "clip"})
    model_choice: Choice
    target_choice: Choice
    method_choice: Choice
    second_choice: Choice
    method_controls: MethodControls
    second_controls: MethodControls
    compare_toggle: Toggle
    opacity_range: Range
    contour_range: Range
    clip_range: Range

    def __init__(
        self,
        model: ImageModel | str | Sequence[ImageModel | str],
        images: Any,
        *,
        method: str = "occlusion",
    ) -> None:
        given = [model] if isinstance(model, ImageModel | str) else list(model)
        if not given:
            raise InputError("No model was given; expected an ImageModel, a name, or a sequence of these.")
        loaded = [load(one) if isinstance(one, str) else one for one in given]
        self._named = {one for one in given if isinstance(one, str)}
        self.models = {one.name: one for one in loaded}
        if len(self.models) < len(loaded):
            raise InputError("Two models have the same name. Load them with models.load(..., name=...).")
        source = as_source(images)
        self._heatmaps: Cache[xr.DataArray] = Cache(64)
        self._predictions: Cache[xr.DataArray] = Cache(256)
        self._count = len(source)
        super().__init__(ExplanationState(models=self.models, images=lambda: self._count, method=method))
        self.gallery = Gallery(source, self.state, self._pick)
        self._make_controls()
        # Before the panel listens: a state must be consistent when it is computed.
        self.state.observe(self._follow_state)
        self._follow_state()
        self.assemble([
            self.gallery.widget,
            group([self.model_choice, self.target_choice]),
            group([self.method_choice, self.method_controls.widget]),
            group([self.compare_toggle, self.second_choice, self.second_controls.widget]),
        ], [self.opacity_range, self.contour_range, self.clip_range])  # fmt: skip

    @property
    def images(self) -> ImageSource:
        """The images that the panel was given."""
        return self.gallery.images

    def request(self) -> ExplanationRequest:
        """What the state asks for."""
        state = self.state
        calls = [Call(state.method, json.dumps(state.parameters, sort_keys=True))]
        if state.compare:
            calls.append(Call(state.second_method, json.dumps(state.second_parameters, sort_keys=True)))
        return ExplanationRequest(state.model, state.image, state.target, tuple(calls))

    def compute(self, request: ExplanationRequest, *, stop: Callable[[], bool], report: Report) -> xr.Dataset:
        """Explain with each method in turn; see :meth:`Panel.compute`."""
        model, image = self.models[request.model], self._one(request.image)
        probability = self._predictions.get(
            (request.model, request.image), lambda: model.predict(image)["probability"].isel(image=0)
        )
        index = category_index(model, request.target) if request.target else int(probability.values.argmax())
        target = str(probability.category.values[index])
        picture = model.pictures(model.prepare(image))[0]
        maps: list[xr.DataArray] = []

        def told(progress: Progress) -> None:
            number = f" ({len(maps) + 1} of {len(request.calls)})" if len(request.calls) > 1 else ""
            title = explainers[request.calls[len(maps)].method].card.title
            done = (len(maps) + progress.fraction) / len(request.calls)
            words = f"{title}{number}: {time_left(progress.seconds_left)}"
            so_far = None
            if progress.partial is not None:
                so_far = gather(
                    request, [*maps, progress.partial.isel(image=0)], picture, probability, target, final=False
                )
            report(done, words, so_far)

        for call in request.calls:
            key = (request.model, request.image, index, call)
            maps.append(self._heatmaps.get(key, partial(explain_one, model, image, index, call, told, stop)))
        return gather(request, maps, picture, probability, target)

    def draw(self, result: xr.Dataset) -> Picture:
        """The picture, and one heatmap a method beside it."""
        return view.explanation(result, **self._drawing_options())

    def reproduce(self, request: ExplanationRequest) -> str:
        """Code that computes and draws the same, given the variables ``model`` and ``images``."""
        model = self.models[request.model]
        lines = ["from workbench import data, explain, models, view", ""]
        if request.model in self._named:
            lines.append(f"model = models.load({model.name!r})")
        else:
            lines.append(f"# `model` is the ImageModel {model.name!r} that the panel was given")
        own = request.image - len(self.images)
        if own < 0:
            lines.append(f"image = data.Subset(data.as_source(images), [{request.image}])  # as given to the panel")
        else:
            lines.append(f"image = data.as_source([{self.gallery[request.image].identifier!r}])  # the uploaded file")
        if request.target:
            known = request.target in model.categories
            lines.append(f"target = {request.target if known else int(request.target)!r}")
        else:
            lines.append("target = None  # the category that the model predicts")
        options = {key: value for key, value in self._drawing_options().items() if value}
        for call in request.calls:
            arguments = as_python({key: value for key, value in call.arguments.items() if value is not None})
            lines += [
                "",
                f"heat = explain.explain({call.method!r}, model, image, target=target{arguments})",
                "picture = model.pictures(model.prepare(image))[0]",
                f"display(view.heatmap(heat, picture{as_python(options)}))",
            ]
        return "\n".join(lines) + "\n"

    def computed(self, result: xr.Dataset) -> None:
        """Name the predictions beside the target."""
        ranked = result["probability"].sortby(result["probability"], ascending=False)[:RANKED]
        said = ", ".join(
            f"{name} {float(p):.2f}" for name, p in zip(ranked.category.values, ranked.values, strict=True)
        )
        self.target_choice.hint = f"Predicted: {said}"

    def _drawing_options(self) -> dict[str, Any]:
        state = self.state
        return {
            "opacity": round(state.opacity, 3),
            "contour": round(state.contour / 100, 4) or None,
            "clip": round(state.clip / 100, 4),
        }

    def _one(self, index: int) -> ImageSource:
        own = index - len(self.images)
        if own < 0:
            return Subset(self.images, np.array([index]))
        item = self.gallery.uploads[own]
        return as_source(item.image[None], identifiers=[item.identifier])

    def _pick(self, index: int) -> None:
        self._count = len(self.gallery)
        self.state.image = index

    def _make_controls(self) -> None:
        state = self.state
        titles = [method.card.title for method in explainers.values()]
        self.model_choice = Choice(label="Model", value=state.model)
        self.model_choice.offer(list(self.models))
        self.target_choice = Choice(label="Explained category")
        self.method_choice = Choice(label="Method", value=state.method)
        self.method_choice.offer(list(explainers), titles)
        self.second_choice = Choice(label="Second method", value=state.second_method)
        self.second_choice.offer(list(explainers), titles)
        self.compare_toggle = Toggle(label="Compare with a second method")
        self.method_controls = MethodControls(lambda values: setattr(state, "parameters", values))
        self.second_controls = MethodControls(
            lambda values: setattr(state, "second_parameters", values), mark=" (second)"
        )
        self.opacity_range = Range(label="Opacity", min=0, max=1, step=0.05)
        self.contour_range = Range(label="Outline the highest", min=0, max=50, step=1, unit="%", lowest="none")
        self.clip_range = Range(label="Beyond the scale", min=0, max=20, step=0.5, unit="%", lowest="none")
        self._links = {
            "model": self.model_choice, "target": self.target_choice, "method": self.method_choice,
            "second_method": self.second_choice, "compare": self.compare_toggle, "opacity": self.opacity_range,
            "contour": self.contour_range, "clip": self.clip_range,
        }  # fmt: skip
        for trait, control in self._links.items():
            control.observe(lambda change, trait=trait: setattr(state, trait, change["new"]), "value")

    def _follow_state(self, change: Any = None) -> None:
        """Bring the controls in step with the state; what depends on a changed trait is brought in order first."""
        state, name = self.state, change["name"] if change else ""
        if name == "method":
            state.parameters = defaults(explainers[state.method].card)
        elif name == "second_method":
            state.second_parameters = defaults(explainers[state.second_method].card)
        elif name == "model" and not _has_category(self.models[state.model], state.target):
            state.target = PREDICTED
        model = self.models[state.model]
        values, texts = category_options(model.categories)
        self.target_choice.offer([PREDICTED, *values], ["what the model predicts", *texts])
        for controls, method, parameters in (
            (self.method_controls, state.method, state.parameters),
            (self.second_controls, state.second_method, state.second_parameters),
        ):
            card = explainers[method].card
            controls.show(card, parameters, map_layers(model) if has_layers(card) else ())
        for control in (self.second_choice, self.second_controls.widget):
            control.layout.display = "" if state.compare else "none"
        for trait, control in self._links.items():
            control.value = getattr(state, trait)


def explain_one(
    model: ImageModel,
    image: ImageSource,
    target: int,
    call: Call,
    progress: Callable[[Progress], None],
    stop: Callable[[], bool],
) -> xr.DataArray:
    """One heatmap of one image.

    Args:
        model: what is explained.
        image: a source of one image.
        target: index of the category.
        call: explainer and parameters.
        progress: told how far it is.
        stop: asked whether to end.

    Returns:
        (y, x) float32.
    """
    arguments = {key: value for key, value in call.arguments.items() if value is not None}
    heat: xr.DataArray = explainers[call.method](model, image, target=target, progress=progress, stop=stop, **arguments)
    return heat.isel(image=0)


def gather(
    request: ExplanationRequest,
    maps: Sequence[xr.DataArray],
    picture: Any,
    probability: xr.DataArray,
    target: str,
    *,
    final: bool = True,
) -> xr.Dataset:
    """Everything that the panel shows, as one result.

    Args:
        request: what was asked for.
        maps: (y, x) float, one a call; fewer while it is being computed.
        picture: (y, x, channel) float32 in [0, 1].
        probability: (category).
        target: the category that is explained.
        final: whether nothing is missing.

    Returns:
        ``heatmap`` and ``signed`` (explainer, y, x) float32, ``picture`` (y, x, channel), ``probability`` (category);
        coordinates ``explainer`` (titles) and ``units``; ``complete`` is 0 while something is missing.
    """
    titles: list[str] = []
    for call in request.calls[: len(maps)]:
        title = explainers[call.method].card.title
        titles.append(title if title not in titles else f"{title} (second)")
    values = np.stack([heat.values for heat in maps])
    signed = np.stack([heat["signed"].values if "signed" in heat.coords else heat.values for heat in maps])
    return xr.Dataset(
        {
            "heatmap": (("explainer", "y", "x"), values.astype(np.float32)),
            "signed": (("explainer", "y", "x"), signed.astype(np.float32)),
            "picture": (("y", "x", "channel"), picture),
            "probability": ("category", probability.values),
        },
        coords={
            "explainer": strings(titles),
            "units": ("explainer", strings(unit_of(heat) for heat in maps)),
            "category": strings(probability["category"].values),
        },
        attrs={
            **{key: value for key, value in maps[0].attrs.items() if key in ("model", "weights_hash", "versions")},
            "image": str(probability["image"].item()),
            "target": target,
            "calls": json.dumps([[call.method, call.arguments] for call in request.calls], sort_keys=True),
            "complete": int(final),
        },
    )


def category_index(model: ImageModel, target: str) -> int:
    """The index of a category given by name, or by its number where no category is called so.

    Raises:
        UnknownNameError, InputError: no such category, or a name that several have.
    """
    if target not in model.categories and target.isdecimal():
        return model.category_index(int(target))
    return model.category_index(target)


def category_options(categories: Sequence[str]) -> tuple[list[str], list[str]]:
    """Values and texts of a menu of categories; a name that several have is told apart by its number.

    >>> category_options(["crane", "duck", "crane"])
    (['0', 'duck', '2'], ['crane (0)', 'duck', 'crane (2)'])
    """
    repeated = {name for name, count in Counter(categories).items() if count > 1}
    values = [str(i) if name in repeated else name for i, name in enumerate(categories)]
    return values, [f"{name} ({i})" if name in repeated else name for i, name in enumerate(categories)]


def _has_category(model: ImageModel, target: str) -> bool:
    try:
        return target == PREDICTED or category_index(model, target) >= 0
    except (UnknownNameError, InputError):
        return False

"""Why this prediction, on this picture: any explainer of the registry, with controls around it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from traitlets import Bool, Dict, Float, HasTraits, Int, Unicode, validate

from workbench import view
from workbench.data import ImageSource, Subset, as_source
from workbench.errors import InputError, unknown_name
from workbench.explain import Progress, explainers
from workbench.models import ImageModel, load
from workbench.panels.explained import (
    PREDICTED,
    Call,
    ExplanationRequest,
    Subject,
    category_index,
    category_options,
    explain_one,
    gather,
    has_category,
)
from workbench.panels.gallery import Gallery
from workbench.panels.method_controls import MethodControls, checked, defaults, has_layers, map_layers
from workbench.panels.parts import Cache, Choice, Panel, Range, Toggle, group
from workbench.panels.words import as_python, time_left

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import xarray as xr

    from workbench.panels.parts.panel import Report
    from workbench.registry import Card
    from workbench.view import Picture

RANKED = 3  # predictions that the controls name


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

    def __init__(
        self,
        *,
        models: Mapping[str, ImageModel],
        images: Callable[[], int],
        method: str,
        second: str | None = None,
    ) -> None:
        self._models, self._images = models, images
        others = [name for name in explainers if name != method]
        super().__init__(
            model=next(iter(models)),
            method=explainers[method].card.name,
            second_method=second or (others[0] if others else method),
        )
        self.parameters, self.second_parameters = defaults(self.card), defaults(self.second_card)

    @property
    def card(self) -> Card:
        """What the first method takes."""
        return explainers[self.method].card

    @property
    def second_card(self) -> Card:
        """What the second method takes."""
        return explainers[self.second_method].card

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
        card = self.card if proposal["trait"].name == "parameters" else self.second_card
        return checked(card, proposal["value"])


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
        self._subjects: Cache[Subject] = Cache(32)
        self._count = len(source)
        super().__init__(self.make_state(method))
        self.gallery = Gallery(source, self.state, self._pick)
        self._make_controls()
        # Before the panel listens: a state must be consistent when it is computed.
        self.state.observe(self._follow_state)
        self._follow_state()
        self.lay_out()

    def make_state(self, method: str) -> ExplanationState:
        """The state to begin with.

        Args:
            method: registered name of the method to begin with.

        Returns:
            The state.
        """
        return ExplanationState(models=self.models, images=lambda: self._count, method=method)

    def lay_out(self) -> None:
        """Put the controls in their places; see :meth:`Panel.assemble`."""
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
        calls = [self.first_call()]
        if state.compare:
            calls.append(Call(state.second_method, json.dumps(state.second_parameters, sort_keys=True)))
        return ExplanationRequest(state.model, state.image, state.target, tuple(calls))

    def first_call(self) -> Call:
        """The first method with what it is called with."""
        return Call(self.state.method, json.dumps(self.state.parameters, sort_keys=True))

    def compute(self, request: ExplanationRequest, *, stop: Callable[[], bool], report: Report) -> xr.Dataset:
        """Explain with each method in turn; see :meth:`Panel.compute`."""
        subject = self.subject(request)
        maps: list[xr.DataArray] = []

        def told(progress: Progress) -> None:
            number = f" ({len(maps) + 1} of {len(request.calls)})" if len(request.calls) > 1 else ""
            title = explainers[request.calls[len(maps)].method].card.title
            done = (len(maps) + progress.fraction) / len(request.calls)
            words = f"{title}{number}: {time_left(progress.seconds_left)}"
            so_far = None
            if progress.partial is not None:
                so_far = self.gather(request, [*maps, progress.partial.isel(image=0)], subject, final=False)
            report(done, words, so_far)

        for call in request.calls:
            heat = self.explain(subject, call, told, stop)
            maps.append(heat)
        return self.gather(request, maps, subject)

    def subject(self, request: ExplanationRequest) -> Subject:
        """The image of a request, its model and its category; a network whose weights changed is asked anew.

        Args:
            request: what was asked.

        Returns:
            The subject.
        """
        model = self.models[request.model]
        key = (request.model, model.weights_hash, request.image)

        def see() -> Subject:
            image = self._one(request.image)
            inputs = model.prepare(image)
            probability = model.predict(inputs)["probability"].isel(image=0)
            probability = probability.assign_coords(image=str(image.identifiers[0]))
            index = category_index(model, request.target) if request.target else int(probability.values.argmax())
            return Subject(model, image, key, index, inputs, model.pictures(inputs)[0], probability)

        return self._subjects.get((key, request.target), see)

    def explain(
        self, subject: Subject, call: Call, told: Callable[[Progress], None], stop: Callable[[], bool]
    ) -> xr.DataArray:
        """The map (y, x) of one call, from what is known where it was asked before.

        Args:
            subject: the model and the image, prepared.
            call: the method and its parameters.
            told: takes the progress.
            stop: answers True to stop.

        Returns:
            DataArray (y, x) float32, see :func:`workbench.explain.result.heatmaps`.

        Raises:
            Interrupted: ``stop`` answered True.
        """
        return self._heatmaps.get((subject.key, subject.index, call), lambda: explain_one(subject, call, told, stop))

    def gather(
        self, request: ExplanationRequest, maps: Sequence[xr.DataArray], subject: Subject, *, final: bool = True
    ) -> xr.Dataset:
        """Everything that is known of a request, as one result.

        Args:
            request: what was asked.
            maps: (y, x) one a method.
            subject: the model and the image, prepared.
            final: whether all maps are complete.

        Returns:
            Dataset (explainer, y, x).
        """
        return gather(request, maps, subject, final=final)

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
            state.parameters = defaults(state.card)
        elif name == "second_method":
            state.second_parameters = defaults(state.second_card)
        elif name == "model" and not has_category(self.models[state.model], state.target):
            state.target = PREDICTED
        model = self.models[state.model]
        values, texts = category_options(model.categories)
        self.target_choice.offer([PREDICTED, *values], ["what the model predicts", *texts])
        for controls, card, parameters in (
            (self.method_controls, state.card, state.parameters),
            (self.second_controls, state.second_card, state.second_parameters),
        ):
            controls.show(card, parameters, map_layers(model) if has_layers(card) else ())
        for control in (self.second_choice, self.second_controls.widget):
            control.layout.display = "" if state.compare else "none"
        for trait, control in self._links.items():
            control.value = getattr(state, trait)

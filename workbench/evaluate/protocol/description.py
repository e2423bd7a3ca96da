"""A protocol: which methods are compared, on what, by which measures. Frozen, hashable, and enough to run it again."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

from workbench.errors import InputError, unknown_name
from workbench.evaluate.binarise import Binariser, as_binariser
from workbench.evaluate.protocol.checks import (
    EXPLANATION,
    INTERPRETATION,
    OF_UNITS,
    all_of,
    as_seed,
    check_method,
    check_metric,
    listed,
)
from workbench.evaluate.protocol.choices import Choice, DataChoice, ModelChoice, as_choice, canonical, digest
from workbench.evaluate.registry import metrics as known_metrics
from workbench.evaluate.waiou import Weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import xarray as xr

    from workbench.explain.progress import Report, Stop

VERSION = 1  # of what the numbers mean; raised when the same description gives other ones
Target = Literal["predicted", "label"]


@dataclass(frozen=True)
class Column:
    """One column of the table: a metric with everything that makes it a number.

    Attributes:
        choice: the metric and its parameters, binariser and weighting among them.
        binariser: how maps are cut, "" where the metric cuts none.
        weights: the weighting of a weighted average, "" where there is none.
    """

    choice: Choice
    binariser: str = ""
    weights: str = ""

    @property
    def label(self) -> str:
        """The name of the column."""
        return str(self.choice)

    @property
    def kind(self) -> str:
        """``"explanation"`` or ``"interpretation"``: whose maps it scores."""
        return INTERPRETATION if self.choice.name in OF_UNITS else EXPLANATION


@dataclass(frozen=True, init=False)
class Protocol:
    """What is compared with what, on what, by which measures; two people with the same hash ran the same thing.

    Attributes:
        methods: explanation and interpretation methods with their parameters, and the controls ``random_maps``,
            ``random_units(share=0.5)`` and ``("chosen_units", {"units": ...})``.
        models: networks by name, weights and preprocessing, with the layer whose units are interpreted.
        data: images by the hash of their manifest or generator.
        metrics: registered metrics with their parameters.
        binarisers: of each metric that cuts maps, where it does not name its own.
        weightings: of ``waiou``, where it does not name its own.
        seeds: each method and metric that draws is run with each of them.
        target: what explanations explain: the ``"predicted"`` category, or the image's ``"label"``.
    """

    methods: tuple[Choice, ...]
    models: tuple[ModelChoice, ...]
    data: tuple[DataChoice, ...]
    metrics: tuple[Choice, ...]
    binarisers: tuple[Binariser, ...]
    weightings: tuple[str, ...]
    seeds: tuple[int, ...]
    target: Target

    def __init__(
        self,
        *,
        methods: Sequence[Any],
        models: Sequence[Any],
        data: Sequence[Any],
        metrics: Sequence[Any],
        binarisers: Sequence[str | Binariser] = ("otsu",),
        weightings: Sequence[str] = ("frequency",),
        seeds: Sequence[int] = (0,),
        target: Target = "predicted",
    ) -> None:
        """Describe a comparison; nothing is computed.

        Args:
            methods: names, texts such as ``"occlusion(patch=12)"``, pairs of a name and a dict of parameters.
            models: models, names of shipped ones, or what ``ModelChoice.of(model, layer=...)`` gives.
            data: images, or what ``DataChoice.of(images, objects=..., parts=..., learn=...)`` gives.
            metrics: as ``methods``.
            binarisers: see :func:`~workbench.evaluate.binarise`.
            weightings: of ``waiou``.
            seeds: whole numbers.
            target: ``"predicted"`` or ``"label"``.

        Raises:
            UnknownNameError: no such method, metric, binariser, model or layer.
            InputError: an empty or repeated entry, an unknown parameter, or a value out of range.
            DtypeError: something that has no description.
        """
        fields: dict[str, Any] = {
            "methods": tuple(as_choice(item) for item in listed("methods", methods)),
            "models": tuple(
                item if isinstance(item, ModelChoice) else ModelChoice.of(item) for item in listed("models", models)
            ),
            "data": tuple(item if isinstance(item, DataChoice) else DataChoice.of(item) for item in all_of(data)),
            "metrics": tuple(as_choice(item) for item in listed("metrics", metrics)),
            "binarisers": tuple(as_binariser(item) for item in listed("binarisers", binarisers)),
            "weightings": tuple(str(item) for item in listed("weightings", weightings)),
            "seeds": tuple(as_seed(item) for item in listed("seeds", seeds)),
            "target": target,
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        for method in self.methods:
            check_method(method)
        for metric in self.metrics:
            check_metric(metric)
        for weighting in self.weightings:
            if weighting not in get_args(Weights):
                raise unknown_name("weighting", weighting, get_args(Weights))
        if self.target not in get_args(Target):
            raise InputError(f"target is {self.target!r}; expected 'predicted' or 'label'.")
        labels = {
            "methods": [str(item) for item in self.methods],
            "models": [item.name for item in self.models],
            "data": [item.name for item in self.data],
            "metrics": [column.label for column in self.columns],
            "seeds": [str(item) for item in self.seeds],
        }
        for name, texts in labels.items():
            twice = sorted({text for text in texts if texts.count(text) > 1})
            if twice:
                raise InputError(f"{name} holds {twice[0]!r} more than once; every entry needs a name of its own.")

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hexadecimal) of the canonical JSON of everything that makes the numbers."""
        return digest(self.document)

    @property
    def document(self) -> dict[str, Any]:
        """Everything that makes the numbers, as JSON holds it."""
        return {
            "version": VERSION,
            "methods": [[item.name, item.parameters] for item in self.methods],
            "models": [item.document for item in self.models],
            "data": [item.document for item in self.data],
            "metrics": [[item.name, item.parameters] for item in self.metrics],
            "binarisers": [[item.name, dict(item.parameters)] for item in self.binarisers],
            "weightings": list(self.weightings),
            "seeds": list(self.seeds),
            "target": self.target,
        }

    def to_json(self) -> str:
        """The description as canonical JSON, of which :attr:`hash` is the SHA-256."""
        return canonical(self.document)

    @classmethod
    def from_json(cls, text: str) -> Protocol:
        """Read back what :meth:`to_json` gave; networks and images are found again, or passed to :meth:`run`.

        Args:
            text: the JSON.

        Returns:
            The protocol, equal to the one that was written.

        Raises:
            InputError: no such JSON, or one of another version.
        """
        try:
            found = json.loads(text)
            if found["version"] != VERSION:
                raise InputError(
                    f"The protocol is of version {found['version']}; this library runs version {VERSION}, whose "
                    "numbers mean something else. Describe it anew."
                )
            return cls(
                methods=[(name, parameters) for name, parameters in found["methods"]],
                models=[ModelChoice(**item) for item in found["models"]],
                data=[DataChoice.of_document(item) for item in found["data"]],
                metrics=[(name, parameters) for name, parameters in found["metrics"]],
                binarisers=[Binariser(name, tuple(given.items())) for name, given in found["binarisers"]],
                weightings=found["weightings"],
                seeds=found["seeds"],
                target=found["target"],
            )
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise InputError(f"The text is no protocol ({error!r}); expected what to_json gave.") from error

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The metrics, one for each binariser and weighting that they are to be looked at with."""
        found: list[Column] = []
        for metric in self.metrics:
            known = inspect.signature(known_metrics[metric.name].function).parameters
            options = metric.parameters
            cuts: list[dict[str, str]] = [{}]
            if "binarise" in known and "binarise" not in options:
                cuts = [{"binarise": _text(item)} for item in self.binarisers]
            weighs: list[dict[str, str]] = [{}]
            if "weights" in known and "weights" not in options:
                weighs = [{"weights": item} for item in self.weightings]
            for cut in cuts:
                for weigh in weighs:
                    every = {**options, **cut, **weigh}
                    choice = Choice(metric.name, canonical(every))
                    found.append(Column(choice, str(every.get("binarise", "")), str(every.get("weights", ""))))
        return tuple(found)

    def at_hand(self, *, models: Sequence[Any] = (), data: Mapping[str, Any] | None = None) -> Protocol:
        """The same protocol with its networks and images loaded.

        Args:
            models: networks that do not ship with the package.
            data: images by the name that the protocol gives them; ``"<name>/learn"`` for those learned from.

        Returns:
            An equal protocol.

        Raises:
            InputError: something that is not at hand.
            StoreMismatchError: something else than what the protocol describes.
            UnknownNameError: the name of a model or of data that the protocol does not have.
        """
        given_models, given_data = {model.name: model for model in models}, dict(data or {})
        for kind, names, known in (
            ("model", given_models, [item.name for item in self.models]),
            ("data", given_data, [name for item in self.data for name in (item.name, f"{item.name}/learn")]),
        ):
            for name in names:
                if name not in known:
                    raise unknown_name(kind, name, known)
        found = object.__new__(type(self))
        for name in self.__dataclass_fields__:
            object.__setattr__(found, name, getattr(self, name))
        chosen = [
            item.holding(given_models[item.name]) if item.name in given_models else item.at_hand()
            for item in self.models
        ]
        object.__setattr__(found, "models", tuple(chosen))
        object.__setattr__(found, "data", tuple(_with_images(item, given_data).at_hand() for item in self.data))
        return found

    def run(
        self,
        engine: Any = "serial",
        *,
        path: str | Path | None = None,
        models: Sequence[Any] = (),
        data: Mapping[str, Any] | None = None,
        workers: int = -1,
        errors: Literal["raise", "keep"] = "raise",
        progress: Report = False,
        stop: Stop | None = None,
    ) -> xr.Dataset:
        """Compute what is not there yet, and give the table.

        A cell is one method on one model and one set of images with one seed, scored by every metric. Each is written
        as soon as it is known, so that work that was killed goes on where it was. All engines give the same table.

        Args:
            engine: ``"serial"``, ``"joblib"`` (processes of this machine), or a ``dask.distributed`` Client.
            path: a folder for results; those of this protocol go into one that is named by its hash. Kept in memory
                only where omitted.
            models: networks that do not ship with the package, of a protocol that was read from JSON.
            data: images by name, likewise.
            workers: processes of ``"joblib"``; -1 for as many as there are cores.
            errors: ``"raise"`` on the first method or metric that cannot be used on what it is asked for; ``"keep"``
                the message as a ``note`` in the table, and go on.
            progress: False, True for a bar, or a callable that takes :class:`~workbench.explain.Progress`; counts
                cells.
            stop: asked after each cell, and where the engine is serial also on the way: by explanation methods and
                metrics, between batches of images and between steps. True ends the work with
                :class:`~workbench.errors.Interrupted`. What is finished stays.

        Returns:
            Dataset. ``score`` (method, metric, model, data, seed, image) float64, NaN where there is none; ``value``,
            ``low``, ``high``, ``n`` (method, metric, model, data), the mean over images of the mean over seeds with
            its 95 % BCa bootstrap interval over images and their number; of weighted averages their own value and
            interval, with several seeds the mean and the widest interval; ``control_value``, ``control_low``,
            ``control_high``, ``control_n`` (method, metric, model, data, control), what the same metric gives by
            chance, of random units, of other images' masks, of the image's centre, or of parts' sizes; ``note``
            (method, metric, model, data), why there is no number; ``done`` (method, model, data, seed).
            Coordinates: ``kind`` and ``method_name`` (method), ``metric_name``, ``metric_kind``, ``better``,
            ``binariser`` and ``weights`` (metric), ``weights_hash`` and ``layer`` (model), ``manifest_hash`` (data),
            ``identifier`` (data, image). Attributes: ``protocol``, its hash, and ``description``, its JSON.

        Raises:
            InputError: an unknown engine, or something that is not at hand.
            StoreMismatchError: the folder holds cells of another protocol.
            StoreDamagedError: a cell is not what was written.
            Interrupted: ``stop`` answered True.
            WorkbenchError: what methods and metrics raise, unless errors are kept.
        """
        from workbench.evaluate.protocol.running import run

        ready = self.at_hand(models=models, data=data)
        return run(ready, engine, path=path, workers=workers, errors=errors, progress=progress, stop=stop)

    def table(self, path: str | Path) -> xr.Dataset:
        """The table of what is finished, as :meth:`run` gives it; what is missing has no number.

        Args:
            path: the folder that was given to :meth:`run`.

        Returns:
            As :meth:`run`.

        Raises:
            StoreMismatchError, StoreDamagedError: as :meth:`run`.
        """
        from workbench.evaluate.protocol.cells import Cells
        from workbench.evaluate.protocol.table import tabulate

        return tabulate(self, Cells(self, path).values)

    def heatmaps(
        self,
        *,
        method: str,
        model: str | None = None,
        data: str | None = None,
        seed: int | None = None,
        progress: Report = False,
        stop: Stop | None = None,
    ) -> xr.Dataset:
        """The maps behind one cell of the table, computed again, with the masks that they were scored on.

        Args:
            method: as the table names it.
            model: likewise; the first where omitted.
            data: likewise.
            seed: one of the seeds.
            progress: False, True for a bar, or a callable that takes :class:`~workbench.explain.Progress`; counts the
                images of explanations, and the steps of interpretations.
            stop: asked by explanation methods, between batches of images and between steps; True ends the work with
                :class:`~workbench.errors.Interrupted`.

        Returns:
            Dataset: ``heatmap`` (image, y, x) float32 of explanations, (image, unit, y, x) of interpretations, whose
            ``unit`` says what each map is of: a unit (``"layer4:17"``), a category's concept, a concept, or a rule;
            ``picture`` (image, y, x, channel) float32 in [0, 1], what the network sees; ``mask`` (image, y, x) bool,
            the object, all False where it is not annotated; for interpretations ``part_mask`` (image, part, y, x)
            and ``shown`` (image, unit) bool, and ``relevance`` (image, unit) float64. Images have the table's order;
            ``position`` (image) is their place in it.

        Raises:
            UnknownNameError: no such method, model, data or seed.
            InputError: something that is not at hand.
            Interrupted: ``stop`` answered True.
        """
        from workbench.evaluate.protocol.maps import heatmaps_of

        return heatmaps_of(self, method=method, model=model, data=data, seed=seed, progress=progress, stop=stop)


def _with_images(choice: DataChoice, given: Mapping[str, Any]) -> DataChoice:
    if choice.name in given:
        choice = choice.holding(given[choice.name])
    if choice.learn is not None and f"{choice.name}/learn" in given:
        choice = replace(choice, learn=choice.learn.holding(given[f"{choice.name}/learn"]))
    return choice


def _text(binariser: Binariser) -> str:
    """A binariser as text from which it is read back to the last bit."""
    inside = ", ".join(f"{name}={value!r}" for name, value in binariser.parameters)
    return f"{binariser.name}({inside})" if inside else binariser.name

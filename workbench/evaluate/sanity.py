"""Does the map change when the network forgets what it has learned: randomised weights, randomised labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from workbench.arrays import IMAGE, strings
from workbench.errors import InputError, unknown_name
from workbench.evaluate.memorising import train_on_random_labels
from workbench.evaluate.randomisation import WeightedLayer, randomised, weighted_layers
from workbench.evaluate.registry import metrics
from workbench.evaluate.removal import Explained, check_count, report
from workbench.evaluate.robustness import Explainer, ask_for, explain_with, name_of
from workbench.evaluate.similarity import MEASURES, compare, describe, map_similarity
from workbench.explain import Meter, Question, ask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from workbench.explain.progress import Report, Stop
    from workbench.models import ImageModel

Order = Literal["cascading", "independent"]
LAYER, MEASURE = "layer", "measure"


@metrics.register(
    title="Model randomisation",
    source=("adebayo2018",),
    access="activations",
    returns="similarity of the map to that of the network with randomised layers",
    feedback="number",
    better="lower",
    cost="one explanation a layer, and one",
    note="A map that stays the same does not depend on what the network has learned. Needs what the explainer needs.",
    parameters={
        "order": ("choice", "cascading", ("cascading", "independent")),
        "measure": ("choice", "spearman", MEASURES),
        "seed": ("int", 0, 0, 1000),
    },
)
def model_randomisation(
    explainer: Explainer,
    model: ImageModel,
    images: Any,
    *,
    order: Order = "cascading",
    layers: Sequence[str] | int | None = None,
    measure: str = "spearman",
    target: Any = None,
    seed: int = 0,
    batch_size: int = 64,
    parameters: Mapping[str, Any] | None = None,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.Dataset:
    """Compare each map with those of copies of the network whose layers were never trained. Source: [adebayo2018].

    The network that is passed in is never changed: weights are drawn again on copies.

    Args:
        explainer: a name of :data:`workbench.explain.explainers`, or a callable of the same form: ``(model, inputs, *,
            target, ...)`` to (image, y, x).
        model: from :func:`workbench.models.load`, with weights.
        images: see :meth:`ImageModel.prepare`.
        order: ``"cascading"`` randomises from the output down to each layer, ``"independent"`` each layer alone.
        layers: names of layers with weights; or how many, spread evenly, the first and the last among them; None for
            all. A cascade passes through the layers between.
        measure: what ``score`` is made of, see :func:`map_similarity`; all measures are returned.
        target: a category (index or name), one an image; None for the one that the untouched model predicts.
        seed: of the weights.
        batch_size: inputs that the explainer is given at a time, at most.
        parameters: of the explainer.
        progress: True for a bar, or a callable that takes :class:`Progress`; counts explanations.
        stop: asked after each call of the explainer; True ends the work with :class:`Interrupted`.

    Returns:
        Dataset: ``score`` (image), the mean over layers of ``similarity`` (image, layer, measure), in [-1, 1]; lower is
        better. Layers stand from the output to the input. ``value``, ``low``, ``high``, ``n``: the mean over images
        with its 95 % BCa bootstrap interval.

    Raises:
        UnknownNameError: an unknown explainer, layer, measure or category.
        InputError, DtypeError, ShapeError, NotFiniteError, NotDeterministicError: arguments, images or maps that
            cannot be used, or a network without weights.
        Interrupted: ``stop`` answered True.
    """
    if order not in ("cascading", "independent"):
        raise InputError(f"order is {order!r}; expected 'cascading' or 'independent'.")
    _check_measure(measure)
    check_count("batch_size", batch_size)
    question = ask_for(explainer, model, images, target, batch_size)
    every = weighted_layers(model, question.inputs[:1])[::-1]
    chosen = _chosen(layers, every, model.name)
    given = dict(parameters or {})
    with Meter(len(question) * (len(chosen) + 1), progress=progress, stop=stop, label="randomisation") as meter:
        maps = _maps(explainer, model, question, batch_size, given, meter)
        original, found = describe(maps), []
        for index in chosen:
            forgotten = every[: index + 1] if order == "cascading" else every[index : index + 1]
            changed = randomised(model, forgotten, seed=seed)
            found.append(compare(original, describe(_maps(explainer, changed, question, batch_size, given, meter))))
    similarity = np.stack(found, axis=1)
    return _report(
        question,
        maps,
        similarity.mean(axis=1)[:, MEASURES.index(measure)],
        ((IMAGE, LAYER, MEASURE), similarity),
        coords={LAYER: strings(every[index].name or "(the network itself)" for index in chosen)},
        metric="model_randomisation",
        explainer=name_of(explainer),
        parameters=given,
        order=order,
        measure=measure,
        seed=seed,
    )


@metrics.register(
    title="Label randomisation",
    source=("adebayo2018",),
    access="activations",
    returns="similarity of the map to that of a network trained on random labels",
    feedback="number",
    better="lower",
    cost="two explanations, and a training where no trained network is passed",
    note="A map that stays the same shows the picture, not what the labels taught. Needs what the explainer needs.",
    parameters={"measure": ("choice", "spearman", MEASURES), "seed": ("int", 0, 0, 1000)},
)
def label_randomisation(
    explainer: Explainer,
    model: ImageModel,
    images: Any,
    *,
    other: ImageModel | None = None,
    training: Any = None,
    measure: str = "spearman",
    target: Any = None,
    seed: int = 0,
    batch_size: int = 64,
    parameters: Mapping[str, Any] | None = None,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.Dataset:
    """Compare each map with that of the same architecture trained on random labels. Source: [adebayo2018].

    Args:
        explainer: as in :func:`model_randomisation`.
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        other: a model of the same input and categories that was trained on random labels; None trains one, see
            :func:`train_on_random_labels`, which remembers it for the next call.
        training: the images that it is trained on; None for those of a network that ships with the package.
        measure: what ``score`` is made of, see :func:`map_similarity`; all measures are returned.
        target: a category (index or name), one an image; None for the one that ``model`` predicts. Both networks are
            asked for the same.
        seed: of the labels and the training.
        batch_size: inputs that the explainer is given at a time, at most.
        parameters: of the explainer.
        progress: True for a bar, or a callable that takes :class:`Progress`; counts explanations.
        stop: asked after each call of the explainer; True ends the work with :class:`Interrupted`.

    Returns:
        Dataset: ``score`` (image), one of ``similarity`` (image, measure), in [-1, 1]; lower is better.
        ``training_accuracy``, the share of its random labels that the other network has memorised (the paper asks for
        more than 0.95), NaN where it is not known. ``value``, ``low``, ``high``, ``n``: the mean over images with its
        95 % BCa bootstrap interval.

    Raises:
        UnknownNameError: an unknown explainer, measure or category.
        InputError: no ``other`` and nothing to train on; or as in :func:`model_randomisation`.
        DtypeError, ShapeError, NotFiniteError, NotDeterministicError: arguments, images or maps that cannot be used.
        Interrupted: ``stop`` answered True.
    """
    _check_measure(measure)
    check_count("batch_size", batch_size)
    question = ask_for(explainer, model, images, target, batch_size)
    trained = train_on_random_labels(model, training, seed=seed, stop=stop) if other is None else other
    ask(trained, question.inputs[:1], target=question.targets[:1])  # refuses another input or fewer categories
    given = dict(parameters or {})
    with Meter(2 * len(question), progress=progress, stop=stop, label="randomisation") as meter:
        maps = _maps(explainer, model, question, batch_size, given, meter)
        similarity = map_similarity(maps, _maps(explainer, trained, question, batch_size, given, meter))
    result = _report(
        question,
        maps,
        similarity[:, MEASURES.index(measure)],
        ((IMAGE, MEASURE), similarity),
        coords={},
        metric="label_randomisation",
        explainer=name_of(explainer),
        parameters=given,
        other=trained.name,
        other_weights_hash=trained.weights_hash,
        measure=measure,
        seed=seed,
    )
    return result.assign(training_accuracy=float(trained.facts.get("training_accuracy", np.nan)))


def _maps(
    explainer: Explainer,
    model: ImageModel,
    question: Question,
    batch_size: int,
    parameters: Mapping[str, Any],
    meter: Meter,
) -> NDArray[np.float64]:
    """(image, y, x): signed maps where the explainer gives them."""
    parts = []
    for start in range(0, len(question), batch_size):
        some = slice(start, start + batch_size)
        found = explain_with(explainer, model, question.inputs[some], question.targets[some], parameters)
        parts.append(np.asarray(found.coords.get("signed", found), dtype=np.float64))
        meter.advance(len(found))
    return np.concatenate(parts)


def _chosen(layers: Sequence[str] | int | None, every: Sequence[WeightedLayer], model: str) -> list[int]:
    if layers is None:
        return list(range(len(every)))
    if isinstance(layers, int):
        count = check_count("layers", layers)
        return sorted({int(place) for place in np.rint(np.linspace(0, len(every) - 1, min(count, len(every))))})
    names = [layer.name for layer in every]
    wanted = [layers] if isinstance(layers, str) else list(layers)
    for name in wanted:
        if name not in names:
            raise unknown_name("layer with weights", name, names, hint=f"These layers of {model!r} have weights.")
    if not wanted:
        raise InputError("layers is empty; expected names of layers with weights, a number, or None for all.")
    return sorted(names.index(name) for name in set(wanted))


def _check_measure(measure: str) -> None:
    if measure not in MEASURES:
        raise unknown_name("measure of similarity", measure, MEASURES)


def _report(
    question: Question,
    maps: NDArray[np.float64],
    score: NDArray[np.float64],
    similarity: tuple[tuple[str, ...], NDArray[np.float64]],
    *,
    coords: Mapping[str, Any],
    metric: str,
    **facts: Any,
) -> xr.Dataset:
    return report(
        Explained(question, maps, {}),
        {"score": (IMAGE, score), "similarity": similarity},
        coords={**coords, MEASURE: strings(MEASURES)},
        metric=metric,
        better="lower",
        **facts,
    )

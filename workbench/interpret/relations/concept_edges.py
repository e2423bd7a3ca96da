"""R4: which concept of a layer raises which concept of a later one, by derivatives along directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workbench.errors import InputError
from workbench.interpret.relations.continuation import continuation
from workbench.interpret.relations.directions import Directions, directions
from workbench.interpret.relations.evidence import intervals, mean_of, mean_test
from workbench.interpret.relations.graph import RelationGraph
from workbench.interpret.relations.phases import Phases
from workbench.interpret.relations.survey import count_images
from workbench.stats import benjamini_hochberg

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.explain import Meter
    from workbench.explain.progress import Report, Stop
    from workbench.interpret.relations.continuation import Continuation, Observed
    from workbench.models import ImageModel

PATCHES = 4096  # of which random concepts are made
FEWEST = 8  # segments on which a share is worth a test
SEGMENT = 0.5  # share of its greatest strength in an image above which a position belongs to a concept's segment


def concept_edges(
    model: ImageModel,
    images: Any,
    *,
    source: str,
    target: str,
    source_concepts: Any,
    target_concepts: Any,
    q: float = 0.05,
    examples: int = 64,
    random_concepts: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
    progress: Report = False,
    stop: Stop | None = None,
) -> RelationGraph:
    """Find out which concepts of a layer raise or lower which concepts of a later layer.

    A segment of a source concept is where in an image it is at least half as strong as at its strongest place there;
    the images in which it is strongest give one each. A target concept's amount in an image is the mean over positions
    of its direction times the activations. The score of a pair is the share of the segments on which more of the source
    concept would mean more of the target concept: on which the derivative of the amount along the source's direction
    is above 0. Its magnitude is the mean of that derivative times the source's strength, in standard deviations of the
    target's amount over images.

    The same is asked, on the same segments, of random concepts: directions from the mean activation at random places to
    that at other random places, as many as a concept has segments. The p-value is the larger of two: the rank of the
    size of the pair's magnitude among theirs, and Student's test over segments that it is not 0, which a few segments
    with a derivative do not pass. Benjamini-Hochberg over all pairs. Where a layer has few units, or a target depends
    on many of them, random directions do well too, and little can be told from them.

    Args:
        model: the model; its input size must be known.
        images: what ``model.prepare`` takes; read twice.
        source: name of a layer with units.
        target: name of a layer behind it.
        source_concepts: directions in the source layer: the result of :func:`~workbench.interpret.concepts` or of
            :func:`~workbench.interpret.concept_vectors`, a mapping from names to (unit) vectors, or (concept, unit).
        target_concepts: the same in the target layer.
        q: the false discovery rate that edges shall be able to reach, in (0, 1).
        examples: most segments a source concept.
        random_concepts: number of random concepts; where omitted, twice as many as are needed to reach ``q``.
        seed: of random concepts and of the bootstrap.
        batch_size: images a pass.
        progress: False, True for a bar a phase, or a callable that takes a Progress.
        stop: asked after each batch; True ends with ``Interrupted``.

    Returns:
        The graph: the effect is the score minus the mean score of random concepts, with its 95 % bootstrap interval
        over segments; units are positions among the concepts; ``images`` counts segments. Its dataset has two more
        variables on ``edge``: ``score`` in [0, 1], and ``magnitude``. Pairs that could not be tested say why.

    Raises:
        UnknownNameError: no such layer.
        InputError: layers in the wrong order, concepts that are none, too few random concepts to reach ``q``, or a
            parameter out of range.
        ShapeError: directions of another number of units than the layer has.
        NotDeterministicError: a part of the network is in training mode.
        Interrupted: on request.

    Source: [kowal2024], [kim2018]
    """
    if not 0 < q < 1 or examples < FEWEST:
        raise InputError(f"q is {q} and examples {examples}; expected q in (0, 1) and at least {FEWEST} examples.")
    count = count_images(images)
    _, first = next(model.batches(images, batch_size=min(batch_size, FEWEST)))
    part = continuation(model, source, target, first)
    ends = directions(source_concepts, part.source), directions(target_concepts, part.target)
    number = _random_count(random_concepts, len(ends[0].names) * len(ends[1].names), q)
    generator = np.random.default_rng(seed)
    phases = Phases({"survey": 1, "derivatives": 2}, progress=progress, stop=stop)
    with phases.meter("survey", count) as meter:
        seen = _look(model, images, part, ends, generator, batch_size, meter)
    chance = _random_directions(seen.patches, number, examples, generator)
    chosen = _strongest(seen.strength, examples)
    with phases.meter("derivatives", int(chosen.any(axis=1).sum()) * len(ends[1].names)) as meter:
        slopes = _slopes(model, images, part, ends, chance, chosen, batch_size, meter)
    facts: dict[str, Any] = {
        "model": model.name,
        "weights_hash": model.weights_hash,
        "source": source,
        "target": target,
    }
    facts |= {"q": q, "examples": examples, "random_concepts": number, "seed": seed}
    return _graph(part, ends, seen, chosen, slopes, **facts)


@dataclass(frozen=True, eq=False)
class _Look:
    """One pass over all images.

    Attributes:
        names: (image) identifiers.
        strength: (image, concept) float64, each source concept at its strongest place.
        amount: (image, concept) float64, mean of each target concept over positions.
        patches: (patch, unit) float64, activations at random places that are not silent.
    """

    names: tuple[str, ...]
    strength: NDArray[np.float64]
    amount: NDArray[np.float64]
    patches: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Slopes:
    """Derivatives of target concepts along source concepts, times the source's strength.

    Attributes:
        own: (source, target, image) float64, NaN where the image gives no segment of the source.
        chance_sum: (source, target, random) float64, sums over segments of the same along random directions.
        chance_above: (source, target, random) float64, on how many segments these are above 0.
    """

    own: NDArray[np.float64]
    chance_sum: NDArray[np.float64]
    chance_above: NDArray[np.float64]


def _random_count(asked: int | None, pairs: int, q: float) -> int:
    """How many random concepts to draw: the smallest p-value of a rank is 1 / (1 + their number)."""
    needed = int(np.ceil(pairs / q)) - 1
    if asked is None:
        return max(199, 2 * needed)
    if asked < needed:
        raise InputError(
            f"random_concepts is {asked}; to reach q = {q} over {pairs} pairs of concepts at least {needed} are "
            "needed. Ask for more, for fewer concepts, or leave it out."
        )
    return asked


def _look(
    model: ImageModel,
    images: Any,
    part: Continuation,
    ends: tuple[Directions, Directions],
    generator: np.random.Generator,
    batch_size: int,
    meter: Meter,
) -> _Look:
    count = count_images(images)
    drawn = np.sort(generator.integers(count, size=PATCHES))
    names: list[str] = []
    parts: dict[str, list[NDArray[np.float64]]] = {key: [] for key in ("strength", "amount", "patches")}
    start = 0
    for identifiers, inputs in model.batches(images, batch_size=batch_size):
        observed = part.observe(inputs)
        maps, read = (each.double().cpu().numpy() for each in (observed.source, observed.target))
        names += map(str, identifiers)
        parts["strength"].append(np.einsum("cu,iup->icp", ends[0].vectors, maps).max(axis=2))
        parts["amount"].append(read.mean(axis=2) @ ends[1].vectors.T)
        here = drawn[(drawn >= start) & (drawn < start + len(maps))] - start
        loud = np.abs(maps[here]).max(axis=1) > 0
        place = (generator.uniform(size=loud.shape) * loud).argmax(axis=1)
        parts["patches"].append(maps[here, :, place])
        start += len(maps)
        meter.advance(len(maps))
    return _Look(tuple(names), **{key: np.concatenate(each) for key, each in parts.items()})


def _random_directions(
    patches: NDArray[np.float64], number: int, examples: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """(random, unit) of unit length: from the mean of some patches to the mean of others."""
    rows = np.empty((number, patches.shape[1]))
    for row in range(number):
        one, other = generator.integers(len(patches), size=(2, examples))
        rows[row] = patches[one].mean(axis=0) - patches[other].mean(axis=0)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(float).tiny))


def _strongest(strength: NDArray[np.float64], examples: int) -> NDArray[np.bool_]:
    """(image, concept): whether the image gives a segment of the concept."""
    chosen = np.zeros(strength.shape, dtype=bool)
    best = np.argsort(-strength, axis=0, kind="stable")[:examples]
    np.put_along_axis(chosen, best, True, axis=0)
    return chosen & (strength > 0)


def _slopes(
    model: ImageModel,
    images: Any,
    part: Continuation,
    ends: tuple[Directions, Directions],
    chance: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    batch_size: int,
    meter: Meter,
) -> _Slopes:
    sources, targets = len(ends[0].names), len(ends[1].names)
    own = np.full((sources, targets, len(chosen)), np.nan)
    chance_sum, chance_above = (np.zeros((sources, targets, len(chance))) for _ in range(2))
    start = 0
    for _, inputs in model.batches(images, batch_size=batch_size):
        here = np.flatnonzero(chosen[start : start + len(inputs)].any(axis=1))
        if len(here):
            observed = part.observe(inputs)
            maps = observed.source[torch.from_numpy(here).to(inputs.device)].double().cpu().numpy()
            strength = np.einsum("cu,iup->icp", ends[0].vectors, maps)
            peak = strength.max(axis=2)
            segment = strength >= SEGMENT * peak[:, :, None]
            for target in range(targets):
                slope = _slope(part, observed, here, ends[1].vectors[target])
                # (image, source, unit): what raising each unit within the source's segment does
                within = np.einsum("iup,icp->icu", slope, segment.astype(np.float64)) * peak[:, :, None]
                for source in range(sources):
                    rows = chosen[start + here, source]
                    own[source, target, start + here[rows]] = within[rows, source] @ ends[0].vectors[source]
                    along = within[rows, source] @ chance.T
                    chance_sum[source, target] += along.sum(axis=0)
                    chance_above[source, target] += (along > 0).sum(axis=0)
                meter.advance(len(here))
        start += len(inputs)
    return _Slopes(own, chance_sum, chance_above)


def _slope(
    part: Continuation, observed: Observed, images: NDArray[np.int64], direction: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(image, unit, position): derivative of a target concept's amount with respect to the source's maps."""
    rows = torch.from_numpy(images).to(observed.source.device)
    maps = observed.source[rows].requires_grad_()
    with torch.enable_grad():
        answer = part.rerun(observed, rows, maps)
        weight = torch.from_numpy(direction).to(answer)
        total = (answer.mean(dim=2) @ weight).sum()
    (slope,) = torch.autograd.grad(total, maps)
    return np.asarray(slope.double().cpu().numpy())


def _graph(
    part: Continuation,
    ends: tuple[Directions, Directions],
    seen: _Look,
    chosen: NDArray[np.bool_],
    slopes: _Slopes,
    **facts: Any,
) -> RelationGraph:
    segments = chosen.sum(axis=0)
    spread = seen.amount.std(axis=0)
    constant = spread <= 1e-6 * np.abs(seen.amount).max(axis=0)
    source, target = (each.ravel() for each in np.indices(slopes.own.shape[:2]))
    reason = [
        f"{ends[0].names[a]} is present in {segments[a]} images; at least {FEWEST} are needed"
        if segments[a] < FEWEST
        else f"the amount of {ends[1].names[b]} is the same in every image"
        if constant[b]
        else ""
        for a, b in zip(source, target, strict=True)
    ]
    tested = np.array([not each for each in reason])
    own = slopes.own[source, target]
    known = np.isfinite(own)
    count = np.maximum(known.sum(axis=1), 1)
    scale = np.where(constant, 1.0, spread)[target]
    magnitude = np.nansum(own, axis=1) / count / scale
    chance = slopes.chance_sum[source, target] / count[:, None] / scale[:, None]
    share = slopes.chance_above[source, target].mean(axis=1) / count
    beyond = (np.abs(chance) >= np.abs(magnitude)[:, None]).sum(axis=1)
    rank = (1 + beyond) / (1 + chance.shape[1])
    p_value = np.where(tested, np.maximum(rank, mean_test(*mean_of(own, known))), np.nan)
    above = np.where(known, own > 0, np.nan)
    effect, low, high = (np.full(len(source), np.nan) for _ in range(3))
    effect[tested], low[tested], high[tested] = (
        each - share[tested] for each in intervals(above[tested], seed=facts["seed"])
    )
    graph = RelationGraph.from_columns(
        {
            "source_layer": [part.source.layer] * len(source),
            "source_unit": source,
            "source_name": [ends[0].names[each] for each in source],
            "target_layer": [part.target.layer] * len(source),
            "target_unit": target,
            "target_name": [ends[1].names[each] for each in target],
            "kind": ["concept"] * len(source),
            "relation": np.where(magnitude >= 0, "excites", "inhibits").tolist(),
            "effect": effect,
            "low": low,
            "high": high,
            "p_value": p_value,
            "q_value": benjamini_hochberg(p_value),
            "images": segments[source],
            "tested": tested,
            "reason": reason,
        },
        exemplars=[_exemplars(seen, chosen, each) if ok else () for each, ok in zip(source, tested, strict=True)],
        method="concept_edges",
        **facts,
    )
    more = {"score": effect + share, "magnitude": np.where(tested, magnitude, np.nan)}
    return RelationGraph(graph.dataset.assign({name: ("edge", values) for name, values in more.items()}))


def _exemplars(seen: _Look, chosen: NDArray[np.bool_], concept: Any) -> tuple[str, ...]:
    best = np.argsort(-seen.strength[:, concept], kind="stable")[:3]
    return tuple(seen.names[image] for image in best if chosen[image, concept])

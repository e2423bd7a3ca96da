"""R3: which units of a layer cause which units of a later one, by intervention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InputError
from workbench.interpret.relations.assembling import assemble
from workbench.interpret.relations.checkpoint import Checkpoint
from workbench.interpret.relations.continuation import Layout, TracedPart, continuation
from workbench.interpret.relations.evidence import images_needed
from workbench.interpret.relations.experiments import PHASES, Options, experiment, surveyed
from workbench.interpret.relations.interventions import Setting
from workbench.interpret.relations.phases import Phases
from workbench.interpret.relations.survey import baseline_of, count_images

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from workbench.explain.progress import Report, Stop
    from workbench.interpret.relations.graph import RelationGraph
    from workbench.models import ImageModel


def causal_edges(
    model: ImageModel,
    images: Any,
    *,
    source: str,
    target: str,
    sources: Sequence[int] | None = None,
    targets: Sequence[int] | None = None,
    baseline: Any = "mean",
    active: float = 0.5,
    least_share: float = 0.5,
    q: float = 0.05,
    confirm: int = 4000,
    screen_images: int = 32,
    interactions: int = 300,
    conditions: int = 100,
    seed: int = 0,
    batch_size: int = 64,
    path: str | PathLike[str] | None = None,
    progress: Report = False,
    stop: Stop | None = None,
) -> RelationGraph:
    """Find out by intervention which units of a layer cause which units of a later layer, how, and where.

    A source is taken away in each image in which it is active: its map is replaced by a baseline, and the network runs
    on from there. The effect on a target is by how much its activation falls, at the place where it is largest with or
    without the source (so that a source that silences a target is seen), in standard deviations of the target's
    maximum over images; above 0 the source excites, below 0 it inhibits.

    An edge is tested for two things, and its p-value is the larger: that its mean effect is not 0, and that it is not
    marginal: per unit of change of the source, and with images weighted by the size of the effect, it is at least
    ``least_share`` of that of the strongest source of the same target. Every weight of a network has some effect; the
    second test leaves those that matter. Tests are Student's over images, with no p-value below 2^(1 - n) for n images
    with an effect, and with Benjamini-Hochberg over all pairs, those that screening left out counted as failed.

    Two sources that always act together can each be taken away without effect, if either suffices. So pairs that
    are mostly active together are also taken away together, and a source that matters once the other is gone gets
    an edge, whose effect is that: of the source, given that the other is away. Three or more that stand in for each
    other are not sought: in trained networks most units of a layer are active together, so that taking whole groups
    away leaves a state that no image gives, and what falls then says little of its members.

    Pairs of sources of one target get a further edge with the operator that joins them, "and", "or" or "and-not" (the
    source and not the partner), by the rule of :func:`~workbench.interpret.relations.interactions.operators`; its
    effect is the interaction, E(both) - E(source) - E(partner), in standard deviations of the target.

    A source whose effect depends on which side of another source of the same target it lies gets an edge with a
    condition, by the three tests of :func:`~workbench.interpret.relations.conditions.find_conditions`; in the last two
    the map of the other source is moved to the other side. Its effect is by how much stronger the source is there.

    Only the part of the network between the layers is run again, where it can be traced.

    Args:
        model: the model; its input size must be known.
        images: what ``model.prepare`` takes; read several times, so not an iterator that is used up.
        source: name of a layer with units: convolutional, linear or attention.
        target: name of a layer behind it.
        sources: units of the source layer; all where omitted.
        targets: units of the target layer; all where omitted.
        baseline: what takes the place of a source's map: ``"mean"``, its mean map over the images; ``"swap"``, its map
            in another image, in which it is not active, of 32 drawn by ``seed``; ``"zero"``; or (unit, ...) float in
            the layer's own order.
        active: a source is active in images in which its maximum is above this share of its range, from its lowest
            maximum to the 99 % quantile of its maxima; in [0, 1).
        least_share: share of the strongest source's strength below which a source is marginal; in [0, 1).
        q: the false discovery rate asked for, in (0, 1); it decides which pairs of sources are taken away
            together, and how many images are too few.
        confirm: most pairs to be measured. Where there are more, all are screened first, by one backward pass a batch
            of targets, and the best are measured.
        screen_images: images a target on which pairs are screened.
        interactions: most pairs of sources to be taken away together.
        conditions: most sources beside another, along an axis, to be tested by moving the other; 0 for none. They need
            a source layer of maps.
        seed: of drawn stand-ins, of the images for screening, and of the bootstrap.
        batch_size: images or variants of images a pass.
        path: a folder in which finished pieces are kept; call again with the same arguments to go on after an
            interruption. Nothing is kept where omitted.
        progress: False, True for a bar a phase, or a callable that takes :class:`~workbench.explain.Progress`.
        stop: asked after each batch; True ends with ``Interrupted``.

    Returns:
        The graph of all measured pairs, with 95 % bootstrap intervals over images, and q-values; take
        ``significant(q)`` of it for those that hold. ``offset_y`` and ``offset_x`` are the median displacement from
        the source's maximum to where the target changes most, in pixels of the network input. Pairs that could not be
        tested (a source that is active nowhere or in too few images, a target that hardly varies) say why.

    Raises:
        UnknownNameError: no such layer or baseline.
        InputError: layers in the wrong order or without a path between them, units out of range, too few images to
            reach ``q``, images that change from one reading to the next, or a parameter out of range.
        NotFiniteError: NaN or infinity in a layer.
        NotDeterministicError: a part of the network is in training mode.
        StoreMismatchError: ``path`` holds other work.
        Interrupted: on request.

    Source: [vig2020], [syed2023]
    """
    options = Options(active, least_share, q, confirm, screen_images, interactions, conditions, seed)
    count = count_images(images)
    _, first = next(model.batches(images, batch_size=min(batch_size, 8)))
    part = continuation(model, source, target, first)
    units = chosen_units(sources, part.source, "sources"), chosen_units(targets, part.target, "targets")
    needed = images_needed(q, len(units[0]) * len(units[1]))
    if count < needed:
        raise InputError(
            f"There are {count} images; to reach q = {q} over {len(units[0])} x {len(units[1])} pairs at least "
            f"{needed} are needed. Give more images, or name fewer sources and targets."
        )
    own = None if isinstance(baseline, str) else np.asarray(baseline).tolist()
    facts: dict[str, Any] = {
        "model": model.name,
        "weights_hash": model.weights_hash,
        "source": source,
        "target": target,
    }
    facts |= {"baseline": baseline if own is None else "an array", "image_count": count, **options.as_facts()}
    plan = {"sources": units[0].tolist(), "targets": units[1].tolist(), "batch_size": batch_size, "array": own}
    checkpoint = Checkpoint(path, {**facts, **plan})
    phases = Phases(PHASES, progress=progress, stop=stop)
    seen = surveyed(model, images, part, seed, batch_size, checkpoint, phases)
    where = seen.active(active)
    maps = baseline_of(baseline, seen, where, part.source, seed=seed, device=model.device, dtype=model.dtype)
    setting = Setting(model, images, part, seen, maps, where, batch_size, checkpoint, phases)
    verdicts = experiment(setting, units, needed, options)
    phases.finish()
    size = (model.input_shape[1], model.input_shape[2])
    rerun = "the part between the layers" if isinstance(part, TracedPart) else "the whole network"
    left_out = {"pairs_left_out": verdicts.untried, "sides_left_out": verdicts.placed.untried if verdicts.placed else 0}
    return assemble(setting, verdicts, size=size, rerun=rerun, **left_out, **facts)


def chosen_units(wanted: Sequence[int] | None, layout: Layout, name: str) -> NDArray[np.int64]:
    """Indices of units, checked.

    Args:
        wanted: as the caller gave them; None for all.
        layout: of their layer.
        name: of the argument.

    Returns:
        (unit) int64.

    Raises:
        InputError: no index, one out of range, or one twice.
    """
    if wanted is None:
        return np.arange(layout.units)
    units = np.asarray(wanted)
    if units.ndim != 1 or not units.size or units.dtype.kind not in "iu":
        raise InputError(f"{name} is {wanted!r}; expected one or more indices of units.")
    if units.min() < 0 or units.max() >= layout.units:
        raise InputError(
            f"{name} reach from {units.min()} to {units.max()}; layer {layout.layer!r} has the units 0 to "
            f"{layout.units - 1}."
        )
    if len(np.unique(units)) < len(units):
        raise InputError(f"{name} names a unit twice; expected each once.")
    return units.astype(np.int64)

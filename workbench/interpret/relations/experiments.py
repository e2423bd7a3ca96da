"""The order of experiments between two layers: single sources, pairs of them, and sources that others hide."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InputError
from workbench.interpret.relations.conditions import find_conditions
from workbench.interpret.relations.interactions import Interactions, hidden, inseparable, together
from workbench.interpret.relations.interventions import measure
from workbench.interpret.relations.judging import Verdicts, judge
from workbench.interpret.relations.screening import best_pairs, screen
from workbench.interpret.relations.survey import Survey, count_images, survey

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.interpret.relations.checkpoint import Checkpoint
    from workbench.interpret.relations.continuation import Continuation
    from workbench.interpret.relations.interventions import Setting
    from workbench.interpret.relations.phases import Phases
    from workbench.models import ImageModel

# how much of the work each part is thought to be
PHASES = {"survey": 1, "screening": 2, "effects": 4, "interactions": 2, "conditional effects": 1, "places": 1}


@dataclass(frozen=True)
class Options:
    """Parameters of :func:`~workbench.interpret.relations.causal_edges`, checked.

    Raises:
        InputError: one out of range.
    """

    active: float
    least_share: float
    q: float
    confirm: int
    screen_images: int
    interactions: int
    conditions: int
    seed: int

    def __post_init__(self) -> None:
        if not (0 <= self.active < 1 and 0 <= self.least_share < 1 and 0 < self.q < 1):
            raise InputError(
                f"active is {self.active}, least_share {self.least_share} and q {self.q}; expected shares in [0, 1) "
                "and a q in (0, 1)."
            )
        if self.confirm < 1 or self.screen_images < 2 or min(self.interactions, self.conditions) < 0:
            raise InputError(
                f"confirm is {self.confirm}, screen_images {self.screen_images}, interactions {self.interactions} and "
                f"conditions {self.conditions}; expected at least 1 pair to measure, 2 images to screen on, 0 pairs of "
                "sources or more, and 0 conditions or more."
            )

    def as_facts(self) -> dict[str, Any]:
        """All of them, by name."""
        return asdict(self)


def experiment(
    setting: Setting, units: tuple[NDArray[np.int64], NDArray[np.int64]], needed: int, options: Options
) -> Verdicts:
    """Measure single sources, pairs of them, sources whose partner is away already, and on which sides they act.

    Args:
        setting: what the experiments share.
        units: the sources and the targets that were asked for.
        needed: fewest images in which a source must be active.
        options: the parameters.

    Returns:
        What was found.

    Raises:
        InputError: the images are not those of the survey.
        Interrupted: on request.
    """
    reasons = _untestable(setting, *units, needed)
    sources, targets = (
        each[[not reason for reason in reason_of]] for each, reason_of in zip(units, reasons, strict=True)
    )
    pairs = _candidates(setting, sources, targets, options)
    untried = len(sources) * len(targets) - len(pairs)
    effects = measure(setting, pairs)
    alone = judge(setting, pairs, effects, least_share=options.least_share, q=options.q, untried=untried)
    suspects = inseparable(setting.active, sources, least=needed, most=options.interactions)
    found = together(setting, _joint_pairs(setting, alone, suspects, needed, options.interactions))
    conditional = _hidden_sources(found, suspects, targets, options.q)
    if len(conditional):
        more = measure(setting, conditional, name="conditional effects")
        pairs, effects = np.concatenate([pairs, conditional]), effects.joined(more)
    verdicts = judge(setting, pairs, effects, least_share=options.least_share, q=options.q, untried=untried)
    placed = find_conditions(setting, verdicts, most=options.conditions, q=options.q, seed=options.seed)
    return verdicts.completed(found, placed, units, reasons)


def surveyed(
    model: ImageModel,
    images: Any,
    part: Continuation,
    seed: int,
    batch_size: int,
    checkpoint: Checkpoint,
    phases: Phases,
) -> Survey:
    """The survey that a checkpoint holds, or a new one, see :func:`~workbench.interpret.relations.survey.survey`."""
    kept = checkpoint.get("survey")
    if kept is not None:
        return Survey.from_arrays(kept)
    with phases.meter("survey", count_images(images)) as meter:
        seen = survey(model, images, part.source, part.target, seed=seed, batch_size=batch_size, meter=meter)
    checkpoint.put("survey", seen.as_arrays())
    return seen


def _untestable(
    setting: Setting, sources: NDArray[np.int64], targets: NDArray[np.int64], needed: int
) -> tuple[list[str], list[str]]:
    """For each source and each target why it cannot be tested; "" where it can."""
    counts, constant = setting.active.sum(axis=0), setting.seen.constant
    source, target = setting.part.source.layer, setting.part.target.layer
    why = []
    for unit in sources:
        name = f"unit {unit} of {source}"
        if np.ptp(setting.seen.source_max[:, unit]) == 0:
            why.append(f"{name} has the same maximum in every image")
        elif counts[unit] < needed:
            why.append(f"{name} is active in {counts[unit]} images; at least {needed} are needed")
        else:
            why.append("")
    return why, [f"unit {unit} of {target} hardly varies over the images" if constant[unit] else "" for unit in targets]


def _candidates(
    setting: Setting, sources: NDArray[np.int64], targets: NDArray[np.int64], options: Options
) -> NDArray[np.int64]:
    """(pair, 3) int64: source, target and -1: all pairs, or those that screening ranks highest."""
    grid = np.stack(np.meshgrid(sources, targets, indexing="ij"), axis=-1).reshape(-1, 2)
    if len(grid) > options.confirm:
        kept = setting.checkpoint.get("screening")
        if kept is None:
            score = screen(
                setting.model,
                setting.images,
                setting.part,
                setting.seen,
                setting.baseline,
                sources=sources,
                targets=targets,
                active=setting.active,
                images_per_target=options.screen_images,
                seed=options.seed,
                batch_size=setting.batch_size,
                phases=setting.phases,
            )
            kept = {"score": score / setting.seen.spread[targets]}
            setting.checkpoint.put("screening", kept)
        grid = grid[best_pairs(kept["score"], options.confirm)]
    return np.concatenate([grid, np.full((len(grid), 1), -1)], axis=1).astype(np.int64)


def _joint_pairs(
    setting: Setting, alone: Verdicts, suspects: NDArray[np.int64], needed: int, most: int
) -> NDArray[np.int64]:
    """(pair, 2): sources that share a target, the strongest first, and the suspects."""
    weight: dict[tuple[int, int], float] = {}
    for target in np.unique(alone.pairs[alone.holds, 1]):
        rows = np.flatnonzero(alone.holds & (alone.pairs[:, 1] == target))
        strength = np.abs(alone.gain[rows]) / np.abs(alone.gain[rows]).max()
        for position, row in enumerate(rows):
            for other in range(position + 1, len(rows)):
                first, second = sorted((int(alone.pairs[row, 0]), int(alone.pairs[rows[other], 0])))
                shared = strength[position] * strength[other]
                weight[first, second] = max(weight.get((first, second), 0.0), float(shared))
    ranked = sorted(weight, key=lambda pair: (-weight[pair], pair))
    enough = [pair for pair in ranked if (setting.active[:, pair[0]] & setting.active[:, pair[1]]).sum() >= needed]
    chosen = dict.fromkeys([*map(tuple, suspects.tolist()), *enough[:most]])
    return np.array(list(chosen), dtype=np.int64).reshape(-1, 2)


def _hidden_sources(
    found: Interactions, suspects: NDArray[np.int64], targets: NDArray[np.int64], q: float
) -> NDArray[np.int64]:
    """(row, 3): source, target and partner, where only taking both away shows what the source does."""
    suspected = set(map(tuple, suspects.tolist()))
    rows = []
    for pair, position in np.argwhere(hidden(found, q)[:, targets]):
        first, second = (int(unit) for unit in found.pairs[pair])
        if (first, second) in suspected:
            rows += [(one, int(targets[position]), other) for one, other in ((first, second), (second, first))]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)

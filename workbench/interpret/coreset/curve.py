"""How little is enough: the interpretation from a coreset against the one from everything.

A subset compared with the whole set it was taken from shares images with it, which flatters. So the images are split
into halves A and B: coresets are chosen from A and compared with the interpretation of B. All of A against B is the
ceiling, random units against B the floor.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, provenance, strings
from workbench.errors import InputError, StoreMismatchError, unknown_name
from workbench.interpret.coreset.choice import Pool, choose_share, pooled_features
from workbench.interpret.coreset.registry import selectors as registered
from workbench.interpret.coreset.subjects import Subject, subject
from workbench.interpret.coreset.target import TARGET_AWARE
from workbench.stats import bootstrap_dataset, holm, sign_flip_test

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from workbench.interpret.activations import Activations

SELECTOR, FRACTION, SPLIT, DRAW = "selector", "fraction", "split", "draw"
FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
RANDOM = "random"
REACHED = 0.95
LEAST_RANGE = 0.05  # between floor and ceiling; below, a normalised score would be noise
CHANCE_DRAWS = 20
ENDS = ("ceiling", "floor")


@dataclass(frozen=True)
class Task:
    """One similarity to be computed."""

    split: int
    selector: str
    fraction: float
    draw: int

    @property
    def key(self) -> str:
        """What the task is called in a file of results."""
        return f"{self.split} {self.selector} {self.fraction!r} {self.draw}"


def coreset_curve(
    method: str | Subject,
    store: Activations,
    selectors: Sequence[str] = ("random", "moderate", "d2", "k_center_greedy", "herding", "kernel_herding"),
    *,
    fractions: Sequence[float] = FRACTIONS,
    splits: int = 10,
    random_draws: int = 5,
    labels: Any = "predicted",
    layer: str | None = None,
    pool: Pool = "mean",
    pools: Mapping[str, Pool] | None = None,
    weighted: bool | None = None,
    seed: int = 0,
    workers: int = 1,
    path: str | Path | None = None,
    progress: bool = True,
    **options: Any,
) -> xr.Dataset:
    """Similarity of the interpretation from a coreset to that from other images, by selector and fraction.

    Args:
        method: name of an interpretation method, see :func:`~workbench.interpret.coreset.subjects.subject`, or a
            subject that was prepared before.
        store: an activation store.
        selectors: names of selectors; ``"random"`` is added where it is missing, since all are compared with it.
        fractions: shares of A, in (0, 1].
        splits: ways of cutting the images into halves A and B, each category by itself; with fewer than 6 no p-value
            can be below 0.05.
        random_draws: random coresets a split and fraction; their mean counts.
        labels: categories within which images are split and chosen: ``"predicted"``, ``"true"``, or (image) integers.
        layer: the layer whose pooled features the selectors see; may be left out where there is but one.
        pool: ``"mean"``, ``"max"`` or ``"both"``.
        pools: selectors that are to see another pool; ``{"kernel_herding": "both"}`` where omitted. ``target_aware``
            sees what the method reads, see :func:`~workbench.interpret.coreset.reading.reading`, unless it is named
            here or the subject does not say; for dissection, which knows no categories, it chooses over all images.
        weighted: give the method the coresets' weights (``relevant_units`` and ``dissect`` only); where omitted, those
            of ``target_aware`` alone, which chooses images together with their weights.
        seed: of splits, draws and the floor. The same seed gives the same result on any number of workers.
        workers: threads; joblib's ``parallel_config`` puts the work elsewhere, on dask for instance.
        path: a file that keeps each similarity as it is computed; running again does what is missing.
        progress: show a bar with the time left.
        **options: of the method.

    Returns:
        Dataset: ``score`` (split, selector, fraction), the similarity; ``ceiling`` and ``floor`` (split);
        ``normalised`` (split, selector, fraction), (score - floor) / (ceiling - floor), NaN where ceiling and floor
        are less than 0.05 apart; ``value``, ``low``, ``high``, ``n`` (selector, fraction), the mean over splits with
        its 95 % BCa bootstrap interval; ``area`` (selector), the mean height of the normalised score over fractions,
        with ``area_low``, ``area_high``; ``enough`` (selector), the smallest fraction from which on the mean normalised
        score stays at 0.95 or more, NaN where none does; ``against_random`` and ``area_against_random``, the mean
        differences from random coresets of the same size, and ``p_value`` (selector, fraction) and ``area_p_value``
        (selector) of the paired sign-flip test over splits, with Holm's ``adjusted`` and ``area_adjusted``.
        ``images`` (fraction) is the size of the coresets. Splits share images, so the intervals are too narrow for
        other data: they are of the splits alone.

    Raises:
        InputError: fractions outside (0, 1], fewer than two splits, images too few to be split, or bad options.
        UnknownNameError: no such method, selector or layer.
        StoreMismatchError: ``path`` holds the results of something else.
    """
    names = _check_selectors(selectors)
    shares = _check(fractions, splits, random_draws, workers)
    prepared = method if isinstance(method, Subject) else subject(method, store, labels=labels, **options)
    read = prepared.reading if TARGET_AWARE in names and TARGET_AWARE not in (pools or {}) else None
    pools = {"kernel_herding": "both", TARGET_AWARE: "both"} if pools is None else pools
    pool_of = {name: pools.get(name, pool) for name in names if name != TARGET_AWARE or read is None}
    features = {each: pooled_features(store, layer=layer, pool=each) for each in sorted(set(pool_of.values()))}
    aware = None if read is None else read()
    halves = [split_halves(prepared.category, np.random.default_rng([seed, split])) for split in range(splits)]
    facts: dict[str, Any] = {
        "method": "coreset_curve",
        "subject": prepared.name,
        "seed": seed,
        "weighted": weighted,
        "layer": next(iter(features.values())).attrs["layer"],
        "pools": {**pool_of, **({} if aware is None else {TARGET_AWARE: "reading"})},
        **{f"subject_{key}": value for key, value in prepared.facts.items()},
    }
    kept = _Results(path, facts)
    tasks = [
        Task(split, name, fraction, draw)
        for split in range(splits)
        for name in names
        for fraction in shares
        for draw in range(random_draws if name == RANDOM else 1)
    ]
    todo = [task for task in tasks if task.key not in kept.values]
    references: dict[int, NDArray[np.float64]] = {}
    for split in range(splits):
        # a split of which everything is kept needs no interpretation at all
        if not _ends(split) <= kept.values.keys() or any(task.split == split for task in todo):
            references[split] = prepared.interpret(halves[split][1], None)
        if not _ends(split) <= kept.values.keys():
            found = _ceiling_and_floor(prepared, halves[split][0], references[split], seed, split)
            for end, value in zip(ENDS, found, strict=True):
                kept.add(f"{split} {end}", value)
    ceiling, floor = (np.array([kept.values[f"{split} {end}"] for split in range(splits)]) for end in ENDS)
    seen: dict[tuple[int, bytes, bytes], float] = {}

    def run(task: Task) -> tuple[Task, float]:
        first = halves[task.split][0]
        table = aware if task.selector == TARGET_AWARE and aware is not None else features[pool_of[task.selector]]
        found = choose_share(
            table.isel({IMAGE: first}),
            prepared.category[first],
            task.fraction,
            selector=task.selector,
            seed=int(np.random.SeedSequence([seed, task.split, task.draw]).generate_state(1)[0]),
        )
        own = found.weighted and prepared.weighable if weighted is None else weighted
        # small fractions of few images are often the same coreset
        key = (task.split, found.indices.tobytes(), found.weights.tobytes() if own else b"")
        if key not in seen:
            result = prepared.interpret(first[found.indices], found.weights if own else None)
            seen[key] = prepared.similarity(result, references[task.split])
        return task, seen[key]

    for task, value in _in_parallel(run, todo, workers, progress):
        kept.add(task.key, value)
    score = np.empty((splits, len(names), len(shares)))
    for index in np.ndindex(score.shape):
        split, name, fraction = index[0], names[index[1]], shares[index[2]]
        draws_of = random_draws if name == RANDOM else 1
        score[index] = np.mean([kept.values[Task(split, name, fraction, draw).key] for draw in range(draws_of)])
    curve = xr.Dataset(
        {"score": ((SPLIT, SELECTOR, FRACTION), score), "ceiling": (SPLIT, ceiling), "floor": (SPLIT, floor)},
        coords={SELECTOR: strings(names), FRACTION: shares},
    )
    curve["images"] = (FRACTION, [round(share * len(halves[0][0])) for share in shares])
    return summarise(curve).assign_attrs(provenance(**facts))


def _ends(split: int) -> set[str]:
    return {f"{split} {end}" for end in ENDS}


def _ceiling_and_floor(
    prepared: Subject, first: NDArray[np.int64], reference: NDArray[np.float64], seed: int, split: int
) -> tuple[float, float]:
    """Similarity of the interpretation from all of A, and from random units in its place, to that from B."""
    whole = prepared.interpret(first, None)
    generator = np.random.default_rng([seed, split, 1])
    draws = [prepared.chance(whole, generator) for _ in range(CHANCE_DRAWS)]
    ceiling = prepared.similarity(whole, reference)
    return ceiling, float(np.mean([prepared.similarity(draw, reference) for draw in draws]))


def split_halves(
    category: NDArray[np.int64], generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut the images of each category into two halves at random.

    Args:
        category: (image) int64, -1 for images that are left out.
        generator: source of chance.

    Returns:
        (image) int64 indices of A and of B, rising; A has the odd image of a category.

    Raises:
        InputError: a category with a single image.
    """
    first: list[NDArray[np.int64]] = []
    second: list[NDArray[np.int64]] = []
    for each in np.unique(category[category >= 0]):
        members = generator.permutation(np.flatnonzero(category == each))
        if len(members) < 2:
            raise InputError(
                f"category {int(each)} has a single image, which cannot be split into two halves. Add images of it, or "
                "give it the label -1 to leave it out."
            )
        middle = (len(members) + 1) // 2
        first.append(members[:middle])
        second.append(members[middle:])
    return np.sort(np.concatenate(first)), np.sort(np.concatenate(second))


def summarise(curve: xr.Dataset) -> xr.Dataset:
    """Normalised scores, intervals, areas and tests of a table of similarities.

    Args:
        curve: ``score`` (split, selector, fraction), ``ceiling`` and ``floor`` (split).

    Returns:
        As :func:`coreset_curve`.
    """
    span = curve["ceiling"] - curve["floor"]
    normalised = ((curve["score"] - curve["floor"]) / span.where(span >= LEAST_RANGE)).transpose(
        SPLIT, SELECTOR, FRACTION
    )
    shares = curve[FRACTION].values
    area = normalised.isel({FRACTION: 0}, drop=True).copy(data=_mean_height(normalised.values, shares))
    mean, mean_area = bootstrap_dataset(normalised, over=SPLIT), bootstrap_dataset(area, over=SPLIT)
    result = curve.assign(normalised=normalised, value=mean["value"], low=mean["low"], high=mean["high"], n=mean["n"])
    result = result.assign(area=mean_area["value"], area_low=mean_area["low"], area_high=mean_area["high"])
    reached = result["value"].values >= REACHED
    stays = np.logical_and.accumulate(reached[:, ::-1], axis=1)[:, ::-1]
    result["enough"] = (SELECTOR, np.where(stays.any(axis=1), shares[stays.argmax(axis=1)], np.nan))
    for name, values in (("", normalised), ("area_", area)):
        against = values - values.sel({SELECTOR: RANDOM})
        p_value = _against(against)
        result[f"{name}against_random"] = against.mean(SPLIT)
        result[f"{name}p_value"] = p_value
        result[f"{name}adjusted"] = p_value.copy(data=holm(p_value.values))
    return result


def _mean_height(values: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(shares) == 1:
        return values[..., 0]
    return np.asarray(np.trapezoid(values, shares, axis=-1) / (shares[-1] - shares[0]))


def _against(differences: xr.DataArray) -> xr.DataArray:
    """p-values of the sign-flip test over splits; NaN for random itself and where fewer than two splits count."""
    others = [dim for dim in differences.dims if dim != SPLIT]
    ordered = differences.transpose(*others, SPLIT)
    p_values = np.full(ordered.shape[:-1], np.nan)
    for index in np.ndindex(p_values.shape):
        values = ordered.values[index]
        values = values[np.isfinite(values)]
        if str(ordered[SELECTOR].values[index[0]]) != RANDOM and len(values) >= 2:
            p_values[index] = sign_flip_test(values, np.zeros(len(values)))
    return ordered.isel({SPLIT: 0}, drop=True).copy(data=p_values)


def _in_parallel(run: Any, tasks: list[Task], workers: int, progress: bool) -> Iterator[tuple[Task, float]]:
    from joblib import Parallel, delayed
    from tqdm import tqdm

    if not tasks:
        return
    bar = tqdm(total=len(tasks), desc="coresets", unit="coreset", disable=not progress)
    pool = Parallel(n_jobs=workers, prefer="threads", return_as="generator_unordered")
    try:
        results: Iterable[tuple[Task, float]] = pool(delayed(run)(task) for task in tasks)
        for result in results:
            bar.update()
            yield result
    finally:
        bar.close()


class _Results:
    """Similarities by task, kept in a file of one JSON line each where a path is given."""

    def __init__(self, path: str | Path | None, facts: dict[str, Any]) -> None:
        self.values: dict[str, float] = {}
        self._path = None if path is None else Path(path)
        if self._path is None:
            return
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
        if not self._path.exists():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps({"curve": digest}) + "\n", encoding="utf-8")
            return
        lines = self._path.read_text(encoding="utf-8").splitlines()
        if not lines or _line(lines[0]).get("curve") != digest:
            raise StoreMismatchError(
                f"{self._path} holds the results of another curve (method, store, seed or options differ). "
                "Choose another path."
            )
        for line in lines[1:]:
            entry = _line(line)
            if "task" in entry:
                self.values[str(entry["task"])] = float(entry["value"])

    def add(self, key: str, value: float) -> None:
        self.values[key] = value
        if self._path is not None:
            # a line cut off by a crash must not swallow the next one
            text = self._path.read_bytes()[-1:]
            with self._path.open("a", encoding="utf-8") as file:
                file.write(("" if text == b"\n" else "\n") + json.dumps({"task": key, "value": value}) + "\n")


def _line(text: str) -> dict[str, Any]:
    """One line of the file; nothing where a crash cut it off."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _check_selectors(selectors: Sequence[str]) -> list[str]:
    names = [selectors] if isinstance(selectors, str) else list(selectors)
    for name in names:
        if name not in registered:
            raise unknown_name("selector", name, registered)
    return names if RANDOM in names else [RANDOM, *names]


def _check(fractions: Sequence[float], splits: int, random_draws: int, workers: int) -> list[float]:
    shares = sorted({float(fraction) for fraction in fractions})
    if not shares or not all(0 < share <= 1 for share in shares):
        raise InputError(f"fractions are {list(fractions)}; expected one or more, above 0 and at most 1.")
    if splits < 2 or random_draws < 1 or workers == 0:
        raise InputError(
            f"splits is {splits}, random_draws {random_draws} and workers {workers}; expected at least 2 splits, 1 "
            "draw and 1 worker (-1 for as many as there are cores)."
        )
    return shares

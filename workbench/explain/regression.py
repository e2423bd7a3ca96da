"""LIME and KernelSHAP: a linear model of what each part of the image does to the score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workbench.errors import InputError
from workbench.explain.baselines import Hiding, describe, hiding
from workbench.explain.progress import Meter, Report, Stop
from workbench.explain.registered import explainers
from workbench.explain.result import heatmaps
from workbench.explain.score import Question, Score, ask
from workbench.explain.superpixels import part_means, superpixels

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

KERNEL_WIDTH = 0.25  # of LIME's image explainer, in units of the cosine distance
_BASELINES = ("superpixel", "zero", "black", "mean", "blur", "noise", "inpaint")


@dataclass(frozen=True, eq=False)
class Parts:
    """Images cut into parts that can be hidden; made by :func:`_cut_up`.

    Attributes:
        question: what is explained.
        parts: (image, y, x) int64, 0, 1, 2 ... within each image.
        hide: what hidden parts show.
    """

    question: Question
    parts: NDArray[np.int64]
    hide: Hiding

    def count(self, image: int) -> int:
        """Number of parts of an image."""
        return int(self.parts[image].max()) + 1

    def rises(self, image: int, shown: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Score of an image of which only some parts are shown, minus its score when all are.

        Args:
            image: number of the image.
            shown: (input, part) bool.

        Returns:
            (input) float64.

        Raises:
            NotFiniteError: the model gives NaN or infinity.
        """
        device = self.question.inputs.device
        places = torch.from_numpy(self.parts[image]).to(device)
        hidden = ~torch.from_numpy(shown).to(device)[:, places]
        rows = torch.full((len(shown),), image, device=device)
        with torch.no_grad():
            scores = self.question.scores(self.hide(rows, hidden[:, None]), rows) - self.question.reference[image]
        return np.asarray(scores.cpu().double().numpy())


def _cut_up(question: Question, kind: Any, segments: int, baseline: str | torch.Tensor, seed: int) -> Parts:
    parts = superpixels(question, kind, segments=segments, seed=seed)
    shown = part_means(question.inputs, parts) if isinstance(baseline, str) and baseline == "superpixel" else baseline
    return Parts(question, parts, hiding(shown, question.inputs, model=question.model, seed=seed))


def _check(samples: int, batch_size: int) -> None:
    for name, value in (("samples", samples), ("batch_size", batch_size)):
        if value < 1:
            raise InputError(f"{name} is {value}; expected at least 1.")


@explainers.register(
    title="LIME",
    source=("ribeiro2016",),
    access="black box",
    returns="what each superpixel adds to the score, in a linear model fitted to random selections of them",
    cost="one evaluation a sample: 1000",
    note="Depends on the superpixels and on the draw; the coordinate fit says how much of the score a sum of parts "
    "explains at all. Superpixels are those of scikit-image's SLIC; LIME's own package takes quickshift.",
    parameters={
        "samples": ("int", 1000, 50, 5000),
        "segments": ("int", 50, 5, 300),
        "superpixels": ("choice", "slic", ("slic", "quickshift")),
        "baseline": ("choice", "superpixel", _BASELINES),
        "seed": ("int", 0, 0, 1000),
    },
)
def lime(
    model: Any,
    images: Any,
    *,
    target: Any = None,
    score: Score = "logit",
    samples: int = 1000,
    segments: int = 50,
    superpixels: Any = "slic",
    baseline: str | torch.Tensor = "superpixel",
    seed: int = 0,
    batch_size: int = 32,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.DataArray:
    """Show random selections of superpixels, and fit a linear model to the scores. Source: [ribeiro2016].

    As LIME's image explainer: each superpixel is shown with probability one half, the first sample shows all; a
    sample weighs the more the more it shows (exponential kernel of width 0.25 on the cosine distance); ridge
    regression with a penalty of 1 and an intercept, by scikit-learn. Every image gets the same draw.

    Args:
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        target: a category (index or name), one an image, or None for the predicted one.
        score: ``"logit"`` or ``"probability"`` (as LIME's own package).
        samples: selections an image, at least 1.
        segments: superpixels that SLIC aims at, at least 2.
        superpixels: ``"slic"``, ``"quickshift"``, or integers of your own, (y, x) or (image, y, x).
        baseline: what hidden superpixels show: ``"superpixel"`` (each its own mean colour, as published), a name of
            :data:`workbench.explain.baselines`, or a tensor.
        seed: of the selections, of quickshift, and of baselines that draw.
        batch_size: inputs a forward pass, at least 1.
        progress: True for a bar, or a callable that takes :class:`Progress` (with the map so far).
        stop: asked between batches; True ends the work with :class:`Interrupted`.

    Returns:
        DataArray (image, y, x) float32 on the grid of the network input, in units of the score: the coefficient of
        the superpixel that a pixel is in. Coordinates: ``superpixel`` (image, y, x) int64; ``fit`` (image) weighted
        R² of the linear model. The attribute ``evaluations`` counts the samples of all images.

    Raises:
        InputError: a number outside its range, or an image of one superpixel.
        UnknownNameError: no such category, baseline or kind of superpixels.
        Interrupted: ``stop`` answered True.
        NotFiniteError, ShapeError, DtypeError: the images, superpixels or the model's answers cannot be used.
    """
    _check(samples, batch_size)
    question = ask(model, images, target=target, score=score, batch_size=batch_size)
    cut = _cut_up(question, superpixels, segments, baseline, seed)
    parameters = _parameters(samples, segments, superpixels, baseline, seed)
    values = np.full((len(question), *question.size), np.nan)
    fits = np.full(len(question), np.nan)
    done = 0

    def draw(finite: bool) -> xr.DataArray:
        coords = {"superpixel": (("image", "y", "x"), cut.parts), "fit": ("image", fits.copy())}
        return heatmaps(
            question, values, method="lime", parameters=parameters, finite=finite, coords=coords, evaluations=done
        )

    with Meter(len(question) * samples, progress=progress, stop=stop, label="LIME") as meter:
        meter.check()
        for image in range(len(question)):
            shown = draw_selections(samples, cut.count(image), seed)
            rises = np.empty(0)

            def partial(image: int = image, shown: NDArray[np.bool_] = shown) -> xr.DataArray:
                coefficients, fits[image] = fit_ridge(shown[: len(rises)], rises)  # noqa: B023  called at once
                values[image] = coefficients[cut.parts[image]]
                return draw(finite=False)

            while len(rises) < samples:
                some = cut.rises(image, shown[len(rises) : len(rises) + batch_size])
                rises = np.concatenate([rises, some])
                done += len(some)
                meter.advance(len(some), partial)
            partial()
    return draw(finite=True)


def draw_selections(samples: int, parts: int, seed: int) -> NDArray[np.bool_]:
    """Random selections of parts; the first one shows all.

    Args:
        samples: selections.
        parts: parts of the image.
        seed: of the draw.

    Returns:
        (sample, part) bool, each True with probability one half.
    """
    shown = np.random.default_rng(seed).integers(0, 2, size=(samples, parts)).astype(bool)
    shown[0] = True
    return shown


def fit_ridge(shown: NDArray[np.bool_], rises: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """LIME's regression.

    Args:
        shown: (sample, part) bool.
        rises: (sample) float64, the scores, from any zero.

    Returns:
        (part) float64, the coefficients; and the weighted R², 1 where the scores do not differ.
    """
    from sklearn.linear_model import Ridge

    share = shown.mean(axis=1)
    distance = 1 - np.sqrt(share)  # the cosine distance to the sample that shows everything
    weights = np.sqrt(np.exp(-((distance / KERNEL_WIDTH) ** 2)))
    features = shown.astype(np.float64)
    fitted = Ridge(alpha=1.0).fit(features, rises, sample_weight=weights)
    if np.ptp(rises) == 0:
        return np.asarray(fitted.coef_), 1.0
    return np.asarray(fitted.coef_), float(fitted.score(features, rises, sample_weight=weights))


@explainers.register(
    title="KernelSHAP",
    source=("lundberg2017", "kokhlikyan2020"),
    access="black box",
    returns="estimated Shapley value of each superpixel: its mean contribution over all orders of appearing",
    cost="one evaluation a sample: 1000",
    note="Adds up to the score minus the score of the wholly hidden image. An estimate from random coalitions; captum "
    "draws them and fits, on the superpixels of scikit-image.",
    parameters={
        "samples": ("int", 1000, 60, 5000),
        "segments": ("int", 50, 5, 300),
        "superpixels": ("choice", "slic", ("slic", "quickshift")),
        "baseline": ("choice", "superpixel", _BASELINES),
        "seed": ("int", 0, 0, 1000),
    },
)
def kernel_shap(
    model: Any,
    images: Any,
    *,
    target: Any = None,
    score: Score = "logit",
    samples: int = 1000,
    segments: int = 50,
    superpixels: Any = "slic",
    baseline: str | torch.Tensor = "superpixel",
    seed: int = 0,
    batch_size: int = 32,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.DataArray:
    """Shapley values of superpixels, by weighted regression on random coalitions, by captum. Source: [lundberg2017].

    captum draws coalitions by the Shapley kernel and fits the regression; parts are hidden here, so that any baseline
    can be used. Every image gets the same draw.

    Args:
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        target: a category (index or name), one an image, or None for the predicted one.
        score: ``"logit"`` or ``"probability"``.
        samples: coalitions an image, more than there are superpixels.
        segments: superpixels that SLIC aims at, at least 2.
        superpixels: ``"slic"``, ``"quickshift"``, or integers of your own, (y, x) or (image, y, x).
        baseline: what hidden superpixels show: ``"superpixel"`` (each its own mean colour), a name of
            :data:`workbench.explain.baselines`, or a tensor.
        seed: of the coalitions, of quickshift, and of baselines that draw.
        batch_size: inputs a forward pass, at least 1.
        progress: True for a bar, or a callable that takes :class:`Progress`.
        stop: asked between batches; True ends the work with :class:`Interrupted`.

    Returns:
        DataArray (image, y, x) float32 on the grid of the network input, in units of the score: the value of the
        superpixel that a pixel is in, of which the coordinate ``superpixel`` (image, y, x) int64 holds the number.
        The coordinate ``completeness_gap`` (image) is the score minus the score of the wholly hidden image minus the
        sum of the values. The attribute ``evaluations`` counts the coalitions of all images.

    Raises:
        InputError: a number outside its range, fewer samples than superpixels, or an image of one superpixel.
        UnknownNameError: no such category, baseline or kind of superpixels.
        Interrupted: ``stop`` answered True.
        NotFiniteError, ShapeError, DtypeError: the images, superpixels or the model's answers cannot be used.
    """
    from captum.attr import KernelShap

    _check(samples, batch_size)
    question = ask(model, images, target=target, score=score, batch_size=batch_size)
    cut = _cut_up(question, superpixels, segments, baseline, seed)
    most = max(cut.count(image) for image in range(len(question)))
    if samples < most + 2:
        raise InputError(f"samples is {samples}; expected at least {most + 2}, two more than there are superpixels.")
    values, gaps = np.empty((len(question), *question.size)), np.empty(len(question))
    with Meter(len(question) * samples, progress=progress, stop=stop, label="KernelSHAP") as meter:
        meter.check()
        for image in range(len(question)):
            empty: list[float] = []

            def answer(coalitions: torch.Tensor, image: int = image, empty: list[float] = empty) -> torch.Tensor:
                shown = coalitions.numpy() > 0.5
                rises = cut.rises(image, shown)
                empty.extend(rises[~shown.any(axis=1)])
                meter.advance(len(rises))
                return torch.from_numpy(rises)

            # captum draws from the global generator of the CPU
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                found = KernelShap(answer).attribute(
                    torch.ones(1, cut.count(image)), n_samples=samples, perturbations_per_eval=batch_size
                )
            shares = found[0].double().numpy()
            values[image], gaps[image] = shares[cut.parts[image]], -empty[0] - shares.sum()
    return heatmaps(
        question,
        values,
        method="kernel_shap",
        parameters=_parameters(samples, segments, superpixels, baseline, seed),
        coords={"superpixel": (("image", "y", "x"), cut.parts), "completeness_gap": ("image", gaps)},
        evaluations=len(question) * samples,
    )


def _parameters(samples: int, segments: int, kind: Any, baseline: str | torch.Tensor, seed: int) -> dict[str, Any]:
    return {
        "samples": samples,
        "segments": segments if isinstance(kind, str) and kind == "slic" else None,
        "superpixels": kind if isinstance(kind, str) else "given",
        "baseline": describe(baseline),
        "seed": seed,
    }

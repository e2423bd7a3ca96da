"""Quantus on the same subject, where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from evaluate_parts.subjects import Subject

try:
    import quantus
except ImportError:
    quantus = None

BATCH = 64
Work = Callable[[], Any]
READS_MASKS = ("PointingGame", "RelevanceMassAccuracy", "RelevanceRankAccuracy")
MAKES_ITS_OWN = ("MaxSensitivity", "LocalLipschitzEstimate", "MPRT")


def peer(subject: Subject, name: str, options: dict[str, Any]) -> dict[str, Work]:
    """A metric of Quantus on the same subject, where it is installed."""
    if quantus is None:
        return {}

    def run() -> Any:
        metric = getattr(quantus, name)(disable_warnings=True, display_progressbar=False, **options)
        return metric(
            model=subject.model.module,
            x_batch=subject.inputs.numpy(),
            y_batch=np.array(subject.targets),
            a_batch=None if name in MAKES_ITS_OWN else subject.heat.values[:, None].copy(),
            s_batch=subject.masks.values[:, None].copy() if name in READS_MASKS else None,
            channel_first=True,
            explain_func=quantus.explain,
            explain_func_kwargs={"method": "Saliency"},
            batch_size=BATCH,
            device="cpu",
        )

    return {"Quantus": run}


def colour_road(shares: Sequence[float]) -> dict[str, Any]:
    """Options by which the ROAD of Quantus takes colour images, which it ranks by channel and pixel and then refuses.

    The three channels of a pixel have one value and stand side by side in its ranking: three times the share of the
    ranking is the share of the pixels, and the pixels are what is left of the indices modulo their number.
    """

    def by_pixel(arr: np.ndarray, indices: np.ndarray, **options: Any) -> np.ndarray:
        pixels = np.unique(np.asarray(indices) % (arr.shape[-2] * arr.shape[-1]))
        found: np.ndarray = quantus.functions.perturb_func.noisy_linear_imputation(arr, pixels, **options)
        return found

    return {"percentages": [300 * share for share in shares], "perturb_func": by_pixel}

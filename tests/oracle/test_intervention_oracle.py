"""What a part is worth, against drawing and asking one picture at a time; rank agreement against scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import stats as scipy_stats

from workbench import evaluate, models
from workbench.data import scenes


@pytest.mark.parametrize("score", ["logit", "probability"])
def test_effects_are_differences_of_single_pictures(score):
    model = models.load("scenes_object")
    source = scenes.SceneSource("object", 8, seed=21, confound="watermark")
    found = evaluate.intervention_truth(model, source, score=score, batch_size=3)
    measured = 0
    for row in range(len(source)):
        scene = source.sample(row).scene

        def ask(changed, row=row):
            picture = changed.render(source.size).image[None]
            with torch.no_grad():
                logits = model.module(model.prepare(picture))[0].double()
            table = logits.softmax(0) if score == "probability" else logits
            return float(table[int(found["target"][row])])

        assert float(found["score"][row]) == pytest.approx(ask(scene), abs=1e-4)
        without = {"watermark": scene.set_watermark(None)}
        for part in scene.objects[0].part_names:
            without[part] = scene.replace_part(0, part, None)
        for name in found["part"].values:
            effect = float(found["effect"][row].sel(part=name))
            if name in without:
                assert effect == pytest.approx(ask(scene) - ask(without[name]), abs=2e-4)
                measured += 1
            else:
                assert np.isnan(effect)
    assert measured > 12


@pytest.mark.parametrize("correlation", ["spearman", "kendall"])
@pytest.mark.parametrize("reduction", ["sum", "mean", "maximum"])
def test_agreement_is_the_rank_correlation_of_scipy(correlation, reduction):
    generator = np.random.default_rng(2)
    images, parts, size = 20, 6, 12
    owner = generator.integers(0, parts + 1, size=(images, size, size))
    masks = (owner[:, None] == np.arange(parts)[:, None, None]) & (generator.uniform(size=(images, parts, 1, 1)) < 0.8)
    heat = generator.integers(-9, 9, size=(images, size, size)) / 4  # sums are exact, so ties are ties
    effect = np.where(generator.uniform(size=(images, parts)) < 0.9, generator.integers(0, 4, (images, parts)), np.nan)
    found = evaluate.intervention_agreement(
        xr.DataArray(heat, dims=("image", "y", "x")),
        xr.DataArray(masks, dims=("image", "part", "y", "x")),
        xr.DataArray(effect, dims=("image", "part")),
        reduction=reduction,
        correlation=correlation,
    )
    reduce = {"sum": np.sum, "mean": np.mean, "maximum": np.max}[reduction]
    peer = {"spearman": scipy_stats.spearmanr, "kendall": scipy_stats.kendalltau}[correlation]
    seen = 0
    for image in range(images):
        known = [part for part in range(parts) if masks[image, part].any() and np.isfinite(effect[image, part])]
        worth = effect[image, known]
        if len(known) < 3 or len(set(worth)) == 1:
            assert np.isnan(found["score"][image])
            continue
        given = [reduce(heat[image][masks[image, part]]) for part in known]
        area = [masks[image, part].sum() for part in known]
        # parts that a map takes for equal are in no order: chance
        expected = peer(given, worth).statistic if len(set(given)) > 1 else 0
        assert float(found["score"][image]) == pytest.approx(expected)
        assert float(found["area"][image]) == pytest.approx(peer(area, worth).statistic)
        tops = worth[np.array(given) == max(given)]
        assert float(found["top"][image]) == pytest.approx((tops == worth.max()).mean())
        seen += 1
    assert seen > 10
    assert int(found["n"]) == seen

"""Occlusion within a budget: the surface, the fusion, the search and the public function on forward passes."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from workbench import explain, models, stats
from workbench.errors import InputError, Interrupted
from workbench.explain.adaptive import multi_resolution_occlusion, multi_resolution_steps
from workbench.explain.adaptive.choosing import coarse_lattice, highest, least_certain
from workbench.explain.adaptive.evaluators import Answer, ForwardPasses
from workbench.explain.adaptive.fusion import Spread, fuse, fusion_weights
from workbench.explain.adaptive.inside import evaluator_for
from workbench.explain.adaptive.linearised import divide
from workbench.explain.adaptive.search import Limits, expected_loss, search
from workbench.explain.adaptive.surface import Scale, fit
from workbench.explain.baselines import hiding
from workbench.explain.lattice import lattice


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 5, 2, 2), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 64, 5)
    )
    preprocessing = models.Preprocessing(resize=32, crop=32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    return models.load(network, preprocessing=preprocessing, name="small", categories=[str(i) for i in range(5)])


@pytest.fixture(scope="module")
def inputs():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Landscape:
    """Falls from a formula, one forward-equivalent a window; approximations err more the looser they are."""

    overhead = 1.0

    def __init__(self, *, approximates: bool) -> None:
        self.approximates = approximates
        self.measured = 0

    def truth(self, windows):
        y, x = windows[:, 0] / 100.0, windows[:, 1] / 100.0
        return np.sin(5 * y) + np.cos(4 * x) + 3 * np.exp(-20 * ((y - 0.3) ** 2 + (x - 0.6) ** 2))

    def exact_cost(self, windows):
        return float(len(windows))

    def exact(self, windows):
        self.measured += len(windows)
        return Answer(self.truth(windows), float(len(windows)))

    def approximate(self, windows, looseness):
        error = looseness * np.sin(37.0 * windows[:, 0] + 91.0 * windows[:, 1])
        return Answer(self.truth(windows) + 0.3 * error, len(windows) * 0.05 / looseness)


def rank_correlation(state, evaluator, lattices):
    (layer,) = state.layers
    windows = np.concatenate([layer.lattice.corners, np.tile(layer.lattice.patch, (len(layer.lattice), 1))], axis=1)
    spread = Spread(layer.lattice)
    shown, true = spread.average(layer.surface.mean), spread.average(evaluator.truth(windows))
    return float(stats.spearman(shown.ravel(), true.ravel()))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=3, max_size=30, unique=True))
def test_scale_keeps_the_order_and_can_be_undone(values):
    falls = np.array(values)
    scale = Scale.of(falls)
    back = scale.expand(scale.compress(falls))
    assert np.allclose(back, falls, rtol=1e-6, atol=1e-6 * np.abs(falls).max())
    assert (np.diff(scale.compress(np.sort(falls))) >= 0).all()


def test_surface_goes_through_what_was_measured_and_is_unsure_elsewhere():
    grid = lattice(64, 8, 4)
    places = grid.corners / 4.0
    falls = np.sin(places[:, 0] / 3) * np.cos(places[:, 1] / 4)
    known = np.arange(0, len(grid), 7)
    surface = fit(places, known, falls[known])
    assert np.array_equal(surface.mean[known], falls[known])
    unknown = np.setdiff1d(np.arange(len(grid)), known)
    assert (surface.sigma[known] == 0).all()
    assert (surface.sigma[unknown] > 0).all()
    assert stats.spearman(surface.mean, falls) > 0.97


def test_surface_equals_the_textbook_formula():
    rng = np.random.default_rng(5)
    places = rng.uniform(0, 6, (40, 2))
    known = np.arange(0, 40, 2)
    falls = rng.standard_normal(20)
    exact = np.arange(20) % 3 > 0
    surface = fit(places, known, falls, exact=exact, error=0.3)
    distance = np.linalg.norm(places[:, None] - places[None], axis=2) * np.sqrt(3) / surface.kernel.length
    prior = (1 + distance) * np.exp(-distance) + 1
    noise = np.diag(surface.kernel.noise + np.where(exact, 0.0, 0.3))
    inner = np.linalg.inv(prior[np.ix_(known, known)] + noise)
    uncertain = np.union1d(np.arange(1, 40, 2), known[~exact])
    expected = prior[np.ix_(uncertain, known)] @ inner @ surface.scale.compress(falls)
    assert np.allclose(surface.compressed[uncertain], expected, atol=1e-8)
    taken = prior[np.ix_(uncertain, known)] @ inner @ prior[np.ix_(known, uncertain)]
    left = prior[np.ix_(uncertain, uncertain)] - taken
    variance = surface.scale.compress(falls) @ inner @ surface.scale.compress(falls) / 20
    assert np.allclose(surface.covariance(uncertain), variance * left, atol=1e-8)
    assert np.allclose(surface.deviation[uncertain] ** 2, variance * np.diag(left), atol=1e-8)
    assert (surface.deviation[known[exact]] == 0).all()
    assert np.array_equal(surface.mean[known[exact]], falls[exact])


def test_errors_when_left_out_equal_those_of_fitting_without():
    rng = np.random.default_rng(6)
    places = rng.uniform(0, 6, (15, 2))
    falls = rng.standard_normal(15)
    surface = fit(places, np.arange(15), falls)
    values = surface.scale.compress(falls)
    distance = np.linalg.norm(places[:, None] - places[None], axis=2) * np.sqrt(3) / surface.kernel.length
    prior = (1 + distance) * np.exp(-distance) + 1 + surface.kernel.noise * np.eye(15)
    variance = values @ np.linalg.solve(prior, values) / 15
    for out in range(15):
        rest = np.setdiff1d(np.arange(15), out)
        weights = np.linalg.solve(prior[np.ix_(rest, rest)], prior[rest, out])
        error = values[out] - weights @ values[rest]
        spread = np.sqrt(variance * (prior[out, out] - prior[out, rest] @ weights))
        assert surface.left_out[out] == pytest.approx(error / spread, abs=1e-7)


@pytest.mark.parametrize("profile", ["box", "hann"])
def test_a_spread_of_some_pixels_is_part_of_the_whole_one(profile):
    grid = lattice((20, 26), (6, 8), (3, 5))
    values = np.random.default_rng(0).standard_normal((2, len(grid)))
    whole = Spread(grid, profile).average(values)
    some = Spread(grid, profile, ((0, 7, 19), (3, 25))).average(values)
    assert np.allclose(some, whole[:, [0, 7, 19]][:, :, [3, 25]])
    if profile == "box":
        assert np.allclose(whole, grid.average(values))
    assert np.allclose(Spread(grid, profile).average(np.full(len(grid), 2.5)), 2.5)


def test_resolutions_are_brought_to_one_reach_before_they_are_laid_over_each_other():
    coarse, fine = np.linspace(-50, 50, 101)[None], np.linspace(-1, 1, 101)[None]
    weights = fusion_weights([coarse, fine])
    assert weights[1] == 1.0
    assert weights[0] == pytest.approx(1 / 50)
    assert np.allclose(fuse([coarse, fine], weights), fine)


def test_coarse_lattice_reaches_the_border():
    grid = lattice((60, 90), 10, 5)
    rows, columns = np.unravel_index(coarse_lattice(grid, 25), grid.shape)
    assert {rows.min(), rows.max(), columns.min(), columns.max()} == {0, grid.shape[0] - 1, grid.shape[1] - 1}
    assert 16 <= len(rows) <= 36


def test_loss_falls_with_the_share_that_is_measured_and_grows_with_its_error():
    assert expected_loss(100, 100, 0.0) == 0.0
    assert expected_loss(100, 200, 0.0) == 0.0
    assert expected_loss(100, 50, 0.0) > expected_loss(100, 80, 0.0) > 0.0
    assert expected_loss(100, 80, 0.1) > expected_loss(100, 80, 0.01)


def test_least_certain_windows_are_unknown_and_spread_out():
    grid = lattice(64, 8, 4)
    places = grid.corners / 4.0
    known = coarse_lattice(grid, 16)
    surface = fit(places, known, np.sin(places[known, 0]) + places[known, 1])
    exclude = np.setdiff1d(np.arange(10), known)
    chosen = least_certain(surface, 12, exclude=exclude)
    assert len(set(chosen.tolist())) == 12
    assert not set(chosen.tolist()) & (set(known.tolist()) | set(exclude.tolist()))
    distances = np.linalg.norm(places[chosen][:, None] - places[chosen][None], axis=2)[np.triu_indices(12, 1)]
    assert distances.min() > 1.0


def test_highest_windows_are_unknown_and_lead_to_the_maximum():
    grid = lattice(100, 10, 5)
    evaluator = Landscape(approximates=False)
    places = grid.corners / 5.0
    truth = evaluator.truth(grid.boxes)
    known = coarse_lattice(grid, 25)
    surface = fit(places, known, truth[known])
    chosen = highest(surface, 5, exclude=np.array([3]))
    promise = surface.compressed + surface.deviation
    left = np.setdiff1d(np.arange(len(grid)), np.append(known, 3))
    assert sorted(chosen.tolist()) == sorted(left[np.argsort(-promise[left])[:5]].tolist())
    assert highest(surface, 0, exclude=known).tolist() == []
    *_, last = search(evaluator, (grid,), Limits(budget=90.0), seed=0)
    found = last.layers[0].surface.mean.argmax()
    assert truth[found] == truth.max()


@pytest.mark.parametrize("approximates", [False, True])
def test_more_budget_gives_a_better_map_and_is_never_exceeded(approximates):
    grid = lattice(100, 10, 5)
    reached = []
    for budget in (30.0, 60.0, 120.0):
        evaluator = Landscape(approximates=approximates)
        states = list(search(evaluator, (grid,), Limits(budget=budget), seed=0))
        assert states[-1].ended == "budget"
        assert states[-1].spent <= budget
        reached.append(rank_correlation(states[-1], evaluator, (grid,)))
    assert reached[2] > 0.98
    assert reached[2] >= reached[0]


def test_everything_is_measured_where_the_budget_allows_it():
    evaluator = Landscape(approximates=True)
    grid = lattice(50, 10, 5)
    *_, last = search(evaluator, (grid,), Limits(budget=1000.0), seed=0)
    assert last.ended == "exact"
    assert evaluator.measured == len(grid)
    assert last.certificate.value == 1.0
    assert rank_correlation(last, evaluator, (grid,)) == pytest.approx(1.0)


def test_fidelity_ends_the_search_and_the_certificate_keeps_its_word():
    evaluator = Landscape(approximates=False)
    grid = lattice(200, 10, 5)
    *_, last = search(evaluator, (grid,), Limits(fidelity=0.95), seed=0)
    assert last.ended == "fidelity"
    assert last.certificate.value >= 0.95
    assert last.spent < len(grid) / 2
    assert rank_correlation(last, evaluator, (grid,)) > 0.9


def test_exact_where_everything_is_affordable_equals_dense_occlusion(model, inputs):
    dense = explain.occlusion(model, inputs, patch=8, stride=4, baseline="mean", target=[1, 2])
    ours = multi_resolution_occlusion(
        model, inputs, patches=(8,), strides=(4,), budget=1000, target=[1, 2], engine="forward"
    )
    np.testing.assert_allclose(ours.values, dense.values, rtol=1e-4, atol=1e-5)
    assert (ours["exact"] == 1).all()
    assert ours["ended"].values.tolist() == ["exact", "exact"]
    assert ours["certificate"].values.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("baseline", ["inpaint", "hidden_mean", "blur"])
@pytest.mark.parametrize("engine", ["incremental", "forward"])
def test_every_baseline_is_that_of_dense_occlusion(model, inputs, baseline, engine):
    dense = explain.occlusion(model, inputs, patch=8, stride=4, baseline=baseline, target=[1, 2])
    ours = multi_resolution_occlusion(
        model, inputs, patches=(8,), strides=(4,), budget=1000, target=[1, 2], baseline=baseline, engine=engine
    )
    np.testing.assert_allclose(ours.values, dense.values, rtol=1e-4, atol=1e-5)


def test_near_exact_measurements_take_any_baseline(model, inputs):
    case = Recorded(model, inputs, baseline="inpaint")
    windows = lattice(inputs.shape[2:], 8, 4).boxes
    exact = case.inside.exact(windows).falls
    assert np.allclose(case.inside.approximate(windows, 1e-9).falls, exact, atol=1e-5)


def test_windows_say_what_was_measured(model, inputs):
    *_, last = multi_resolution_steps(model, inputs[:1], patches=(8, 4), strides=(4, 2), budget=60, engine="forward")
    windows = last.windows
    exact = windows["exact"].values
    assert int(exact.sum()) == round(float(last.heatmap["forward_equivalents"][0])) - 1
    assert (windows["sigma"].values[exact] == 0).all()
    assert (windows["sigma"].values[~exact] > 0).all()
    assert set(windows["height"].values.tolist()) == {8, 4}


def test_evidence_for_and_against_are_kept_apart(model, inputs):
    heat = multi_resolution_occlusion(model, inputs, patches=(8,), budget=40, engine="forward")
    assert (heat["evidence_for"] >= 0).all()
    assert (heat["evidence_against"] >= 0).all()
    np.testing.assert_allclose(heat["evidence_for"] - heat["evidence_against"], heat, rtol=1e-4, atol=1e-5)


def test_a_batch_answers_as_its_images_one_at_a_time(model, inputs):
    both = multi_resolution_occlusion(model, inputs, budget=30, engine="forward")
    second = multi_resolution_occlusion(model, inputs[1:], budget=30, engine="forward")
    np.testing.assert_allclose(both.values[1], second.values[0], rtol=1e-4, atol=1e-5)


def test_a_black_box_is_explained_and_said_to_be_one(inputs):
    def answer(batch):
        return torch.from_numpy(batch.numpy().max(axis=(2, 3)))

    box = models.load(answer, name="box", preprocessing=models.Preprocessing(resize=32))
    heat = multi_resolution_occlusion(box, inputs, budget=30, patches=(8,))
    assert "forward passes" in heat.attrs["evaluator"]
    assert isinstance(heat, xr.DataArray)


def test_stopping_keeps_what_is_known_and_says_so(model, inputs):
    asked = iter([False] * 3 + [True] * 1000)
    heat = multi_resolution_occlusion(
        model, inputs[:1], patches=(8,), budget=500, engine="forward", stop=lambda: next(asked)
    )
    assert heat["ended"].values.tolist() in (["stop"], ["exact"])
    with pytest.raises(Interrupted, match="before every image had a map"):
        multi_resolution_occlusion(model, inputs, patches=(4,), budget=500, engine="forward", stop=lambda: True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"budget": 0}, "budget is 0"),
        ({"time": -1.0}, "time is -1.0"),
        ({"fidelity": 1.0}, "fidelity is 1.0"),
        ({"patches": ()}, "patches is"),
        ({"patches": (8,), "strides": (4, 2)}, "sequence of 1 sizes"),
        ({"patches": (64,)}, "does not fit"),
        ({"window": "disc"}, "window is 'disc'"),
        ({"engine": "magic"}, "engine is 'magic'"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_bad_input_is_refused_in_words(model, inputs, wrong, message):
    with pytest.raises(InputError, match=message):
        multi_resolution_occlusion(model, inputs, **wrong)


class Recorded:
    """A small network with what is asked of the incremental evaluator."""

    def __init__(self, model, inputs, score="logit", baseline="zero"):
        self.question = explain.ask(model, inputs, target=2, score=score)
        self.hidden = torch.zeros_like(self.question.inputs)
        self.hide = hiding(baseline, self.question.inputs, model=self.question.model)
        make, self.facts = evaluator_for(self.question, self.hide, engine="auto", batch_size=32)
        self.inside = make(0)
        self.outside = ForwardPasses(self.question, 0, self.hide)
        corners = lattice(32, 6, 3).corners
        self.windows = np.concatenate([corners, np.full((len(corners), 2), 6)], axis=1)


@pytest.mark.parametrize("score", ["logit", "probability"])
def test_following_windows_inside_equals_forward_passes(model, inputs, score):
    case = Recorded(model, inputs, score)
    assert "incremental" in case.facts["evaluator"]
    dense, inside = case.outside.exact(case.windows), case.inside.exact(case.windows)
    np.testing.assert_allclose(inside.falls, dense.falls, rtol=1e-3, atol=1e-5)
    assert inside.cost < dense.cost
    assert inside.cost == pytest.approx(case.inside.exact_cost(case.windows))


def test_near_exact_measurements_come_nearer_the_tighter_they_are(model, inputs):
    case = Recorded(model, inputs)
    true = case.outside.exact(case.windows).falls
    errors = [
        np.abs(case.inside.approximate(case.windows, looseness).falls - true).max() for looseness in (1e-6, 0.1, 1)
    ]
    assert errors[0] < 1e-4 * np.abs(true).max()
    assert errors[0] <= errors[1] <= errors[2]


def test_what_is_followed_linearly_is_the_gradient_times_the_change(model, inputs):
    case = Recorded(model, inputs)
    falls = case.inside.approximate(case.windows, 1e9).falls
    network = model.module
    with torch.enable_grad():
        hidden = network[1](network[0](case.question.inputs[:1])).detach().requires_grad_()
        gradient = torch.autograd.grad(network[2:](hidden)[0, 2], hidden)[0]
    expected = []
    with torch.no_grad():
        for y, x, height, width in case.windows:
            occluded = case.question.inputs[:1].clone()
            occluded[:, :, y : y + height, x : x + width] = 0
            expected.append(float(((hidden - network[1](network[0](occluded))) * gradient).sum()))
    np.testing.assert_allclose(falls, expected, rtol=1e-3, atol=1e-5)


def test_what_is_kept_of_an_image_goes_with_its_evaluator(model, inputs):
    case = Recorded(model, inputs)
    case.inside.approximate(case.windows, 0.2)
    alive = weakref.ref(case.inside)
    gc.disable()
    try:
        del case
        assert alive() is None, "maps of an image must not wait for the garbage collector"
    finally:
        gc.enable()


def test_boxes_are_divided_into_batches_of_about_one_size():
    rng = np.random.default_rng(1)
    rows, columns = rng.integers(0, 9, 60), rng.integers(1, 9, 60)
    columns[rows == 0] = 0
    batches = divide(rows, columns)
    assert sorted(np.concatenate(batches).tolist()) == list(range(60))
    work = sum(len(batch) * rows[batch].max() * columns[batch].max() for batch in batches)
    assert work < 60 * rows.max() * columns.max()
    assert (rows[batches[0]] == 0).all()


def test_a_network_that_cannot_be_followed_is_measured_by_forward_passes(inputs):
    class Undecided(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 4, 3)

        def forward(self, batch):
            value = self.layer(batch).amax((2, 3))
            return value if float(value.sum()) > 0 else -value

    preprocessing = models.Preprocessing(resize=32, crop=32)
    undecided = models.load(Undecided().eval(), name="undecided", preprocessing=preprocessing)
    heat = multi_resolution_occlusion(undecided, inputs[:1], patches=(8,), budget=20)
    assert "forward passes" in heat.attrs["evaluator"]
    with pytest.raises(InputError, match="cannot be looked into"):
        multi_resolution_occlusion(undecided, inputs[:1], patches=(8,), engine="incremental")

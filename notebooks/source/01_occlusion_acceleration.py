# %% [markdown]
# # Faster occlusion: what can be left out, and at what price?
#
# {{badge}}
#
# Occlusion is the explanation that everyone understands and nobody waits for: hide a patch, ask the network again, and
# so on over the whole picture. Most of that work is done in vain. In this notebook you find out which part, leave it
# out without changing one value, then leave out more, and watch what *that* costs.
#
# **Objectives.** After it you can
#
# - *count* what dense occlusion costs, and say what makes it so,
# - *follow* a hidden window through a network, layer by layer, and *compute* the box that it changes,
# - *check* a claim of exactness yourself,
# - *tell* what was measured in a map from what was estimated, and *read* the certificate that says how far to trust it,
# - *judge* a race of methods by what they are compared with.
#
# **Measured budget.** 23 s and 1112 MB on one thread of two processor cores, without a graphics card and without a
# network connection.
#
# **Prerequisites.** [00_start](00_start.ipynb), or you know what an occlusion map is. Kernel, stride and padding of a
# convolution are words that you have met.

# %%
import copy
import os
import time

import numpy as np
import pandas as pd
import torch
from scipy.stats import binomtest

from workbench import data, explain, models, stats, teaching, view
from workbench.panels import OcclusionPanel

# %% [markdown]
# ### The switch
#
# Everything below runs offline, on a small network that comes with the package and on rendered scenes. Turn the switch
# to run the same cells on an ImageNet network and photographs: from your mirror if `WORKBENCH_MIRROR` names one,
# otherwise with torchvision's weights (downloaded) and scikit-image's photographs. It then takes minutes, which is what
# this notebook is about, and 3 GB.

# %%
PHOTOGRAPHS = False  # <- the switch

# %%
if not PHOTOGRAPHS:
    model = models.load("scenes_object")
    pictures = data.scenes.SceneSource("object", 10, seed=2026)
    PATCH, STRIDE, CERTIFIED = 16, 4, 10
elif os.environ.get("WORKBENCH_MIRROR"):
    model = models.load("mobilenet_v2", weights="mobilenet_v2")
    pictures = data.Subset(data.imagenet_samples(), np.arange(0, 600, 60))
    PATCH, STRIDE, CERTIFIED = 16, 8, 4
else:
    model = models.load("mobilenet_v2")
    pictures = data.photographs()
    PATCH, STRIDE, CERTIFIED = 16, 8, 4

CHOSEN = 0
one = data.Subset(pictures, np.array([CHOSEN]))
inputs = model.prepare(one)
picture = model.pictures(inputs)[0]
size = tuple(inputs.shape[2:])
said = model.categories[int(model.predict(one).predicted[0])]
print(f"{model.name} says {said}; it sees {size[0]} by {size[1]} pixels.")
view.images(picture[None], titles=[said])

# %% [markdown]
# ## 1. Why dense costs what it costs
#
# A window of `PATCH` pixels moves over the picture in steps of `STRIDE`; each position is one picture more that the
# network has to see. So the price is *positions times one forward pass*, and the stride decides how many positions
# there are.
#
# **Predict.** You want a map twice as fine, and halve the stride. How many times the forward passes will it take?

# %%
forecast = teaching.predict(
    "Half the stride: how many times the forward passes?",
    "2 times",  # <- your forecast, one of the choices
    choices=("as many", "2 times", "4 times", "8 times"),
)
forecast

# %% [markdown]
# **Run.** What a map will take can be said before anything is measured: count the positions, and time one forward
# pass.

# %%
strides = [step for step in (PATCH, PATCH // 2, PATCH // 4, PATCH // 8) if step >= 1]
positions = {step: len(explain.lattice(size, PATCH, step)) for step in strides}
passes = []
with torch.inference_mode():
    for _ in range(5):
        began = time.perf_counter()
        model.logits(inputs)
        passes.append(time.perf_counter() - began)
one_pass = min(passes)
pd.DataFrame(
    {"positions": positions, "seconds, one after the other": {s: n * one_pass for s, n in positions.items()}}
).rename_axis("stride")

# %%
times = round(positions[PATCH // 8] / positions[PATCH // 4])
because = "The stride counts along both axes. It does not matter what the picture shows: dense is dense."
forecast.reveal(f"{times} times", because=because)

# %% [markdown]
# **Explain.** Nothing in that count depends on the network's answer. The patch hardly matters either: a larger one
# fits at fewer places, that is all. *"n times faster than occlusion"* therefore means nothing until patch and stride
# are named: whoever chooses the stride of the slow side chooses the factor.
#
# **Check.** How many positions would stride 1 take here, which is what some packages do by default?

# %%
stride_one = len(explain.lattice(size, PATCH, 1))
print(f"{stride_one} positions, {stride_one / positions[STRIDE]:.0f} times those of stride {STRIDE}.")

# %% [markdown]
# ## 2. The changed box, layer by layer
#
# Two neighbouring pictures in that series are the same but for a window. Most of what the network computes for the
# second, it has computed for the first.
#
# **Predict.** Put a window into the middle of the picture. A convolution lets every change spread by its kernel; layer
# after layer, the changed box grows. Of all multiplications in a forward pass, how many have an input that changed?

# %%
forecast = teaching.predict(
    "Which part of the multiplications depends on a window in the middle?",
    "under a tenth",  # <- your forecast
    choices=("under a tenth", "between a tenth and a half", "more than a half"),
)
forecast

# %% [markdown]
# **Run.** Every layer is drawn at one size, so that a box lies over what it sees. Below it: the layer's own pixels,
# and how many of them can change.

# %%
window = ((size[0] - PATCH) // 2, (size[1] - PATCH) // 2, PATCH, PATCH)  # row, column, rows, columns
boxes = explain.changed_boxes(model, window)
some = np.unique(np.linspace(0, boxes.sizes["layer"] - 1, 12).astype(int))
view.changed_boxes(boxes.isel(layer=some), picture, title=f"a window of {PATCH} by {PATCH} pixels is hidden")

# %% [markdown]
# **Explain.** Follow one axis. An output pixel reads `kernel` input pixels, so a changed interval grows by about
# `kernel - 1`; a stride of two then halves it, and the map with it. Early layers see a small part change. Late layers
# are coarse, and soon change as a whole: a global mean sees everything, and nothing can be saved behind it. What you
# can save depends on where a network does its work:

# %%
table = boxes[["share", "work"]].to_dataframe()
table["must be computed"] = table["share"] * table["work"]
needed = float(table["must be computed"].sum())
table[table["work"] > 0.02].round(3)

# %%
parts = {"under a tenth": needed < 0.1, "between a tenth and a half": 0.1 <= needed <= 0.5}
truth = next((name for name, so in parts.items() if so), "more than a half")
forecast.reveal(
    truth,
    because=f"It is {needed:.0%}, for a window that hides {PATCH * PATCH / size[0] / size[1]:.1%} of the picture.",
)

# %% [markdown]
# **Check.** The boxes were computed from kernels, strides and paddings alone; no picture was looked at. Do they hold?
# Hide the window, run the *whole* network, and count the pixels outside the box that differ. You should find none, not
# few.

# %%
row, column, rows, columns = window
hidden = inputs.clone()
hidden[:, :, row : row + rows, column : column + columns] = 0

watched = [name for name in boxes["layer"].values[boxes["local"].values] if name in model.layers]
values = []
for prepared in (inputs, hidden):
    with models.capture(model, watched) as found, torch.inference_mode():
        model.logits(prepared)
    values.append(found)

outside, inside = 0, 0
for name in watched:
    changed = (values[0][name] != values[1][name])[0].any(dim=0).numpy()
    box = boxes.sel(layer=name)
    y, x, height, width = (int(box[side]) for side in ("y", "x", "height", "width"))
    in_the_box = np.zeros_like(changed)
    in_the_box[y : y + height, x : x + width] = True
    outside += int((changed & ~in_the_box).sum())
    inside += int((changed & in_the_box).sum())
print(f"{len(watched)} layers: {inside} pixels changed inside their box, {outside} outside.")

# %% [markdown]
# ## 3. Exact, and checked by you
#
# So keep every layer's values of the untouched picture, and compute only the boxes. That is `incremental_occlusion`.
# The literature on query processing had the idea first [@nakandala2019].
#
# **Predict.** The maps of `occlusion` and `incremental_occlusion`: how far will they be apart?

# %%
forecast = teaching.predict(
    "How far apart are the two maps, where they differ most?",
    "equal but for rounding",  # <- your forecast
    choices=("equal to the last bit", "equal but for rounding", "visibly different"),
)
forecast


# %% [markdown]
# **Run.** Against an honest opponent: `occlusion` is the plain form, and `engine="dense"` is dense occlusion with
# everything done for speed that does not use the box. Each runs twice, and the second time counts.


# %%
def timed(method, **parameters):
    """The map of the picture, and the seconds that it took; the first of the two runs warms up."""
    for _ in range(2):
        began = time.perf_counter()
        heat = method(model, one, **parameters)
        seconds = time.perf_counter() - began
    return heat, seconds


def work_of(heat):
    """Forward passes, or their equivalent in multiplications, that a map of one picture took."""
    if "forward_equivalents" in heat.coords:
        return float(heat["forward_equivalents"][0])
    return float(heat.attrs.get("forward_equivalents", heat.attrs.get("evaluations", np.nan)))


dense, seconds_dense = timed(explain.occlusion, patch=PATCH, stride=STRIDE)
fastest, seconds_fastest = timed(explain.incremental_occlusion, patch=PATCH, stride=STRIDE, engine="dense")
exact, seconds_exact = timed(explain.incremental_occlusion, patch=PATCH, stride=STRIDE)
pd.DataFrame(
    {
        "seconds": [seconds_dense, seconds_fastest, seconds_exact],
        "forward passes": [positions[STRIDE], positions[STRIDE], work_of(exact)],
    },
    index=["dense, plain", "dense, tuned", "incremental"],
).round(2)

# %%
view.heatmaps([dense[0], exact[0]], [picture] * 2, titles=["dense", "incremental"])

# %%
apart = float(np.abs(dense - exact).max() / np.abs(dense).max())
truth = "equal to the last bit" if apart == 0 else "equal but for rounding" if apart < 1e-4 else "visibly different"
forecast.reveal(
    truth,
    because=f"{apart:.1e} of the greatest value. The same numbers are added up, in another order, with seven digits.",
)

# %% [markdown]
# **Explain.** "But for rounding" is what everybody would say whose method is slightly wrong. If it *is* rounding, it
# must shrink by as much as the digits grow. A wrong box would not.
#
# **Check.** Trust nobody: here is the network with sixteen digits. Hide windows by hand, run all of it, and compare
# with what the engine says. Change the windows: at a corner, at the border, of another shape.

# %%
precise = copy.deepcopy(model.module).double()
exactly = inputs.double()
windows = np.array([[0, 0, 16, 16], [size[0] - 9, 3, 9, 20], list(window)])  # <- row, column, rows, columns

engine = explain.IncrementalEngine(precise, exactly)
answers = engine.scores(windows, torch.zeros_like(exactly[0]))
by_hand = []
for row, column, rows, columns in windows:
    covered = exactly.clone()
    covered[:, :, row : row + rows, column : column + columns] = 0
    with torch.inference_mode():
        by_hand.append(precise(covered)[0])
difference = float((answers - torch.stack(by_hand)).abs().max())
effect = float((torch.stack(by_hand) - engine.output).abs().max())
print(f"The windows change the answers by up to {effect:.2f}; engine and by hand differ by at most {difference:.0e}.")

# %% [markdown]
# ## 4. Less than exact: coarse, trimmed, refined
#
# The exact map still visits every position. Everything from here on is an *estimate* of it, so from here on each map
# needs a number that says how good it is. Ours is the rank correlation (Spearman) with the dense map, over all pixels:
# 1 means the same order of importance everywhere.
#
# Three ways to do less:
#
# - **coarse**: a larger stride;
# - **trimmed**: drop what has become tiny at the border of a box, so that boxes grow less;
# - **refined**: measure a coarse lattice exactly, estimate the rest by a *surrogate* (a cheap forecast of what a
#   window would do, and a statistical model of where the forecast errs), and spend what is left of the budget where
#   the order is least certain.
#
# **Predict.** Give the refined map a budget of 96 forward passes, and the coarse lattice at least as many. Which one
# comes nearer to the dense map?

# %%
forecast = teaching.predict(
    "Refined with 96 passes, coarse with at least as many: which one ranks more like dense?",
    "coarse",  # <- your forecast
    choices=("coarse", "refined", "neither: within 0.01"),
)
forecast


# %% [markdown]
# **Run.**


# %%
def rank(heat):
    """Spearman's correlation with the dense map, over all pixels."""
    return float(stats.spearman(heat.values.ravel(), dense.values.ravel()))


estimates = {}
for step in sorted({STRIDE * 3 // 2, STRIDE * 2, STRIDE * 3, PATCH}):
    if step <= PATCH:
        estimates[f"coarse, stride {step}"] = explain.occlusion(model, one, patch=PATCH, stride=step)
estimates["trimmed, 0.1"] = explain.incremental_occlusion(model, one, patch=PATCH, stride=STRIDE, trim=0.1)
for budget in (24, 48, 96):
    estimates[f"refined, budget {budget}"] = explain.multi_resolution_occlusion(
        model, one, patches=(PATCH,), strides=(STRIDE,), baseline="zero", budget=budget
    )
for name, heat in estimates.items():
    if name.startswith("coarse"):
        heat.attrs["evaluations"] = len(explain.lattice(size, PATCH, int(name.split()[-1])))
comparison = pd.DataFrame(
    {
        "forward passes": {name: work_of(heat) for name, heat in estimates.items()},
        "rank correlation": {name: rank(heat) for name, heat in estimates.items()},
    }
)
comparison.round(3)

# %%
refined = comparison.loc["refined, budget 96"]
coarse = comparison[comparison.index.str.startswith("coarse")]
generous = coarse["forward passes"] >= refined["forward passes"]
coarse = coarse[generous].iloc[-1] if generous.any() else coarse.iloc[0]
gain = refined["rank correlation"] - coarse["rank correlation"]
forecast.reveal(
    "refined" if gain > 0.01 else "coarse" if gain < -0.01 else "neither: within 0.01",
    because=(
        f"{refined['rank correlation']:.3f} with {refined['forward passes']:.0f} passes, against "
        f"{coarse['rank correlation']:.3f} with {coarse['forward passes']:.0f}. That is one picture."
    ),
)

# %% [markdown]
# **Explain.** A refined map says of every pixel what it is made of. `exact` is the share of the windows over it that
# were measured; the rest was estimated, and `sigma` is how uncertain the estimate is. Two pixels whose values differ
# by less than that have no order that you could rely on. Here are both.

# %%
refined_map = estimates["refined, budget 48"]
view.heatmap(refined_map.exact[0], picture, title="measured", unit="share of the windows", kind="sequential")

# %%
view.heatmap(refined_map.sigma[0], picture, title="uncertainty", unit="standard deviation", kind="sequential")

# %% [markdown]
# Trimming is another bargain. It visits every position, and measures how far off it was at windows drawn at random. Its
# forward passes above are those of its plan, the most that it can take: how much less it takes depends on how fast
# changes fade, which is for the network to decide. And looking for what has faded takes time of its own.

# %%
trimmed = estimates["trimmed, 0.1"]
{name: value for name, value in trimmed.attrs.items() if name.startswith("trim_")}

# %% [markdown]
# **Check.** A map that gets better all the time can be stopped at any time. Here it is while it grows, with what it
# has spent and how it really ranks. Does it always get better?

# %%
stages = list(
    explain.multi_resolution_steps(model, one, patches=(PATCH,), strides=(STRIDE,), baseline="zero", budget=96)
)
kept = [stages[number] for number in np.unique(np.linspace(0, len(stages) - 1, 4).astype(int))]
view.heatmaps(
    [stage.heatmap[0] for stage in kept],
    [picture] * len(kept),
    titles=[f"{work_of(stage.heatmap):.0f} passes: {rank(stage.heatmap):.2f}" for stage in kept],
    columns=4,
)

# %% [markdown]
# ### With sliders
#
# The panel lays windows of several sizes over each other, which is clearer to look at than any one of them. Move
# *budget*, *patch* and *stride* and watch the map refine; stop it, and let it continue. Dots are windows that were
# measured. Point at the picture, or use the arrow keys on it, to see the picture with that window hidden and the score
# that it then gets.

# %%
panel = OcclusionPanel(model, pictures)
panel

# %%
panel.state.parameters = {"budget": 48}
result = panel.result
print(f"{float(result['forward_equivalents']):.0f} forward passes for {result.sizes['window']} windows")
print(f"{float(result['window_exact'].mean()):.0%} of the windows were measured; the rest is estimated.")
print(panel.code())

# %% [markdown]
# ## 5. The certificate
#
# In real life there is no dense map to compare with; if there were, you would not need the estimate. So a refined map
# comes with a **certificate**: the rank correlation that it expects to have with the dense map, and an interval that
# should hold the true one nine times in ten. It is made from the uncertainty of the estimate and from spot checks,
# windows drawn at random that were measured after they had been predicted.
#
# **Predict.** Several pictures, a budget of 48 passes each. For how many of them does the interval hold the truth?

# %%
forecast = teaching.predict(
    "The 90 % intervals hold the true correlation for",
    "nearly all of them",  # <- your forecast
    choices=("nearly all of them", "more than half of them", "half of them or fewer"),
)
forecast

# %% [markdown]
# **Run.** Only here, to check the certificate, the dense map of each picture is computed as well.

# %%
checked = data.Subset(pictures, np.arange(CERTIFIED))
truths = explain.incremental_occlusion(model, checked, patch=PATCH, stride=STRIDE)
guesses = explain.multi_resolution_occlusion(
    model, checked, patches=(PATCH,), strides=(STRIDE,), baseline="zero", budget=48
)
flat = [heats.values.reshape(CERTIFIED, -1) for heats in (guesses, truths)]
certificates = pd.DataFrame(
    {
        "expected": guesses.certificate.values,
        "low": guesses.certificate_low.values,
        "high": guesses.certificate_high.values,
        "true": stats.spearman(*flat),
    }
)
certificates["held"] = certificates["true"].between(certificates["low"], certificates["high"])
certificates.round(2)

# %%
held = int(certificates["held"].sum())
error = float((certificates["expected"] - certificates["true"]).abs().mean())
forecast.reveal(
    "nearly all of them" if held >= 0.8 * CERTIFIED else "more than half of them" if held > CERTIFIED / 2
    else "half of them or fewer",
    because=f"{held} of {CERTIFIED}; the expectation was off by {error:.2f} on average.",
)  # fmt: skip

# %% [markdown]
# **Explain.** A certificate is a forecast too, and two things about it can be right or wrong apart: where it expects
# the correlation, and how wide an interval it dares to give. Both were made with photographs and ImageNet networks in
# mind. Whether they hold for *your* pictures and network is something that you can find out with a handful of dense
# maps, as you just did. Where the interval is too narrow for them, widen it by what you measured.
#
# **Check.** How sure can you be of a rate that was counted on so few pictures? An interval for the rate itself:

# %%
interval = binomtest(held, CERTIFIED).proportion_ci(method="wilson")
print(f"{held} of {CERTIFIED} is what rates from {interval.low:.0%} to {interval.high:.0%} may well give (95 %).")

# %% [markdown]
# ## 6. A race
#
# **Predict.** Each method below explains the same prediction, with a budget small enough to wait for. The measure is
# the rank correlation with dense occlusion. Besides the dense map's own engine and estimates, who comes nearest?

# %%
rivals = {
    "hierarchical search": lambda: timed(
        explain.hierarchical_occlusion, patch=PATCH, stride=STRIDE, budget=200, levels=2
    ),
    "HiPe": lambda: timed(explain.hipe),
    "RISE": lambda: timed(explain.rise, masks=300),
    "LIME": lambda: timed(explain.lime, samples=200),
    "Grad-CAM": lambda: timed(explain.gradcam),
    "gradient x input": lambda: timed(explain.input_x_gradient),
}
forecast = teaching.predict(
    "Which rival ranks the pixels most like dense occlusion?",
    "RISE",  # <- your forecast
    choices=tuple(rivals),
)
forecast

# %% [markdown]
# **Run.**

# %%
entries = {
    "dense occlusion": (dense, seconds_dense),
    "incremental, exact": (exact, seconds_exact),
    f"coarse, stride {2 * STRIDE}": timed(explain.occlusion, patch=PATCH, stride=2 * STRIDE),
    "refined, budget 48": timed(
        explain.multi_resolution_occlusion, patches=(PATCH,), strides=(STRIDE,), baseline="zero", budget=48
    ),
    **{name: run() for name, run in rivals.items()},
}
known = {"dense occlusion": positions[STRIDE], f"coarse, stride {2 * STRIDE}": positions[2 * STRIDE]}
known |= {"Grad-CAM": 2, "gradient x input": 2}  # one forward, one back
mask = next((mask for name, mask in one[0].masks.items() if name.endswith(said)), None)
race = pd.DataFrame(
    {
        "seconds": {name: seconds for name, (_, seconds) in entries.items()},
        "forward passes": {name: known.get(name) or work_of(heat) for name, (heat, _) in entries.items()},
        "rank correlation": {name: rank(heat) for name, (heat, _) in entries.items()},
    }
)
if mask is not None:
    race["evidence on the object"] = [
        teaching.answers.evidence_inside(heat.values[0], mask) for heat, _ in entries.values()
    ]
race.round(2)

# %%
winner = race.loc[list(rivals), "rank correlation"].idxmax()
because = f"{race.loc[winner, 'rank correlation']:.2f}, on this one picture, with these budgets."
forecast.reveal(winner, because=because)

# %%
view.heatmaps(
    [heat[0] for heat, _ in entries.values()],
    [picture] * len(entries),
    titles=list(entries),
    shared_scale=False,
    columns=5,
)

# %% [markdown]
# **Explain.** The race is not fair, and no such race is. *Nearest to dense occlusion* is what the first four were made
# for, and the others were not. RISE hides half of the picture at once; LIME hides superpixels, and gives all pixels of
# one the same value; a gradient asks about changes too small to see. They answer other questions, and 300 masks are
# few for RISE, which was published with 4000 and more.
#
# Look at the seconds, too. One pass of the shipped network takes about a millisecond, so what a method thinks between
# two passes takes longer than the passes that it saves. On a network of 50 ms a pass it is the other way round: turn
# the switch and see.
#
# **Check.** Would the order stay on another picture? Set `CHOSEN` at the top to another number and run all cells
# again. And ask what *you* would need: a map that ranks like dense occlusion, or one that finds the object? If a
# last column is there, it puts the methods in another order.

# %% [markdown]
# ## Exercise: The changed box, by yourself
#
# *Difficulty: medium. 20 minutes.*
#
# Everything above rests on one small piece of arithmetic. Along one axis, the pixels from `first` up to, not
# including, `first + length` of a map have changed. A layer reads the map with a `kernel`, a `stride` and a `padding`,
# and has `outputs` pixels; output `i` reads the input from `i * stride - padding` on, `kernel` pixels long. **Which
# outputs read a changed pixel?** Write a function that returns the first of them, and one past the last.
#
# There is always one here; and no loop is needed.

# %%
teaching.hint(
    "Draw it for kernel 3, stride 1, padding 1: which outputs read pixel 5? And then for stride 2.",
    "Output i reads up to i * stride - padding + kernel - 1. It sees the change if that is at least `first`, "
    "and if i * stride - padding is at most first + length - 1.",
    "Solve both for i. The first inequality rounds up, the second down: -(-a // b) rounds a / b up. Then keep the "
    "result between 0 and outputs.",
)


# %% tags=["solution"]
# The changed outputs along one axis: the first, and one past the last.
def changed_outputs(first, length, kernel, stride, padding, outputs):
    start = -(-(first + padding - kernel + 1) // stride)
    stop = (first + length - 1 + padding) // stride + 1
    return max(start, 0), min(stop, outputs)


# %%
cases = [  # first, length, kernel, stride, padding, outputs
    (5, 1, 3, 1, 1, 12),
    (5, 1, 3, 2, 1, 6),
    (0, 4, 5, 2, 2, 24),
    (40, 16, 7, 2, 3, 48),
    (88, 8, 3, 1, 1, 96),
    (10, 6, 2, 2, 0, 8),
    (3, 2, 11, 4, 2, 55),
]
feedback = teaching.check(
    [changed_outputs(*case) for case in cases],
    expected=[teaching.answers.changed_outputs(*case) for case in cases],
    name="the changed outputs",
)
feedback

# %% tags=["solution-only"]
assert feedback.passed

# %% [markdown]
# With it you can follow a window through any stack of layers. What does a network look like for which all of this is
# useless? (Think of a layer that sees the whole map, and of where in the network it stands.)

# %% [markdown]
# ## Summary
#
# - Dense occlusion costs positions times a forward pass. The stride decides, and a speed-up without it says nothing.
# - A hidden window changes a box of every layer. Computing only the boxes gives the same map; you checked it.
# - Everything faster than that is an estimate, and an estimate is worth what is known about its error.
# - A refined map says which part of it was measured, how uncertain the rest is, and how it should rank; the last of
#   these can be checked with a handful of dense maps.
# - A race has a measure, and the measure has a favourite.
#
# ## Limits: what this does not show
#
# - Dense occlusion is the *reference* here, not the truth. It shows the network pictures with holes, which it was not
#   trained on; what fills the hole matters (here: zero after normalisation).
# - A rank correlation over all pixels counts the dull ones as much as the ones that you care about.
# - One picture, one patch size, one small network, timed once on a machine that may have been busy. The benchmarks have
#   many pictures, several networks and intervals.
# - The box saves little where a network does most of its work late, and nothing behind a layer that sees the whole
#   map: squeeze-excite, attention, most transformers.
# - That a method is quick does not make what it shows a good explanation.
#
# ## References
#
# - Occlusion: Zeiler and Fergus 2014 [@zeiler2014].
# - Incremental inference for occlusion: Nakandala, Kumar and Papakonstantinou 2019 [@nakandala2019].
# - Gaussian processes: Rasmussen and Williams 2006 [@rasmussen2006].
# - The rivals: RISE [@petsiuk2018], LIME [@ribeiro2016], HiPe [@cooper2022], Grad-CAM [@selvaraju2017], gradient times
#   input [@shrikumar2016].

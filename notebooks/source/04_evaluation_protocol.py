# %% [markdown]
# # The evaluation protocol: which method is right, by how much, and against what chance?
#
# {{badge}}
#
# Two heatmaps of the same prediction disagree. Papers settle such questions with a table: methods by metrics, the best
# number in bold. In this notebook you make such a table, and then ask of it what a reviewer should: what does chance
# score? Would another threshold have made another method win? Which of the differences are differences? And does the
# measure agree with what is *known* to be true?
#
# **Objectives.** After it you can
#
# - *read* a score only together with its interval, its number of images and what chance scores,
# - *measure* how far the ranking of methods depends on the choice of a threshold,
# - *tell* which pairs of methods differ, with paired tests and a correction for having looked many times,
# - *compare* metrics with a truth that was made by intervention,
# - *notice* where labels were learned on the pictures that are scored.
#
# **Measured budget.** 17 s of processor time and 1321 MB on one thread, without a graphics card and without a network
# connection.
#
# **Prerequisites.** [00_start](00_start.ipynb), or you know what a heatmap and a unit are. You have met p-values.

# %%
import os
from dataclasses import replace

import numpy as np
import pandas as pd

from workbench import data, evaluate, models, panels, stats, teaching, view
from workbench.evaluate import DataChoice, ModelChoice, Protocol

# %% [markdown]
# ### The switch
#
# Everything below runs offline, on small networks that come with the package and on rendered scenes. Turn the switch to
# score the explanations of real pictures: of an ImageNet network on COCO's photographs, if `WORKBENCH_MIRROR` names a
# mirror; otherwise of the network for digits on scikit-learn's handwriting, with the ink as the object. Sections 4 and
# 5 stay with scenes: they need pictures that can be drawn again, and parts of which everybody knows where they are.

# %%
PHOTOGRAPHS = False  # <- the switch

# %%
if not PHOTOGRAPHS:
    model = models.load("scenes_object")
    pictures = DataChoice.of(data.scenes.SceneSource("object", 40, seed=2026))
    PATCH = 16
elif os.environ.get("WORKBENCH_MIRROR"):
    model = models.load("mobilenet_v2", weights="mobilenet_v2")
    pictures = DataChoice.of(data.Subset(data.coco_train128(masks="object"), np.arange(16)), objects="any")
    PATCH = 56
else:
    model = models.load("digits")

    class Inked(data.Subset):
        """Some of the images, with their ink as the object."""

        def __getitem__(self, index):
            item = super().__getitem__(index)
            return replace(item, masks={"ink": item.image[..., 0] > 127})

    pictures = DataChoice.of(Inked(data.digits(), np.arange(1197, 1237)), name="handwriting", objects="any")
    PATCH = 8

# %% [markdown]
# ## 1. A table in which no number stands alone
#
# A **protocol** is a description: methods, networks, pictures, metrics. It is frozen and has a hash. Whoever has the
# same hash has run the same comparison, to the weights of the network and the pixels of the pictures.
#
# The metric: cut the heatmap at a threshold (Otsu's: the split that separates high from low values best [@otsu1979]),
# and take the overlap with the true object, intersection over union (IoU).

# %%
METHODS = ["gradcam", "saliency", "input_x_gradient", "integrated_gradients(steps=8)", "random_maps"]
METHODS.insert(3, f"occlusion(patch={PATCH}, stride={PATCH // 2})")
BINARISERS = [
    "otsu",
    "fraction(fraction=0.2)",
    "fraction(fraction=0.5)",
    "fraction(fraction=0.8)",
    "percentile(share=0.1)",
]
protocol = Protocol(
    methods=METHODS,
    models=[model],
    data=[pictures],
    metrics=["binarised_iou", "pointing_game", "relevance_mass"],
    binarisers=BINARISERS,
)
print("hash:", protocol.hash[:16])
view.images(protocol.heatmaps(method="random_maps")["picture"].values[:6])

# %% [markdown]
# **Predict.** `random_maps` are noise: they do not look at the picture. What IoU will they have?

# %%
forecast = teaching.predict(
    "The IoU of noise, cut by Otsu, with the object",
    "0",  # <- your forecast, one of the choices
    choices=("0", "more than 0, and clearly so", "0.5: heads or tails"),
)
forecast

# %% [markdown]
# **Run.**

# %%
table = protocol.run(progress=False)
OTSU = "binarised_iou(binarise=otsu)"


def column(metric):
    """One column of the table, the best above, with what chance scores."""
    part = table.sel(metric=metric).isel(model=0, data=0)
    chance = part["control_value"].max("control")
    rows = {name: part[name].values for name in ("value", "low", "high", "n")}
    found = pd.DataFrame({**rows, "chance": chance.values}, index=part["method"].values)
    return found.sort_values("value", ascending=False).round(3)


column(OTSU)

# %%
noise = column(OTSU).loc["random_maps"]
forecast.reveal(
    "0"
    if noise["value"] < 0.005
    else "0.5: heads or tails"
    if noise["value"] > 0.45
    else "more than 0, and clearly so",
    because=f"It is {noise['value']:.3f}. As many pixels laid at random would score {noise['chance']:.3f}.",
)

# %% [markdown]
# **Explain.** Whoever marks much of the picture hits some of the object. How much that gives depends on how large
# objects are, and on how many pixels the threshold lets through; so chance is a number of its own *for each method*.
# The interval says what other pictures of the same kind would have done: pictures are drawn again with replacement.
#
# **Check.** Is there a method in the table whose interval holds its own chance? What would you write about it?

# %%
held = column(OTSU)
held[(held["low"] <= held["chance"]) & (held["chance"] <= held["high"])]

# %% [markdown]
# ## 2. Who chose the threshold?
#
# **Predict.** The same maps, cut at other thresholds: at 0.2, 0.5 and 0.8 of the maximum, or so that a tenth of the
# picture is chosen. Two rankings are compared by Kendall's tau [@kendall1938]: 1 is the same order, 0 none in common,
# −1 the opposite. How low does tau get between two of the five?

# %%
forecast = teaching.predict(
    "The lowest tau between two thresholds",
    "above 0.8",  # <- your forecast
    choices=("above 0.8", "between 0.4 and 0.8", "below 0.4"),
)
forecast

# %% [markdown]
# **Run.** (With noise left out: it would be last by all of them, and make them agree.)

# %%
cuts = [name for name in table["metric"].values if name.startswith("binarised_iou")]
rivals = [name for name in METHODS if name != "random_maps"]
agreement = evaluate.ranking_agreement(table, metrics=cuts, methods=rivals, resamples=499)
short = [name.removeprefix("binarised_iou(binarise=").removesuffix(")") for name in cuts]
pd.DataFrame(agreement["tau"].values, index=short, columns=short).round(2)

# %%
upper = np.triu_indices(len(cuts), k=1)
lowest = float(agreement["tau"].values[upper].min())
winners = table["value"].sel({"metric": cuts, "method": rivals}).isel(model=0, data=0).idxmax("method").values
forecast.reveal(
    "above 0.8" if lowest > 0.8 else "between 0.4 and 0.8" if lowest >= 0.4 else "below 0.4",
    because=f"{lowest:.2f}. Best by threshold: {dict(zip(short, winners, strict=True))}.",
)

# %% [markdown]
# **Explain.** A method with few high values (gradients) and one with a broad hill (Grad-CAM) are cut very differently
# by one and the same rule. "Method A beats method B" is a statement about methods *and* a threshold. Published
# comparisons do not always say which, so look at a family of thresholds, or at metrics that need none.
#
# **Check.** Move the threshold by hand. Sort the table by a column, press a cell to see the pictures behind it, choose
# *Fraction of the maximum* and drag: score and interval are computed again while you drag. With which threshold does
# your favourite win?

# %%
panel = panels.ProtocolPanel(table, protocol=protocol)
panel.state.metric, panel.state.sort = OTSU, OTSU
panel

# %%
panel.state.method, panel.state.binariser, panel.state.threshold = "gradcam", "fraction", 0.3
cell = panel.result
print(f"{float(cell['value']):.3f} [{float(cell['low']):.3f}, {float(cell['high']):.3f}], n = {int(cell['n'])}")
print(panel.code())

# %% [markdown]
# ## 3. Which of the differences are differences?
#
# All methods saw the same pictures, so two of them are compared picture by picture: if they were equally good, each
# difference could as well have had the other sign. The test counts how often chance signs would give as much. The
# metric is the pointing game [@zhang2018], which cuts nothing: does the highest point of the map lie on the object?
#
# **Predict.** Six methods make fifteen pairs. How many of them differ, at a corrected p below 0.05?

# %%
forecast = teaching.predict(
    "Pairs that differ, of fifteen",
    "all of them",  # <- your forecast
    choices=("all of them", "ten or more, not all", "fewer than ten"),
)
forecast

# %% [markdown]
# **Run.** The same is in the panel, behind *Which pairs of methods differ*.

# %%
POINTING = "pointing_game"
pairs = evaluate.method_comparison(table, metric=POINTING)
view.protocol_pairs(pairs, order=list(column(POINTING).index))

# %%
each = np.triu_indices(pairs.sizes["first"], k=1)
different = int((pairs["adjusted"].values[each] < 0.05).sum())
forecast.reveal(
    "all of them" if different == len(each[0])
    else "ten or more, not all" if different >= 10
    else "fewer than ten",
    because=f"{different}. Without the correction it would be {int((pairs['p_value'].values[each] < 0.05).sum())}.",
)  # fmt: skip

# %% [markdown]
# **Explain.** Fifteen looks are fifteen chances to be lucky: with no difference anywhere, one of fifteen tests at 0.05
# fails more often than every second time. Holm's correction [@holm1979] keeps the chance of *any* false finding below
# 0.05. You will write it in the exercise.
#
# **Check.** A small p is no large effect. Which significant pair has the smallest difference? Would it matter to you?

# %%
rows = [
    {"pair": f"{pairs['first'].values[i]} - {pairs['second'].values[j]}", "d": float(pairs["cohens_d"][i, j]),
     "difference": float(pairs["difference"][i, j]), "adjusted": float(pairs["adjusted"][i, j])}
    for i, j in zip(*each, strict=True)
]  # fmt: skip
found = pd.DataFrame(rows).set_index("pair")
found[found["adjusted"] < 0.05].sort_values("difference", key=abs).head(3).round(4)

# %% [markdown]
# ## 4. Right about what?
#
# All of this asked whether the heat lies *on the object*. The question was what the *network* uses. For rendered scenes
# that can be measured: draw each picture again without one part, everything else the same, and see what the network
# then says. That is the **intervention truth**: how much each part is worth.
#
# **Predict.** Metrics rank the methods by their maps; the truth ranks them by whether they order the parts rightly.
# Does IoU rank the methods as the truth does?

# %%
forecast = teaching.predict(
    "Kendall's tau between the ranking by IoU and that by the truth",
    "between 0 and 0.5",  # <- your forecast
    choices=("above 0.5", "between 0 and 0.5", "below 0"),
)
forecast

# %% [markdown]
# **Run.**

# %%
birds = data.scenes.SceneSource("part", 24, seed=2027)
truthful = Protocol(
    methods=["gradcam", "saliency", "input_x_gradient", "occlusion(patch=16, stride=8)",
             "integrated_gradients(steps=8)", "random_maps"],
    models=[ModelChoice.of("scenes_part", layer="layer4")],
    data=[DataChoice.of(birds, name="part scenes")],
    metrics=["intervention_agreement", "binarised_iou", "relevance_mass", "pointing_game"],
)  # fmt: skip
known = truthful.run(progress=False)
part = known.isel(model=0, data=0)
pd.DataFrame(part["value"].values, index=part["method"].values, columns=part["metric"].values).round(3)

# %%
ranked = evaluate.ranking_agreement(known, methods=[name for name in known["method"].values if name != "random_maps"])
with_truth = (
    ranked.sel(first=ranked["first"].values[0])
    .drop_vars(["first", "method"])
    .to_dataframe()[["tau", "low", "high", "n"]]
)
with_truth.round(2)

# %%
tau = float(with_truth["tau"].iloc[1])
forecast.reveal(
    "above 0.5" if tau > 0.5 else "between 0 and 0.5" if tau >= 0 else "below 0",
    because=f"{tau:.2f}, between {with_truth['low'].iloc[1]:.2f} and {with_truth['high'].iloc[1]:.2f}.",
)

# %% [markdown]
# **Explain.** A map can lie on the object and order its parts wrongly; and a network can look beside the object, where
# a map that says so is right and scores badly. Localisation measures whether network *and* method look where a person
# would. With five methods and two dozen pictures the interval of tau is wide: that is part of the answer.
#
# **Check.** Look at the scores of `random_maps` by the truth. Is every method better than noise, by its interval?

# %%
truth = part.sel(metric=part["metric"].values[0])
pd.DataFrame({name: truth[name].values for name in ("value", "low", "high", "n")}, index=truth["method"].values).round(
    3
)

# %% [markdown]
# ## 5. Interpretations: who named the units?
#
# A method that finds relevant units shows each of them as maps. To score those, each unit is first *linked* to a part,
# the one that its maps cover best; then the overlap of unit and part is averaged, weighted by how often parts were
# given (`waiou`). What is known of the published measure leaves its weights and thresholds open [@behzadi2023], so this
# is one member of a family; name yours.
#
# **Predict.** Take units at random. Links can be learned on the pictures that are scored, or on others. Which gives the
# higher number?

# %%
forecast = teaching.predict(
    "Random units: which gives the higher score?",
    "no difference",  # <- your forecast
    choices=("learned on the same pictures", "learned on other pictures", "no difference"),
)
forecast

# %% [markdown]
# **Run.** For units drawn at random, and for relevant ones, which are shown only where their category is predicted.

# %%
PARTS = ("petals", "leaf", "beak", "wing", "tail", "leg", "roof", "door", "window")
learned_from, scored = (data.scenes.SceneSource("part", 48, seed=seed) for seed in (2028, 2029))
units = Protocol(
    methods=["relevant_units", "random_units(share=0.25)"],
    models=truthful.models,
    data=[DataChoice.of(scored, name="more part scenes", learn=learned_from, parts=PARTS)],
    metrics=["waiou"],
)
rows = {}
for method in ("random_units(share=0.25)", "relevant_units"):
    maps = units.heatmaps(method=method)
    for link in ("same", "held out"):
        score = evaluate.waiou(maps["heatmap"], maps["part_mask"], shown=maps["shown"].values, link=link)
        rows[method, link] = {name: float(score[name]) for name in ("value", "low", "high", "n")}
linked = pd.DataFrame(rows).T
linked.round(3)

# %%
by_luck = linked.loc["random_units(share=0.25)", "value"]
gap = float(by_luck["same"] - by_luck["held out"])
forecast.reveal(
    "learned on the same pictures" if gap > 0.001
    else "learned on other pictures" if gap < -0.001
    else "no difference",
    because=f"By {gap:+.3f}. Where there are many parts to choose from, the best of them fits by luck too.",
)  # fmt: skip

# %% [markdown]
# **Explain.** The link is a choice of the best of many, and what is best on some pictures is partly best by luck there.
# On other pictures the luck is gone. `protocol.run` learns links on one half and scores the other, with random units as
# one of its controls.
#
# **Check.** Are the relevant units better than random ones? Before you say: of how many pictures is each number?

# %%
linked.xs("held out", level=1).round(3)

# %% [markdown]
# ### To hand on
#
# A report is one page that needs nothing else; the description in it gives anybody the same hash. Work that was
# interrupted goes on where it was if it is given a folder: `protocol.run(path="results")`.

# %%
report = view.protocol_report(table, resamples=499)
again = Protocol.from_json(table.attrs["description"])
print(f"{len(report) // 1000} kB of HTML; same hash: {again.hash == protocol.hash}")
print(view.protocol_csv(table).splitlines()[0])

# %% [markdown]
# ## Exercise: Fifteen looks
#
# *Difficulty: medium. 20 minutes.*
#
# Write Holm's correction. Of `m` p-values, the smallest is multiplied by `m`, the next by `m - 1`, and so on down to
# the largest, which stays. **No adjusted value may exceed 1, and none may be smaller than that of a smaller p-value**
# (take the larger one then). Return the adjusted values *in the order in which the p-values were given*.

# %%
teaching.hint(
    "np.argsort(p_values) gives the positions from the smallest p-value to the largest.",
    "Walk through them with a running maximum: what was the largest adjusted value so far?",
    "adjusted[index] = largest writes each one back to the place that it came from.",
)


# %% tags=["solution"]
# Adjusted p-values by Holm's method, in the order of those given.
def corrected(p_values):
    adjusted, largest = np.empty(len(p_values)), 0.0
    for rank, index in enumerate(np.argsort(p_values)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


# %%
trial = np.array([0.2, 0.001, 0.03, 0.04, 0.9, 0.012])
feedback = teaching.check(corrected(trial), expected=stats.holm(trial), name="the adjusted p-values")
feedback

# %% tags=["solution-only"]
assert feedback.passed

# %% [markdown]
# Now your own correction on the fifteen pairs of section 3. How many are left?

# %%
if feedback.passed:
    own = corrected(pairs["p_value"].values[each])
    print(f"{(own < 0.05).sum()} of {len(own)} pairs differ; the table says {different}.")

# %% [markdown]
# ## Summary
#
# - A score means something beside chance, with an interval and a number of pictures.
# - A threshold is a choice, and it can decide who wins; look at several, or at none.
# - Methods that saw the same pictures are compared picture by picture, and many looks need a correction.
# - On the object is not the same as right about the network; where pictures can be drawn again, the truth can be made.
# - Labels that were learned on the scored pictures flatter.
#
# ## Limits: what this does not show
#
# - Small networks, a few dozen pictures, methods at low settings. Who wins here need not win on your network; that is
#   what running the protocol is for.
# - An interval over pictures says nothing of other networks, other training runs or other kinds of pictures.
# - Tau between rankings of five methods moves in steps of 0.2; of the choice of methods it says nothing.
# - The intervention truth removes one part at a time: parts that stand in for each other both look worthless.
# - Relevant units are chosen for categories. A unit can matter for one and match none of the parts that have names.
# - IoU supposes that the mask is what should be found. Where a network relies on the background, it is not.
#
# ## References
#
# - Otsu's threshold: Otsu 1979 [@otsu1979]. Kendall's tau: Kendall 1938 [@kendall1938]. Holm's correction: Holm 1979
#   [@holm1979]. The bootstrap: Efron 1987 [@efron1987].
# - The pointing game: Zhang and others 2018 [@zhang2018]. Relevance mass: Arras and others 2022 [@arras2022].
# - Weighted average IoU of linked units: Behzadi-Khormouji and Oramas 2023 [@behzadi2023].

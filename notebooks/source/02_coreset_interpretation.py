# %% [markdown]
# # Interpretation from few pictures: how little is enough?
#
# {{badge}}
#
# To say what a network has learned, interpretation methods read a whole dataset, every map of every picture. Some
# pictures repeat what others have said already. A **coreset** is a small choice of pictures that stands for all. In
# this notebook you interpret a network from all pictures and from a few, find out what "nearly the same" can mean,
# and learn to ask for evidence where somebody says that nothing was lost.
#
# **Objectives.** After it you can
#
# - *find* the units that a network uses for a category, and *compare* two such findings,
# - *choose* coresets with several selectors, and *see* what each of them prefers,
# - *read* a similarity curve between its floor and its ceiling, and *say* why it needs both,
# - *decide* with a paired test whether a selector is better than drawing at random,
# - *ask* for a certificate where the full interpretation is not at hand, and *check* whether it keeps its word.
#
# **Measured budget.** 15 s of processor time and 1122 MB on one thread, without a graphics card and without a network
# connection.
#
# **Prerequisites.** [00_start](00_start.ipynb), or you know what a unit and its map are. You have met least squares.

# %%
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from workbench import ActivationStore, data, models, panels, teaching, view
from workbench.interpret import coreset

# %% [markdown]
# ### The switch
#
# Everything below runs offline, on a small network that comes with the package and on rendered scenes. Turn the switch
# to run the same cells on real pictures: an ImageNet network on the photographs of CIFAR-10, if `WORKBENCH_MIRROR`
# names a mirror; otherwise the network for digits on scikit-learn's handwriting, which needs no download. With the
# photographs it takes minutes.

# %%
PHOTOGRAPHS = False  # <- the switch

# %%
if not PHOTOGRAPHS:
    model = models.load("scenes_object")
    pictures = data.scenes.SceneSource("object", 600, seed=2026)
    LAYER, LABELS = "layer4", "predicted"
elif os.environ.get("WORKBENCH_MIRROR"):
    model = models.load("mobilenet_v2", weights="mobilenet_v2")
    pictures = data.Subset(data.cifar10(), np.arange(500))
    LAYER, LABELS = "features.16", "true"  # ImageNet has other categories than these ten
else:
    model = models.load("digits")
    pictures = data.Subset(data.digits(), np.arange(1197, 1797))
    LAYER, LABELS = "layer3", "predicted"

folder = tempfile.TemporaryDirectory(prefix="coreset-")
began = time.perf_counter()
store = ActivationStore.extract(model, pictures, layers=[LAYER], path=Path(folder.name, "all.zarr"), progress=False)
seconds_all = time.perf_counter() - began
total = len(pictures)
view.images(model.pictures(model.prepare(data.Subset(pictures, np.arange(8)))), columns=8)

# %% [markdown]
# ## 1. From all pictures, and from fewer
#
# The method is called VEBI [@oramas2019]. Each unit gives one number a picture, how strongly it answers. For each
# category, a few non-negative weights are looked for, such that the weighted units tell its pictures from the others.
# Units with a weight are *relevant* for the category.

# %%
vebi = coreset.subject("relevant_units", store, labels=LABELS, layers=[LAYER])
everything = np.flatnonzero(vebi.category >= 0)
whole = vebi.interpret(everything, None)  # (category, unit)

names = store.categories if LABELS == "predicted" else store.label_categories
present = np.unique(vebi.category[everything])
pd.DataFrame(
    {
        "pictures": [int((vebi.category == each).sum()) for each in present],
        "relevant units": [
            ", ".join(str(unit) for unit in np.argsort(-whole[each]) if whole[each, unit] > 0) for each in present
        ],
    },
    index=[names[each] for each in present],
)

# %% [markdown]
# **Predict.** Now draw some of the pictures at random, and do the same with these alone. Two findings are compared by
# the cosine of their weights, category by category: 1 is the same, 0 has no unit in common. How many pictures does it
# take until the cosine is 0.95 or more?

# %%
forecast = teaching.predict(
    "How many pictures, drawn at random, give a cosine of 0.95?",
    "about half of them",  # <- your forecast, one of the choices
    choices=("nearly all of them", "about half of them", "a fifth of them or fewer"),
)
forecast

# %% [markdown]
# **Run.** Each share is drawn ten times.

# %%
shares = [0.02, 0.05, 0.1, 0.2, 0.5, 0.8]
drawn = pd.DataFrame(
    {
        share: [
            vebi.similarity(
                whole,
                vebi.interpret(
                    np.sort(
                        coreset.choose(
                            store, selector="random", fraction=share, labels=vebi.category, layer=LAYER, seed=seed
                        ).indices
                    ),
                    None,
                ),
            )
            for seed in range(10)
        ]
        for share in shares
    }
)
drawn.describe().loc[["min", "mean", "max"]].round(3)

# %%
enough = next((share for share in shares if drawn[share].mean() >= 0.95), 1.0)
forecast.reveal(
    "a fifth of them or fewer" if enough <= 0.2 else "about half of them" if enough <= 0.5 else "nearly all of them",
    because=f"On average {enough:.0%} are enough, {round(enough * total)} pictures. But look at the worst of the ten.",
)

# %% [markdown]
# **Explain.** All that least squares reads of the pictures are a matrix of products and a vector of sums. Means of
# many things settle with few of them; so do the weights. A method that reads extremes (the pictures with the highest
# activation, quantiles of 99.5 %) needs more. *How little is enough* is a question about a method, not about a dataset.
#
# **Check.** A number needs something to compare it with. What does the same similarity say of *random units*: the
# weights of each category, dealt to other units?

# %%
generator = np.random.default_rng(0)
chance = [vebi.similarity(whole, vebi.chance(whole, generator)) for _ in range(50)]
print(f"Random units: {np.mean(chance):.3f} on average, {max(chance):.3f} at most. That is the floor.")

# %% [markdown]
# ## 2. Chosen, not drawn
#
# Selectors look at the pooled features of all pictures, one number a unit, which cost a pass of the network and little
# memory. *Herding* keeps the mean of the chosen close to the mean of all [@welling2009]. *k-centre greedy* takes the
# picture that is farthest from all that are chosen, so that none is left far away [@gonzalez1985]. *Moderate* takes
# pictures at a middling distance from the median [@xia2023].
#
# **Predict.** With 5 % of the pictures of each category: which one comes nearest to the finding from all?

# %%
SHARE = 0.05
rivals = ("random", "herding", "k_center_greedy", "moderate")
forecast = teaching.predict(
    f"Which selector comes nearest with {SHARE:.0%}?",
    "k_center_greedy",  # <- your forecast
    choices=rivals,
)
forecast

# %% [markdown]
# **Run.** (Random is the mean of the ten draws above.)

# %%
chosen = {
    name: coreset.choose(store, selector=name, fraction=SHARE, labels=vebi.category, layer=LAYER) for name in rivals
}
found = {name: vebi.interpret(np.sort(some.indices), None) for name, some in chosen.items()}
likeness = pd.Series({name: vebi.similarity(whole, weights) for name, weights in found.items()})
likeness["random"] = drawn[SHARE].mean()
likeness.round(3)

# %%
best = likeness.idxmax()
forecast.reveal(best, because=f"{likeness[best]:.3f}. On these pictures, for this method, with this many.")

# %% [markdown]
# **Explain.** Look at where they take their pictures. Each dot is a picture, its features brought into the plane by
# principal components; diamonds are chosen.

# %%
features = coreset.pooled_features(store, layer=LAYER)
plane = panels.project(features)
view.coreset_map(panels.coreset_map(store, chosen["k_center_greedy"], labels=LABELS, positions=plane))

# %%
view.coreset_map(panels.coreset_map(store, chosen["herding"], labels=LABELS, positions=plane))

# %% [markdown]
# k-centre greedy collects the outskirts: odd pictures, each of which stands for itself. That is what you want in order
# to *see* what there is. For a method that averages, odd pictures count too much.
#
# **Check.** One could give each chosen picture a weight: how many it stands for. Does that bring k-centre greedy
# nearer?

# %%
some = chosen["k_center_greedy"]
weighted = vebi.similarity(whole, vebi.interpret(some.indices, some.weights))
print(f"k-centre greedy: {likeness['k_center_greedy']:.3f} as it is, {weighted:.3f} with weights.")

# %% [markdown]
# ## 3. The ceiling
#
# Somebody reports: "our coreset reaches 0.97". Is that much?
#
# **Predict.** Cut the pictures into two halves at random, and interpret each half with *all* of its pictures. How alike
# are the two findings?

# %%
forecast = teaching.predict(
    "Two disjoint halves, each used as a whole: how alike?",
    "1.00: it is the same network",  # <- your forecast
    choices=("1.00: it is the same network", "less than 1.00, but 0.9 or more", "less than 0.9"),
)
forecast

# %% [markdown]
# **Run.**

# %%
ceilings, flattered = [], []
for seed in range(10):
    first, second = coreset.split_halves(vebi.category, np.random.default_rng(seed))
    of_first, of_second = vebi.interpret(first, None), vebi.interpret(second, None)
    ceilings.append(vebi.similarity(of_first, of_second))
    flattered.append(vebi.similarity(of_first, whole))
ceiling = float(np.mean(ceilings))
print(f"One half against the other: {ceiling:.3f}, from {min(ceilings):.3f} to {max(ceilings):.3f}.")

# %%
forecast.reveal(
    "1.00: it is the same network" if ceiling >= 0.995
    else "less than 1.00, but 0.9 or more" if ceiling >= 0.9
    else "less than 0.9",
    because="The network is the same, the pictures are not. No coreset of one half can be expected to do better.",
)  # fmt: skip

# %% [markdown]
# **Explain.** That is the **ceiling**: other pictures of the same kind, and as many as there are. A similarity between
# floor and ceiling can be put on one scale, 0 to 1, and then compared between methods and datasets.
#
# **Check.** So far you compared a coreset with all pictures, *itself among them*. What does that do to the number?
# Half of the pictures against all, and against the other half:

# %%
print(f"against all, which hold this half: {np.mean(flattered):.3f}; against the other half: {ceiling:.3f}")

# %% [markdown]
# ## 4. The curve
#
# Now everything together. Pictures are cut into halves A and B, six times. Coresets are chosen from A, and what is
# found with them is compared with what is found with all of B. All of A against B is the ceiling, random units against
# B the floor.
#
# **Predict.** From which share on does herding stay at 0.95 of the ceiling?

# %%
FRACTIONS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
forecast = teaching.predict(
    "Herding stays at 0.95 of the ceiling from",
    "20 % on",  # <- your forecast
    choices=("5 % or less on", "10 % on", "20 % on", "30 % or more on, or nowhere"),
)
forecast

# %% [markdown]
# **Run.**

# %%
curve = coreset.coreset_curve(
    vebi, store, rivals, fractions=FRACTIONS, splits=6, random_draws=3, layer=LAYER, progress=False
)
view.coreset_curve(curve, selector="herding")

# %%
from_here = float(curve["enough"].sel(selector="herding"))
forecast.reveal(
    "5 % or less on" if from_here <= 0.05
    else "10 % on" if from_here == 0.1
    else "20 % on" if from_here == 0.2
    else "30 % or more on, or nowhere",
    because="The mean of six splits says " + (f"{from_here:.0%}." if np.isfinite(from_here) else "nowhere."),
)  # fmt: skip

# %% [markdown]
# **Explain.** Random coresets are the opponent, and they are a strong one. To beat them, a selector has to be better
# *on the same halves with as many pictures*. So each split gives one difference, and a test asks whether their sign
# could be chance. With six splits the smallest p-value that there can be is 2 / 2⁶ = 0.03, and several selectors are
# several chances to be lucky (`adjusted` is what is left after Holm's correction).

# %%
pd.DataFrame(
    {
        "area": curve["area"].values,
        "low": curve["area_low"].values,
        "high": curve["area_high"].values,
        "ahead of random": curve["area_against_random"].values,
        "p": curve["area_p_value"].values,
        "adjusted": curve["area_adjusted"].values,
    },
    index=curve["selector"].values,
).round(3)

# %% [markdown]
# **Check.** Would you write "selector X is better than random" on the strength of this table? Which of the two would
# you change: the number of splits, or the number of selectors?
#
# ### With sliders
#
# Choose selector and share. Click a point to see which picture it is. Click a category, or go along them with the
# arrow keys, to set its units side by side: found with all pictures, found with the coreset. The curve is the one from
# above; without one, the panel computes it, and can be stopped.

# %%
panel = panels.CoresetPanel(store, pictures, labels=LABELS, curve=curve)
panel.state.category = next(iter(panel.state.categories))
panel

# %%
panel.state.selector, panel.state.fraction = "k_center_greedy", 0.05
result = panel.result
print(
    f"{int(result['chosen'].sum())} pictures; units for {result.attrs['category']}: {float(result['similarity']):.3f}"
)
print(panel.code())

# %% [markdown]
# ## 5. Without all of them: a certificate
#
# In earnest, the full interpretation is what you want to avoid. Then there is nothing to compare with, and the question
# is how near the coreset comes to something that nobody has computed. An **adaptive coreset** grows until its own
# interpretation has settled: pictures of the coreset are drawn again and again with replacement, and if the finding
# hardly changes, more pictures would hardly change it either.
#
# **Predict.** Ten times, the adaptive coreset of another draw states an interval that should hold the true similarity
# nine times in ten. How often will the truth be inside it, or even above?

# %%
REPEATS = 10
forecast = teaching.predict(
    "Truth at or above the lower end of the 90 % interval",
    "in nine of ten or more",  # <- your forecast
    choices=("in nine of ten or more", "in more than half", "in half or fewer"),
)
forecast

# %% [markdown]
# **Run.**

# %%
rows = []
for seed in range(REPEATS):
    grown = coreset.adaptive_coreset(
        vebi, features, wanted=0.85, selector="random", start=0.04, growth=2, resamples=20, seed=seed
    )
    rows.append(
        {
            "pictures": len(grown.coreset),
            "expected": grown.similarity.value,
            "low": grown.similarity.low,
            "high": grown.similarity.high,
            "true": vebi.similarity(whole, grown.interpretation),
        }
    )
certificates = pd.DataFrame(rows)
certificates["inside"] = certificates["true"].between(certificates["low"], certificates["high"])
certificates.round(3)

# %%
safe = int((certificates["true"] >= certificates["low"]).sum())
forecast.reveal(
    "in nine of ten or more" if safe >= 0.9 * REPEATS
    else "in more than half" if safe > REPEATS / 2
    else "in half or fewer",
    because=f"In {safe} of {REPEATS}; inside, between both ends, in {int(certificates['inside'].sum())}.",
)  # fmt: skip

# %% [markdown]
# **Explain.** For somebody who relies on a coreset the lower end matters: it is a promise. That the truth is higher
# than promised does no harm, and happens by design where a selector is better than drawing at random, since the
# certificate supposes a random draw.
#
# **Check.** Look at one coreset while it grows. At which size would you have stopped, had you seen `change` alone?

# %%
grown.history[["value", "low", "high", "change"]].to_dataframe().round(3)

# %% [markdown]
# ## 6. What has been saved?
#
# The selector has to see features of *all* pictures, so the network runs over all of them once, whatever you do. What
# is saved is everything behind that: maps that are not written, and methods that do not read them. Here is the whole
# bill.

# %%
began = time.perf_counter()
seen = coreset.features_of(model, pictures, layer=LAYER, pool="mean")
seconds_features = time.perf_counter() - began
began = time.perf_counter()
few = coreset.choose(seen, selector="herding", fraction=SHARE, labels=vebi.category, images=pictures)
seconds_choice = time.perf_counter() - began
began = time.perf_counter()
small = ActivationStore.extract(model, few, layers=[LAYER], path=Path(folder.name, "few.zarr"), progress=False)
seconds_few = time.perf_counter() - began


def megabytes(path):
    """What a store takes on disk."""
    return sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file()) / 1e6


pd.DataFrame(
    {
        "seconds": [seconds_all, seconds_features + seconds_choice + seconds_few],
        "MB on disk": [megabytes(store.path), megabytes(small.path)],
    },
    index=["all pictures", f"{len(few)} pictures: features, choice, extraction"],
).round(2)

# %% [markdown]
# A coreset is an image source like any other: `ActivationStore.extract(model, few, ...)` stored its pictures alone. If
# the bill in seconds disappoints you, it is meant to: where the network is the expensive part, a coreset saves little,
# and where a method takes hours over maps, it saves hours. Say which of the two yours is.

# %% [markdown]
# ## Exercise: Farthest first
#
# *Difficulty: medium. 20 minutes.*
#
# k-centre greedy is a few lines. Write it: `points` is (point, coordinate); begin with **the point that lies nearest
# to the mean** of all; then take, one after the other, **the point whose distance to the nearest chosen point is
# largest**, until `count` are chosen. Return their positions in the order of choice. Distances are Euclidean.

# %%
teaching.hint(
    "np.linalg.norm(points - one, axis=1) gives the distance of every point to one of them.",
    "Keep one array: for each point, the distance to the nearest chosen one. What happens to it when another point is "
    "chosen?",
    "It becomes the minimum of itself and the distances to the new point. argmax of it is the next choice.",
)


# %% tags=["solution"]
# The positions of `count` points: the one nearest to the mean, then always the one farthest from all that are chosen.
def farthest_first(points, count):
    order = [int(np.linalg.norm(points - points.mean(axis=0), axis=1).argmin())]
    away = np.linalg.norm(points - points[order[0]], axis=1)
    while len(order) < count:
        order.append(int(away.argmax()))
        away = np.minimum(away, np.linalg.norm(points - points[order[-1]], axis=1))
    return np.array(order)


# %%
trial = np.random.default_rng(5).normal(size=(60, 3))
feedback = teaching.check(
    farthest_first(trial, 8), expected=teaching.answers.farthest_first(trial, 8), name="the chosen points"
)
feedback

# %% tags=["solution-only"]
assert feedback.passed

# %% [markdown]
# A selector is a function that takes features, a count and a `generator`, the source of chance. Register yours, and
# everything that reads the registry knows it: `choose`, the curve, the menu of the panel. What would you change so that
# it comes nearer than random?

# %%
if feedback.passed:

    @coreset.selectors.register(
        title="Farthest first, by me", source=(), access="activations", returns="indices", feedback="exemplars"
    )
    def mine(features, count, *, generator):
        """Farthest first."""
        return farthest_first(features, count)

    own = coreset.choose(store, selector="mine", fraction=SHARE, labels=vebi.category, layer=LAYER)
    print(f"{vebi.similarity(whole, vebi.interpret(np.sort(own.indices), None)):.3f}")

# %% [markdown]
# ## Summary
#
# - What a method finds can settle with few pictures; how few depends on what the method reads.
# - A similarity means something between a floor (random units) and a ceiling (all of one half against the other).
# - Compared with a set that contains it, a coreset looks better than it is.
# - Random coresets are the selector to beat, and to say that one is better takes pairs, a test and a correction.
# - A certificate says how near a coreset comes to what was not computed; whether it keeps its word can be checked.
#
# ## Limits: what this does not show
#
# - One method, one layer, one small network, and pictures that somebody rendered with much in common. The benchmarks
#   have other methods; for some of them half of the pictures are not enough. Turn the switch for a case where more
#   pictures are needed, the ceiling is lower, and the certificate breaks its word more often.
# - The same units are not *right* units. A coreset can only be as good as the interpretation that it stands for.
# - Six splits of one dataset share pictures: the intervals are of the splits, not of other data.
# - Principal components show two directions of many. What lies together in the plane may lie apart.
# - Selecting within predicted categories supposes that the predictions are at hand.
#
# ## References
#
# - Relevant units (VEBI): Oramas, Wang and Tuytelaars 2019 [@oramas2019].
# - Herding: Welling 2009 [@welling2009]. Farthest first: Gonzalez 1985 [@gonzalez1985]; as a coreset for networks,
#   Sener and Savarese 2018 [@sener2018]. Moderate coresets: Xia and others 2023 [@xia2023].
# - The bootstrap: Efron and Tibshirani 1993 [@efron1993].

# %% [markdown]
# # Start here: why did it say so, and what has it learned?
#
# {{badge}}
#
# A network that is right can still be right for the wrong reason. In this notebook you ask one network both questions
# that this workbench keeps apart: **explanation** (why this prediction, on this input?) and **interpretation** (what
# has the model learned?).
#
# **Objectives.** After it you can
#
# - *explain* one prediction with a heatmap, and say what its colours mean,
# - *check* the heatmap against what is true,
# - *store* the activations of a network and *browse* its units,
# - *say* what a unit responds to, and what that does not show,
# - *measure* whether an accurate network is right for the right reason.
#
# **Measured budget.** 24 s and 1064 MB on two processor cores, without a graphics card and without a network
# connection.
#
# **Prerequisites.** You know what a convolutional network and a softmax are. Python is read, hardly written.

# %%
import os
import tempfile
from pathlib import Path

import numpy as np

from workbench import ActivationStore, data, explain, models, teaching, view
from workbench.panels import ExplanationPanel, UnitPanel

# %% [markdown]
# ### The switch
#
# Everything below runs offline, on a small network that comes with the package and on rendered scenes, of which every
# cause is known. Turn the switch to run the same cells on an ImageNet network and photographs: from your mirror if
# `WORKBENCH_MIRROR` names one, otherwise with torchvision's weights (downloaded) and scikit-image's photographs. It
# then takes longer.

# %%
PHOTOGRAPHS = False  # <- the switch

# %% [markdown]
# ## 1. A network and its pictures

# %%
if not PHOTOGRAPHS:
    model = models.load("scenes_object")
    pictures = data.scenes.SceneSource("object", 160, seed=2026)
    layer, patch, stride = "layer4", 16, 4
elif os.environ.get("WORKBENCH_MIRROR"):
    model = models.load("mobilenet_v2", weights="mobilenet_v2")
    pictures = data.Subset(data.imagenet_samples(), np.arange(0, 600, 6))
    layer, patch, stride = "features.18", 32, 16
else:
    model = models.load("mobilenet_v2")
    pictures = data.photographs()
    layer, patch, stride = "features.18", 32, 16

predictions = model.predict(pictures)
shown = [pictures[index] for index in range(6)]
names = [model.categories[number] for number in predictions.predicted.values]
inputs = model.pictures(model.prepare(data.Subset(pictures, np.arange(6))))
view.images(inputs, titles=names[:6], columns=6)

# %% [markdown]
# The titles are what the network says. How often is it right on these pictures?

# %%
if pictures.labels is not None:
    right = predictions.predicted.values == pictures.labels
    print(f"{right.mean():.1%} of {len(pictures)} pictures")

# %% [markdown]
# ## 2. Explanation: why this prediction?
#
# **Predict.** *Occlusion* hides one patch of the picture after the other and watches the score of the category. Where
# hiding lowers the score, the patch was evidence for the category (red); where hiding raises it, evidence against
# (blue). Before you run the next cells: where will most of the red be?

# %%
forecast = teaching.predict(
    "Where does most of the evidence for the predicted category lie?",
    "on the whole object alike",  # <- your forecast, one of the choices
    choices=("on the whole object alike", "on some part of the object", "beside the object"),
)
forecast

# %% [markdown]
# **Run.**

# %%
CHOSEN = 0
heat = explain.occlusion(model, data.Subset(pictures, np.array([CHOSEN])), patch=patch, stride=stride)
view.heatmap(heat, inputs[CHOSEN], title=f"evidence for {names[CHOSEN]}")

# %% [markdown]
# **Explain.** The map is an array with names: dimensions, the category that was explained, the score of the untouched
# picture, and, in its attributes, the method with its parameters and the network with a hash of its weights. You can
# save it and know in a year what it is.

# %%
heat


# %% [markdown]
# **Check.** Rendered scenes come with the true mask of every object, so *looks right* becomes a number: the share of
# the evidence that lies inside the mask. Compare it with the share of the *picture* that lies inside: evidence strewn
# at random would reach just that.


# %%
def mask_of(picture, category):
    """The true mask of the object that a category names, (y, x) bool; None where nobody has drawn one."""
    return next((mask for name, mask in picture.masks.items() if name.endswith(category)), None)


def half_of(values):
    """The share of the values, highest first, that it takes to make half of their sum; 0.5 where all are equal."""
    running = np.sort(values)[::-1].cumsum()
    return (np.searchsorted(running, running[-1] / 2) + 1) / len(values)


mask, outcome = mask_of(shown[CHOSEN], names[CHOSEN]), ""
if mask is None:
    print("Nobody has drawn a mask for this picture, so nobody can check the map: that is why scenes are rendered.")
else:
    evidence = np.maximum(heat[0].values, 0)
    inside, concentrated = evidence[mask].sum() / evidence.sum(), half_of(evidence[mask])
    print(f"{inside:.0%} of the evidence lies on the object, which covers {mask.mean():.0%} of the picture.")
    print(f"Half of what lies on the object lies on {concentrated:.0%} of it.")
    # "most" and "some part" need borders before they can be checked: half of the evidence, and 40 % of the object
    where = "on some part of the object" if concentrated < 0.4 else "on the whole object alike"
    outcome = where if inside > 0.5 else "beside the object"

# %%
because = (
    "A patch at the outline hides some of the object too, so some evidence lies beside it wherever the network looks."
)
forecast.reveal(outcome, because=because) if outcome else forecast

# %% [markdown]
# ### The same in a panel
#
# Choose another picture, another category, another method; put two methods side by side. Every control works by mouse
# and by keyboard. *Copy as code* gives the call that makes what you see.

# %%
explanation = ExplanationPanel(model, pictures)
explanation

# %% [markdown]
# What a panel shows can be had as data, and as the code that makes it; and `explanation.state.method = "saliency"`
# does what the menu does.

# %%
explanation.result

# %%
print(explanation.code())

# %% [markdown]
# ## 3. Interpretation: what has it learned?
#
# So far you asked about one picture. Now run the network over all of them once, and keep what one of its layers
# gives: one map for each unit and picture. The *activation store* is made to be interrupted, verified and read
# without loading it.

# %%
folder = tempfile.TemporaryDirectory(prefix="start-")
store = ActivationStore.extract(model, pictures, layers=[layer], path=Path(folder.name, "pictures.zarr"))
print(store.verify())
store.dataset(layer)

# %% [markdown]
# **Predict.** Take the unit whose activation rises most, against its mean over all pictures, where one category is
# shown. If you look at the pictures that make it fire most, how many of the first eight will show that category?

# %%
CATEGORY = names[CHOSEN]
forecast = teaching.predict(
    f"How many of the eight pictures that the unit answers most show {CATEGORY}?",
    "all of them",  # <- your forecast
    choices=("all of them", "more than half", "half or fewer"),
)
forecast

# %% [markdown]
# **Run.** The pooled values lie beside the maps, so this takes no time, however many pictures there are.

# %%
answers = store.dataset(layer)["max"].load()
is_category = store.predicted.values == model.category_index(CATEGORY)
difference = (answers[is_category].mean("image") - answers.mean("image")) / (answers.std("image") + 1e-6)
unit = int(difference.argmax("unit"))

top = store.top_images(layer, unit, k=8)
top_pictures = model.pictures(model.prepare(data.Subset(pictures, top["index"].values)))
top_names = [model.categories[number] for number in top["predicted"].values]
view.unit_sheet(top["maps"].values, top_pictures, name=f"unit {unit} of {layer}", titles=top_names, columns=4)

# %%
view.histogram(
    answers.isel(unit=unit),
    unit=f"greatest activation of unit {unit}",
    part=is_category,
    part_name=CATEGORY,
)

# %% [markdown]
# **Explain.** The grid over each picture is the unit's map, one cell for each place that it looks at. The histogram
# shows all pictures, not the best eight alone. Where the two groups overlap, the unit does not tell them apart.

# %%
matching = sum(name == CATEGORY for name in top_names)
forecast.reveal(
    "all of them" if matching == 8 else "more than half" if matching > 4 else "half or fewer",
    because=f"It is {matching} of 8. The histogram says what the eight cannot: how it answers all the other pictures.",
)

# %% [markdown]
# **Check.** You might call it a unit for the whole category. The true masks of the parts say where on the object it
# fires: here is the activation on each part, against an activation that is spread evenly over the picture (1.0).


# %%
def activation_by_part(maps, pictures):
    """Mean activation on each named part as a multiple of the mean over the picture, averaged over the pictures."""
    found = {}
    for unit_map, picture in zip(maps, pictures, strict=True):
        for name, part in picture.masks.items():
            if " " in name:  # a whole object, such as "red square"
                continue
            rows, columns = (side // cells for side, cells in zip(part.shape, unit_map.shape, strict=True))
            spread = np.kron(unit_map, np.ones((rows, columns)))
            found.setdefault(name, []).append(spread[part].mean() / spread.mean())
    return {name: round(float(np.mean(ratios)), 1) for name, ratios in sorted(found.items())}


by_part = activation_by_part(top["maps"].values.astype(float), [pictures[int(index)] for index in top["index"]])
by_part or "Nobody has drawn the parts of these pictures."

# %% [markdown]
# ### All units in a panel
#
# Go through a few units, by mouse or with the arrow keys, and search for those that fire most for another category.
# Can you find one that responds to a *part*, whatever the object?

# %%
units = UnitPanel(store, pictures, layer=layer)
units.state.unit = unit
units

# %%
units.result

# %% [markdown]
# ## Exercise: Right for the right reason?
#
# *Difficulty: easy. 10 minutes.*
#
# Two networks look at scenes with a small mark in a corner. Both are accurate on them. One of the two learned its
# task on scenes in which the mark went with the label; which one, and how would you know without being told? Measure,
# for each network, **the share of its evidence that lies inside the mark**.

# %%
marked = data.scenes.SceneSource("object_confounded", 8, seed=77, agreement=1.0)
networks = {name: models.load(name) for name in ("scenes_object", "scenes_object_confounded")}
heats = {name: explain.occlusion(network, marked, patch=16, stride=8) for name, network in networks.items()}
mark_masks = np.stack([picture.masks["watermark"] for picture in marked])

print(f"The mark covers {mark_masks.mean():.1%} of a picture.")
for name, network in networks.items():
    print(f"{name}: {(network.predict(marked).predicted.values == marked.labels).mean():.0%} right")
view.heatmaps(
    [heats[name][0] for name in networks],
    [marked[0].image] * 2,
    titles=list(networks),
    shared_scale=False,
)

# %%
teaching.hint(
    "Evidence for the category is what is above zero; the rest of the map does not count here.",
    "heats[name].values has the shape (image, y, x), and so has mark_masks: one can index the other.",
    "np.maximum(heat, 0)[mark_masks].sum() is the evidence inside. Divide it by all evidence.",
)

# %% tags=["solution"]
# The share of the evidence that lies inside the mark, over all eight pictures: from the name of the network to a share.
positive = {name: np.maximum(heats[name].values, 0) for name in networks}
shares = {name: float(values[mark_masks].sum() / values.sum()) for name, values in positive.items()}

# %%
expected = {name: teaching.answers.evidence_inside(np.vstack(heats[name]), np.vstack(mark_masks)) for name in networks}
feedback = teaching.check(shares, expected=expected, name="shares", tolerance=0.01)
feedback

# %% tags=["solution-only"]
assert feedback.passed
assert shares["scenes_object_confounded"] > shares["scenes_object"]
print({name: f"{share:.0%}" for name, share in shares.items()})

# %% [markdown]
# ## 4. The same on real handwriting
#
# Nothing above knew about scenes. Here are scikit-learn's digits, written by people on paper, and the network that
# was trained on most of them. Eight by eight pixels are few, so patches of two pixels are enough. Ink is bright here,
# and paper is dark.

# %%
digits = data.digits()
digit_model = models.load("digits")
some = data.Subset(digits, np.arange(1500, 1506))
view.images(digit_model.pictures(digit_model.prepare(some)), titles=[f"meant as {label}" for label in some.labels])

# %%
said = [digit_model.categories[number] for number in digit_model.predict(some).predicted.values]
digit_heat = explain.occlusion(digit_model, some, patch=2, stride=1)
view.heatmaps(digit_heat, titles=[f"evidence for {digit}" for digit in said], shared_scale=False, columns=3)

# %% [markdown]
# Blank paper can be evidence too: look for red where nothing is written. A patch there would be ink to the network,
# and ink there would make another digit. A method that paints only what *is* there could not show that.

# %%
digit_explanation = ExplanationPanel(digit_model, some)
digit_explanation

# %%
digit_explanation.result["probability"].round(2)

# %% [markdown]
# What do the units of its last convolutional layer respond to? Strokes, corners, loops, whole digits?

# %%
many = data.Subset(digits, np.arange(1200, 1797))
digit_store = ActivationStore.extract(digit_model, many, layers=["layer3"], path=Path(folder.name, "digits.zarr"))
digit_units = UnitPanel(digit_store, many)
digit_units

# %%
digit_units.result["greatest"]

# %% [markdown]
# ## Summary
#
# - A heatmap answers *why this prediction, on this input*. Its sign matters: evidence for, evidence against.
# - Where the truth is known, a heatmap can be checked with a number, and the number needs a baseline to compare with.
# - A unit is known by the pictures that make it fire, and by those that do not.
# - Accuracy does not say why. Two networks that were equally right looked at different things.
#
# **Where next.** [01_occlusion_acceleration](01_occlusion_acceleration.ipynb) asks what an explanation costs, and how
# far an estimate of it can be trusted; [02_coreset_interpretation](02_coreset_interpretation.ipynb) asks the same of an
# interpretation: how few pictures are enough? [03_relational_discovery](03_relational_discovery.ipynb) asks which units
# bring about which, and intervenes; [04_evaluation_protocol](04_evaluation_protocol.ipynb) asks which method is right,
# by how much, and against what chance.
#
# ## Limits: what this does not show
#
# - Occlusion shows a network what it never saw in training, a flat patch. Part of the answer may be an answer to
#   that.
# - A high share of evidence on the object is no proof that the *right property* of the object is used.
# - The top pictures of a unit are those of this set. Another set can tell another story, and a name is yours, not the
#   network's.
# - That a unit fires for a category does not mean that the network uses it for that category: that takes an
#   intervention.
#
# ## References
#
# - Occlusion: Zeiler and Fergus 2014 [@zeiler2014].
# - The digits: Alpaydin and Kaynak 1998 [@alpaydin1998].

# %% [markdown]
# # Relational discovery: which units bring about which?
#
# {{badge}}
#
# Units do not work alone. One drives another; two must come together; one silences a third. In this notebook you look
# for such relations inside networks, first in one whose every wire is known, and learn which kind of evidence supports
# which kind of claim.
#
# **Objectives.** After it you can
#
# - *tell* an association from a cause, and *show* with a planted circuit why the difference matters,
# - *read* an edge: its effect, its interval, its q-value, and how many images it rests on,
# - *test* an edge where it was not found: in a scene that you change, and in a unit that you hold,
# - *find* a shortcut by comparing the graphs of two networks,
# - *say* what a graph of relations does not show.
#
# **Measured budget.** 60 s (of which 19 s on the processor, beside much other work) and 1160 MB on one thread of two
# processor cores, without a graphics card and without a network connection.
#
# **Prerequisites.** [00_start](00_start.ipynb), or you know what a unit and its map are. You have met p-values.

# %%
import os

import numpy as np
import pandas as pd

from workbench import data, models, panels, teaching, view
from workbench.data import scenes
from workbench.interpret import observe, relations
from workbench.interpret.relations import planted
from workbench.stats import spearman

# %% [markdown]
# ### The switch
#
# Everything below runs offline, on small networks that come with the package and on rendered scenes. Turn the switch to
# walk through the relations of a network for photographs in section 4: MobileNet on the photographs of CIFAR-10, if
# `WORKBENCH_MIRROR` names a mirror; otherwise the network for digits on scikit-learn's handwriting.

# %%
PHOTOGRAPHS = False  # <- the switch

# %% [markdown]
# ## 1. Together is not because
#
# Here is a small network that somebody wired by hand: detectors in `layer1`, gates in `layer2`. Two of its gates are
# *confounded*: they read one detector, whose pattern never comes without a second one. The second is not wired.
#
# Two methods look for edges. *Association* asks which units fire in the same images more often than chance has it, with
# Fisher's exact test [@fisher1922]. *Causal* edges come from intervention: take a unit away, and see what falls
# [@vig2020].
#
# **Predict.** Both report edges at a false discovery rate of 0.05. Which of the two reports the wires that are not
# there?

# %%
forecast = teaching.predict(
    "Confounded pairs that are reported as edges",
    "neither",  # <- your forecast
    choices=("neither", "association only", "causal only", "both"),
)
forecast

# %% [markdown]
# **Run.**

# %%
circuit = planted.plant(planted.Parameters(seed=3))
patterns = circuit.images(300)
layers = [planted.PRIMITIVES, planted.GATES]
seen = observe(circuit.model, patterns, layers=layers)
found = {
    "association": relations.association_edges(seen, circuit.model, pairs=[tuple(layers)]).significant(),
    "causal": relations.causal_edges(
        circuit.model, patterns, source=layers[0], target=layers[1], interactions=0
    ).significant(),
}
wired = {(edge.source_unit, edge.target_unit) for edge in circuit.truth if edge.source_layer == layers[0]}
confounded = set(circuit.confounded_pairs)
pairs = {name: {(edge.source_unit, edge.target_unit) for edge in graph} for name, graph in found.items()}
fooled = {name: len(some & confounded) for name, some in pairs.items()}
pd.DataFrame(
    {
        "edges": {name: len(some) for name, some in pairs.items()},
        "of them wired": {name: len(some & wired) for name, some in pairs.items()},
        f"of {len(confounded)} confounded pairs": fooled,
    }
)

# %%
names = {
    (False, False): "neither", (True, False): "association only", (False, True): "causal only", (True, True): "both"
}  # fmt: skip
forecast.reveal(
    names[fooled["association"] > 0, fooled["causal"] > 0],
    because="Where two patterns always come together, only taking one of them away tells which of them is used.",
)

# %% [markdown]
# **Explain.** The data cannot tell the two detectors apart, since they always fire together. The network can: only one
# of them has a wire. An intervention asks the network.
#
# **Check.** How many of the wires did each method find? Association is not useless: it is cheap, needs nothing but
# activations, and says where to look. But what it says of a *network* is said of the *data* as much.

# %% [markdown]
# ## 2. A relation that is all about places
#
# The network `scenes_relation` says on which side of a blue circle a red square stands. Which units of its last
# convolutional layer drive which of the four answers?

# %%
model = models.load("scenes_relation")
pictures = scenes.SceneSource("relation", 200, seed=77)
activations = observe(model, pictures, layers=["layer4", "classifier"])
graph = relations.causal_edges(model, pictures, source="layer4", target="classifier", interactions=0, least_share=0.2)
answers = {("classifier", number): name for number, name in enumerate(model.categories)}
view.relation_graph(graph, names=answers)

# %% [markdown]
# In words, the units called after the phrase of the pictures' captions that goes with their activity most, where one
# does beyond chance:

# %%
words = relations.names_of(relations.captioned(activations, [item.caption for item in pictures], layer="layer4"))
print(relations.paragraph(graph.significant(), names=answers | words, most=4))

# %% [markdown]
# Each clause of that text is read back and looked up in the graph; none may be left that no edge says.

# %%
relations.unsupported(relations.paragraph(graph, names=answers | words), graph)

# %% [markdown]
# ### ... when it lies left of another
#
# Some gates of the wired network in section 1 want one pattern at its place *and* a second one beside it. There, a unit
# acts on one side of another one only, and its edge carries a *condition*. It must pass three tests: the effect differs
# between the images in which the unit lies on one side and on the other, more than sides dealt anew would have it; in
# the same image, it changes when the other unit's map is moved to the other side; and less than half of it is left.

# %%
conditions = found["causal"].filter(conditional=True)
for edge in conditions.strongest(3):
    print(relations.sentence(edge))
view.relation_graph(conditions)

# %% [markdown]
# The check reads conditions too. Turn a clause around, and no edge entails it:

# %%
said = relations.sentence(conditions.strongest(1).edge(0), evidence=False)
opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
side = next(words for words in opposite if words in said)
turned = said.replace(side, opposite[side])
pd.Series(
    {each: "no edge says so" if relations.unsupported(each, conditions) else "entailed" for each in (said, turned)}
)

# %% [markdown]
# And the network that was trained to tell sides? Between its layers the effects of many units differ from side to side.
# How many of those that are put to the second test pass it?

# %%
inner = relations.causal_edges(
    model, pictures, source="layer3", target="classifier", interactions=0, least_share=0.2
).filter(conditional=True)
print(f"{len(inner.filter(tested=True))} put to the test, {len(inner.significant())} hold.")

# %% [markdown]
# The images differ, but when one unit is moved, nothing is left of it: the place in the picture goes along with the
# side, and many units carry together what no single one does. A sentence with *when* would have been wrong.

# %% [markdown]
# ## 3. Counterfactuals: a graph that can be wrong
#
# An edge foretells. If a source moves by so much, its target moves by so much. So change something and look. In 60 new
# scenes the square and the circle swap places: *left of* becomes *right of*.
#
# **Predict.** From the slopes of the edges and from how the sources move, the movement of each logit is foretold. How
# well will it be ranked?

# %%
forecast = teaching.predict(
    "Rank correlation of foretold and measured movement of the logits",
    "0.8 or more",  # <- your forecast
    choices=("0.8 or more", "from 0.5 to 0.8", "less than 0.5"),
)
forecast

# %% [markdown]
# **Run.**

# %%
drawn = [scenes.sample_scene("relation", index, seed=2026).scene for index in range(60)]
before, after = (
    np.stack([scene.render(96).image for scene in some]) for some in (drawn, [scene.swap(0, 1) for scene in drawn])
)
wires = relations.wiring(graph, activations)
moved = relations.change_scene(wires, model, before, after)
one_slope = float(spearman(moved["predicted"].values.ravel(), moved["measured"].values.ravel()))
print(f"One slope an edge: {one_slope:.2f}, over {moved['measured'].size} logits.")

# %%
forecast.reveal(
    "0.8 or more" if one_slope >= 0.8 else "from 0.5 to 0.8" if one_slope >= 0.5 else "less than 0.5",
    because=f"It is {one_slope:.2f}. One number says what a unit does wherever it fires. Here, place is the question.",
)

# %% [markdown]
# **Explain.** A unit for red can speak for *left of* at the left border, and against it at the right. Its mean effect
# is small, and its edge weak, though the network could not do without it. So measure a slope for each of 3 x 3 places,
# by the same intervention, on other pictures than those that are swapped:

# %%
placed = relations.by_place(wires, model, data.Subset(pictures, np.arange(80)), cells=3)
moved = relations.change_scene(placed, model, before, after)
by_place = float(spearman(moved["predicted"].values.ravel(), moved["measured"].values.ravel()))
print(f"A slope an edge and place: {by_place:.2f}.")

# %% [markdown]
# **Check.** Would other units have done as well? Wire as many units as the graph has, drawn at random, and measure
# their slopes in the same way.

# %%
generator = np.random.default_rng(0)
at_random = []
for _ in range(2):
    other = relations.Wiring(
        wires.source, wires.target, wires.units, generator.permutation(wires.wired), wires.slope, wires.baseline
    )
    other = relations.by_place(other, model, data.Subset(pictures, np.arange(80)), cells=3)
    result = relations.change_scene(other, model, before, after)
    at_random.append(float(spearman(result["predicted"].values.ravel(), result["measured"].values.ravel())))
print("Units at random:", ", ".join(f"{value:.2f}" for value in at_random))

# %% [markdown]
# If they do as well, the test does not show that *these* units matter most, only that slopes by place foretell. Many
# units of this layer carry the relation. A test says what it tests.

# %% [markdown]
# ## 4. Edge by edge
#
# Click a line, or choose an edge from the list. You see the images that show it, with the maps of both units. Move an
# object, or hold the unit at less than it gives: both predictions move, and beside them stands what happened.

# %%
if not PHOTOGRAPHS:
    shown, looked_at, edges = model, pictures, graph
elif os.environ.get("WORKBENCH_MIRROR"):
    shown = models.load("mobilenet_v2", weights="mobilenet_v2")
    looked_at = data.Subset(data.cifar10(), np.arange(60))
    edges = relations.causal_edges(
        shown,
        looked_at,
        source="features.16",
        target="features.18",
        sources=range(8),
        targets=range(12),
        interactions=0,
    )
else:
    shown = models.load("digits")
    looked_at = data.Subset(data.digits(), np.arange(1597, 1797))
    edges = relations.causal_edges(
        shown, looked_at, source="layer3", target="classifier", interactions=0, least_share=0.2
    )

panel = panels.RelationPanel(edges, shown, looked_at)
panel.state.hold = 0.5
panel

# %%
result = panel.result
print(result.attrs["sentence"])
print(panel.code())

# %% [markdown]
# ## 5. Drift: what did the second network learn instead?
#
# `scenes_object_confounded` was trained on pictures with a mark in the corner that agrees with the object. Its graph is
# compared with that of `scenes_object`. Units of networks that were trained apart do not correspond by number, so they
# are called by *what must be changed in the pictures for them to change*: the mark or the object, of which category.
#
# **Predict.** Among all differences between the two graphs, the largest first: at which rank stands the first edge from
# the mark of a category to that category?

# %%
forecast = teaching.predict(
    "Rank of the first shortcut edge",
    "among the first ten",  # <- your forecast
    choices=("among the first three", "among the first ten", "later"),
)
forecast

# %% [markdown]
# **Run.**

# %%
samples = [scenes.sample_scene("object_confounded", index, seed=5, agreement=0.5) for index in range(160)]
marked = np.stack([sample.scene.render(96).image for sample in samples])
changed = {
    "mark": np.stack([sample.scene.set_watermark(None).render(96).image for sample in samples]),
    "object": np.stack([sample.scene.remove(0).render(96).image for sample in samples]),
}
groups = {"mark": [sample.cue for sample in samples], "object": [sample.label for sample in samples]}
graphs = []
for name in ("scenes_object", "scenes_object_confounded"):
    network = models.load(name)
    called = relations.answers_to(
        network, marked, changed, layer="layer4", groups=groups, categories=network.categories
    )["name"].values
    edges = relations.causal_edges(network, marked, source="layer4", target="classifier", interactions=0)
    graphs.append(
        relations.with_names(
            edges,
            {("layer4", unit): str(each) for unit, each in enumerate(called)}
            | {("classifier", number): each for number, each in enumerate(network.categories)},
        )
    )
drift = relations.compare(*graphs, by="name")
columns = ["status", "source_name", "target_name", "effect_before", "effect_after", "size"]
drift[columns].isel(edge=slice(0, 6)).to_dataframe().round(2)

# %%
shortcut = [
    str(source) == f"mark of {target}"
    for source, target in zip(drift["source_name"].values, drift["target_name"].values, strict=True)
]
rank = shortcut.index(True) + 1
forecast.reveal(
    "among the first three" if rank <= 3 else "among the first ten" if rank <= 10 else "later",
    because=f"It is at rank {rank}; {sum(shortcut[:3])} of the first three are shortcuts.",
)

# %% [markdown]
# **Explain.** Both networks saw the same pictures here. In the clean one no unit answers to the mark more than to the
# object, so the edge has nowhere to start.
#
# **Check.** Call the units by *mark* or *object* alone, without the category. Does the shortcut still come first? Of
# several edges with the same names the strongest counts, so coarse names throw edges of different units together.

# %% [markdown]
# ## Exercise: Keeping a place
#
# *Difficulty: medium. 15 minutes.*
#
# Two units *keep their places* if one can be told from the other. Let `first` and `second` be (image, 2), where each
# unit is in each image, and d = second - first. The effect compares how much d varies with how much it would vary if
# the images were dealt at random: **1 minus the variance of d over the sum of the variances of both**, variances
# summed over the two axes. Write it.

# %%
teaching.hint(
    "points.var(axis=0).sum() is the variance of points in the plane.",
    "If the images are dealt at random, first and second are independent. What is the variance of a difference then?",
)


# %% tags=["solution"]
# How much less the displacement varies than by chance: 1 where one place follows from the other, 0 by chance.
def kept_place(first, second):
    expected = first.var(axis=0).sum() + second.var(axis=0).sum()
    return 1 - (second - first).var(axis=0).sum() / expected


# %%
trial = np.random.default_rng(4).normal(size=(2, 40, 2))
trial[1] = trial[0] + 0.3 * trial[1] + [5, 0]
feedback = teaching.check(kept_place(*trial), expected=teaching.answers.kept_place(*trial), name="the effect")
feedback

# %% tags=["solution-only"]
assert feedback.passed

# %% [markdown]
# Two units that look at the same thing in two layers keep their places perfectly, and so do two parts of one object. Is
# that a relation of the network, or of the pictures? What would you do to find out?
#
# ## Summary
#
# - Association is a statement about data that a network saw; an intervention is a statement about the network.
# - An edge is worth as much as its evidence: effect, interval, q-value, and what was not tested.
# - A graph that foretells can be wrong, which is what makes it worth having. Test it where it was not found.
# - A mean effect hides what depends on the place. An edge may say on which side of another unit it holds, if moving
#   that unit shows it.
# - A test that other units pass as well does not single yours out.
# - Two graphs can be compared if their units have names that mean the same in both.
#
# ## Limits: what this does not show
#
# - Units are not concepts. A relation between two units may be one of many that carry the same thing, and taking one
#   away shows only what the others do not make up for.
# - The baseline decides what *away* means. Another baseline gives other effects.
# - Edges join two layers. What runs past them on another path is not seen.
# - Names come from two changes, the mark and the object. A unit that answers to something else is misnamed.
# - In section 3, units at random foretell as well as, or better than, those of the graph; see the benchmarks.
#
# ## References
#
# - Interventions on units: Vig and others 2020 [@vig2020]; screening by gradients: Syed and others 2023 [@syed2023].
# - Permutation tests: Wald and Wolfowitz 1944 [@wald1944]; their moments: Kazi-Aoual and others 1995 [@kaziaoual1995].
# - Exact tests of tables: Fisher 1922 [@fisher1922]. False discovery: Benjamini and Hochberg 1995 [@benjamini1995].

"""What can be set in a relation panel, and the controls that set it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traitlets import Bool, Float, HasTraits, Int, Unicode, validate

from workbench.errors import InputError, unknown_name
from workbench.interpret.relations import KINDS
from workbench.panels.parts import Choice, Range, Stepper, Toggle, group

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench.interpret.relations import RelationGraph

NONE, NO_EDGE = "", -1
MOST_EDGES = 500
KIND_TEXTS = {
    "association": "fire together", "spatial": "keep their places", "causal": "cause", "concept": "between concepts",
}  # fmt: skip


class RelationState(HasTraits):
    """What can be set in a :class:`RelationPanel`, by a person or from code; a value that cannot be is refused.

    Attributes:
        kind: show edges of this kind only; "" for all.
        category: show edges of this category only; "" for all.
        strength: show edges of at least this per cent of the strongest of their kind, from 0 to 100.
        most: show at most so many edges, from 1 to 500.
        significant: show edges with a q-value of at most 0.05 only.
        edge: position in the graph of the edge that is looked at; -1 for none.
        scene: index of the scene, or image, that the test is made on.
        object: number of the object that is moved.
        across: by how much it is moved to the right, from -0.8 to 0.8 of the picture's side.
        down: by how much it is moved downwards.
        hold: factor at which the source is held, from 0 (as if it were not there) over 1 (left alone) to 2.
        opacity: of the maps over the pictures, from 0 to 1.
    """

    kind = Unicode(NONE)
    category = Unicode(NONE)
    strength = Float(0.0, min=0, max=100)
    most = Int(200, min=1, max=MOST_EDGES)
    significant = Bool(True)
    edge = Int(NO_EDGE)
    scene = Int(0)
    object = Int(0)
    across = Float(0.0, min=-0.8, max=0.8)
    down = Float(0.0, min=-0.8, max=0.8)
    hold = Float(1.0, min=0, max=2)
    opacity = Float(0.7, min=0, max=1)

    def __init__(self, graph: RelationGraph, *, scenes: int, significant: bool, objects: Callable[[int], int]) -> None:
        present = set(graph.column("kind").astype(str))
        self.kinds = [kind for kind in KINDS if kind in present]
        self.categories = sorted({str(name) for name in graph.column("category") if name})
        self.edges, self.scenes, self._objects = len(graph), scenes, objects
        super().__init__(significant=significant)

    @property
    def objects(self) -> int:
        """How many objects the scene has that the test is made on; 0 where there are no scenes."""
        return self._objects(self.scene)

    @validate("kind", "category")
    def _known(self, proposal: Any) -> str:
        name = proposal["trait"].name
        known = {"kind": self.kinds, "category": self.categories}[name]
        if proposal["value"] != NONE and proposal["value"] not in known:
            raise unknown_name(name, proposal["value"], known, hint="No edge of the graph is of it.")
        return str(proposal["value"])

    @validate("edge", "scene", "object")
    def _in_range(self, proposal: Any) -> int:
        name, value = proposal["trait"].name, int(proposal["value"])
        low = NO_EDGE if name == "edge" else 0
        count = {"edge": self.edges, "scene": self.scenes, "object": max(self.objects, 1)}[name]
        if not low <= value < count:
            raise InputError(f"{name} is {value}; there are {count}, numbered from 0.")
        return value


class RelationControls:
    """The controls of a :class:`RelationPanel`, in step with its state.

    Args:
        state: the state.
        edges: gives the positions of the edges to choose from, and what to call each.
        objects: gives the names of the objects of a scene.

    Attributes:
        columns: what filters and chooses, in groups.
        opacity: of the maps.
    """

    def __init__(
        self,
        state: RelationState,
        edges: Callable[[], tuple[list[int], list[str]]],
        objects: Callable[[int], list[str]],
    ) -> None:
        self._state, self._edges, self._objects = state, edges, objects
        self.kind = Choice(label="Kind")
        self.kind.offer([NONE, *state.kinds], ["all kinds", *(KIND_TEXTS[kind] for kind in state.kinds)])
        self.category = Choice(label="Category", hint="That most images of an edge belong to.")
        self.category.offer([NONE, *state.categories], ["all categories", *state.categories])
        self.category.layout.display = "" if state.categories else "none"
        self.strength = Range(label="Strength at least", min=0, max=100, step=1, unit="%", hint="Of the strongest.")
        self.most = Range(label="Edges at most", min=1, max=MOST_EDGES, step=1)
        self.significant = Toggle(label="Significant ones only (q at most 0.05)")
        self.edge = Choice(label="Edge")
        self.scene = Stepper(label="Scene" if state.objects else "Image", max=state.scenes - 1)
        self.object = Choice(label="Object")
        self.across = Range(label="Move it to the right", min=-0.8, max=0.8, step=0.05, hint="Sides of the picture.")
        self.down = Range(label="Move it down", min=-0.8, max=0.8, step=0.05)
        self.hold = Range(
            label="Hold the source at", min=0, max=2, step=0.05, hint="1 leaves it alone; 0 takes it away."
        )
        self.opacity = Range(label="Opacity of maps", min=0, max=1, step=0.05)
        self.columns = [
            group([self.edge, self.kind, self.category, self.strength, self.most, self.significant]),
            group([self.scene, self.object, self.across, self.down, self.hold]),
        ]
        for control in (self.object, self.across, self.down):
            control.layout.display = "" if state.objects else "none"
        self._links = {
            "kind": self.kind, "category": self.category, "strength": self.strength, "most": self.most,
            "significant": self.significant, "scene": self.scene, "across": self.across, "down": self.down,
            "hold": self.hold, "opacity": self.opacity,
        }  # fmt: skip
        for trait, control in self._links.items():
            kind = int if trait == "most" else lambda value: value
            control.observe(lambda change, trait=trait, kind=kind: setattr(state, trait, kind(change["new"])), "value")
        self.edge.observe(lambda change: self._chosen("edge", change["new"]), "value")
        self.object.observe(lambda change: self._chosen("object", change["new"]), "value")
        state.observe(self._follow)
        self._follow()

    def _chosen(self, trait: str, value: str) -> None:
        if value != "":
            setattr(self._state, trait, int(value))

    def _follow(self, change: Any = None) -> None:
        """Bring the controls in step with the state."""
        state = self._state
        if change and change["name"] == "scene" and state.object >= max(state.objects, 1):
            state.object = 0
        if not change or change["name"] not in ("across", "down", "hold", "opacity", "object"):
            self._offer()
        for trait, control in self._links.items():
            control.value = getattr(state, trait)
        self.edge.value = str(state.edge) if state.edge != NO_EDGE else ""
        self.object.value = str(state.object) if state.objects else ""

    def _offer(self) -> None:
        """The edges that the filters leave, and the objects of the scene."""
        positions, texts = self._edges()
        self.edge.hint = f"{len(positions)} of {self._state.edges} edges, the strongest of each kind first."
        chosen = self._state.edge
        with self.edge.hold_trait_notifications():
            self.edge.options = [[str(each), text] for each, text in zip(positions, texts, strict=True)]
            self.edge.value = str(chosen) if chosen in positions else ""
        names = self._objects(self._state.scene)
        if names:
            self.object.options = [[str(number), name] for number, name in enumerate(names)]

"""Which units bring about which: the relations of a model, one at a time, with their evidence and a test of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import view
from workbench.data import as_source
from workbench.data.scenes import SceneSource
from workbench.errors import InputError
from workbench.interpret import observe
from workbench.interpret.relations import RelationGraph, sentence
from workbench.panels.parts import Cache, Panel, PictureBox, PointBox
from workbench.panels.parts.panel import drawing
from workbench.panels.relation_controls import NO_EDGE, RelationControls, RelationState
from workbench.panels.relation_profile import can_be_tested, counterfactual_test, edge_profile, edge_wiring
from workbench.panels.words import as_python
from workbench.view.relation_graph import nearest_edge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import xarray as xr

    from workbench.data.scenes import Scene
    from workbench.interpret import Activations
    from workbench.interpret.relations import Wiring
    from workbench.models import ImageModel
    from workbench.panels.parts.panel import Report
    from workbench.view import Picture

SIGNIFICANT = 0.05
SIZE = 96  # pixels a side of the scenes that are tested on
HINT = "Click a line, or choose an edge from the list."


@dataclass(frozen=True)
class RelationRequest:
    """What a :class:`RelationState` asks for.

    Attributes:
        edge: position in the graph.
        scene: index of the image that is tested on.
        object: number of the object that is moved, -1 where there are no scenes.
        across: by how much, to the right, as a share of the picture.
        down: by how much downwards.
        hold: factor at which the source is held.
    """

    edge: int
    scene: int
    object: int
    across: float
    down: float
    hold: float


class RelationPanel(Panel[RelationState, RelationRequest]):
    """Walk through the relations of a model, see what shows each, and put it to the test.

    Args:
        graph: the relations.
        model: the model that they were found in.
        images: the images that they were found on; anything that :func:`workbench.data.as_source` takes.
        store: activations of the layers of the graph over these images; observed when needed where omitted.
        scenes: the scenes that the test changes; those of ``images`` where these are rendered scenes. Without scenes,
            units can be held, but nothing moves.
        names: layer and index of units to what they are called; units of the last layer are called after categories
            where they are not named.
        quantile: with which spatial edges were found; says in which images units count as active where displacements
            are plotted.

    Raises:
        InputError: a graph without edges, or no images.

    >>> panel = RelationPanel(graph, model, images)        # doctest: +SKIP
    >>> panel.state.edge, panel.state.across = 3, 0.2      # doctest: +SKIP
    >>> panel.result.attrs["sentence"]                     # doctest: +SKIP
    """

    heading = "Which units bring about which?"
    file_name = "relation"
    drawing_traits = frozenset({"kind", "category", "strength", "most", "significant"})
    other_traits = frozenset({"opacity"})
    picture_box: PointBox

    def __init__(
        self,
        graph: RelationGraph,
        model: ImageModel,
        images: Any,
        *,
        store: Activations | None = None,
        scenes: Sequence[Scene] | None = None,
        names: Mapping[tuple[str, int], str] | None = None,
        quantile: float = 0.8,
    ) -> None:
        if not len(graph):
            raise InputError("The graph has no edges. Discover relations first: relations.discover(...).")
        self.graph = RelationGraph(graph.dataset.assign_coords(edge=np.arange(len(graph))))
        self.model, self.images, self.names = model, as_source(images), _outputs(graph, model) | dict(names or {})
        self._given, self._quantile = store, quantile
        self._sequence = scenes
        self.scenes = _scenes_of(self.images, scenes)
        self._looked: tuple[int, float] | None = None
        self._stores: Cache[Activations] = Cache(1)
        self._profiles: Cache[xr.Dataset] = Cache(64)
        self._wirings: Cache[Wiring] = Cache(16)
        self.exemplar_box, self.test_box = PictureBox(), PictureBox()
        shown = self.graph.significant(SIGNIFICANT)
        super().__init__(
            RelationState(
                self.graph, scenes=len(self.images if scenes is None else scenes), significant=bool(len(shown)),
                objects=self._object_count,
            )
        )  # fmt: skip
        self.controls = RelationControls(self.state, self._options, self._object_names)
        self.state.edge = next(iter(self.positions()), NO_EDGE)
        self.assemble(
            self.controls.columns,
            [self.controls.opacity],
            below=[self.exemplar_box, self.test_box],
        )
        self.state.observe(self._look, "opacity")

    @property
    def store(self) -> Activations:
        """The activations of the layers that edges of units join."""
        if self._given is not None:
            return self._given
        ends = [edge for edge in self.graph if edge.kind != "concept"] or list(self.graph)
        layers = list(dict.fromkeys(layer for edge in ends for layer in (edge.source_layer, edge.target_layer)))
        return self._stores.get("all", lambda: observe(self.model, self.images, layers=layers))

    def positions(self) -> list[int]:
        """Positions in the graph of the edges that the filters leave, the strongest first."""
        state = self.state
        chosen = self.graph.filter(kind=state.kind or None, category=state.category or None)
        chosen = chosen.significant(SIGNIFICANT) if state.significant else chosen
        size = np.abs(np.nan_to_num(chosen.column("effect"))) if len(chosen) else np.zeros(0)
        kinds = chosen.column("kind").astype(str)
        greatest = {kind: size[kinds == kind].max() for kind in np.unique(kinds)}
        limit = np.array([state.strength / 100 * greatest[kind] for kind in kinds])
        strong = chosen.take(size >= limit) if len(chosen) else chosen
        return [int(each) for each in strong.strongest(state.most).dataset["edge"].values] if len(strong) else []

    def request(self) -> RelationRequest:
        """What the state asks for."""
        state = self.state
        across, down = (state.across, state.down) if self.scenes else (0.0, 0.0)
        number = state.object if self.scenes else -1
        return RelationRequest(state.edge, state.scene, number, round(across, 4), round(down, 4), round(state.hold, 4))

    def compute(self, request: RelationRequest, *, stop: Callable[[], bool], report: Report) -> xr.Dataset:
        """Collect what shows the edge, and test it; see :meth:`Panel.compute`."""
        if request.edge == NO_EDGE:
            raise InputError("No edge is chosen. Loosen the filters, and choose one from the list or in the drawing.")
        report(0.1, "Running the model over the images", None)
        store = self.store
        report(0.3, "Collecting the images that show the edge", None)
        profile = self._profiles.get(
            request.edge,
            lambda: edge_profile(
                self.graph, request.edge, store, self.model, self.images, names=self.names, quantile=self._quantile
            ),
        )
        edge = self.graph.edge(request.edge)
        if not can_be_tested(edge):
            return profile
        report(0.5, "Measuring what the edges foretell", profile)
        wires = self._wirings.get(
            request.edge, lambda: edge_wiring(self.graph, request.edge, store, self.model, self.images, stop=stop)
        )
        report(0.8, "Testing the edge", profile)
        before, after = self._pictures(request)
        test = counterfactual_test(
            wires, self.model, before, after, unit=edge.source_unit, target=edge.target_unit, hold=request.hold
        )
        return profile.merge(test, combine_attrs="override").assign_attrs({**test.attrs, **profile.attrs})

    def _pictures(self, request: RelationRequest) -> tuple[Any, Any]:
        if self.scenes is None:
            picture = self.images[request.scene].image[None]
            return picture, picture
        scene = moved = self.scenes(request.scene)
        if scene.objects:
            number = min(request.object, len(scene.objects) - 1)
            x, y = scene.object_at(number).position
            moved = scene.move(number, (x + request.across, y + request.down))
        return scene.render(SIZE).image[None], moved.render(SIZE).image[None]

    def draw(self, result: xr.Dataset) -> Picture:
        """The graph in layers, the chosen edge brought out."""
        positions = self.positions()
        edge = int(result.attrs["position"])
        if edge not in positions:
            positions = [edge, *positions[: self.state.most - 1]]
        shown = self.graph.take(positions)
        return view.relation_graph(shown, names=self.names, q=None, most=len(positions), chosen=positions.index(edge))

    def shown(self, result: xr.Dataset) -> None:
        """Draw what shows the edge, and the test."""
        self._look(None)
        with drawing:
            if "foretold" in result:
                self.test_box.show(view.counterfactual(result))
            else:
                self.test_box.source = ""
        self.picture_box.said = str(result.attrs["sentence"])

    def make_picture_box(self) -> PointBox:
        """What shows the graph, and lets one click its lines."""
        return PointBox(self.point, hint=HINT)

    def point(self, across: float, down: float) -> None:
        """Choose the edge that lies nearest to a place on the drawing.

        Args:
            across: from the left, as a share of the width.
            down: from the top, as a share of the height.
        """
        if self._picture is None:
            return
        with drawing:
            found = nearest_edge(self._picture, self.graph, across, down)
        if found < 0:
            self.picture_box.said = "There is no line near to where you clicked."
        elif found != self.state.edge:
            self.state.edge = found

    def reproduce(self, request: RelationRequest) -> str:
        """Code that computes and draws the same, given the variables ``graph``, ``model``, ``images`` and ``store``."""
        if request.edge == NO_EDGE:
            return "# no edge is chosen\n"
        edge = self.graph.edge(request.edge)
        names = f", names={self.names!r}" if self.names else ""
        quantile = f", quantile={self._quantile!r}" if edge.kind != "concept" else ""
        lines = [
            "from workbench import panels, view",
            "from workbench.interpret import relations",
            "",
            "# `graph`, `model` and `images` are those that the panel was given, `store` is panel.store",
            f"display(view.relation_graph(graph.take({self.positions()!r}){names}, q=None, most={self.state.most}))",
            f"profile = panels.edge_profile(graph, {request.edge}, store, model, images{names}{quantile})",
            "print(profile.attrs['sentence'])",
            f"display(view.relation_edge(profile{as_python({'opacity': round(self.state.opacity, 3)})}))",
        ]
        if can_be_tested(edge):
            lines += ["", *self._written_test(request, edge.source_unit, edge.target_unit)]
        return "\n".join(lines) + "\n"

    def _written_test(self, request: RelationRequest, unit: int, target: int) -> list[str]:
        lines = [f"wires = panels.edge_wiring(graph, {request.edge}, store, model, images)"]
        if self.scenes is None:
            lines.append(f"before = after = images[{request.scene}].image[None]")
        else:
            origin = "images.sample({}).scene" if self._sequence is None else "scenes[{}]"
            lines += [
                f"scene = {origin.format(request.scene)}",
                f"x, y = scene.object_at({request.object}).position",
                f"moved = scene.move({request.object}, (x + {request.across}, y + {request.down}))",
                f"before, after = scene.render({SIZE}).image[None], moved.render({SIZE}).image[None]",
            ]
        wanted = {"unit": unit, "target": target, "hold": request.hold}
        lines.append(f"test = panels.counterfactual_test(wires, model, before, after{as_python(wanted)})")
        lines.append("display(view.counterfactual(test))")
        return lines

    def _options(self) -> tuple[list[int], list[str]]:
        positions = self.positions()
        if self.state.edge != NO_EDGE and self.state.edge not in positions:
            positions = [self.state.edge, *positions]
        return positions, [sentence(self.graph.edge(each), names=self.names, evidence=False) for each in positions]

    def _object_count(self, scene: int) -> int:
        return len(self.scenes(scene).objects) if self.scenes else 0

    def _object_names(self, scene: int) -> list[str]:
        return (
            [f"{number}: {item.name}" for number, item in enumerate(self.scenes(scene).objects)] if self.scenes else []
        )

    def _look(self, _: Any) -> None:
        """Draw what shows the edge, where it is not drawn already."""
        result, opacity = self._result, round(self.state.opacity, 3)
        if result is not None and self._looked != (int(result.attrs["position"]), opacity):
            with drawing:
                self.exemplar_box.show(view.relation_edge(result, opacity=opacity))
            self._looked = int(result.attrs["position"]), opacity

    def _fail(self, error: BaseException) -> None:
        super()._fail(error)
        self.exemplar_box.source = self.test_box.source = ""
        self._looked = None


def _scenes_of(images: Any, given: Sequence[Scene] | None) -> Callable[[int], Scene] | None:
    """What gives a scene by its number; None where nobody knows the scenes."""
    if given is not None:
        return given.__getitem__
    return (lambda index: images.sample(index).scene) if isinstance(images, SceneSource) else None


def _outputs(graph: RelationGraph, model: ImageModel) -> dict[tuple[str, int], str]:
    """Names of the units of the layer that gives the logits, where the graph has it."""
    calls = [layer for layer in model.layer_records if layer.order >= 0]
    leaves = [layer for layer in calls if not any(other.name.startswith(f"{layer.name}.") for other in calls)]
    last = max(leaves, key=lambda layer: layer.order, default=None)
    if last is None or last.shape != (len(model.categories),):
        return {}
    return {(last.name, unit): name for unit, name in enumerate(model.categories) if (last.name, unit) in graph.nodes}

"""The kinds of relations that can be discovered, each one registered function, and between which layers they look."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Protocol

from workbench.errors import InputError, StoreMismatchError
from workbench.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench.explain.progress import Report, Stop
    from workbench.interpret.activations import Activations
    from workbench.interpret.relations.graph import RelationGraph
    from workbench.models import ImageModel

relation_kinds = Registry("relation kind")


class RelationKind(Protocol):
    """What a function must be to be registered in ``relation_kinds`` under the name of its kind.

    It is imported by ``workbench.interpret.relations`` so that it is registered, and called by
    :func:`~workbench.interpret.relations.discover`.
    """

    def __call__(
        self,
        store: Activations,
        model: ImageModel,
        images: Any,
        *,
        pairs: Sequence[tuple[str, str]],
        progress: Report,
        stop: Stop | None,
        **options: Any,
    ) -> RelationGraph:
        """Find the relations of one kind.

        Args:
            store: activations of the layers.
            model: the model that gave them.
            images: the same images; None where a kind does not need them.
            pairs: (source layer, target layer) of each pair to look between, checked by :func:`layer_pairs`.
            progress: False, True, or a callable that takes a :class:`~workbench.explain.progress.Progress`.
            stop: asked between steps; True stops with ``Interrupted``.
            **options: of the kind, each with a default.

        Returns:
            Every edge that was tested, and those that could not be, with the reason; q-values over all tested.
        """


def layer_pairs(model: ImageModel, layers: Sequence[str], *, within: bool = False) -> list[tuple[str, str]]:
    """Each layer with the next.

    Args:
        model: the model, which knows the order of its layers.
        layers: names of layers, in the order in which the network computes them; one only where ``within``.
        within: also each layer with itself.

    Returns:
        (source layer, target layer), in order.

    Raises:
        UnknownNameError: no such layer.
        InputError: layers in another order, twice the same, or too few.
    """
    names = [layers] if isinstance(layers, str) else list(layers)
    for name in names:
        model.check_layer(name)
    if len(names) < (1 if within else 2):
        raise InputError(f"layers is {names}; expected at least two: relations run from a layer to the next.")
    order = {layer.name: layer.order for layer in model.layer_records}
    for first, second in itertools.pairwise(names):
        if order[first] >= order[second]:
            inorder = sorted(set(names), key=lambda name: order[name])
            raise InputError(
                f"layer {first!r} is not computed before layer {second!r}; relations run from earlier layers to later "
                f"ones. Pass layers={inorder}."
            )
    pairs = list(itertools.pairwise(names))
    return [*((name, name) for name in names), *pairs] if within else pairs


def check_store(store: Activations, model: ImageModel) -> None:
    """Refuse activations that another model gave.

    Args:
        store: the activations, which may know the hash of the weights that gave them.
        model: the model.

    Raises:
        StoreMismatchError: the weights are others.
    """
    check = getattr(store, "check_model", None)
    if check is not None:
        check(model)
        return
    known = store.dataset(str(next(iter(store.layers)))).attrs.get("weights_hash")
    if known is not None and known != model.weights_hash:
        raise StoreMismatchError(
            f"The activations come from weights {str(known)[:12]}; the model {model.name!r} has other ones, "
            f"{model.weights_hash[:12]}. Load the model that gave them, or observe this one anew."
        )

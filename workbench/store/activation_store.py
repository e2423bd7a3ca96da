"""The activations of a network over a dataset, on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.errors import InputError, StoreMismatchError, unknown_name
from workbench.store.backends import Backend, open_backend
from workbench.store.contents import StoredActivations
from workbench.store.opening import State, inspect, refusal
from workbench.store.plan import BLOCK_BYTES, Plan, check_batch_size, check_dtype
from workbench.store.verify import VerifyReport, read_plan, verify

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from workbench.models import ImageModel


class ActivationStore(StoredActivations):
    """Activations, logits and labels of images, by layer; made by :meth:`extract`, opened by :meth:`open`.

    Reading never changes it. What is returned are xarray objects that say where they come from.
    """

    @classmethod
    def extract(
        cls,
        model: ImageModel,
        images: Any,
        *,
        layers: str | Sequence[str],
        path: str | os.PathLike[str],
        dtype: Any = "float16",
        batch_size: int | str = "auto",
        labels: Sequence[int] | None = None,
        identifiers: Sequence[str] | None = None,
        dims: Mapping[str, Sequence[str]] | None = None,
        engine: Any = "serial",
        threads: int | None = None,
        block_bytes: int = BLOCK_BYTES,
        progress: bool = True,
        storage_options: Mapping[str, Any] | None = None,
    ) -> ActivationStore:
        """Run a network over images and store what its layers give.

        A store that is there already is finished, not begun anew: what was written before a crash is kept. It prints
        what it will write before it starts, and refuses where the disk cannot hold it. Memory stays bounded whatever
        the number of images.

        Args:
            model: the model.
            images: anything that :func:`workbench.data.as_source` takes (a ``Subset`` too), or a floating torch
                tensor (image, channel, y, x) that is network input already.
            layers: names of layers, see ``model.layers``.
            path: a local folder that does not exist yet or is empty, or ``s3://bucket/prefix``; or that of the same
                store, unfinished.
            dtype: dtype of the maps: ``"float16"``, ``"float32"`` or ``"float64"``. Pooled values are float32 at least.
            batch_size: images a forward pass, or ``"auto"``. It becomes part of the store, since logits differ in
                their last bits between batch sizes.
            labels: one integer an image, -1 for none; taken from ``images`` where it has them.
            identifiers: one unique name an image; taken from ``images`` where it has them.
            dims: names of the axes without ``image``, by layer, where the shape does not tell them: for example
                ``{"encoder": ("unit", "x")}``. An axis that is called ``unit`` gets pooled values.
            engine: ``"serial"``, or a ``dask.distributed`` Client; both write the same bytes.
            threads: torch threads, by default as many as torch uses now; part of the store for the same reason.
            block_bytes: most bytes that are computed before they are written, over all layers.
            progress: print what will be written, and show a bar with images a second and the time left.
            storage_options: what s3fs needs to reach the bucket.

        Returns:
            The finished store, opened.

        Raises:
            InputError: layers, batch_size, engine, path or identifiers are not usable, or there is no image.
            UnknownNameError: no such layer, with the nearest names.
            DtypeError: another dtype, or activations that do not fit it.
            NotFiniteError: an activation or logit is NaN or infinite; the image is named.
            DamagedFileError: an image file cannot be decoded.
            DiskSpaceError: the disk cannot hold the store, is full, or the folder cannot be written.
            StoreLockedError: another process writes the store.
            StoreMismatchError: there is a store of another model, of other images, layers or settings.
            StoreDamagedError: the disk does not give back what was written.
        """
        from workbench.store.engines import check_engine
        from workbench.store.extract import extract
        from workbench.store.inputs import as_inputs
        from workbench.store.planning import Request, check_layers

        check_engine(engine)
        chosen, kind = check_layers(layers), check_dtype(dtype)
        inputs = as_inputs(images, labels=labels, identifiers=identifiers)
        request = Request(
            layers=chosen,
            dtype=kind,
            batch_size=None if batch_size == "auto" else check_batch_size(batch_size, len(inputs)),
            threads=_positive("threads", threads),
            dims=_known_dims(dims or {}, chosen),
            block_bytes=_positive("block_bytes", block_bytes) or BLOCK_BYTES,
        )
        backend = open_backend(path, storage_options)
        extract(model, inputs, request, backend, engine=engine, progress=progress)
        return cls.open(path, storage_options=storage_options)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        model: ImageModel | None = None,
        allow_partial: bool = False,
        content: bool = False,
        storage_options: Mapping[str, Any] | None = None,
    ) -> ActivationStore:
        """Open a store for reading.

        That every file is there in its right length is checked at once; that their bytes are right is checked
        as they are read (each chunk has a checksum), or at once with ``content=True``.

        Args:
            path: a local folder or ``s3://bucket/prefix``.
            model: refuse the store if it was made by another model.
            allow_partial: open an unfinished or damaged store too, without the images that are affected;
                ``store.missing`` says which.
            content: read and hash every file first.
            storage_options: what s3fs needs to reach the bucket.

        Returns:
            The store.

        Raises:
            MissingFileError: there is no store.
            StoreError: it is unfinished, or of a version that cannot be read; the message says what to do.
            ShardMissingError: files are missing.
            StoreDamagedError: files are damaged.
            StoreMismatchError: it was made by another model than the one given.
        """
        backend = open_backend(path, storage_options)
        plan = read_plan(backend)
        state = inspect(backend, plan, content=content)
        if not state.whole and not allow_partial:
            raise refusal(backend, plan, state)
        store = cls(backend, plan, state)
        if model is not None:
            store.check_model(model)
        return store

    def resume(
        self,
        model: ImageModel,
        images: Any,
        *,
        labels: Sequence[int] | None = None,
        identifiers: Sequence[str] | None = None,
        engine: Any = "serial",
        progress: bool = True,
    ) -> ActivationStore:
        """Compute what is missing or damaged, and nothing else; then the store is what it would have been.

        Args:
            model: the model that the store was made with.
            images: the images that it was made with.
            labels: as given to :meth:`extract`; needed only where the labels on disk are damaged.
            identifiers: as given to :meth:`extract`; needed only where those on disk are damaged.
            engine: ``"serial"``, or a ``dask.distributed`` Client.
            progress: print what will be written, and show a bar.

        Returns:
            The finished store, opened.

        Raises:
            StoreMismatchError: another model, or other images.
            StoreLockedError, DiskSpaceError, StoreDamagedError: as in :meth:`extract`.
        """
        from workbench.store.engines import check_engine
        from workbench.store.extract import resume
        from workbench.store.inputs import as_inputs

        check_engine(engine)
        inputs = as_inputs(images, labels=labels, identifiers=identifiers)
        resume(model, inputs, self._backend, engine=engine, progress=progress)
        return ActivationStore(self._backend, self._plan, _whole(self._backend, self._plan))

    def verify(self) -> VerifyReport:
        """Read and hash every file, and hold it against its receipt.

        Returns:
            What was found: flipped bits, truncated, missing and foreign files, with the layers and images that each
            affects. ``print`` it, or ask ``report.ok``.
        """
        return verify(self._backend, self._plan, self._all_identifiers or ())

    def check_model(self, model: ImageModel) -> None:
        """Refuse another model than the one that made the store.

        Args:
            model: the model to compare, by its weights and its preprocessing.

        Raises:
            StoreMismatchError: other weights or another preprocessing.
        """
        from workbench.store.compute import model_facts

        facts = model_facts(model)
        differ = [name for name in ("weights_hash", "preprocessing") if facts[name] != self.provenance.get(name)]
        if differ:
            raise StoreMismatchError(
                f"{self.path} was made by {self.provenance['model']!r} "
                f"(weights {str(self.provenance['weights_hash'])[:12]}); {facts['model']!r} "
                f"(weights {facts['weights_hash'][:12]}) was given: other {' and '.join(differ)}. "
                "Load the model that made it, or extract anew to another path."
            )


def _whole(backend: Backend, plan: Plan) -> State:
    """The state of a store that must be whole now.

    Raises:
        StoreError: it is not.
    """
    state = inspect(backend, plan, content=False)
    if not state.whole:
        raise refusal(backend, plan, state)
    return state


def _positive(name: str, value: int | None) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise InputError(f"{name} is {value!r}; expected a whole number of at least 1.")
    return value


def _known_dims(dims: Mapping[str, Sequence[str]], layers: Sequence[str]) -> Mapping[str, Sequence[str]]:
    for layer in dims:
        if layer not in layers:
            raise unknown_name("layer in dims", layer, layers)
    return dims

"""A store under an S3 prefix: conditional puts instead of exclusive files, an expiring lease instead of a file lock."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from workbench.errors import DiskSpaceError, MissingFileError, StoreLockedError
from workbench.store.backends import LOCK_KEY
from workbench.store.receipts import FileRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zarr.abc.store import Store

    from workbench.store.local import Buffers

# A writer that has not renewed its lease for this long is taken for dead.
LEASE_SECONDS = 60.0
_TAKEN = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")


@dataclass(frozen=True)
class S3Backend:
    """Objects under ``s3://bucket/prefix``, through s3fs.

    Attributes:
        url: bucket and prefix, without a slash at the end.
        options: what s3fs needs to reach the bucket.
        lease_seconds: how long a lease lasts without being renewed.
    """

    url: str
    options: dict[str, Any] = field(default_factory=dict)
    lease_seconds: float = LEASE_SECONDS

    @property
    def location(self) -> str:
        """The URL."""
        return self.url

    @cached_property
    def _files(self) -> Any:
        try:
            import s3fs
        except ImportError as error:
            raise MissingFileError(
                "s3:// paths need the package s3fs. Install the distribution with its extra 's3'."
            ) from error
        return s3fs.S3FileSystem(**{"use_listings_cache": False, **self.options})

    def __getstate__(self) -> dict[str, Any]:
        # connections do not travel to other processes
        return {"url": self.url, "options": self.options, "lease_seconds": self.lease_seconds}

    def _path(self, key: str) -> str:
        return f"{self.url}/{key}"

    def _bucket_and_key(self, key: str) -> dict[str, str]:
        bucket, _, prefix = self.url.removeprefix("s3://").partition("/")
        return {"Bucket": bucket, "Key": f"{prefix}/{key}" if prefix else key}

    def read(self, key: str) -> bytes | None:
        """The bytes of an object, or None where there is none."""
        try:
            data: bytes = self._files.cat_file(self._path(key))
        except FileNotFoundError:
            return None
        return data

    def record(self, key: str) -> FileRecord | None:
        """Size and hash of an object as it is there now, or None where there is none."""
        data = self.read(key)
        return None if data is None else FileRecord.of(data)

    def write(self, key: str, data: Buffers) -> None:
        """Put an object; readers see all of it or nothing."""
        with self._writing():
            self._files.pipe_file(self._path(key), bytes(data))

    def create(self, key: str, data: bytes) -> bool:
        """Put an object only if there is none (``If-None-Match: *``); False where there is one."""
        with self._writing():
            return self._put(key, data, IfNoneMatch="*") is not None

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        with self._writing():
            self._files.call_s3("delete_object", **self._bucket_and_key(key))

    def sizes(self) -> dict[str, int]:
        """Bytes of every object, by key, without the lease."""
        prefix = self.url.removeprefix("s3://") + "/"
        found = self._files.find(self.url, detail=True, refresh=True)
        sizes = {path.removeprefix(prefix): int(entry["size"]) for path, entry in found.items()}
        sizes.pop(LOCK_KEY, None)
        return sizes

    def free_bytes(self) -> int | None:
        """Nobody knows."""
        return None

    @contextmanager
    def lock(self) -> Iterator[Lease]:
        """Hold the lease, renewed in the background, given back at the end; it expires if this process dies."""
        lease = Lease(self)
        with self._writing():
            lease.acquire()
        try:
            yield lease
        finally:
            lease.release()

    def zarr_store(self) -> Store:
        """The prefix as a read-only Zarr store."""
        from zarr.storage import FsspecStore

        return FsspecStore.from_url(self.url, storage_options=dict(self.options), read_only=True)

    def _put(self, key: str, data: bytes, **condition: str) -> str | None:
        """Put under a condition; the object's new tag, or None where the condition does not hold."""
        try:
            answer = self._files.call_s3("put_object", **self._bucket_and_key(key), Body=data, **condition)
        except OSError as error:
            if _code(error) in _TAKEN:
                return None
            raise
        return str(answer["ETag"])

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (PermissionError, FileNotFoundError) as error:
            raise DiskSpaceError(
                getattr(error, "errno", None),
                f"{self.url} cannot be written ({error}). Check the bucket, its permissions and your credentials.",
            ) from error


class Lease:
    """The hold of one writer on a prefix.

    The lease is an object that its holder renews. Its age is told by the server's clock alone, so the clocks of the
    writers do not matter. Who finds it expired replaces it under the condition that it is still the one that was seen.
    """

    def __init__(self, backend: S3Backend) -> None:
        self._backend = backend
        self._owner = f"{platform.node()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._tag = ""
        self._lost = threading.Event()
        self._done = threading.Event()
        self._renewer = threading.Thread(target=self._keep, name="lease", daemon=True)

    def acquire(self) -> None:
        """Take the lease.

        Raises:
            StoreLockedError: another writer holds it.
        """
        tag = self._backend._put(LOCK_KEY, self._body(), IfNoneMatch="*") or self._take_over()
        if tag is None:
            holder = json.loads(self._backend.read(LOCK_KEY) or b"{}").get("owner", "another process")
            raise StoreLockedError(
                f"{holder} is writing {self._backend.location}. Wait until it is done, or stop it; its lease runs out "
                f"{self._backend.lease_seconds:.0f} s after its last sign of life, and what it has written is kept."
            )
        self._tag = tag
        self._renewer.start()

    def check(self) -> None:
        """Make sure that the lease is still ours.

        Raises:
            StoreLockedError: it was lost.
        """
        if self._lost.is_set():
            raise StoreLockedError(
                f"The hold on {self._backend.location} was lost: this process was silent for more than "
                f"{self._backend.lease_seconds:.0f} s and another took over. Run the extraction again when it is done."
            )

    def release(self) -> None:
        """Give the lease back."""
        self._done.set()
        self._renewer.join()
        if not self._lost.is_set():
            self._backend.delete(LOCK_KEY)

    def _take_over(self) -> str | None:
        call = self._backend._files.call_s3
        try:
            seen = call("head_object", **self._backend._bucket_and_key(LOCK_KEY))
        except FileNotFoundError:  # given back between the two looks
            return self._backend._put(LOCK_KEY, self._body(), IfNoneMatch="*")
        now = parsedate_to_datetime(seen["ResponseMetadata"]["HTTPHeaders"]["date"])
        if (now - seen["LastModified"]).total_seconds() <= self._backend.lease_seconds:
            return None
        return self._backend._put(LOCK_KEY, self._body(), IfMatch=seen["ETag"])

    def _keep(self) -> None:
        seconds, renewed = self._backend.lease_seconds, time.monotonic()
        while not self._done.wait(seconds / 4):
            begun = time.monotonic()
            try:
                tag = self._backend._put(LOCK_KEY, self._body(), IfMatch=self._tag)
            except OSError:  # the network may come back before the lease runs out
                tag = self._tag if begun - renewed < seconds else None
            else:
                renewed = begun
            if tag is None:
                self._lost.set()
                return
            self._tag = tag

    def _body(self) -> bytes:
        # the random part changes the tag at each renewal, so that an old tag never fits again
        return json.dumps({"owner": self._owner, "renewal": uuid.uuid4().hex}).encode()


def _code(error: OSError) -> str:
    """The S3 error code behind what s3fs raised."""
    cause: BaseException | None = error
    while cause is not None:
        answer = getattr(cause, "response", None)
        if isinstance(answer, dict):
            return str(answer.get("Error", {}).get("Code", ""))
        cause = cause.__cause__
    return ""

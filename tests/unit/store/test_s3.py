"""A store under an S3 prefix, on a server of moto's on this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer
from numpy.typing import NDArray

from workbench.errors import DiskSpaceError, MissingFileError, ShardMissingError, StoreLockedError
from workbench.models import ImageModel
from workbench.store import ActivationStore
from workbench.store.s3 import S3Backend

Arguments = dict[str, Any]


@pytest.fixture(scope="module")
def options() -> Iterator[dict[str, Any]]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    found = {"key": "test", "secret": "test", "client_kwargs": {"endpoint_url": endpoint, "region_name": "us-east-1"}}
    client(found).create_bucket(Bucket="bucket")
    yield found
    server.stop()


def client(options: dict[str, Any]) -> Any:
    return boto3.client("s3", aws_access_key_id="test", aws_secret_access_key="test", **options["client_kwargs"])


@pytest.fixture(scope="module")
def url(options: dict[str, Any], model: ImageModel, images: NDArray[np.uint8], arguments: Arguments) -> str:
    ActivationStore.extract(model, images, path="s3://bucket/runs/a", storage_options=options, **arguments)
    return "s3://bucket/runs/a"


def objects(options: dict[str, Any], prefix: str) -> dict[str, bytes]:
    s3 = client(options)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=f"{prefix}/")
    keys = [item["Key"] for page in pages for item in page["Contents"]]
    return {key.removeprefix(f"{prefix}/"): s3.get_object(Bucket="bucket", Key=key)["Body"].read() for key in keys}


def test_same_bytes_as_on_a_local_disk(
    url: str, options: dict[str, Any], reference: Path, contents: Callable[[Path], dict[str, bytes]]
) -> None:
    assert objects(options, "runs/a") == contents(reference)


def test_reading(url: str, options: dict[str, Any], reference: Path) -> None:
    store, local = ActivationStore.open(url, storage_options=options), ActivationStore.open(reference)
    assert store.verify().ok
    assert store.path == url
    np.testing.assert_array_equal(store.dataset("3")["maps"], local.dataset("3")["maps"])
    np.testing.assert_array_equal(store.unit_map("1", 3), local.unit_map("1", 3))
    np.testing.assert_array_equal(store.quantile("3", 0.9), local.quantile("3", 0.9))


def test_damage_is_found_and_repaired(
    url: str,
    options: dict[str, Any],
    model: ImageModel,
    images: NDArray[np.uint8],
    reference: Path,
    contents: Callable[[Path], dict[str, bytes]],
) -> None:
    s3 = client(options)
    s3.delete_object(Bucket="bucket", Key="runs/a/layers/3/maps/c/1/0/0/0")
    with pytest.raises(ShardMissingError):
        ActivationStore.open(url, storage_options=options)
    s3.put_object(Bucket="bucket", Key="runs/a/layers/3/maps/c/0/0/0/0", Body=b"short")
    s3.put_object(Bucket="bucket", Key="runs/a/foreign", Body=b"mine")
    store = ActivationStore.open(url, allow_partial=True, storage_options=options)
    assert {finding.key: finding.kind for finding in store.verify().findings} == {
        "foreign": "foreign",
        "layers/3/maps/c/0/0/0/0": "truncated",
        "layers/3/maps/c/1/0/0/0": "missing",
    }
    with pytest.warns(UserWarning, match="left alone"):
        store.resume(model, images, progress=False)
    s3.delete_object(Bucket="bucket", Key="runs/a/foreign")
    assert objects(options, "runs/a") == contents(reference)


def test_second_writer_is_refused_until_the_lease_expires(options: dict[str, Any]) -> None:
    first = S3Backend("s3://bucket/lease", options, lease_seconds=1.2)
    second = S3Backend("s3://bucket/lease", options, lease_seconds=1.2)
    with first.lock() as hold:
        time.sleep(2.5)  # renewed in the background, so still held
        with pytest.raises(StoreLockedError, match=r"is writing s3://bucket/lease\..*runs out"), second.lock():
            pass
        hold.check()
    with second.lock():
        pass


def test_lease_of_a_dead_writer_is_taken_over_and_it_notices(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = S3Backend("s3://bucket/dead", options, lease_seconds=1.0)
    with dead.lock() as hold:
        # it hangs: no renewal reaches the server, until another has taken over
        taken = threading.Event()
        put = S3Backend._put

        def late(self: S3Backend, key: str, data: bytes, **condition: str) -> str | None:
            if self is dead:
                taken.wait()
            return put(self, key, data, **condition)

        monkeypatch.setattr(S3Backend, "_put", late)
        time.sleep(2.1)
        other = S3Backend("s3://bucket/dead", options, lease_seconds=1.0)
        with other.lock():
            taken.set()
            time.sleep(0.6)
            with pytest.raises(StoreLockedError, match="was lost"):
                hold.check()


def test_conditional_put(options: dict[str, Any]) -> None:
    backend = S3Backend("s3://bucket/conditional", options)
    assert backend.create("a", b"first")
    assert not backend.create("a", b"second")
    assert backend.read("a") == b"first"
    assert backend.read("b") is None


def test_bucket_that_is_not_there(
    options: dict[str, Any], model: ImageModel, images: NDArray[np.uint8], arguments: Arguments
) -> None:
    with pytest.raises(DiskSpaceError, match="cannot be written"):
        ActivationStore.extract(model, images, path="s3://nowhere/a", storage_options=options, **arguments)
    with pytest.raises(MissingFileError, match="no activation store"):
        ActivationStore.open("s3://bucket/nothing", storage_options=options)

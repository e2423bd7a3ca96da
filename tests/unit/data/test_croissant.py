"""The manifests that ship are valid, complete and honest; a bad one is refused with the field that is wrong."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import data
from workbench.data import scenes
from workbench.data.croissant import document_hash, parse_manifest
from workbench.errors import ManifestError, MissingFileError, UnknownNameError

ROOT = Path(__file__).parents[3]
PROMISED = {
    "scenes", "digits", "photographs", "imagenet-samples", "cub-200-2011", "cub70", "voc-2007", "coco-2014-val",
    "mobilenet_v2", "squeezenet1_0", "tiny_darknet", "mobilenet_v2_inat_birds", "cifar_resnet20", "vit_mnist",
    "coco-train128", "coco-val", "cub-crops", "voc-sample", "ade20k-parts", "cifar10-sample", "mnist-test",
    "pneumonia-mnist", "chest-xray", "sst", "eeg-eye-state", "gait",
}  # fmt: skip
SPDX = {
    "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "CC-BY-SA-3.0", "CC0-1.0", "GPL-3.0-only", "MIT",
}  # fmt: skip


def documents() -> list[Path]:
    return sorted((ROOT / "data_manifests").glob("*.json"))


def good() -> dict[str, Any]:
    return {
        "name": "x",
        "description": "d",
        "license": "https://spdx.org/licenses/MIT",
        "citeAs": "@misc{x}",
        "distribution": [
            {"@type": "cr:FileObject", "name": "a/b.txt", "sha256": "0" * 64, "contentSize": "3 B"},
        ],
    }


def test_everything_promised_has_a_manifest() -> None:
    assert set(data.manifests()) >= PROMISED


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.stem)
# rdflib, below mlcroissant, still uses its own deprecated class
@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
def test_manifest_is_valid_croissant(path: Path) -> None:
    import mlcroissant

    issues = mlcroissant.Dataset(jsonld=str(path)).metadata.ctx.issues
    assert not issues.errors
    assert not issues.warnings
    assert json.loads(path.read_text())["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert path.stat().st_size < 300_000


# rdflib, below mlcroissant, still uses its own deprecated class
@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
def test_the_schema_check_can_fail(tmp_path: Path) -> None:
    import mlcroissant

    document = json.loads((ROOT / "data_manifests" / "voc-2007.json").read_text())
    del document["distribution"][0]["md5"]
    (tmp_path / "bad.json").write_text(json.dumps(document))
    with pytest.raises(mlcroissant.ValidationError, match="md5"):
        mlcroissant.Dataset(jsonld=str(tmp_path / "bad.json"))


@pytest.mark.parametrize("name", data.manifests())
def test_manifest_says_what_it_must(name: str) -> None:
    found = data.manifest(name)
    assert found.name == name
    assert re.match(r"@\w+\{\w+, ", found.citation)
    assert found.url
    for licence in found.licence.split(" AND "):
        assert licence in SPDX or licence.startswith("LicenseRef-")
    assert found.files or found.generated
    for file in found.files:
        assert file.url or file.derived_from
        if file.verified:
            assert file.sha256
            assert file.size is not None
            assert file.url is None, "nothing that is published elsewhere was seen"
        else:
            assert file.url is not None


@pytest.mark.parametrize("name", ["cub-200-2011", "voc-2007", "coco-2014-val"])
def test_a_hash_that_was_not_verified_names_who_recorded_it(name: str) -> None:
    document = json.loads((ROOT / "data_manifests" / f"{name}.json").read_text())
    for entry in document["distribution"]:
        assert entry["wb:verified"] is False
        assert entry["wb:recordedBy"]["@id"].startswith("https://github.com/")


def test_cub70_has_no_hash_and_is_marked_as_moving() -> None:
    document = json.loads((ROOT / "data_manifests" / "cub70.json").read_text())
    (file,) = data.manifest("cub70").files
    assert file.digest is None
    assert file.size is None
    assert document["isLiveDataset"] is True


def test_scenes_manifest_holds_the_parameters_that_the_code_has_now() -> None:
    """Where this fails because rendering has changed on purpose: ``python tools/make_manifests.py scenes``."""
    generated = data.manifest("scenes").generated
    assert generated is not None
    tasks = []
    for recorded in generated["wb:parameters"]:
        described = {key: value for key, value in recorded.items() if key != "hash"}
        again = scenes.parameters(
            described["task"],
            seed=described["seed"],
            size=described["size"],
            confound=described["confound"],
            agreement=described.get("agreement", 0.95),
        )
        assert described == again
        assert recorded["hash"] == scenes.manifest_hash(again)
        tasks.append((described["task"], described["confound"]))
    assert tasks == [("object", None), ("part", None), ("relation", None), ("object", "watermark")]


@pytest.mark.mirror
def test_every_file_of_the_mirror_is_vouched_for(mirror: Path) -> None:
    recorded = {
        f"{found.folder}/{file.name}".removeprefix("./"): file.sha256
        for found in map(data.manifest, data.manifests())
        for file in found.files
    }
    sums = [line.split(maxsplit=1) for line in (mirror / "SHA256SUMS").read_text().splitlines()]
    listed = {name.strip().removeprefix("./"): digest for digest, name in sums}
    not_data = {"README.md", "weights/SOURCE.txt", "weights/architectures.py"}
    assert {name: recorded.get(name) for name in listed if name not in not_data} == {
        name: digest for name, digest in listed.items() if name not in not_data
    }


@pytest.mark.mirror
def test_manifests_are_what_the_tool_writes(mirror: Path) -> None:
    environment = {**os.environ, "WORKBENCH_MIRROR": str(mirror)}
    command = [sys.executable, str(ROOT / "tools" / "make_manifests.py"), "--check"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'imagenet-samples'"):
        data.manifest("imagenet-sample")


def test_a_manifest_of_ones_own_is_read_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(good()))
    assert data.manifest(path) == data.manifest(str(path))
    with pytest.raises(MissingFileError, match=r"nothing\.json"):
        data.manifest(tmp_path / "nothing.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "'name'"),
        ({"name": "../x"}, "it names a folder"),
        ({"name": ".x"}, "it names a folder"),
        ({"wb:folder": "../x"}, "climbs out"),
        ({"wb:package": "os.path"}, "a package and folders"),
        ({"wb:package": "skimage/../.."}, "a package and folders"),
        ({"citeAs": None}, "'citeAs'"),
        ({"description": 3}, "'description'"),
        ({"distribution": []}, "lists no file"),
    ],
)
def test_dataset_fields_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        parse_manifest({**good(), **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "12"}, "64 hexadecimal digits"),
        ({"sha256": "g" * 64}, "64 hexadecimal digits"),
        ({"md5": "0" * 64}, "32 hexadecimal digits"),
        ({"contentSize": "3 kB"}, "expected bytes"),
        ({"contentSize": "-3 B"}, "expected bytes"),
        ({"contentUrl": "a/b.txt"}, "expected an address"),
        ({"name": "../b.txt"}, "climbs out"),
        ({"name": "/etc/passwd"}, "is absolute"),
        ({"name": None}, "'name'"),
    ],
)
def test_file_fields_are_checked(change: dict[str, Any], message: str) -> None:
    document = good()
    document["distribution"][0].update(change)
    with pytest.raises(ManifestError, match=message):
        parse_manifest(document)


def test_one_file_twice_is_refused() -> None:
    document = good()
    document["distribution"] *= 2
    with pytest.raises(ManifestError, match="more than once"):
        parse_manifest(document)


@pytest.mark.parametrize("content", ["{", "[1]", "\udcff"])
def test_what_is_no_json_object_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content.encode("utf-8", errors="surrogateescape"))
    with pytest.raises(ManifestError, match=r"bad\.json"):
        data.manifest(path)


@given(st.permutations(sorted(good())))
def test_hash_depends_on_content_not_on_layout(order: list[str]) -> None:
    document = good()
    assert document_hash({key: document[key] for key in order}) == document_hash(document)
    assert document_hash({**document, "description": "e"}) != document_hash(document)


def test_size_and_single_file() -> None:
    weights = data.manifest("mobilenet_v2")
    assert weights.file is not None
    assert weights.size == weights.file.size
    assert data.manifest("imagenet-samples").file is None
    assert data.manifest("voc-2007").size is None, "nobody vouches for these sizes"


def test_hash_of_a_packaged_file_is_that_of_the_bytes(cache: Path) -> None:
    path = data.fetch("digits", verify="always")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == data.manifest("digits").files[0].sha256

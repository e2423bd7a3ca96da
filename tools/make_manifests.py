"""Write data_manifests/*.json from the table in this file and from the bytes of the files it names.

    WORKBENCH_MIRROR=<folder> python tools/make_manifests.py [--check] [name ...]

Hashes and sizes of files in the mirror and in installed packages are computed here, so those entries are verified.
Files that are only published elsewhere carry the hash that a named public record gives, marked as not verified, or
none. Citations are taken from docs/references.bib.
With --check nothing is written; the command fails where a manifest differs from what would be written.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from manifest_table import DATASETS, Dataset, Published

from workbench.data import scenes

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "data_manifests"
SPDX = "https://spdx.org/licenses/"
FORMATS = {
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".json": "application/json",
    ".csv": "text/csv",
    ".txt": "text/plain",
    ".xml": "application/xml",
    ".yaml": "application/yaml",
    ".py": "text/x-python",
    ".gz": "application/gzip",
    ".tgz": "application/gzip",
    ".xz": "application/x-xz",
    ".tar": "application/x-tar",
    ".zip": "application/zip",
    ".npz": "https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html",
    ".safetensors": "https://huggingface.co/docs/safetensors",
}
# The context of the Croissant 1.1 specification (appendix 1), what mlcroissant adds to it, PROV-O, and our own terms.
PLAIN = [
    "annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes", "extract", "field",
    "fileProperty", "fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5",
    "parentField", "path", "readLines", "recordSet", "references", "regex", "repeated", "replace", "samplingRate",
    "sdVersion", "separator", "source", "subField", "transform", "unArchive", "value",
]  # fmt: skip
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "wb": "urn:interpretation-workbench:manifest:",
    "conformsTo": "dct:conformsTo",
    **{term: f"cr:{term}" for term in PLAIN},
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "wb:parameters": {"@type": "@json"},
}


def document(dataset: Dataset, root: Path | None) -> dict[str, Any]:
    """The Croissant document of one dataset; ``root`` is the folder that holds its files, where they are at hand."""
    wide = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": dataset.name,
        "description": dataset.description,
        "license": [licence(item) for item in dataset.licences],
        "url": dataset.url,
        "creator": {"@type": "sc:Organization" if dataset.organization else "sc:Person", "name": dataset.creator},
        "datePublished": dataset.published,
        "version": "1.0.0",
        "citeAs": citation(dataset.citation),
    }
    if dataset.generated is not None:
        activity = {"@type": "prov:Activity", "wb:function": dataset.generated.function}
        sets = [scenes.parameters(task) for task in dataset.generated.tasks]
        hashed = [{"hash": scenes.manifest_hash(described), **described} for described in sets]
        wide["prov:wasGeneratedBy"] = {**activity, "wb:parameters": hashed}
        return wide
    if dataset.sources:
        wide["prov:wasDerivedFrom"] = [{"@id": source} for source in dataset.sources]
    if isinstance(dataset.files[0], Published):
        wide["isLiveDataset"] = any(file.moving for file in dataset.files)
        return {**wide, "distribution": [published(file) for file in dataset.files]}
    if dataset.package:
        wide["wb:package"] = dataset.package
        place = f"Files that come with the installed package {dataset.package.partition('/')[0]}."
    else:
        wide["wb:folder"] = dataset.folder
        place = f"Folder {dataset.folder} of a mirror (WORKBENCH_MIRROR); no address publishes these files as they are."
    names = sorted(path for pattern in dataset.files for path in expand(root, pattern))
    kinds = list(dict.fromkeys(media_type(name) for name in names))
    fileset = {"@type": "cr:FileSet", "@id": "folder", "name": dataset.folder, "description": place}
    fileset.update({"encodingFormat": kinds, "includes": list(dataset.files)})
    return {**wide, "distribution": [fileset, *(at_hand(dataset, root / name, name) for name in names)]}


def expand(root: Path, pattern: str) -> list[str]:
    """Names of the files that a pattern means, relative to ``root``."""
    found = [path.relative_to(root).as_posix() for path in root.glob(pattern) if path.is_file()]
    if not found:
        raise SystemExit(f"{root / pattern}: no such file")
    return found


def citation(key: str) -> str:
    """One entry of the bibliography, on one line."""
    entries = (ROOT / "docs" / "references.bib").read_text(encoding="utf-8")
    found = re.search(rf"^@\w+{{{key},.*?^}}", entries, flags=re.MULTILINE | re.DOTALL)
    if found is None:
        raise SystemExit(f"docs/references.bib has no entry {key!r}")
    return re.sub(r",\s*}$", "}", re.sub(r"\s+", " ", found.group()))


def at_hand(dataset: Dataset, path: Path, name: str) -> dict[str, Any]:
    """The entry of a file whose bytes are here."""
    content = path.read_bytes()
    entry = {"@type": "cr:FileObject", "@id": f"file/{name}", "name": name, "containedIn": {"@id": "folder"}}
    entry.update({"encodingFormat": media_type(name), "contentSize": f"{len(content)} B"})
    entry.update({"sha256": hashlib.sha256(content).hexdigest(), "wb:verified": True})
    source = dataset.file_sources.get(name, dataset.sources[0])
    entry["prov:wasDerivedFrom"] = {"@id": source}
    if name in dataset.file_licences:
        entry["license"] = licence(dataset.file_licences[name])
    return entry


def published(file: Published) -> dict[str, Any]:
    """The entry of a file that was not seen."""
    entry = {"@type": "cr:FileObject", "@id": f"file/{file.name}", "name": file.name, "contentUrl": file.url}
    entry["encodingFormat"] = media_type(file.name)
    if file.size:
        entry["contentSize"] = f"{file.size} B"
    entry.update({key: value for key, value in (("sha256", file.sha256), ("md5", file.md5)) if value})
    entry["wb:verified"] = False
    if file.record:
        entry["wb:recordedBy"] = {"@id": file.record}
    return entry


def licence(item: str | tuple[str, str]) -> Any:
    """SPDX identifiers as addresses; other terms by name, with the place where they can be read."""
    if isinstance(item, tuple):
        return {"@type": "sc:CreativeWork", "name": item[0], "url": item[1]}
    return item if item.startswith("LicenseRef-") else SPDX + item


def media_type(name: str) -> str:
    """Media type of a file, or the page of its format where none is registered."""
    return FORMATS[Path(name).suffix]


def text(content: dict[str, Any]) -> str:
    """JSON with one line a file, so that a difference between two versions can be read."""
    lines = json.dumps({**content, "distribution": "@FILES"}, indent=2, ensure_ascii=False)
    files = ",\n    ".join(json.dumps(item, ensure_ascii=False) for item in content.get("distribution", []))
    if "distribution" not in content:
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    return lines.replace('"@FILES"', f"[\n    {files}\n  ]") + "\n"


def root_of(dataset: Dataset, mirror: Path | None) -> Path | None:
    """Where the files of a dataset are, where they are at hand."""
    if dataset.package:
        package, _, inside = dataset.package.partition("/")
        return Path(find_spec(package).submodule_search_locations[0]) / inside
    if dataset.generated is not None or isinstance(dataset.files[0], Published):
        return None
    if mirror is None:
        raise SystemExit("Set WORKBENCH_MIRROR to the folder that holds the mirror.")
    return mirror / dataset.folder


def main() -> int:
    """Write the manifests, or compare them with what would be written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a manifest is out of date")
    parser.add_argument("names", nargs="*", help="only these; those that are not in the mirror need none")
    arguments = parser.parse_args()
    check = arguments.check
    setting = os.environ.get("WORKBENCH_MIRROR")
    mirror = Path(setting) if setting else None
    FOLDER.mkdir(exist_ok=True)
    stale = []
    chosen = [dataset for dataset in DATASETS if not arguments.names or dataset.name in arguments.names]
    for dataset in chosen:
        path, wanted = FOLDER / f"{dataset.name}.json", text(document(dataset, root_of(dataset, mirror)))
        if not path.exists() or path.read_text(encoding="utf-8") != wanted:
            stale.append(path.name)
            if not check:
                path.write_text(wanted, encoding="utf-8")
    surplus = {path.stem for path in FOLDER.glob("*.json")} - {dataset.name for dataset in DATASETS}
    changed = f"{'stale' if check else 'written'}: {stale or 'none'}"
    print(f"{len(chosen)} manifests; {changed}; surplus: {surplus or 'none'}")
    return int(bool(surplus) or (check and bool(stale)))


if __name__ == "__main__":
    sys.exit(main())

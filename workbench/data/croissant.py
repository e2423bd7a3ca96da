"""What a dataset is and how its files are recognised: Croissant manifests, read into plain values.

A manifest is Croissant 1.1 (JSON-LD). Three terms are the workbench's own (prefix ``wb``): ``folder`` (where a mirror
keeps the files), ``package`` (files that come with an installed package), and ``verified`` (false where a hash was
copied from somebody else's record and the bytes were never seen by those who wrote the manifest).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from workbench.data.archive import is_archive_name, safe_member_path
from workbench.errors import ManifestError, MissingFileError, UnsafeArchiveError, unknown_name

SPDX = "https://spdx.org/licenses/"
# digits of a hash in hexadecimal
_HASHES = {"sha256": 64, "md5": 32}


@dataclass(frozen=True)
class ManifestFile:
    """One file of a dataset.

    Attributes:
        name: path inside the dataset's folder, with forward slashes.
        size: bytes, or None where nobody vouches for a size.
        sha256: hexadecimal hash of the content, or None.
        md5: hexadecimal hash of the content, where that is what the publisher gives, or None.
        url: where it is published, or None (it exists only in a mirror or inside an installed package).
        verified: whether hash and size were computed from the bytes when the manifest was written.
        derived_from: what the file was made from, where it is no file that anybody publishes.
        licence: SPDX expression, where this file has its own.
    """

    name: str
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    url: str | None = None
    verified: bool = False
    derived_from: str | None = None
    licence: str | None = None

    @property
    def digest(self) -> str | None:
        """The strongest hash that is known, as ``algorithm:hexadecimal``."""
        if self.sha256:
            return f"sha256:{self.sha256}"
        return f"md5:{self.md5}" if self.md5 else None

    @property
    def is_archive(self) -> bool:
        """Whether it is unpacked after it was verified."""
        return is_archive_name(self.name)


@dataclass(frozen=True)
class Manifest:
    """A dataset or a file of weights: what it is, on what terms, and its files.

    Attributes:
        name: the name that :func:`workbench.data.fetch` takes.
        description: what it holds and what was done to it.
        licence: SPDX expression; terms without an SPDX identifier are ``LicenseRef-...``.
        licence_url: where the terms can be read, or "".
        citation: BibTeX.
        url: the page of the dataset.
        folder: the folder in a mirror that holds the files.
        package: installed package and folder inside it that hold the files, for example ``"skimage/data"``, or None.
        generated: function, parameters and seed, where the data are made and not fetched, or None.
        files: the files.
        hash: sha256 of the manifest itself; results carry it to say what data they are about.
    """

    name: str
    description: str
    licence: str
    licence_url: str
    citation: str
    url: str
    folder: str
    package: str | None
    generated: Mapping[str, Any] | None
    files: tuple[ManifestFile, ...]
    hash: str

    @property
    def size(self) -> int | None:
        """Bytes of all files, or None where one of them is not known."""
        sizes = [file.size for file in self.files]
        return None if any(size is None for size in sizes) else sum(size for size in sizes if size is not None)

    @property
    def file(self) -> ManifestFile | None:
        """The only file, where there is one and it is not unpacked; :func:`workbench.data.fetch` gives its path."""
        only = len(self.files) == 1 and not self.files[0].is_archive
        return self.files[0] if only else None


def manifests() -> tuple[str, ...]:
    """Names of all manifests that come with the workbench, sorted."""
    return tuple(sorted(path.stem for path in _folder().glob("*.json")))


def manifest(name: str | Path | Manifest) -> Manifest:
    """Find and read a manifest.

    Args:
        name: one of :func:`manifests`, the path of a Croissant file of your own (``.json``), or a manifest.

    Returns:
        The manifest.

    Raises:
        UnknownNameError: no manifest has that name.
        MissingFileError: there is no file at that path.
        ManifestError: the file is no manifest, or lacks what is needed to use it.
    """
    if isinstance(name, Manifest):
        return name
    if isinstance(name, Path) or name.endswith(".json"):
        path = Path(name)
        if not path.is_file():
            raise MissingFileError(f"There is no manifest {path}. Check the path.")
        return _read(path)
    if name not in manifests():
        raise unknown_name("dataset", name, manifests(), hint="Give the path of a Croissant file for data of your own.")
    return _read_known(name)


def parse_manifest(document: Mapping[str, Any], *, origin: str = "manifest") -> Manifest:
    """Read a Croissant document.

    Args:
        document: the decoded JSON.
        origin: what to call it in messages.

    Returns:
        The manifest.

    Raises:
        ManifestError: a field is missing or malformed; the message names it.
    """
    name, package = _text(document, "name", origin), document.get("wb:package")
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ManifestError(
            f"{origin}: 'name' is {name!r}; expected letters, digits, '_', '.' and '-' (it names a folder)."
        )
    if package is not None and not re.fullmatch(r"\w+(/[\w-]+)*", str(package)):
        raise ManifestError(
            f"{origin}: 'wb:package' is {package!r}; expected a package and folders, as in 'skimage/data'."
        )
    licences = [_licence(item, origin) for item in _list(document.get("license"))]
    generated = document.get("prov:wasGeneratedBy")
    objects = [item for item in _list(document.get("distribution")) if "FileObject" in str(item.get("@type"))]
    files = tuple(_file(item, origin) for item in objects)
    if not files and generated is None:
        raise ManifestError(f"{origin} lists no file (FileObject) and does not say how the data are generated.")
    repeated = sorted({file.name for file in files if [other.name for other in files].count(file.name) > 1})
    if repeated:
        raise ManifestError(f"{origin} lists {repeated[0]!r} more than once. Keep one entry a file.")
    return Manifest(
        name=name,
        description=_text(document, "description", origin),
        licence=" AND ".join(identifier for identifier, _ in licences),
        licence_url=next((address for _, address in licences if address), ""),
        citation=_text(document, "citeAs", origin),
        url=str(document.get("url", "")),
        folder=_inside(str(document.get("wb:folder", name)), origin),
        package=package,
        generated=generated,
        files=files,
        hash=document_hash(document),
    )


def document_hash(document: Mapping[str, Any]) -> str:
    """sha256 of a manifest's content, whatever its layout: keys sorted, no white space, UTF-8."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _folder() -> Path:
    """The manifests: inside the installed package, or beside it in a working copy."""
    packaged = Path(__file__).parent / "manifests"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "data_manifests"


@cache
def _read_known(name: str) -> Manifest:
    return _read(_folder() / f"{name}.json")


def _read(path: Path) -> Manifest:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path} is not JSON ({error}). A manifest is Croissant 1.1: JSON-LD.") from error
    if not isinstance(document, dict):
        raise ManifestError(f"{path} holds a JSON {type(document).__name__}; a manifest is an object.")
    return parse_manifest(document, origin=str(path))


def _file(item: Mapping[str, Any], origin: str) -> ManifestFile:
    name = _inside(_text(item, "name", origin), origin)
    url = item.get("contentUrl")
    if url is not None and "://" not in str(url):
        raise ManifestError(f"{origin}: contentUrl of {name!r} is {url!r}; expected an address such as https://...")
    derived = item.get("prov:wasDerivedFrom")
    licence = item.get("license")
    return ManifestFile(
        name=name,
        size=_size(item.get("contentSize"), name, origin),
        url=url,
        verified=bool(item.get("wb:verified", False)),
        derived_from=derived.get("@id") if isinstance(derived, Mapping) else derived,
        licence=_licence(licence, origin)[0] if licence else None,
        sha256=_hash(item, "sha256", name, origin),
        md5=_hash(item, "md5", name, origin),
    )


def _inside(name: str, origin: str) -> str:
    """A path that stays inside its folder; "." is the folder itself."""
    if name == ".":
        return name
    try:
        return safe_member_path(name).as_posix()
    except UnsafeArchiveError as error:
        raise ManifestError(f"{origin}: {error}") from error


def _hash(item: Mapping[str, Any], algorithm: str, name: str, origin: str) -> str | None:
    value, digits = item.get(algorithm), _HASHES[algorithm]
    if value is not None and not re.fullmatch(f"[0-9a-f]{{{digits}}}", str(value)):
        raise ManifestError(
            f"{origin}: {algorithm} of {name!r} is {value!r}; expected {digits} hexadecimal digits, lower case."
        )
    return value


def _size(value: Any, name: str, origin: str) -> int | None:
    if value is None:
        return None
    match = re.fullmatch(r"(\d+)( B)?", str(value))
    if match is None:
        raise ManifestError(f"{origin}: contentSize of {name!r} is {value!r}; expected bytes, for example '1024 B'.")
    return int(match.group(1))


def _licence(item: Any, origin: str) -> tuple[str, str]:
    """SPDX expression and address of one entry of ``license``."""
    if isinstance(item, Mapping):
        return _text(item, "name", f"{origin}, license"), str(item.get("url", ""))
    text = str(item)
    if text.startswith(SPDX):
        return text.removeprefix(SPDX).removesuffix(".html"), text
    return text, ""


def _text(item: Mapping[str, Any], key: str, origin: str) -> str:
    value = item.get(key)
    if not isinstance(value, str) or not value:
        raise ManifestError(f"{origin}: {key!r} is {value!r}; expected a text.")
    return value


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]

"""Getting a dataset: from the cache, from a mirror, or from where it is published; never unverified."""

from __future__ import annotations

import dataclasses
import errno
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from workbench.data.archive import unpack
from workbench.data.cache import (
    MIRROR_VARIABLE,
    TRUSTED,
    cache_folder,
    first_notice,
    lock,
    make_folder,
    mirror_folder,
    read_record,
    record_trusted,
    stamps_path,
    trusted_hashes,
    write_record,
)
from workbench.data.croissant import Manifest, ManifestFile, manifest
from workbench.data.download import download
from workbench.errors import DamagedFileError, DiskSpaceError, InputError, ManifestError, MissingFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Verify = Literal["changed", "always"]
_WORTH_A_BAR = 200_000_000  # bytes
_STAGING = "unpacking-"


def fetch(
    name: str | Path | Manifest,
    *,
    trust_on_first_use: bool = False,
    progress: bool = True,
    verify: Verify = "changed",
    unpack_limit: int = 64 * 2**30,
) -> Path:
    """Give the path of a dataset or of a file of weights whose content is what its manifest says.

    Looked for in this order: the cache (``WORKBENCH_CACHE``, or the platform's place for caches), a mirror
    (``WORKBENCH_MIRROR``: a folder with one folder a dataset, used where it lies and never written to), the published
    address. Archives are unpacked into the cache. Licence and citation are shown the first time.

    Args:
        name: one of :func:`workbench.data.manifests`, the path of a Croissant file, or a manifest.
        trust_on_first_use: accept a file for which no hash is known. Its hash is recorded in the cache
            (``trusted.lock.json``), and from then on the file must have it.
        progress: show a progress bar while downloading, hashing and unpacking much.
        verify: ``"changed"`` hashes a file again only where its size or its time of change differ from those of the
            last check; ``"always"`` hashes, and unpacks, everything again.
        unpack_limit: the most bytes that an archive may unpack to.

    Returns:
        The file, where the dataset is a single one that is not unpacked; else the folder.

    Raises:
        UnknownNameError: no manifest has that name.
        ManifestError: a file has no hash, and trust on first use was not asked for.
        MissingFileError: a file is nowhere, and could not be downloaded; says what to put where.
        DamagedFileError: size or hash differ; a bad file of the cache is kept aside as ``.bad``.
        UnsafeArchiveError: an archive would write outside its folder, holds links or devices, or too many bytes.
        DiskSpaceError: the disk cannot hold it, or the cache cannot be written.
        InputError: the data are generated, not fetched; or a bad argument.
    """
    data = manifest(name)
    if verify not in ("changed", "always"):
        raise InputError(f"verify is {verify!r}; expected 'changed' or 'always'.")
    if data.generated is not None:
        raise InputError(
            f"{data.name!r} is generated, not fetched. Call {data.generated.get('wb:function', 'its generator')}; "
            f"manifest({data.name!r}).generated has the parameters."
        )
    data = _with_trusted(data, trust_on_first_use)
    home = cache_folder() / data.name
    with lock(data.name):  # two kernels that start together must not download twice
        places = _obtain(data, home, progress)
        _verify(data, places, always=verify == "always", progress=progress)
        archives = [file for file in data.files if file.is_archive]
        if archives:
            _unpack(data, places, home, unpack_limit, again=verify == "always", progress=progress)
    _show_terms(data)
    if data.file is not None:
        return places[data.file.name] / data.file.name
    return home / "unpacked" if archives else places[data.files[0].name]


def _with_trusted(data: Manifest, trust: bool) -> Manifest:
    """The manifest with the hashes that were recorded on first use; refuse a file without any."""
    trusted = trusted_hashes(data.name)
    files = []
    for file in data.files:
        if file.digest is None and file.name in trusted:
            known = trusted[file.name]
            file = dataclasses.replace(file, sha256=known["sha256"], size=known["size"])
        files.append(file)
    unknown = [file.name for file in files if file.digest is None]
    if unknown and not trust:
        raise ManifestError(
            f"The manifest of {data.name!r} gives no hash for {_some(unknown)}, so nothing says whether a file is the "
            "right one. If you trust where it comes from, call fetch(..., trust_on_first_use=True): the hash of the "
            f"first copy is then recorded in {cache_folder() / TRUSTED} and enforced from then on."
        )
    return dataclasses.replace(data, files=tuple(files))


def _obtain(data: Manifest, home: Path, progress: bool) -> dict[str, Path]:
    """The folder in which each file lies, after downloading what is nowhere."""
    for root in _roots(data, home):
        if all((root / file.name).is_file() for file in data.files):
            return {file.name: root for file in data.files}
    places: dict[str, Path] = {}
    missing: list[ManifestFile] = []
    for file in data.files:
        found = next((root for root in _roots(data, home) if (root / file.name).is_file()), None)
        if found is None:
            missing.append(file)
        elif file.is_archive:
            places[file.name] = found
        else:  # the rest of the dataset will lie in the cache, so this must too
            if found != home:
                make_folder((home / file.name).parent)
                shutil.copyfile(found / file.name, home / file.name)
            places[file.name] = home
    nowhere = [file for file in missing if file.url is None]
    if nowhere:
        raise MissingFileError(_where_to_put(data, nowhere, home))
    for file in missing:
        download(
            file,
            home / file.name,
            label=data.name,
            advice=_where_to_put(data, [file], home),
            progress=progress,
        )
        places[file.name] = home
    return places


def _roots(data: Manifest, home: Path) -> list[Path]:
    """Folders that may hold the files, the preferred first."""
    roots = [home]
    mirror = mirror_folder()
    if mirror is not None:
        roots.append(mirror / data.folder)
    if data.package is not None:
        package, _, inside = data.package.partition("/")
        spec = find_spec(package)
        if spec is not None and spec.submodule_search_locations:
            roots.append(Path(spec.submodule_search_locations[0]) / inside)
    return roots


def _where_to_put(data: Manifest, files: list[ManifestFile], home: Path) -> str:
    names = _some([file.name for file in files])
    lines = [f"{len(files)} of {len(data.files)} files of {data.name!r} are missing: {names}."]
    if data.package is not None:
        lines.append(f"They come with the package {data.package.partition('/')[0]!r}; install it again.")
    first = files[0]
    size = "" if first.size is None else f", {first.size:,} bytes"
    proof = "" if first.digest is None else f", {first.digest}"
    lines.append(f"Put {first.name!r}{' and the others' if len(files) > 1 else ''} into {home}")
    lines.append(f"(the file is {home / first.name}{size}{proof}),")
    lines.append(f"or set {MIRROR_VARIABLE} to a folder that holds {data.folder}/{first.name}.")
    if first.url is not None:
        lines.append(f"It is published at {first.url}.")
    elif first.derived_from:
        lines.append(f"No address publishes it in this form; it was made from {first.derived_from}.")
    return " ".join(lines)


def _verify(data: Manifest, places: Mapping[str, Path], *, always: bool, progress: bool) -> None:
    """Check size and hash of every file that changed since its last check.

    Raises:
        DamagedFileError: names every bad file, with what was expected and what was found.
    """
    faults: list[str] = []
    for root in dict.fromkeys(places.values()):
        stamps_file = stamps_path(data.name, root)
        stamps = {} if always else read_record(stamps_file)
        passed: dict[str, list[Any]] = {}
        files = [file for file in data.files if places[file.name] == root]
        for file in _with_bar(files, data.name, progress):
            path = root / file.name
            stat = path.stat()
            stamp = [stat.st_size, stat.st_mtime_ns, file.digest]
            if stamps.get(file.name) != stamp:
                fault = _fault(data, file, path)
                if fault:
                    faults.append(fault + _set_aside(path, inside=cache_folder()))
                    continue
            passed[file.name] = stamp
        if passed != stamps:
            write_record(stamps_file, passed)
    if faults:
        shown = "\n".join(faults[:5]) + (f"\n... and {len(faults) - 5} more" if len(faults) > 5 else "")
        raise DamagedFileError(
            f"{len(faults)} of {len(data.files)} files of {data.name!r} are not the right ones.\n{shown}"
        )


def _fault(data: Manifest, file: ManifestFile, path: Path) -> str | None:
    """What is wrong with a file, or None; a file without a hash is trusted now, and its hash recorded."""
    import pooch

    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return f"{path}: expected {file.size:,} bytes, got {size:,}."
    if file.digest is None:
        sha256 = pooch.file_hash(str(path), alg="sha256")
        record_trusted(data, file, sha256=sha256, size=size, place=file.url or str(path))
        return None
    algorithm, _, expected = file.digest.partition(":")
    found = pooch.file_hash(str(path), alg=algorithm)
    return None if found == expected else f"{path}: expected {algorithm} {expected}, got {found}."


def _set_aside(path: Path, *, inside: Path) -> str:
    """Rename a bad file of the cache, so that it is neither used again nor lost; leave one that is not ours."""
    if not path.is_relative_to(inside):
        return " It is not in the cache, so it was left as it is: repair it, or take it away to fetch another copy."
    kept = path.with_name(path.name + ".bad")
    number = 0
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}.bad{number}")
    path.rename(kept)
    return f" It was kept as {kept}; fetch again for another copy."


def _unpack(data: Manifest, places: Mapping[str, Path], home: Path, limit: int, *, again: bool, progress: bool) -> None:
    """Unpack the archives into ``home / "unpacked"``: all of it or nothing."""
    from tqdm import tqdm

    archives = [file for file in data.files if file.is_archive]
    digests = {file.name: file.digest or trusted_hashes(data.name)[file.name]["sha256"] for file in archives}
    record_file, target = home / "unpacked.json", home / "unpacked"
    if not again and target.is_dir() and read_record(record_file).get("archives") == digests:
        return
    make_folder(home)
    for left_over in home.glob(f"{_STAGING}*"):  # by a process that was killed; the lock says that none is at work
        shutil.rmtree(left_over)
    staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=home))
    quiet = not progress or sum((places[file.name] / file.name).stat().st_size for file in archives) < _WORTH_A_BAR
    try:
        left = limit
        with tqdm(desc=f"{data.name}: unpacking", unit="B", unit_scale=True, leave=False, disable=quiet) as bar:
            for file in archives:
                left -= unpack(places[file.name] / file.name, staging, limit_size=left, written=bar.update).size
        if target.exists():
            previous = Path(tempfile.mkdtemp(prefix="unpacked-before-", dir=home))
            target.rename(previous / "unpacked")
        staging.rename(target)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskSpaceError(f"The disk is full: {data.name!r} does not fit into {home}.") from error
        raise
    finally:
        if staging.exists():
            shutil.rmtree(staging)
    write_record(record_file, {"archives": digests})


def _show_terms(data: Manifest) -> None:
    if first_notice(data.name):
        terms = f"{data.licence} ({data.licence_url})" if data.licence_url else data.licence
        sys.stdout.write(f"{data.name}: {data.description}\nLicence: {terms}\nCite: {data.citation}\n")


def _with_bar(files: list[ManifestFile], label: str, progress: bool) -> Iterable[ManifestFile]:
    if not progress or sum(file.size or 0 for file in files) < _WORTH_A_BAR:
        return files
    from tqdm import tqdm

    bar: Iterable[ManifestFile] = tqdm(files, desc=f"{label}: checking", unit="file", leave=False)
    return bar


def _some(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")

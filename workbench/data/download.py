"""One download: to a partial file first, with a progress bar, and with words for what went wrong."""

from __future__ import annotations

import errno
import shutil
from typing import TYPE_CHECKING, Any

from workbench.data.cache import make_folder
from workbench.errors import DiskSpaceError, InputError, MissingFileError

if TYPE_CHECKING:
    from pathlib import Path

    from requests.exceptions import RequestException

    from workbench.data.croissant import ManifestFile


def download(file: ManifestFile, target: Path, *, label: str, advice: str, progress: bool) -> None:
    """Download a file; the caller verifies it.

    Args:
        file: what to download; its ``url`` is set.
        target: where to put it. It appears there only when it is complete.
        label: the dataset's name, for the progress bar.
        advice: what to do without a network.
        progress: show a progress bar.

    Raises:
        MissingFileError: the address does not answer, or not with the file.
        DiskSpaceError: the disk cannot hold it.
        InputError: pooch knows no such kind of address.
    """
    import requests
    from pooch.downloaders import choose_downloader

    make_folder(target.parent)
    free = shutil.disk_usage(target.parent).free
    if file.size is not None and file.size > free:
        raise DiskSpaceError(
            f"{file.name!r} of {label!r} needs {file.size:,} bytes; {target.parent} has {free:,} left. "
            "Free some space, or set WORKBENCH_CACHE to a folder on another disk."
        )
    partial = target.with_name(target.name + ".part")
    bar = _bar(label, file) if progress else None
    try:
        downloader = choose_downloader(file.url, progressbar=False if bar is None else bar)
        downloader(file.url, str(partial), None)
        partial.replace(target)
    except requests.exceptions.RequestException as error:
        raise MissingFileError(f"{file.url} could not be downloaded: {_reason(error)}. {advice}") from error
    except ValueError as error:
        raise InputError(f"{file.url} is no address that can be downloaded ({error}). {advice}") from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskSpaceError(f"The disk is full: {file.name!r} does not fit into {target.parent}.") from error
        raise
    finally:
        if bar is not None:
            bar.close()
        partial.unlink(missing_ok=True)  # half a file is of no use to anybody


def _reason(error: RequestException) -> str:
    """A few words; what the library says runs over several lines."""
    import requests

    if error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.exceptions.Timeout):
        return "the server does not answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off before the file was complete"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "there is no connection to the server"
    return str(error)


def _bar(label: str, file: ManifestFile) -> Any:
    from tqdm import tqdm

    # pooch asks the bar for its truth, which a bar without a total does not have; it sets the real total itself
    description, total = f"{label}: {file.name}", file.size or 1
    return tqdm(total=total, unit="B", unit_scale=True, unit_divisor=1024, desc=description, leave=False)

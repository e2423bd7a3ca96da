"""Small documents that vouch for files: the plan, one receipt a block, and the word that the store is finished."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.errors import StoreDamagedError

if TYPE_CHECKING:
    from pathlib import Path

    from workbench.store.local import Buffers

PLAN_KEY = "plan.json"
FINISHED_KEY = "finished.json"
INDEX_RECEIPT = "receipts/index.json"


@dataclass(frozen=True)
class FileRecord:
    """Size and SHA-256 (hex) of one file."""

    size: int
    sha256: str

    @classmethod
    def of(cls, data: Buffers) -> FileRecord:
        """The record of some bytes."""
        return cls(len(data), hashlib.sha256(data).hexdigest())

    @classmethod
    def of_file(cls, path: Path) -> FileRecord:
        """The record of a file, read a little at a time."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return cls(file.tell(), digest)


Files = Mapping[str, FileRecord]


def receipt_key(block: int) -> str:
    """Key of the receipt of a block."""
    return f"receipts/{block:08d}.json"


def seal(content: Mapping[str, Any]) -> bytes:
    """Write a document together with its own hash, so that a flipped bit in it is found.

    No time and no host is in it: the bytes depend on the content alone.
    """
    body = json.dumps(content, sort_keys=True, indent=1)
    return json.dumps(
        {"sha256": hashlib.sha256(body.encode()).hexdigest(), "content": json.loads(body)}, indent=1
    ).encode()


def unseal(data: bytes, *, key: str) -> dict[str, Any]:
    """Read a sealed document.

    Args:
        data: what :func:`seal` gave.
        key: the file's key, for the message.

    Raises:
        StoreDamagedError: the document does not match its hash.
    """
    try:
        document = json.loads(data)
        content: dict[str, Any] = document["content"]
        claimed = document["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreDamagedError(f"{key} is not a readable document ({error}); the file was damaged.") from error
    if hashlib.sha256(json.dumps(content, sort_keys=True, indent=1).encode()).hexdigest() != claimed:
        raise StoreDamagedError(f"{key} does not match its own hash; the file was damaged.")
    if data != seal(content):
        raise StoreDamagedError(f"{key} is not written as this library writes it; the file was damaged.")
    return content


def seal_receipt(plan_digest: str, block: int | str, files: Files) -> bytes:
    """The receipt of a block: which files it has, how long they are, and their hashes."""
    return seal({"plan": plan_digest, "block": block, "files": _plain(files)})


def seal_finished(plan_digest: str, files: Files) -> bytes:
    """The document that says that every file of the plan was written and verified."""
    return seal({"plan": plan_digest, "files": _plain(files)})


def read_files(content: Mapping[str, Any], *, plan_digest: str, key: str) -> dict[str, FileRecord]:
    """The files that a receipt vouches for.

    Raises:
        StoreDamagedError: the receipt belongs to another plan.
    """
    if content.get("plan") != plan_digest:
        raise StoreDamagedError(f"{key} belongs to another store: it vouches for plan {str(content.get('plan'))[:12]}.")
    return {name: FileRecord(int(record["bytes"]), record["sha256"]) for name, record in content["files"].items()}


def _plain(files: Files) -> dict[str, dict[str, Any]]:
    return {key: {"bytes": record.size, "sha256": record.sha256} for key, record in sorted(files.items())}

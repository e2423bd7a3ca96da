"""A loopback server, a cache of one's own, and small datasets to fetch."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Server:
    """What a loopback server gives out, and what it was asked for."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    cut_off: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def url(self, name: str) -> str:
        return f"{self.address}/{name}"


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.lstrip("/")
            state.asked.append(name)
            if name not in state.files:
                self.send_error(404)
                return
            content = state.files[name]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if name in state.cut_off else content)

        def log_message(self, *_: Any) -> None:
            """Keep the log of requests out of the tests' output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.address = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield state
        http.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no mirror."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("WORKBENCH_CACHE", str(folder))
    monkeypatch.delenv("WORKBENCH_MIRROR", raising=False)
    return folder


@pytest.fixture
def own_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Path:
    """An empty mirror beside an empty cache."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    monkeypatch.setenv("WORKBENCH_MIRROR", str(folder))
    return folder


MakeManifest = Callable[..., Path]


@pytest.fixture
def make_manifest(tmp_path: Path) -> MakeManifest:
    """Write a manifest for contents: ``make(name, {"a.txt": b"..."}, urls=..., hashed=...)``."""

    def make(
        name: str,
        files: dict[str, bytes],
        *,
        urls: dict[str, str] | None = None,
        hashed: bool = True,
        **extra: Any,
    ) -> Path:
        entries = []
        for file, content in files.items():
            entry: dict[str, Any] = {"@type": "cr:FileObject", "@id": f"file/{file}", "name": file}
            if hashed:
                entry |= {"sha256": hashlib.sha256(content).hexdigest(), "contentSize": f"{len(content)} B"}
            if urls and file in urls:
                entry["contentUrl"] = urls[file]
            else:
                entry["prov:wasDerivedFrom"] = {"@id": "https://example.org/source"}
            entries.append(entry)
        document = {
            "@type": "sc:Dataset",
            "name": name,
            "description": "a dataset made for a test",
            "license": "https://spdx.org/licenses/CC0-1.0",
            "citeAs": "@misc{nobody, title = {Nothing}}",
            "distribution": entries,
            **extra,
        }
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(document))
        return path

    return make

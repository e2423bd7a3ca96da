"""Real servers, JupyterLab and Voila, in processes of their own, on loopback."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS_TO_START = 90


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        url: ``http://127.0.0.1:port``.
        token: lets a client in; "" where none is needed.
        folder: the folder that it serves.
    """

    url: str
    token: str
    folder: Path

    def status(self, path: str, *, token: str = "") -> int:
        """The HTTP status of a path, asked for with or without a token."""
        request = urllib.request.Request(f"{self.url}{path}")
        if token:
            request.add_header("Authorization", f"token {token}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve(command: list[str], server: Server, ready: str, home: Path) -> Iterator[Server]:
    """Run a server until the block ends.

    Args:
        command: the command line.
        server: what it will be.
        ready: a path that answers once it is up.
        home: where Jupyter keeps its settings: not the user's.
    """
    settings = home / "lab-settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True, exist_ok=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "lab-settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "OMP_NUM_THREADS": "1",
    }
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=server.folder, env=environment, stdout=log, stderr=log)
        try:
            _wait(process, server, ready, home / "server.log")
            yield server
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def jupyterlab(folder: Path, home: Path) -> Iterator[Server]:
    """JupyterLab over a folder, with a token."""
    port, token = free_port(), secrets.token_hex(16)
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.ip=127.0.0.1", f"--port={port}",
        f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}", "--ServerApp.port_retries=0",
        "--LabApp.expose_app_in_browser=True",
        *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
    ]  # fmt: skip
    with serve(command, Server(f"http://127.0.0.1:{port}", token, folder), "/api", home) as server:
        yield server


@contextmanager
def voila(notebook: Path, home: Path) -> Iterator[Server]:
    """Voila over one notebook."""
    port = free_port()
    command = [
        sys.executable, "-m", "voila", str(notebook), "--no-browser", f"--port={port}",
        "--Voila.ip=127.0.0.1",
        # Comes with the tests, not with the workbench, and asks for modules that Voila does not share.
        "--VoilaConfiguration.extension_denylist=jupyterlab-jupytext",
    ]  # fmt: skip
    server = Server(f"http://127.0.0.1:{port}", "", notebook.parent)
    with serve(command, server, "/voila/static/voila.js", home) as running:
        yield running


def _wait(process: subprocess.Popen[bytes], server: Server, ready: str, log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(
                f"The server ended with {process.returncode}:\n{log.read_text(errors='replace')[-3000:]}"
            )
        try:
            server.status(ready)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"No answer in {SECONDS_TO_START} s:\n{log.read_text(errors='replace')[-3000:]}")

"""Runs every generator of this folder; ``--check`` changes nothing and fails where a committed file is stale."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from freshness import ROOT

GENERATORS = ("make_methods.py", "make_manifests.py", "make_notebooks.py", "make_benchmarks.py", "make_links.py")


def main() -> None:
    """Run them all, even after one has failed, so that one look shows everything that is stale."""
    failed = []
    for name in GENERATORS:
        command = [sys.executable, str(Path(__file__).with_name(name)), *sys.argv[1:]]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"Not fresh, or failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()

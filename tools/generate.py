"""Runs every generator of this folder; ``--check`` changes nothing and fails where a committed file is stale."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from freshness import ROOT

GENERATORS = ("make_methods.py", "make_notebooks.py", "make_benchmarks.py", "make_links.py")
# reads the real files to hash them
FROM_MIRROR = ("make_manifests.py",)


def main() -> None:
    """Run them all, even after one has failed, so that one look shows everything that is stale."""
    failed = []
    mirrored = bool(os.environ.get("WORKBENCH_MIRROR"))
    if not mirrored:
        print(f"WORKBENCH_MIRROR is unset: {', '.join(FROM_MIRROR)} is left out.")
    for name in (*GENERATORS, *(FROM_MIRROR if mirrored else ())):
        command = [sys.executable, str(Path(__file__).with_name(name)), *sys.argv[1:]]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"Not fresh, or failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()

"""Writes the addresses of docs/project.toml into README.md and CITATION.cff."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from freshness import ROOT, run
from links import project_links

START = "notebooks/00_start.ipynb"


def replace_once(text: str, pattern: str, line: str, *, file: str) -> str:
    """Replace the one line that the pattern matches, or say that it is gone."""
    changed, count = re.subn(pattern, lambda _: line, text, flags=re.MULTILINE)
    if count != 1:
        raise SystemExit(f"{file}: {count} lines match {pattern!r}; expected exactly one to write an address into.")
    return changed


def generate() -> Mapping[Path, str]:
    """README.md and CITATION.cff with the addresses as they should be."""
    links = project_links()
    readme, citation = ROOT / "README.md", ROOT / "CITATION.cff"
    badge = replace_once(
        readme.read_text(encoding="utf-8"), r"^\[!\[Open on Binder\].*$", links.badge(START), file="README.md"
    )
    cited = replace_once(
        citation.read_text(encoding="utf-8"),
        r"^repository-code:.*$",
        f'repository-code: "{links.home}"',
        file="CITATION.cff",
    )
    return {readme: badge, citation: cited}


if __name__ == "__main__":
    run(generate, __doc__)

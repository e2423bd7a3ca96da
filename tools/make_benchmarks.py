"""Assembles docs/benchmarks.md from docs/benchmarks/*.md, one file a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from freshness import ROOT, run

HEAD = """# Benchmarks

Each section reports the output of the command that it names, on the machine that it names, slower cases beside faster
ones. The tests never run a benchmark; run the command to measure your own machine.
"""


def generate() -> Mapping[Path, str]:
    """The page of all benchmarks, in the order of their file names."""
    sections = sorted((ROOT / "docs" / "benchmarks").glob("*.md"))
    lines = [f"- [{title(path)}](#{anchor(title(path))})" for path in sections]
    bodies = [demoted(path.read_text(encoding="utf-8")).strip() for path in sections]
    return {ROOT / "docs" / "benchmarks.md": "\n\n".join([HEAD + "\n" + "\n".join(lines), *bodies]) + "\n"}


def title(path: Path) -> str:
    """The first heading of a section."""
    first = path.read_text(encoding="utf-8").lstrip().splitlines()[0]
    if not first.startswith("# "):
        raise SystemExit(f"{path.relative_to(ROOT)} begins with {first!r}; expected a heading: # what is measured.")
    return first.removeprefix("# ").strip()


def anchor(text: str) -> str:
    """The anchor that GitHub gives a heading."""
    kept = "".join(letter for letter in text.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


def demoted(text: str) -> str:
    """The text with each heading one level lower, code blocks left alone."""
    lines, fenced = [], False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        lines.append(f"#{line}" if line.startswith("#") and not fenced else line)
    return "\n".join(lines)


if __name__ == "__main__":
    run(generate, __doc__)

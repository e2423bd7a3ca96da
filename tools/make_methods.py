"""Writes docs/methods.md from the cards in the registries: one table a kind of method, then notes and sources."""

from __future__ import annotations

import importlib
import pkgutil
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from freshness import ROOT, run

from workbench.registry import Card, Registry

PAGE = ROOT / "docs" / "methods.md"
BIBLIOGRAPHY = ROOT / "docs" / "references.bib"
ROOMS = ("explain", "interpret", "train", "evaluate")  # the others hold no methods

HEAD = """# Methods

Every method that is registered, one table a kind. This page is generated from the method cards by
`python tools/make_methods.py`; panels, benchmarks and the conformance tests read the same cards.

*Access* is what a method needs of the model. *Specificity* says whether it answers for one category or for all at once,
*coverage* how much of the network it looks at, *annotation* what it needs besides images, *feedback* what it gives
back. *Signed* maps have values below zero, which speak against the category.
"""
PATENT = """## A patent to know of

United States patent 12,346,812 claims, in combination, incremental recomputation of occluded inputs and a two-stride
drill-down that picks a fraction of the image for the finer stride. Here these are never combined:
`incremental_occlusion` measures every window alike; `hierarchical_occlusion` searches from coarse to fine by plain
forward passes; and `multi_resolution_occlusion` chooses windows by the uncertainty of a statistical model, not as a
fixed fraction. This is a statement of fact about the code, not legal advice; whoever ships a product should ask a
lawyer.
"""
INGREDIENTS = ("baseline", "binariser")  # kinds that methods are made with: no access, cost or feedback of their own
COLUMNS = (
    "Method",
    "Name in code",
    "Returns",
    "Signed",
    "Access",
    "Specificity",
    "Coverage",
    "Annotation",
    "Feedback",
    "Cost",
    "Source",
)


def registries() -> list[tuple[str, Registry]]:
    """Every registry that has methods, with the path under which it is found, in the order of the rooms."""
    found: dict[int, tuple[str, Registry]] = {}
    for room in ROOMS:
        package = importlib.import_module(f"workbench.{room}")
        modules = [info.name for info in pkgutil.walk_packages(package.__path__, f"workbench.{room}.")]
        for name in [f"workbench.{room}", *sorted(modules)]:
            if name.endswith("__main__"):
                continue
            for attribute, value in vars(importlib.import_module(name)).items():
                if isinstance(value, Registry) and len(value):
                    found.setdefault(id(value), (f"{name.removeprefix('workbench.')}.{attribute}", value))
    return sorted(found.values(), key=lambda entry: entry[1].kind in INGREDIENTS)  # stable: the rooms keep their order


def bibliography(text: str) -> dict[str, dict[str, str]]:
    """BibTeX entries by key; fields in braces, one a line, as docs/references.bib writes them."""
    entries: dict[str, dict[str, str]] = {}
    for match in re.finditer(r"^@\w+\{([\w:-]+),\n(.*?)^\}", text, flags=re.M | re.S):
        fields = re.findall(r"^\s*(\w+)\s*=\s*\{(.*)\},?\s*$", match[2], flags=re.M)
        entries[match[1]] = {name.lower(): plain(value) for name, value in fields}
    return entries


def plain(text: str) -> str:
    """Text without the marks of LaTeX."""
    accents = {"'": "\u0301", "`": "\u0300", '"': "\u0308", "^": "\u0302", "~": "\u0303"}
    text = re.sub(r"\{?\\(['`\"^~])\{?(\w)\}?\}?", lambda found: found[2] + accents[found[1]], text)
    text = unicodedata.normalize("NFC", text)
    return text.replace("{", "").replace("}", "").replace("--", "\u2013").replace(r"\&", "&")


def reference(key: str, entries: Mapping[str, Mapping[str, str]]) -> str:
    """One line of the list of sources."""
    if key not in entries:
        raise SystemExit(f"The card names [{key}], which docs/references.bib does not have.")
    entry = entries[key]
    authors = [name.partition(",")[0].strip() for name in entry["author"].split(" and ")]
    names = (
        authors[0] if len(authors) == 1 else f"{' and '.join(authors)}" if len(authors) == 2 else f"{authors[0]} et al."
    )
    where = next(
        (entry[field] for field in ("journal", "booktitle", "publisher", "institution", "note") if field in entry), ""
    )
    return f"- **{key}**: {names} ({entry['year']}). {entry['title']}.{f' *{where}*.' if where else ''}"


def row(card: Card, columns: Sequence[str]) -> str:
    """One method as a line of its table."""
    cells = (
        card.title,
        f"`{card.name}`",
        card.returns,
        "yes" if card.signed else "no",
        card.access,
        card.specificity,
        card.coverage,
        card.annotation,
        card.feedback,
        card.cost or "-",
        ", ".join(f"[{key}](#sources)" for key in card.source) or "-",
    )
    shown = [cell.replace("|", r"\|") for name, cell in zip(COLUMNS, cells, strict=True) if name in columns]
    return f"| {' | '.join(shown)} |"


def section(path: str, registry: Registry) -> list[str]:
    """The table of one registry, and what a reader must know of its methods."""
    cards = sorted(registry.cards(), key=lambda card: card.title.casefold())
    columns = ("Method", "Name in code", "Returns", "Source") if registry.kind in INGREDIENTS else COLUMNS
    lines = [f"## {registry.kind.capitalize()}s", "", f"Registry: `workbench.{path}`, {len(cards)} entries.", ""]
    lines += [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}", *(row(card, columns) for card in cards), ""]
    notes = [f"- **{card.title}**: {card.note}" for card in cards if card.note]
    parameters = [
        f"- `{card.name}`: " + ", ".join(f"`{name}` ({describe(control)})" for name, control in card.parameters.items())
        for card in cards
        if card.parameters
    ]
    for title, items in (("Notes", notes), ("Parameters in the panels", parameters)):
        if items:
            lines += [f"### {title}: {registry.kind}s", "", *items, ""]
    return lines


def describe(control: tuple[object, ...]) -> str:
    """A panel control in words: default, and range or choices."""
    default = "automatic" if len(control) < 2 or control[1] is None else f"{control[1]}"
    if len(control) >= 4:
        return f"{default}; {control[2]} to {control[3]}"
    if len(control) == 3 and isinstance(control[2], list | tuple):
        return f"{default}; of {', '.join(str(choice) for choice in control[2])}"
    return default


def generate() -> Mapping[Path, str]:
    """The page of all methods."""
    lines = [HEAD]
    keys: set[str] = set()
    for path, registry in registries():
        lines += section(path, registry)
        keys.update(key for card in registry.cards() for key in card.source)
    entries = bibliography(BIBLIOGRAPHY.read_text(encoding="utf-8"))
    lines += [PATENT, "## Sources", "", *(reference(key, entries) for key in sorted(keys))]
    return {PAGE: "\n".join(lines).rstrip() + "\n"}


if __name__ == "__main__":
    run(generate, __doc__)

"""The documents: their code runs, their links lead somewhere, and what is generated from elsewhere agrees with it."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml
from PIL import Image

import workbench

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PAGES = [page for page in PAGES if "_build" not in page.parts]


def code(page: Path) -> str:
    """All Python blocks of a page, one after the other."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.M | re.S))


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a folder of pictures, two categories of four."""
    random = np.random.default_rng(0)
    for category in ("cat", "dog"):
        folder = tmp_path / "pictures" / category
        folder.mkdir(parents=True)
        for number in range(4):
            pixels = random.integers(0, 256, (80, 96, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{category}{number}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readme_example_is_five_lines_and_works_when_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = code(ROOT / "README.md")
    assert len(source.strip().splitlines()) == 5
    *before, last = ast.parse(source).body
    names: dict[str, object] = {}
    exec(compile(ast.Module(before, []), "README.md", "exec"), names)
    assert isinstance(last, ast.Expr), "the last line shows something"
    shown = eval(compile(ast.Expression(last.value), "README.md", "eval"), names)
    assert "<img alt=" in shown._repr_html_()


def test_the_guide_to_own_models_works_when_pasted(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code(ROOT / "docs" / "own-model.md"), "own-model.md", "exec"), {"__name__": "pasted"})
    assert (pictures / "why.png").stat().st_size > 1000
    assert (pictures / "activations.zarr").is_dir()
    assert "cat" in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_no_text_installs_the_package_of_someone_else() -> None:
    folders = ("workbench", "docs", "notebooks", "tools", "binder", "benchmarks")
    texts = [path for folder in folders for path in (ROOT / folder).rglob("*") if "_build" not in path.parts]
    kinds = {"", ".py", ".md", ".ipynb", ".yml", ".sh", ".json", ".js", ".toml"}
    texts = [path for path in (*texts, *ROOT.iterdir()) if path.is_file() and path.suffix in kinds]
    assert len(texts) > 100
    installs = re.compile(r"\b(pip|conda|mamba) install\b[^\n]*(?<![\w-])workbench\b")
    assert [path for path in texts if installs.search(path.read_text(encoding="utf-8"))] == []


def test_the_readme_has_what_a_reader_looks_for() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for wanted in (
        "make lab",
        "make test",
        "docs/images/lab.png",
        "CITATION.cff",
        "LICENSE",
        "## What it does not do yet",
    ):
        assert wanted in text


def test_the_figure_of_the_readme_is_a_picture_of_a_screen() -> None:
    with Image.open(ROOT / "docs" / "images" / "lab.png") as picture:
        assert picture.format == "PNG"
        assert picture.width >= 1000
        assert np.asarray(picture.convert("L")).std() > 10, "the figure is one colour"


def test_the_citation_names_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert citation["version"] == workbench.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["license"] == project["license"]


def test_addresses_come_from_one_file(tool: Callable[[str], ModuleType]) -> None:
    assert tool("freshness").stale(tool("make_links").generate()) == []
    links = tool("links").project_links()
    pages = [*PAGES, ROOT / "CITATION.cff", ROOT / "pyproject.toml"]
    elsewhere = [
        page.name
        for page in pages
        for line in page.read_text(encoding="utf-8").splitlines()
        if links.home in line.replace(links.launch("notebooks/00_start.ipynb"), "")
        and not line.startswith("repository-code:")
    ]
    assert elsewhere == [], "write addresses of the project in docs/project.toml only"


def test_moving_the_project_moves_every_address(
    tool: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_links, links = tool("make_links"), tool("links")
    moved = links.Links("somebody", "elsewhere", "https://example.org", "trunk", "https://binder.example.org")
    monkeypatch.setattr(make_links, "project_links", lambda: moved)
    texts = {path.name: text for path, text in make_links.generate().items()}
    assert "https://binder.example.org/v2/gh/somebody/elsewhere/trunk?urlpath" in texts["README.md"]
    assert 'repository-code: "https://example.org/somebody/elsewhere"' in texts["CITATION.cff"]


def test_the_changelog_has_a_place_for_what_comes() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "keepachangelog.com" in text
    kinds = set(re.findall(r"^### (.+)$", text, flags=re.M))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert re.search(r"^## \[Unreleased\]$", text, flags=re.M)


def test_benchmark_pages_are_assembled(
    tool: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_benchmarks = tool("make_benchmarks")
    assert tool("freshness").stale(make_benchmarks.generate()) == []
    folder = tmp_path / "docs" / "benchmarks"
    folder.mkdir(parents=True)
    (folder / "b.md").write_text("# Second, slower\n\n```\n# a comment\n```\n")
    (folder / "a.md").write_text("# First\n\n## Part\n")
    monkeypatch.setattr(make_benchmarks, "ROOT", tmp_path)
    ((_, text),) = make_benchmarks.generate().items()
    assert (
        text.index("## First") < text.index("### Part") < text.index("## Second, slower") < text.index("\n# a comment")
    )
    assert "- [Second, slower](#second-slower)" in text


def test_the_teachers_guide_names_every_notebook_and_exercise() -> None:
    guide = (ROOT / "docs" / "teachers-guide.md").read_text(encoding="utf-8")
    for source in sorted((ROOT / "notebooks" / "source").glob("*.py")):
        assert f"[{source.stem}](../notebooks/{source.stem}.ipynb)" in guide
        for title in re.findall(r"^# ## Exercise: (.+)$", source.read_text(encoding="utf-8"), flags=re.M):
            assert re.search(rf"^\| {source.stem} \| {re.escape(title)} \| \d+ \|", guide, flags=re.M), title

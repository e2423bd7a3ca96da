"""The method table says what the cards say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from workbench.registry import Registry

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    tools = str(ROOT / "tools")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tools)
        specification = importlib.util.spec_from_file_location("make_methods", f"{tools}/make_methods.py")
        assert specification is not None
        assert specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        yield module  # type: ignore[misc]
        sys.modules.pop("freshness", None)


def test_the_page_has_every_registered_method(maker: ModuleType) -> None:
    text = next(iter(maker.generate().values()))
    for _, registry in maker.registries():
        for card in registry.cards():
            assert f"| `{card.name}` |" in text
            assert all(f"**{key}**" in text for key in card.source)
    assert "nan" not in text.split()


def test_a_bar_in_a_card_does_not_break_the_table(maker: ModuleType) -> None:
    registry = Registry("explainer")

    @registry.register(title="Odd | one", source=(), access="black box", returns="a|b")
    def odd() -> None: ...

    line = maker.row(registry.cards()[0], maker.COLUMNS)
    assert line.replace(r"\|", "").count("|") == len(maker.COLUMNS) + 1


def test_bibliography_in_plain_text(maker: ModuleType) -> None:
    entries = maker.bibliography(
        "@misc{smilkov2017,\n  author = {Vi{\\'e}gas, Fernanda and Kim, Been},\n"
        "  title  = {{SmoothGrad}: noise},\n  year   = {2017}\n}\n"
    )
    assert maker.reference("smilkov2017", entries) == "- **smilkov2017**: Viégas and Kim (2017). SmoothGrad: noise."
    with pytest.raises(SystemExit, match="nobody2020"):
        maker.reference("nobody2020", entries)

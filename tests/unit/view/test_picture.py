"""A picture carries its own words, and the same result gives the same bytes."""

from __future__ import annotations

import io
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from workbench import view
from workbench.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

HEAT = np.linspace(-1, 2, 48).reshape(6, 8)


def test_the_html_is_an_image_with_escaped_alternative_text() -> None:
    picture = view.Picture(view.heatmap(HEAT).figure, 'He said "a < b"')
    html = picture.html()
    assert html.startswith('<img alt="He said &quot;a &lt; b&quot;" ')
    assert 'src="data:image/png;base64,' in html
    assert picture._repr_html_() == html


def test_the_png_has_the_size_asked_for_and_the_description() -> None:
    picture = view.heatmap(HEAT)
    with Image.open(io.BytesIO(picture.png(dpi=100))) as image:
        width, height = picture.figure.get_size_inches()
        assert image.size == pytest.approx((100 * width, 100 * height), abs=1)
        assert image.text["Description"] == picture.alt


def test_the_svg_is_named_and_the_same_every_time() -> None:
    first, second = (view.heatmap(HEAT, unit="logit").svg() for _ in range(2))
    assert first == second
    root = ET.fromstring(first)
    assert root.tag.endswith("svg")
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"].startswith("Heatmap.")


@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.html", b"<img alt=")])
def test_the_ending_decides_the_format(tmp_path: Path, name: str, start: bytes) -> None:
    path = view.heatmap(HEAT).save(tmp_path / name)
    assert path.read_bytes().startswith(start)


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.jpg.*\.png, \.svg or \.html"):
        view.heatmap(HEAT).save(tmp_path / "a.jpg")


def test_view_imports_neither_torch_nor_pyplot_nor_widgets() -> None:
    code = "import sys, workbench.view; print(*({'torch', 'matplotlib.pyplot', 'ipywidgets'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""

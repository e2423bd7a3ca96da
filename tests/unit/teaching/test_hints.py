from __future__ import annotations

import pytest

from workbench.errors import InputError
from workbench.teaching import hint


def test_each_hint_is_folded_inside_the_one_before() -> None:
    html = hint("look at the mask", "multiply", "sum of heat[mask]")._repr_html_()
    assert html.count("<details>") == 3
    assert html.index("look at the mask") < html.index("multiply") < html.index("sum of heat[mask]")
    assert html.endswith("</details></details></details>")
    assert " open" not in html


def test_text_gives_the_first_hint_only() -> None:
    text = str(hint("look at the mask", "multiply"))
    assert "look at the mask" in text
    assert "multiply" not in text
    assert "1 more" in text


def test_a_single_hint_promises_no_more() -> None:
    assert str(hint("only one")) == "1. only one"


def test_hints_are_given_up_to_a_number() -> None:
    hints = hint("one", "two", "three")
    assert hints.upto(2) == "1. one\n2. two"
    for count in (0, 4):
        with pytest.raises(InputError, match="there are 3"):
            hints.upto(count)


@pytest.mark.parametrize("steps", [(), ("one", " ")])
def test_empty_hints_are_refused(steps: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="expected at least one"):
        hint(*steps)


def test_html_shows_text_as_text() -> None:
    assert "a &lt; b" in hint("a < b")._repr_html_()

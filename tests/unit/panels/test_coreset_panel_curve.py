"""The similarity curve in the coreset panel: computed on demand, stopped, continued, remembered."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr

from workbench.errors import InputError, Interrupted
from workbench.interpret import coreset
from workbench.interpret.reading import map_blocks
from workbench.panels import CoresetPanel
from workbench.panels.coreset_work import Memory, Stoppable
from workbench.view.coreset_curve import enough_in_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench.store import ActivationStore

    Planted = Callable[..., tuple[xr.DataArray, np.ndarray]]

NAMES = ("left", "right", "up")
SPLITS, RANDOM_DRAWS = 2, 1
INTERPRETATIONS = SPLITS * (2 + 8 * (RANDOM_DRAWS + 1))  # of a curve: both halves, and eight fractions


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves of two splits: what is tested is what the panel does with them."""
    monkeypatch.setattr("workbench.panels.coreset.SPLITS", SPLITS)
    monkeypatch.setattr("workbench.panels.coreset.RANDOM_DRAWS", RANDOM_DRAWS)


def test_the_curve_is_that_of_the_function_and_remembers(featured: CoresetPanel) -> None:
    featured.state.curve = True
    prepared = coreset.subject("relevant_units", featured.data, labels=featured.labels, layers=["features"])
    expected = coreset.coreset_curve(
        prepared,
        featured.data,
        ["random", "herding"],
        splits=SPLITS,
        random_draws=RANDOM_DRAWS,
        pools={},
        progress=False,
    )
    xr.testing.assert_identical(featured.curve, expected)
    assert featured.wait(10)
    assert "ceiling" in featured.similarity.box.alt
    assert featured.similarity.progress.text == enough_in_words(expected, "herding")
    made: list[int] = []
    inner = featured._subjects._known["features"]
    featured._subjects._known["features"] = replace(
        inner, interpret=lambda *given: (made.append(1), inner.interpret(*given))[1]
    )
    featured.state.selector = "moderate"
    assert set(featured.curve["selector"].values) == {"random", "moderate"}
    assert 0 < len(made) <= SPLITS * 8, "halves and random coresets were known"


def test_a_finished_curve_is_shown_and_nothing_is_computed(featured: CoresetPanel, planted: Planted) -> None:
    featured.state.curve = True
    finished = featured.curve
    features, category = planted()
    panel = CoresetPanel(features, labels=category, categories=NAMES, curve=finished)
    assert panel.state.curve
    assert panel.curve is finished
    assert panel.wait(10)
    first = panel.similarity.box.source
    assert first
    panel.state.fraction = 0.3
    assert panel.wait(10)
    assert panel.similarity.box.source != first, "the mark has moved"
    panel.state.selector = "moderate"
    assert panel.wait(10)
    assert "does not hold moderate" in panel.similarity.progress.text
    assert not panel._subjects._known
    with pytest.raises(InputError, match="expected what coreset_curve gives"):
        CoresetPanel(features, labels=category, curve=xr.Dataset())


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Interpretations that take at least 20 ms; one entry each."""
    made: list[int] = []
    original = coreset.subject

    def slowly(*given: Any, **options: Any) -> Any:
        prepared = original(*given, **options)

        def interpret(*some: Any) -> Any:
            made.append(1)
            time.sleep(0.02)
            return prepared.interpret(*some)

        return replace(prepared, interpret=interpret)

    monkeypatch.setattr("workbench.panels.coreset.subject", slowly)
    return made


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert condition()


def test_a_curve_is_stopped_and_goes_on_where_it_was(featured: CoresetPanel, slow: list[int]) -> None:
    featured.start()
    featured.state.curve = True
    wait_for(lambda: len(slow) > 10)
    assert "left" in featured.similarity.progress.text
    assert featured.similarity.progress.running
    featured.state.fraction = 0.5
    assert featured._computing.wait(10), "the points do not wait for the curve"
    assert int(featured._result["chosen"].sum()) == 45
    featured.similarity.progress._handle(None, {"stop": True}, [])
    assert featured.similarity.wait(10)
    assert featured.curve is None
    assert featured.similarity.progress.text.startswith("Stopped.")
    assert len(slow) < INTERPRETATIONS
    featured.state.curve = False
    featured.state.curve = True
    assert featured.curve is not None
    assert len(slow) <= INTERPRETATIONS, "what was made before the stop was not made again"


def test_a_newer_curve_cancels_an_older_one(featured: CoresetPanel, slow: list[int]) -> None:
    featured.start()
    featured.state.curve = True
    wait_for(lambda: len(slow) > 5)
    featured.state.selector = "random"
    assert featured.curve["selector"].values.tolist() == ["random"]
    assert not any("herding" in str(key) for key in featured._curves._known)


def test_hiding_the_curve_stops_it(featured: CoresetPanel, slow: list[int]) -> None:
    featured.start()
    featured.state.curve = True
    wait_for(lambda: len(slow) > 5)
    featured.state.curve = False
    assert featured.wait(10)
    assert len(slow) < INTERPRETATIONS
    assert featured.similarity.widget.layout.display == "none"
    assert featured.curve is None


def test_reading_asks_whether_to_go_on(labelled: ActivationStore) -> None:
    source = Stoppable(labelled)
    assert source.layers == labelled.layers
    assert list(source.label_categories) == list(labelled.label_categories)
    np.testing.assert_array_equal(source.labels, labelled.labels)
    np.testing.assert_array_equal(source.predicted, labelled.predicted)
    xr.testing.assert_equal(source.quantile("1", 0.5), labelled.quantile("1", 0.5))
    seen: list[str] = []
    with source.asking(lambda: True):
        with pytest.raises(Interrupted, match="Stopped on request"):
            list(map_blocks(source, "1"))
        other = threading.Thread(target=lambda: seen.append(source.dataset("1").sizes["image"]))
        other.start()
        other.join()
    assert seen == [48], "another thread asked nothing"
    assert source.dataset("1").sizes["image"] == 48, "and this one asks no more"


def test_memory_keeps_no_more_than_it_may(featured: CoresetPanel) -> None:
    prepared = coreset.subject("relevant_units", featured.data, labels=featured.labels)
    size = prepared.interpret(np.arange(90), None).nbytes
    memory, told = Memory(most=2 * size), []
    watched = memory.around(prepared, stop=lambda: False, told=lambda: told.append(1))
    for start in (0, 1, 2, 2):
        np.testing.assert_array_equal(
            watched.interpret(np.arange(start, 90), None), prepared.interpret(np.arange(start, 90), None)
        )
    assert len(memory) == 2
    assert len(told) == 4
    weights = np.arange(1.0, 91.0)
    assert not np.array_equal(watched.interpret(np.arange(90), None), watched.interpret(np.arange(90), weights)), (
        "weights are part of the question"
    )

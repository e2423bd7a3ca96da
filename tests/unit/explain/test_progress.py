"""Progress is told, time is estimated, and stopping stops."""

from __future__ import annotations

import pytest

from workbench.errors import DtypeError, Interrupted
from workbench.explain import Meter, Progress


def test_reports() -> None:
    told: list[Progress] = []
    with Meter(10, progress=told.append) as meter:
        assert meter.seconds_left is None
        meter.advance(4)
        meter.advance(6)
    assert [report.done for report in told] == [4, 10]
    assert [report.fraction for report in told] == [0.4, 1.0]
    assert told[-1].seconds_left == 0
    assert told[0].partial is None


def test_partial_results_are_made_for_listeners_only() -> None:
    def never() -> object:
        raise AssertionError("nobody asked for it")

    with Meter(1) as meter:
        meter.advance(1, never)  # type: ignore[arg-type]


def test_stop_says_how_far_it_came() -> None:
    with Meter(10, stop=lambda: True) as meter, pytest.raises(Interrupted, match="after 3 of 10"):
        meter.advance(3)


def test_a_bar_is_closed_whatever_happens(capsys: pytest.CaptureFixture[str]) -> None:
    def stop() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Meter(10, progress=True, stop=stop, label="occlusion") as meter:
        meter.advance(5)
    assert "occlusion" in capsys.readouterr().err


def test_unusable_listeners() -> None:
    with pytest.raises(DtypeError, match="progress is 3"):
        Meter(1, progress=3)  # type: ignore[arg-type]
    with pytest.raises(DtypeError, match="stop is True"):
        Meter(1, stop=True)  # type: ignore[arg-type]

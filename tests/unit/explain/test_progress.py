"""Progress is told, time is estimated, and stopping stops."""

from __future__ import annotations

import pytest

from workbench.errors import DtypeError, Interrupted
from workbench.explain import Meter, Progress
from workbench.explain.progress import check_stop


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


def test_a_part_of_the_work_is_heard_of_before_it_is_done() -> None:
    told: list[Progress] = []
    with Meter(8, progress=told.append) as meter:
        meter.advance(2)
        with Meter(10, progress=meter.within(4)) as inner:
            inner.advance(5)
            inner.advance(5)
        meter.advance(4)
    assert [report.done for report in told] == [2, 4, 6, 6]
    assert all(report.total == 8 and report.seconds_left is not None for report in told)
    assert Meter(8).within(4) is False, "nobody listens"


def test_work_that_is_not_counted_can_be_stopped() -> None:
    check_stop(None, doing="reading")
    check_stop(lambda: False, doing="reading")
    with pytest.raises(Interrupted, match="Stopped on request while reading masks"):
        check_stop(lambda: True, doing="reading masks")

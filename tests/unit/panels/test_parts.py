"""The parts that panels share, without a browser."""

from __future__ import annotations

import doctest
import threading
import time
from typing import Any

import pytest

import workbench.panels.explained
import workbench.panels.words
from workbench.errors import InputError, UnknownNameError
from workbench.explain import explainers
from workbench.panels.method_controls import MethodControls, checked, defaults, make
from workbench.panels.parts import Actions, Cache, Choice, Message, Range, Ticket, Toggle, Worker
from workbench.panels.parts.display import File
from workbench.registry import Card


@pytest.mark.parametrize("module", [workbench.panels.words, workbench.panels.explained])
def test_the_examples_of_docstrings_hold(module: Any) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


def test_the_newest_request_wins_and_cancels_the_others() -> None:
    worker, done = Worker(), []
    begun = threading.Event()

    def first(ticket: Ticket) -> None:
        begun.set()
        while not ticket.stopped():
            time.sleep(0.001)
        done.append(("first", ticket.superseded))

    worker.submit(first)
    assert begun.wait(5)
    forgotten = worker.submit(lambda ticket: done.append(("second", ticket.superseded)))
    worker.submit(lambda ticket: done.append(("third", ticket.superseded)))
    assert worker.wait(5)
    assert forgotten.stopped()
    assert done == [("first", True), ("third", False)]
    assert not worker.busy


def test_work_stopped_by_a_person_is_not_superseded() -> None:
    worker, seen = Worker(), []
    begun = threading.Event()

    def work(ticket: Ticket) -> None:
        begun.set()
        while not ticket.stopped():
            time.sleep(0.001)
        seen.append(ticket.superseded)

    worker.submit(work)
    assert begun.wait(5)
    assert not worker.wait(0.01), "it is still at work"
    worker.stop()
    assert worker.wait(5)
    assert seen == [False]


def test_a_worker_has_a_thread_only_while_it_works() -> None:
    worker = Worker()
    threads: list[threading.Thread] = []
    for _ in range(3):
        worker.submit(lambda _: threads.append(threading.current_thread()))
        assert worker.wait(5)
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)
    assert threading.main_thread() not in threads


def test_work_that_breaks_its_promise_does_not_hang_those_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    raised = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: raised.append(arguments.exc_type))
    worker = Worker()

    def work(_: Ticket) -> None:
        raise ZeroDivisionError

    worker.submit(work)
    assert worker.wait(5)
    again = threading.Event()
    worker.submit(lambda _: again.set())
    assert again.wait(5)
    assert raised == [ZeroDivisionError]


def test_a_cache_keeps_what_was_asked_last_and_no_exceptions() -> None:
    cache: Cache[int] = Cache(2)
    calls: list[str] = []

    def compute(name: str) -> int:
        calls.append(name)
        return len(calls)

    assert [cache.get(name, lambda name=name: compute(name)) for name in "aba"] == [1, 2, 1]
    cache.get("c", lambda: compute("c"))
    assert "a" in cache
    assert "b" not in cache, "b was used longest ago"
    with pytest.raises(ZeroDivisionError):
        cache.get("d", lambda: 1 // 0)
    assert "d" not in cache
    assert len(cache) == 2


def test_a_choice_offers_and_refuses() -> None:
    choice = Choice(label="Layer")
    choice.offer(["a", "b"])
    assert choice.value == "a"
    choice.choose("b")
    choice.offer(["b", "c"], ["B", "C"])
    assert choice.value == "b"
    assert choice.options == [["b", "B"], ["c", "C"]]
    with pytest.raises(UnknownNameError, match="Unknown layer 'x'"):
        choice.choose("x")


def test_a_message_says_what_to_do() -> None:
    message = Message()
    message.show(InputError("patch is 0; expected at least 1."))
    assert message.text == "patch is 0; expected at least 1."
    message.show(ZeroDivisionError("division by zero"))
    assert "ZeroDivisionError: division by zero" in message.text
    assert ".error" in message.text
    message.show(None)
    assert message.text == ""


def test_a_file_that_cannot_be_made_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def make_file(kind: str) -> File:
        if kind == "png":
            return File("a.png", "image/png", b"123")
        raise InputError(f"no {kind}")

    actions, sent = Actions(make_file), []
    monkeypatch.setattr(actions, "send", lambda content, buffers=None: sent.append((content, buffers)))
    actions._handle(actions, {"wanted": "png"}, [])
    actions._handle(actions, {"wanted": "svg"}, [])
    actions._handle(actions, "nonsense", [])
    assert sent == [({"file": "a.png", "type": "image/png"}, [b"123"]), ({"problem": "Not saved: no svg"}, None)]


@pytest.mark.parametrize("card", explainers.cards(), ids=lambda card: card.name)
def test_every_explainer_gets_controls_that_say_its_defaults(card: Card) -> None:
    collected: list[dict[str, Any]] = []
    controls = MethodControls(collected.append)
    controls.show(card, defaults(card), ["features.3"])
    assert list(controls.controls) == list(card.parameters)
    controls._collect(None)
    assert collected == [defaults(card)]
    assert all(control.label for control in controls.controls.values())


def test_controls_give_the_values_of_their_kind() -> None:
    card = Card(
        name="m", title="M", source=(), access="black box", returns="",
        parameters={
            "patch": ("int", None, 1, 9), "noise": ("float", 0.2, 0.0, 1.0), "absolute": ("bool", False),
            "power": ("choice", 1, (1, 2)), "layer": ("layer", None),
        },
    )  # fmt: skip
    collected: list[dict[str, Any]] = []
    controls = MethodControls(collected.append)
    controls.show(card, defaults(card), ["conv"])
    assert isinstance(controls.controls["absolute"], Toggle)
    assert isinstance(controls.controls["patch"], Range)
    assert controls.controls["patch"].lowest == "automatic"
    for name, value in {"patch": 4.0, "noise": 0.25, "absolute": True, "power": "2", "layer": "conv"}.items():
        controls.controls[name].value = value
    assert collected[-1] == {"patch": 4, "noise": 0.25, "absolute": True, "power": 2, "layer": "conv"}
    controls.controls["patch"].value = controls.controls["patch"].min
    assert collected[-1]["patch"] is None


def test_parameters_are_checked_against_the_card() -> None:
    card = explainers["occlusion"].card
    assert checked(card, {"patch": 8}) == {**defaults(card), "patch": 8}
    with pytest.raises(UnknownNameError, match=r"parameter of occlusion 'patc'.*'patch'"):
        checked(card, {"patc": 8})
    with pytest.raises(UnknownNameError, match="baseline of occlusion 'blue'"):
        checked(card, {"baseline": "blue"})
    with pytest.raises(InputError, match="patch of occlusion is 1000; expected 1 to"):
        checked(card, {"patch": 1000})


def test_a_kind_without_a_control_is_named() -> None:
    with pytest.raises(InputError, match="'colour' the kind 'rainbow'"):
        make("colour", ("rainbow", None))

from __future__ import annotations

import pytest

from workbench.errors import InputError, UnknownNameError
from workbench.teaching import predict

CHOICES = ("petals", "stem", "background")


def test_without_an_answer_the_question_is_asked() -> None:
    forecast = predict("Which part matters?", choices=CHOICES)
    assert forecast.right is None
    assert "petals, stem, background" in str(forecast)
    assert "No forecast yet" in str(forecast)


def test_a_forecast_is_shown_but_not_judged_before_the_result() -> None:
    forecast = predict("Which part matters?", "stem", choices=CHOICES)
    assert forecast.right is None
    assert "Your forecast: stem" in str(forecast)


@pytest.mark.parametrize(("truth", "right"), [("stem", True), ("petals", False)])
def test_revealing_compares(truth: str, right: bool) -> None:
    forecast = predict("Which part matters?", "stem", choices=CHOICES)
    revealed = forecast.reveal(truth, because="The stem is the same in every flower.")
    assert revealed.right is right
    assert f"It is: {truth}" in str(revealed)
    assert "The stem is the same" in str(revealed)
    assert forecast.truth == "", "the forecast itself stays as it was"


def test_revealing_without_a_forecast_says_so() -> None:
    assert "made no forecast" in str(predict("Which part matters?").reveal("stem"))


def test_the_forecast_and_the_truth_must_be_choices() -> None:
    with pytest.raises(UnknownNameError, match="petals"):
        predict("Which part matters?", "petal", choices=CHOICES)
    with pytest.raises(UnknownNameError, match="Unknown answer 'root'"):
        predict("Which part matters?", choices=CHOICES).reveal("root")


def test_an_empty_question_is_refused() -> None:
    with pytest.raises(InputError, match="question is empty"):
        predict(" ")


def test_html_shows_text_as_text() -> None:
    assert "&lt;b&gt;" in predict("Is <b> bold?", "a < b")._repr_html_()
    assert "a &lt; b" in predict("Is <b> bold?", "a < b")._repr_html_()

"""What notebooks ask of a student: a forecast before a cell is run, an answer that is graded, hints one at a time."""

from workbench.teaching import answers
from workbench.teaching.feedback import Feedback, check
from workbench.teaching.forecast import Forecast, predict
from workbench.teaching.hints import Hints, hint

__all__ = ["Feedback", "Forecast", "Hints", "answers", "check", "hint", "predict"]

"""What panels are made of: labelled controls, a picture box, progress, errors, exports, and one worker thread."""

from workbench.panels.parts.button import Button
from workbench.panels.parts.cache import Cache
from workbench.panels.parts.control import Control
from workbench.panels.parts.display import Actions, Message, PictureBox, ProgressBar
from workbench.panels.parts.gauge import Gauge
from workbench.panels.parts.inputs import Choice, Range, Stepper, Tiles, Toggle, Upload
from workbench.panels.parts.layout import column, group, title
from workbench.panels.parts.panel import Panel
from workbench.panels.parts.points import PointBox
from workbench.panels.parts.table import Table
from workbench.panels.parts.windows import WindowBox
from workbench.panels.parts.worker import Ticket, Worker

__all__ = [
    "Actions",
    "Button",
    "Cache",
    "Choice",
    "Control",
    "Gauge",
    "Message",
    "Panel",
    "PictureBox",
    "PointBox",
    "ProgressBar",
    "Range",
    "Stepper",
    "Table",
    "Ticket",
    "Tiles",
    "Toggle",
    "Upload",
    "WindowBox",
    "Worker",
    "column",
    "group",
    "title",
]

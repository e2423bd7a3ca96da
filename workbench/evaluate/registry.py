"""All metrics, by name."""

from __future__ import annotations

from workbench.registry import Registry

metrics = Registry("metric")

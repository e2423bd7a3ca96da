"""All interpretation methods, by name."""

from __future__ import annotations

from workbench.registry import Registry

interpreters = Registry("interpreter")

"""All coreset selectors, by name.

A selector is called as ``selector(features, count, generator=..., **parameters)`` with (image, feature) float32 of the
images to choose among (all, or those of one category), and gives (count) int64 positions in the order of choice.
"""

from __future__ import annotations

from workbench.registry import Registry

selectors = Registry("selector")

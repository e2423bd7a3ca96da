"""Explanation, why this prediction, on this input."""

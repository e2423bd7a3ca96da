"""Interpretation, what has the model learned."""

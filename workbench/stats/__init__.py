"""Statistics that results are reported with."""

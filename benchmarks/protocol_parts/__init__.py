"""What the benchmark of the evaluation protocol compares, and how it is told."""

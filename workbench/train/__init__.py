"""Models that are trained by the project, and models interpretable by training."""

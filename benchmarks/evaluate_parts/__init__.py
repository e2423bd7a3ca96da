"""The work whose time the benchmark of the metrics measures, and how it is measured."""

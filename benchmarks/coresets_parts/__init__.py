"""The parts of benchmarks/coresets.py: what is measured, what was tried, and how far certificates are right."""

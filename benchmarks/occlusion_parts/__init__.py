"""The parts of benchmarks/occlusion.py, one a question that is asked of fast occlusion."""

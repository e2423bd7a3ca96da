"""Incremental occlusion: only what a window changes is computed again."""

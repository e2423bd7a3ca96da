"""Statistics that results are reported with: intervals, tests, effects, ranks, similarities."""

from workbench.stats.comparison import (
    Comparison,
    benjamini_hochberg,
    compare_paired,
    holm,
    permutation_test,
    sign_flip_test,
    wilcoxon_test,
)
from workbench.stats.effects import cliffs_delta, cohens_d
from workbench.stats.estimate import Estimate
from workbench.stats.intervals import bootstrap, bootstrap_dataset, bootstrap_paired
from workbench.stats.matching import (
    cosine,
    jaccard,
    match_directions,
    matched_cosine,
    overlap_at_k,
    rank_biased_overlap,
)
from workbench.stats.pairwise import compare_pairs, compare_rankings
from workbench.stats.ranks import average_precision, kendall_tau, precision_recall, spearman
from workbench.stats.ratios import bootstrap_ratio
from workbench.stats.representations import linear_cka, procrustes_similarity, shape_similarity

__all__ = [
    "Comparison",
    "Estimate",
    "average_precision",
    "benjamini_hochberg",
    "bootstrap",
    "bootstrap_dataset",
    "bootstrap_paired",
    "bootstrap_ratio",
    "cliffs_delta",
    "cohens_d",
    "compare_paired",
    "compare_pairs",
    "compare_rankings",
    "cosine",
    "holm",
    "jaccard",
    "kendall_tau",
    "linear_cka",
    "match_directions",
    "matched_cosine",
    "overlap_at_k",
    "permutation_test",
    "precision_recall",
    "procrustes_similarity",
    "rank_biased_overlap",
    "shape_similarity",
    "sign_flip_test",
    "spearman",
    "wilcoxon_test",
]

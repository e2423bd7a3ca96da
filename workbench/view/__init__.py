"""Pure drawing: a result in, a matplotlib Figure with alternative text out.

Every function returns a :class:`Picture`. Nothing here keeps state, opens a window or uses pyplot.
"""

from workbench.view.boxes import changed_boxes
from workbench.view.coreset import coreset_map
from workbench.view.coreset_curve import coreset_curve
from workbench.view.coreset_units import coreset_units
from workbench.view.explanation import explanation
from workbench.view.export import netcdf
from workbench.view.heatmap import heatmap, heatmaps, images
from workbench.view.histogram import histogram
from workbench.view.occlusion import occluded, occlusion
from workbench.view.picture import Picture
from workbench.view.protocol_cell import protocol_cell
from workbench.view.protocol_pairs import protocol_pairs
from workbench.view.protocol_report import protocol_report
from workbench.view.protocol_table import protocol_csv
from workbench.view.relation_edge import counterfactual, relation_edge
from workbench.view.relation_graph import relation_graph
from workbench.view.scale import Scale, choose_scale
from workbench.view.units import unit_profile, unit_sheet

__all__ = [
    "Picture",
    "Scale",
    "changed_boxes",
    "choose_scale",
    "coreset_curve",
    "coreset_map",
    "coreset_units",
    "counterfactual",
    "explanation",
    "heatmap",
    "heatmaps",
    "histogram",
    "images",
    "netcdf",
    "occluded",
    "occlusion",
    "protocol_cell",
    "protocol_csv",
    "protocol_pairs",
    "protocol_report",
    "relation_edge",
    "relation_graph",
    "unit_profile",
    "unit_sheet",
]

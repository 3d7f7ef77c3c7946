"""Social graphs: rules that name ties, files, rewiring, and the attachment of newborns.

A built graph is a ``worlds.types.Graph``; what worlds and channels compute on it lies in
``worlds.graph_ops``.
"""

from society.graphs.base import GraphRule, Ties, build_graph, graph_rng, pack, unpack

__all__ = ["GraphRule", "Ties", "build_graph", "graph_rng", "pack", "unpack"]

"""Which edges of a graph hold: outliers are left out, islands and bridges found. Pure."""

from __future__ import annotations

import numpy as np

from platefuse.measuring.solve.graph import (
    FEW,
    USUAL_STAGE_PX,
    Array,
    Graph,
    Indices,
    Mask,
    held_spread,
    islands,
    norm,
    spread_of,
)

_TOLERANCE_PX = 0.75
_BRIDGE_PX = 2.0
_BRIDGE_SPREADS = 4.0
"""How far an edge that nothing confirms may be from the stage model: the larger of a length, and of
so many spreads of the stage."""


def kept_edges(graph: Graph, correction: Array) -> Mask:
    """Edges that agree with the others, and those without which the graph would fall apart.

    An edge agrees if its residual is at most max(0.75 px, median + 6 MAD). Of the others, those
    with the smallest residuals are kept where they join two islands.
    """
    rest = norm(graph.residual(correction))
    if not len(rest):
        return np.zeros(0, bool)
    middle = float(np.median(rest))
    limit = max(_TOLERANCE_PX, middle + 6 * float(np.median(np.abs(rest - middle))))
    keep = rest <= limit
    island = islands(len(graph.stage), graph.first[keep], graph.second[keep])
    for k in np.argsort(rest, kind="stable"):
        one, other = island[graph.first[k]], island[graph.second[k]]
        if one != other:
            keep[k] = True
            island[island == other] = one
    return keep


def trusted_bridges(graph: Graph, keep: Mask, slope: Array) -> Mask:
    """The kept edges without the bridges that are far from the stage model.

    A bridge is the only link between two parts of a graph. No loop confirms it, and its residual
    is always 0: if it is wrong, a part of the well is carried away. So it must be as close to the
    stage model as the stage's own error makes it.

    Parameters
    ----------
    graph : Graph
        What was measured.
    keep : ndarray of bool, shape (edges,)
        See `kept_edges`.
    slope : ndarray of float64, shape (2, axes)
        The stage model.
    """
    away = graph.shift - np.einsum("mi,ik->mk", graph.steps(), slope)
    far = norm(away) > _most_away(spread_of(away[keep]), int(keep.sum()))
    kept = np.flatnonzero(keep)
    bridge = bridges(len(graph.stage), graph.first[kept], graph.second[kept])
    trusted = keep.copy()
    trusted[kept[bridge & far[kept]]] = False  # which makes no other edge a bridge
    return trusted


def carrying_bridges(graph: Graph, offset: Array, spread_px: float) -> Mask:
    """The bridges to fields that several bridges together carried away from the stage model.

    Parameters
    ----------
    graph : Graph
        The edges that are used.
    offset : ndarray of float64, shape (nodes, axes)
        Corrections minus those of the stage model.
    spread_px : float
        Usual size of an offset on one axis.
    """
    bridge = bridges(len(graph.stage), graph.first, graph.second)
    hanging = norm(offset) > _most_away(spread_px, len(graph.first))
    for ends in (graph.first, graph.second):
        hanging[ends[~bridge]] = False
    return np.asarray(bridge & (hanging[graph.first] | hanging[graph.second]))


def _most_away(spread_px: float, values: int) -> float:
    """How far from the stage model is too far, where few values tell little of the spread."""
    likely = held_spread(spread_px, values, USUAL_STAGE_PX)
    return max(_BRIDGE_PX, _BRIDGE_SPREADS * likely * (1 + FEW / max(values, 1)))


def bridges(nodes: int, first: Indices, second: Indices) -> Mask:
    """Which edges are the only link between two parts: by depth first search (Tarjan 1974).

    Parameters
    ----------
    nodes : int
        Number of nodes.
    first, second : ndarray of int, shape (edges,)
        The nodes that each edge joins.

    Returns
    -------
    ndarray of bool, shape (edges,)
        Whether each edge is one.

    Examples
    --------
    >>> bridges(4, np.array([0, 1, 2, 2]), np.array([1, 2, 0, 3])).tolist()
    [False, False, False, True]
    """
    found = np.zeros(len(first), bool)
    around: list[list[tuple[int, int]]] = [[] for _ in range(nodes)]
    for edge, (a, b) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        around[a].append((b, edge))
        around[b].append((a, edge))
    reached = [-1] * nodes
    lowest = [0] * nodes
    time = 0
    for root in range(nodes):
        if reached[root] >= 0:
            continue
        stack = [(root, -1, iter(around[root]))]
        reached[root] = lowest[root] = time
        time += 1
        while stack:
            node, way, rest = stack[-1]
            for other, edge in rest:
                if edge == way:
                    continue
                if reached[other] < 0:
                    reached[other] = lowest[other] = time
                    time += 1
                    stack.append((other, edge, iter(around[other])))
                    break
                lowest[node] = min(lowest[node], reached[other])
            else:
                stack.pop()
                if stack:
                    above = stack[-1][0]
                    lowest[above] = min(lowest[above], lowest[node])
                    found[way] = lowest[node] > reached[above]
    return found

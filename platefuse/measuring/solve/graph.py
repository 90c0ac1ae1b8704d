"""Places from differences: a robust solve over a graph whose anchor is an affine model. Pure.

A node is a field, an edge the measured difference between two fields, and a group a well. What is
solved for is the correction of each node: its place minus its stage position, in pixels. Groups
share no edge; they are solved together because they share the model of the stage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]

_NORMAL = 1.4826
"""Standard deviation of normal numbers over the median of their absolute values."""
_PLATE_SLOPE = 0.01
_SKEW = 0.001
_WELL_SLOPE = 0.001
"""Usual size of the stage model's slopes, of what its axes differ from each other in scale and from
a right angle, and of what a well's slopes differ from the plate's."""
FEW, USUAL_STAGE_PX = 6, 2.5
"""How many values a usual spread counts as, and the usual error of a stage on one axis."""
_LEAST_ANCHOR, _MOST_ANCHOR = 1e-8, 0.1
"""Limits of the anchor's weight relative to an edge's."""
_HUBER = 1.5
_SHARPEST_PX = 0.05
"""Below this residual, in pixels, the absolute error is taken as a square."""
_ITERATIONS, _STILL_PX = 60, 1e-4
_WIDEST = 2.0
_NARROWER = 0.7
_TAIL = 2.4  # the width of a Cauchy weight that loses 5 % with normal errors (Holland 1977)


@dataclass(frozen=True)
class Graph:
    """What was measured.

    Attributes
    ----------
    stage : ndarray of float64, shape (nodes, 2)
        Stage positions on y, x, in pixels, relative to the centre of their group.
    group : ndarray of intp, shape (nodes,)
        The group of each node, counted from 0.
    first, second : ndarray of intp, shape (edges,)
        The nodes of each edge.
    shift : ndarray of float64, shape (edges, axes)
        Correction of `second` minus that of `first`, as measured, in pixels.
    weight : ndarray of float64, shape (edges,)
        Weights, above 0.
    """

    stage: Array
    group: Indices
    first: Indices
    second: Indices
    shift: Array
    weight: Array

    @property
    def groups(self) -> int:
        """Number of groups."""
        return int(self.group.max()) + 1 if len(self.group) else 0

    def steps(self) -> Array:
        """Stage position of `second` minus that of `first`, shape (edges, 2)."""
        return self.stage[self.second] - self.stage[self.first]

    def residual(self, correction: Array) -> Array:
        """How far each edge is from some corrections, shape (edges, axes)."""
        return self.shift - (correction[self.second] - correction[self.first])

    def with_edges(self, keep: Mask) -> Graph:
        """The graph with some of its edges."""
        return replace(
            self,
            first=self.first[keep],
            second=self.second[keep],
            shift=self.shift[keep],
            weight=self.weight[keep],
        )


@dataclass(frozen=True)
class Slopes:
    """Affine models of the stage: the correction is ``position @ slope``.

    Attributes
    ----------
    plate : ndarray of float64, shape (2, axes)
        Of all groups together.
    group : ndarray of float64, shape (groups, 2, axes)
        Of each group.
    """

    plate: Array
    group: Array

    def at(self, graph: Graph) -> Array:
        """The correction that the model of its group has for each node."""
        return _dot(graph.stage, self.group[graph.group])


@dataclass(frozen=True)
class Spread:
    """Standard deviations on one axis, in pixels.

    Attributes
    ----------
    stage : float
        Of the stage's position from its model.
    edge : float
        Of a measured difference.
    likely : float
        As `stage`, held by a usual one if few values tell it.
    """

    stage: float
    edge: float
    likely: float

    @classmethod
    def of(cls, stage: float, edge: float, values: int) -> Spread:
        """The spreads of the stage, found from so many values, and of the edges."""
        likely = held_spread(stage, values, USUAL_STAGE_PX)
        return cls(max(stage, _SHARPEST_PX), edge, likely)


def norm(vectors: Array) -> Array:
    """Length of each vector, shape (n, axes)."""
    return np.asarray(np.sqrt((vectors**2).sum(axis=1)))


def spread_of(values: Array) -> float:
    """Standard deviation of most of the values, whatever the others are; 0 of none."""
    return _NORMAL * float(np.median(np.abs(values))) if values.size else 0.0


def held_spread(spread: float, values: int, usual: float) -> float:
    """A spread, held by a usual one where it is of few values: these may be alike by chance."""
    return float(np.sqrt((values * spread**2 + FEW * usual**2) / (values + FEW)))


def first_slope(graph: Graph) -> Array:
    """Slope of the stage model by the edges alone, without outliers: L1 by reweighting.

    A usual size of the slopes is known; see `_held_slope`.

    Returns
    -------
    ndarray of float64, shape (2, axes)
    """
    steps = graph.steps()
    slope = np.zeros((2, graph.shift.shape[1]))
    if not len(steps):
        return slope
    soft = max(spread_of(graph.shift), _SHARPEST_PX)
    for _ in range(_ITERATIONS):
        rest = graph.shift - np.einsum("mi,ik->mk", steps, slope)
        likely = Spread.of(spread_of(rest) / np.sqrt(2), 0.0, len(rest)).likely
        weight = graph.weight / _middle(graph.weight) * soft / np.maximum(norm(rest), soft)
        soft = max(soft / 2, _SHARPEST_PX)
        normal = np.einsum("m,mi,mj->ij", weight, steps, steps)
        right = np.einsum("m,mi,mk->ik", weight, steps, graph.shift)
        new = _held_slope(normal, right, 2 * likely**2)  # both ends of an edge have an error
        if np.abs(new - slope).max() < 1e-9:
            return new
        slope = new
    return slope


def first_spread(graph: Graph, slope: Array) -> Spread:
    """Spread before anything is solved: what the edges differ from the model."""
    rest = graph.shift - np.einsum("mi,ik->mk", graph.steps(), slope)
    return Spread.of(spread_of(rest) / float(np.sqrt(2)), _SHARPEST_PX, len(rest))


def solve_robust(graph: Graph, slope: Array, spread: Spread) -> tuple[Array, Slopes]:
    """Corrections that most edges agree with: outliers lose all their weight.

    The most probable places if the stage's errors are normal and the edges' have the long tails of
    a Cauchy distribution. The search begins at the stage model, with tails so wide that every edge
    counts, and narrows them step by step: of two edges that contradict each other the one wins
    that is closer to the stage model.

    Parameters
    ----------
    graph : Graph
        What was measured.
    slope : ndarray of float64, shape (2, axes)
        Where to begin; see `first_slope`.
    spread : Spread
        See `first_spread`.
    """
    models = Slopes(slope, np.broadcast_to(slope, (graph.groups, *slope.shape)).copy())
    correction = models.at(graph)
    width = max(_WIDEST * spread.stage, _SHARPEST_PX)
    share = graph.weight / _middle(graph.weight)
    narrow, noise = False, np.inf
    for _ in range(_ITERATIONS):
        weight = 2 * share / (width**2 + norm(graph.residual(correction)) ** 2)
        hold = _huber(correction - models.at(graph), spread.stage) / spread.stage**2
        new, models = _solve(graph, weight, hold, spread)
        moved = np.abs(new - correction).max(initial=0.0)
        correction = new
        before, noise = noise, edge_spread(graph, correction)
        # narrower than the noise, they would choose a tree; before, the residuals still fall,
        # because the anchor gives way
        narrow = narrow or width <= _SHARPEST_PX or (width < _TAIL * noise and noise > 0.8 * before)
        if narrow and moved < _STILL_PX:
            break
        width = width if narrow else max(width * _NARROWER, _SHARPEST_PX)
    return correction, models


def solve_squares(
    graph: Graph, correction: Array, models: Slopes, spread: Spread
) -> tuple[Array, Slopes]:
    """Corrections with the least square error; large residuals count by their size (Huber).

    The anchor is as strong as it should be by the two spreads: edges without noise give exact
    places.

    Parameters
    ----------
    graph : Graph
        What was measured, without outliers.
    correction, models
        Where to begin; see `solve_robust`.
    spread : Spread
        See `final_spread`.
    """
    ratio = min(max((spread.edge / spread.stage) ** 2, _LEAST_ANCHOR), _MOST_ANCHOR)
    for _ in range(_ITERATIONS):
        weight = graph.weight * _huber(graph.residual(correction), max(spread.edge, 1e-3))
        hold = ratio * _middle(graph.weight) * _huber(correction - models.at(graph), spread.stage)
        new, models = _solve(graph, weight, hold, spread)
        moved = np.abs(new - correction).max(initial=0.0)
        correction = new
        if moved < _STILL_PX:
            break
    return correction, models


def edge_spread(graph: Graph, correction: Array) -> float:
    """Spread of the edges by what loops leave; 0 of a graph without loops.

    Of the noise of a graph with `loops` more edges than a tree has, the residuals show the share
    ``loops / edges``.
    """
    parts = islands(len(graph.stage), graph.first, graph.second)
    loops = len(graph.first) - len(graph.stage) + int(parts.max(initial=-1)) + 1
    if loops <= 0:
        return 0.0
    return spread_of(graph.residual(correction)) * float(np.sqrt(len(graph.first) / loops))


def final_spread(graph: Graph, correction: Array, models: Slopes) -> Spread:
    """The spreads of a solved graph; that of the stage is of the nodes that have edges."""
    touched = np.zeros(len(graph.stage), bool)
    touched[graph.first] = touched[graph.second] = True
    stage = spread_of((correction - models.at(graph))[touched])
    return Spread.of(stage, edge_spread(graph, correction), int(touched.sum()))


def islands(nodes: int, first: Indices, second: Indices) -> Indices:
    """The part of a graph in which each node is: parts are connected, and counted from 0.

    Parameters
    ----------
    nodes : int
        Number of nodes.
    first, second : ndarray of int, shape (edges,)
        The nodes that each edge joins.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((np.ones(len(first)), (first, second)), shape=(nodes, nodes))
    return np.asarray(connected_components(edges, directed=False)[1], np.intp)


def _middle(weight: Array) -> float:
    return float(np.median(weight)) if len(weight) else 1.0


def _huber(rest: Array, scale: float) -> Array:
    """Weights: 1 up to `_HUBER` times the scale, then falling with the length of the residual."""
    limit = _HUBER * scale
    return limit / np.maximum(norm(rest), limit)


def _solve(graph: Graph, weight: Array, hold: Array, spread: Spread) -> tuple[Array, Slopes]:
    """Least squares for given weights of edges and anchors: corrections, and models.

    Minimises ``sum weight |shift - (c_j - c_i)|² + sum hold |c - stage @ slope|²`` over corrections
    and slopes, where the slopes of a group are drawn to those of the plate. Corrections are linear
    in the slopes, so the slopes are eliminated: two more right sides, and a 2 × 2 system for each
    group.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import splu

    nodes, axes = len(graph.stage), graph.shift.shape[1]
    i, j, every = graph.first, graph.second, np.arange(nodes)
    values = np.concatenate([weight, weight, -weight, -weight, hold])
    where = (np.concatenate([i, j, i, j, every]), np.concatenate([i, j, j, i, every]))
    pull = weight[:, None] * graph.shift
    right = np.stack(
        [
            np.bincount(j, pull[:, k], nodes) - np.bincount(i, pull[:, k], nodes)
            for k in range(axes)
        ],
        axis=1,
    )
    matrix = coo_array((values, where), shape=(nodes, nodes)).tocsc()
    # symmetric and positive: no pivoting, so that the pattern alone decides the order of sums
    factors = splu(
        matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )
    solved = factors.solve(np.concatenate([right, hold[:, None] * graph.stage], axis=1))
    own, by_slope = solved[:, :axes], solved[:, axes:]
    models = _fit_slopes(graph, hold, own, by_slope, spread)
    correction = own + _dot(by_slope, models.group[graph.group])
    return correction, models


def _fit_slopes(graph: Graph, hold: Array, own: Array, by_slope: Array, spread: Spread) -> Slopes:
    """The slopes of the plate and of each group.

    A slope's usual size is a prior: a few noisy fields do not give a model that would carry an
    empty field away.
    """
    share = hold / max(float(np.median(hold)), np.finfo(float).tiny)
    pulled = share[:, None] * graph.stage
    normal = _by_group(graph, np.einsum("ni,nj->nij", pulled, graph.stage - by_slope))
    right = _by_group(graph, np.einsum("ni,nk->nik", pulled, own))
    square = spread.likely**2
    plate = _held_slope(normal.sum(axis=0), right.sum(axis=0), square)
    drawn = np.eye(2) * square / _WELL_SLOPE**2
    group = np.linalg.solve(normal + drawn, right + drawn @ plate)
    return Slopes(plate, np.asarray(group))


def _held_slope(normal: Array, right: Array, square: float) -> Array:
    """The slope of normal equations with a normal prior (ridge regression).

    A stage that is turned against the camera, or a wrong pixel size, gives a similarity, whose
    usual size is `_PLATE_SLOPE`; what is beyond has the size `_SKEW`.

    Parameters
    ----------
    normal : ndarray of float64, shape (2, 2)
        Sum of the products of positions.
    right : ndarray of float64, shape (2, axes)
        Sum of the products of positions and corrections.
    square : float
        Variance of a correction.
    """
    axes = right.shape[1]
    prior = np.eye(2 * axes) / _PLATE_SLOPE**2
    if axes == 2:  # y and x: slopes in the order yy, yx, xy, xx
        scale, turn = np.array([1.0, 0, 0, 1]), np.array([0.0, 1, -1, 0])
        similar = (np.outer(scale, scale) + np.outer(turn, turn)) / 2
        prior = similar / _PLATE_SLOPE**2 + (np.eye(4) - similar) / _SKEW**2
    matrix = np.kron(normal, np.eye(axes)) + square * prior
    return np.asarray(np.linalg.solve(matrix, right.ravel()).reshape(2, axes))


def _dot(vectors: Array, matrices: Array) -> Array:
    """Each vector times its matrix; sums in one order, whatever the number of threads."""
    return np.asarray(np.einsum("ni,nik->nk", vectors, matrices))


def _by_group(graph: Graph, values: Array) -> Array:
    """Sums over the nodes of each group."""
    flat = values.reshape(len(values), -1)
    sums = [np.bincount(graph.group, column, graph.groups) for column in flat.T]
    shape = (graph.groups, *values.shape[1:])
    return np.asarray(np.stack(sums, axis=1).reshape(shape), np.float64)

"""Positions of the fields within the reference acquisition, from their overlaps. Pure.

The fields of all wells are solved together, because they share one model of the stage: an affine
map, which takes up a stage that is turned, scaled or sheared against the camera. See
docs/design/solving.md for the choices and what was measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from platefuse.errors import MeasureError
from platefuse.measuring.model import SAME_PIXEL, FieldKey, PairMeasure, StageField, Vector
from platefuse.measuring.solve.graph import (
    Array,
    Graph,
    Mask,
    Slopes,
    final_spread,
    first_slope,
    first_spread,
    norm,
    solve_robust,
    solve_squares,
)
from platefuse.measuring.solve.links import carrying_bridges, kept_edges, trusted_bridges


@dataclass(frozen=True)
class StageModel:
    """Where a well's fields are by the stage: its position and an affine correction.

    Attributes
    ----------
    centre_px : tuple of float
        Position on y and x, in pixels, at which the correction is 0.
    slope : tuple of tuple of float
        For each of y and x, what is added on z, y, x for each pixel along it.
    """

    centre_px: tuple[float, float]
    slope: tuple[Vector, Vector]

    def correction_px(self, stage_px: tuple[float, float]) -> Vector:
        """What is added to a stage position on y and x, on the axes z, y, x."""
        return self.step_px((stage_px[0] - self.centre_px[0], stage_px[1] - self.centre_px[1]))

    def step_px(self, step_px: tuple[float, float]) -> Vector:
        """What is added to the difference of two stage positions, on the axes z, y, x."""
        y, x = step_px
        z_, y_, x_ = (a * y + b * x for a, b in zip(*self.slope, strict=True))
        return (z_, y_, x_)


@dataclass(frozen=True)
class Edge:
    """A pair of neighbours after the solve.

    Attributes
    ----------
    pair : PairMeasure
        The pair.
    residual_px : float
        How far its shift is from the places that were found, in y and x.
    used : bool
        Whether the places were found by it.
    """

    pair: PairMeasure
    residual_px: float
    used: bool


@dataclass(frozen=True)
class StitchedField:
    """A field of the reference acquisition after the solve.

    Attributes
    ----------
    field : StageField
        The field.
    correction_px : tuple of float
        What is added to its stage position.
    pairs : int
        Number of its pairs with neighbours, also of those that gave no shift.
    edges : int
        Number of those by which its place was found; 0: it follows the stage model.
    score : float
        The best correlation of these pairs; NaN without one.
    sigma_px : float
        Uncertainty against its neighbours; NaN without pairs.
    """

    field: StageField
    correction_px: Vector
    pairs: int
    edges: int
    score: float
    sigma_px: float


@dataclass(frozen=True)
class Stitched:
    """The reference acquisition of a plate after the solve.

    Attributes
    ----------
    fields : mapping of FieldKey to StitchedField
        Every field, in the order of their keys.
    models : mapping of str to StageModel
        The stage model of each well.
    edges : tuple of Edge
        Every pair of neighbours that was measured.
    """

    fields: Mapping[FieldKey, StitchedField]
    models: Mapping[str, StageModel]
    edges: tuple[Edge, ...]


def stitch(fields: Sequence[StageField], pairs: Sequence[PairMeasure]) -> Stitched:
    """Find the places of the fields of the reference acquisition.

    Parameters
    ----------
    fields : sequence of StageField
        The fields of the reference acquisition, of all wells.
    pairs : sequence of PairMeasure
        Pairs. Those of the kind ``neighbour`` with the status ``measured`` are used; what was not
        accepted must have another status. Without any, every field is where the stage had it.

    Raises
    ------
    MeasureError
        If two fields have one name, their pixel sizes differ, or a pair names another field.
    """
    ordered = sorted(fields, key=lambda field: field.key)
    pixel_um = common_pixel(ordered)
    edges = sorted(
        (p for p in pairs if p.kind == "neighbour" and p.status == "measured"),
        key=lambda p: (p.reference, p.moving, p.shift_px),
    )
    stage = stage_px(ordered, pixel_um)
    graph, centres = _graph(ordered, stage, edges)
    if not ordered:
        return Stitched({}, {}, ())
    correction, models, used = _solve(graph)
    depth = replace(graph, shift=np.array([[p.shift_px[0]] for p in edges]).reshape(-1, 1))
    heights, height_models = _solve_depth(depth, used)
    rest = norm(graph.residual(correction))
    sigma, score, count = _quality(graph, edges, rest, used)
    tried = Counter(key for p in pairs if p.kind == "neighbour" for key in (p.reference, p.moving))
    shifts = np.concatenate([heights, correction], axis=1)
    slopes = np.concatenate([height_models.group, models.group], axis=2)
    return Stitched(
        {
            field.key: StitchedField(field, vector(c), tried[field.key], int(n), float(s), float(u))
            for field, c, n, s, u in zip(ordered, shifts, count, score, sigma, strict=True)
        },
        {
            well: StageModel(
                (float(centre[0]), float(centre[1])), (vector(slope[0]), vector(slope[1]))
            )
            for (well, centre), slope in zip(centres.items(), slopes, strict=True)
        },
        tuple(Edge(p, float(r), bool(u)) for p, r, u in zip(edges, rest, used, strict=True)),
    )


def common_pixel(fields: Sequence[StageField]) -> Vector:
    """The pixel size that all fields have, in micrometres.

    One plane is the whole depth: the size of its pixels in z is not looked at.

    Raises
    ------
    MeasureError
        If two fields have one name, or pixel sizes differ by more than a thousandth.
    """
    seen: set[FieldKey] = set()
    first: list[StageField | None] = [None, None, None]
    for field in fields:
        if field.key in seen:
            raise MeasureError(f"{field.key} occurs twice; every field needs its own name.")
        seen.add(field.key)
        for axis in range(0 if field.shape[0] > 1 else 1, 3):
            other = first[axis] = first[axis] or field
            size, expected = field.pixel_um[axis], other.pixel_um[axis]
            if abs(size - expected) > SAME_PIXEL * expected:
                raise MeasureError(
                    f"{_words(field)} has pixels of {size:g} µm in {'zyx'[axis]}, but "
                    f"{_words(other)} of {expected:g} µm. Shifts are measured between fields of "
                    "one pixel size: correct the metadata, or resample the images."
                )
    z, y, x = (1.0 if own is None else own.pixel_um[k] for k, own in enumerate(first))
    return (z, y, x)


def _words(field: StageField) -> str:
    key = field.key
    return f"field {key.field!r} of image {key.well}/{key.image}"


def stage_px(fields: Sequence[StageField], pixel_um: Vector) -> Array:
    """Stage positions on y and x, in pixels, shape (fields, 2)."""
    found = [(f.stage_um[1] / pixel_um[1], f.stage_um[2] / pixel_um[2]) for f in fields]
    return np.array(found, np.float64).reshape(len(fields), 2)


def vector(values: Array) -> Vector:
    """An array of three as a tuple of numbers of Python."""
    z, y, x = (float(value) for value in values)
    return (z, y, x)


def _graph(
    fields: Sequence[StageField], stage: Array, pairs: Sequence[PairMeasure]
) -> tuple[Graph, Mapping[str, Array]]:
    """The graph of some fields, whose wells follow each other, and the centre of each well."""
    wells = sorted({field.key.well for field in fields})
    number = {well: n for n, well in enumerate(wells)}
    group = np.array([number[field.key.well] for field in fields], np.intp)
    centres = {
        well: (stage[group == n].min(axis=0) + stage[group == n].max(axis=0)) / 2
        for n, well in enumerate(wells)
    }
    place = {field.key: n for n, field in enumerate(fields)}
    for pair in pairs:
        for key in (pair.reference, pair.moving):
            if key not in place:
                raise MeasureError(f"A pair of neighbours names {key}; no such field is known.")
    middle = np.array(list(centres.values()), np.float64).reshape(len(wells), 2)
    graph = Graph(
        stage - middle[group],
        group,
        np.array([place[p.reference] for p in pairs], np.intp),
        np.array([place[p.moving] for p in pairs], np.intp),
        np.array([p.shift_px[1:] for p in pairs], np.float64).reshape(len(pairs), 2),
        np.array([max(p.score * p.overlap, 1e-3) for p in pairs], np.float64),
    )
    return graph, centres


def _solve(graph: Graph) -> tuple[Array, Slopes, Mask]:
    """Corrections, stage models, and the edges that were used."""
    slope = first_slope(graph)
    spread = first_spread(graph, slope)
    correction, models = solve_robust(graph, slope, spread)
    used = trusted_bridges(graph, kept_edges(graph, correction), models.plate)
    while True:
        kept = graph.with_edges(used)
        for _ in range(3):  # from the spreads of the last solve; without noise they go to 0
            spread = final_spread(kept, correction, models)
            correction, models = solve_squares(kept, correction, models, spread)
        wrong = carrying_bridges(kept, correction - models.at(kept), spread.stage)
        if not wrong.any():
            return correction, models, used
        used = used.copy()
        used[np.flatnonzero(used)[wrong]] = False


def _solve_depth(graph: Graph, used: Mask) -> tuple[Array, Slopes]:
    """The same on the axis z, by the pairs that agree on y and x; nothing of flat images."""
    kept = graph.with_edges(used)
    if not kept.shift[:, 0].any():
        flat = Slopes(np.zeros((2, 1)), np.zeros((graph.groups, 2, 1)))
        return np.zeros((len(graph.stage), 1)), flat
    return _solve(kept)[:2]


def _quality(
    graph: Graph, pairs: Sequence[PairMeasure], rest: Array, used: Mask
) -> tuple[Array, Array, Array]:
    """Uncertainty, score and number of used pairs of each field.

    The uncertainty is that of the mean of its pairs, each of which is as uncertain as it says or
    as its residual shows.
    """
    nodes = len(graph.stage)
    own = np.array([np.hypot(*p.sigma_px[1:]) / np.sqrt(2) for p in pairs], np.float64)
    square = np.maximum(own, rest / np.sqrt(2)) ** 2
    sums, count, score = np.zeros(nodes), np.zeros(nodes), np.full(nodes, -np.inf)
    for ends in (graph.first, graph.second):
        sums += np.bincount(ends[used], square[used], nodes)
        count += np.bincount(ends[used], minlength=nodes)
        np.maximum.at(score, ends[used], np.array([p.score for p in pairs])[used])
    with np.errstate(invalid="ignore", divide="ignore"):
        sigma = np.sqrt(sums) / count
    return sigma, np.where(count > 0, score, np.nan), count

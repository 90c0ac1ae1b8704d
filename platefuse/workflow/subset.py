"""The wells of a run that a user names: single wells, rows, columns, blocks, or a table."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from platefuse.errors import ConfigError
from platefuse.ngff.plate import WellName
from platefuse.workflow.config.model import Config
from platefuse.workflow.receipts import WellKey

_WELL = re.compile(r"(?P<row>[A-Za-z]+)/?(?P<column>[0-9]+)")
_SHOWN = 5


def chosen_wells(config: Config, listed: Mapping[str, Sequence[WellName]]) -> set[WellKey]:
    """The wells that a config names: those of the plates that share its `wells`, and of each other.

    Parameters
    ----------
    config : Config
        The config.
    listed : mapping of str to sequence of WellName
        All wells of each plate.

    Raises
    ------
    ConfigError
        As `select_wells`.
    """
    sharing = {name: own for name, own in listed.items() if "wells" not in config.own(name)}
    common = (config.wells.include, config.wells.exclude) if sharing else (None, None)
    chosen = select_wells(sharing, *common, plates=listed)
    for name in listed.keys() - sharing:
        wells = config.by_plate[name].wells
        own = {name: listed[name]}
        try:
            chosen |= select_wells(own, wells.include, wells.exclude, plates=listed)
        except ConfigError as error:
            raise ConfigError(*(config.located(name, fault) for fault in error.args)) from error
    return chosen


def select_wells(
    listed: Mapping[str, Sequence[WellName]],
    include: Sequence[str | int] | str | None,
    exclude: Sequence[str | int] | str | None,
    *,
    plates: Collection[str] = (),
) -> set[WellKey]:
    """The wells that are processed.

    Parameters
    ----------
    listed : mapping of str to sequence of WellName
        All wells of each plate.
    include, exclude : sequence of str or int, or str, or None
        Wells to process, and wells to leave out of these: patterns, or the path of a TSV. None: all
        wells, and none.
    plates : collection of str
        All plates of the run: a table may also name wells of those that are not listed.

    Raises
    ------
    ConfigError
        If a pattern names no well of any plate, the table cannot be read, or no well is left.
    """
    everything = {(name, w.row, w.column) for name, wells in listed.items() for w in wells}
    chosen = everything
    if include is not None:
        chosen = named_wells(listed, include, "config.wells.include", plates)
    if exclude is not None:
        chosen = chosen - named_wells(listed, exclude, "config.wells.exclude", plates)
    if everything and not chosen:
        raise ConfigError(
            "config.wells leaves no well of any plate. Name fewer wells under wells.exclude, or "
            "others under wells.include."
        )
    return chosen


def named_wells(
    listed: Mapping[str, Sequence[WellName]],
    given: Sequence[str | int] | str,
    where: str,
    plates: Collection[str] = (),
) -> set[WellKey]:
    """The wells that patterns or a table name; see `select_wells`.

    Parameters
    ----------
    listed, given
        All wells of each plate, and the patterns or the table.
    where : str
        Where they are given, for error messages.
    plates
        As in `select_wells`.

    Raises
    ------
    ConfigError
        If a pattern names no well of any plate, or the table cannot be read.
    """
    if isinstance(given, str):
        return _in_table(listed, Path(given), where, {*plates, *listed})
    chosen: set[WellKey] = set()
    faults = []
    grids = {name: Grid.of(wells) for name, wells in listed.items()}
    for pattern in map(str, given):
        found = _matching(grids, pattern)
        if not found:
            faults.append(_unknown(f"{where} names {pattern!r}", listed))
        chosen |= found
    if faults:
        raise ConfigError(*faults)
    return chosen


def _in_table(
    listed: Mapping[str, Sequence[WellName]], file: Path, where: str, plates: Collection[str]
) -> set[WellKey]:
    """The wells in the rows of a table with a column `well` and, if they differ, `plate`."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, delimiter="\t")
            columns, rows = list(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(
            f"{where}: {file} cannot be read ({error}). Expected a list of wells, such as "
            '["B03", "C"], or the path of a tab-separated table with a column `well`.'
        ) from error
    if "well" not in columns:
        raise ConfigError(
            f"{where}: {file} has the columns {columns}; expected a tab-separated table with "
            "a column `well` and, if plates differ, a column `plate`."
        )
    chosen: set[WellKey] = set()
    faults = []
    grids = {name: Grid.of(wells) for name, wells in listed.items()}
    for number, row in enumerate(rows, 2):
        plate = (row.get("plate") or "").strip()
        line = f"{file}, line {number}, names"
        if plate and plate not in plates:
            known = ", ".join(sorted(plates))
            faults.append(f"{line} the plate {plate!r}; the plates of this run are {known}.")
        elif not plate or plate in listed:
            own = {plate: listed[plate]} if plate else listed
            found = _matching({name: grids[name] for name in own}, (row["well"] or "").strip())
            if not found:
                faults.append(_unknown(f"{line} {row['well']!r}", own))
            chosen |= found
    if faults:
        more = [f"and {len(faults) - _SHOWN} more lines"] if len(faults) > _SHOWN else []
        raise ConfigError(*faults[:_SHOWN], *more)
    return chosen


def _matching(grids: Mapping[str, Grid], pattern: str) -> set[WellKey]:
    """The wells of some plates that a pattern names."""
    return {
        (name, well.row, well.column)
        for name, grid in grids.items()
        for well in grid.matching(pattern)
    }


def _unknown(what: str, listed: Mapping[str, Sequence[WellName]]) -> str:
    names = [f"{well.row}{well.column}" for wells in listed.values() for well in wells]
    some = ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
    return (
        f"{what}, which is no well of the plate. Expected a well (B03), a row (B), a column (3) or "
        f"a range of these (B03:D08); its wells are {some or 'none'}."
    )


@dataclass(frozen=True)
class Grid:
    """The wells of a plate by the places of their rows and columns.

    Attributes
    ----------
    rows, columns : mapping of str to int
        Place of each row and column that has wells. Numbers are the same with and without leading
        zeros.
    wells : mapping of (int, int) to sequence of WellName
        The wells by the places of row and column.
    """

    rows: Mapping[str, int]
    columns: Mapping[str, int]
    wells: Mapping[tuple[int, int], Sequence[WellName]]

    @classmethod
    def of(cls, wells: Sequence[WellName]) -> Grid:
        """The grid of some wells."""
        rows, columns = _places({w.row for w in wells}), _places({w.column for w in wells})
        found: dict[tuple[int, int], list[WellName]] = {}
        for well in wells:
            place = rows[_plain(well.row)], columns[_plain(well.column)]
            found.setdefault(place, []).append(well)
        return cls(rows, columns, found)

    def matching(self, pattern: str) -> Iterator[WellName]:
        """The wells that a pattern names; none if it names a row or column that has no well."""
        ends = [self._corner(part.strip()) for part in pattern.split(":")]
        first, last = ends[0], ends[-1]
        if len(ends) > 2 or not first or first.keys() != last.keys():
            return
        bounds = {axis: sorted((first[axis], last[axis])) for axis in first}
        row, last_row = bounds.get("row", (0, len(self.rows)))
        column, last_column = bounds.get("column", (0, len(self.columns)))
        if (row, column) == (last_row, last_column):  # one well: there may be very many of them
            found = self.wells.get((row, column), ())
            name = pattern.strip().replace("/", "")
            yield from [well for well in found if f"{well.row}{well.column}" == name] or found
            return
        for place, wells in self.wells.items():
            if row <= place[0] <= last_row and column <= place[1] <= last_column:
                yield from wells

    def _corner(self, part: str) -> dict[str, int]:
        """Places of a row, of a column, or of both; empty if the part names nothing."""
        row, column = _place_of(part, self.rows), _place_of(part, self.columns)
        if row is not None:
            return {"row": row}
        if column is not None:
            return {"column": column}
        split = _WELL.fullmatch(part)
        names = (split["row"], split["column"]) if split else part.partition("/")[::2]
        row, column = _place_of(names[0], self.rows), _place_of(names[1], self.columns)
        return {} if row is None or column is None else {"row": row, "column": column}


def _places(names: Collection[str]) -> dict[str, int]:
    plain = sorted({_plain(name) for name in names}, key=_order)
    return {name: place for place, name in enumerate(plain)}


def _place_of(name: str, places: Mapping[str, int]) -> int | None:
    """The place of a row or column; in upper or lower case, unless the plate tells them apart."""
    spellings = (_plain(name), name.upper(), name.lower())
    return next((places[each] for each in spellings if each in places), None)


def _plain(name: str) -> str:
    return str(int(name)) if name.isascii() and name.isdigit() else name


def _order(plain: str) -> tuple[int, str]:
    """Rows A to Z before a to z and before AA, columns by their number."""
    return (int(plain), "") if plain.isdigit() else (len(plain), plain)

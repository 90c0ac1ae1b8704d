"""Where the images to fuse are read from: registered in the plate, or raw with their registration.

Fusion knows nothing of registration: what it needs to know of raw images is put together here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from platefuse.errors import RecordError, quoted
from platefuse.fusion.fields.field import Place
from platefuse.fusion.fields.layers import SourceImage
from platefuse.fusion.fields.measured import MeasuredPixels
from platefuse.fusion.fields.reader import LayerReader
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells.locks import fused_well_lock
from platefuse.fusion.wells.tables import is_replaced
from platefuse.illumination.correction import Illumination, check_registered
from platefuse.measuring.receipt import MeasuredFrom, check_measured
from platefuse.ngff.layout import InputOptions
from platefuse.ngff.paths import staging_folder
from platefuse.ngff.well import Well, WellImage
from platefuse.records import RegistrationRecord, read_places
from platefuse.registration.plan import RegistrationPlan, plan_registration
from platefuse.registration.request import RegistrationRequest, done_record
from platefuse.registration.tables import write_tables
from platefuse.storage.once import reading_once
from platefuse.storage.removing import remove_tree
from platefuse.workflow.receipts import measured_receipt


@dataclass(frozen=True)
class FusionSources:
    """The images that are fused, and how.

    Attributes
    ----------
    options : FusionOptions
        How to fuse.
    read_as : InputOptions
        How the plate is read.
    request : RegistrationRequest or None
        The registration; None: the images are fused as they are.
    store : bool
        Whether registered images are in the plate.
    places : str or None
        The file with the measured places of all fields; None: the fields are where the tables and
        the stage have them.
    illumination : Illumination or None
        How raw pixels are corrected.
    """

    options: FusionOptions
    read_as: InputOptions = field(default_factory=InputOptions)
    request: RegistrationRequest | None = None
    store: bool = True
    places: str | None = None
    illumination: Illumination | None = None

    def reader(self, well: Well) -> LayerReader:
        """What reads the pixels of a well.

        Raises
        ------
        PlatefuseError
            If the registration of raw images is missing or does not fit.
        """
        return self._read(well)[0]

    @contextmanager
    def whole_reader(self, well: Well, fused: Path) -> Iterator[LayerReader]:
        """What reads the pixels and the tables of a well.

        Tables of raw images are made in the staging of the fused plate, and removed in the end.

        Raises
        ------
        PlatefuseError
            If the registration of raw images is missing or does not fit.
        """
        reader, plans = self._read(well)
        if not plans:
            yield reader
            return
        with registered_tables(well, fused, reader, plans) as whole:
            yield whole

    def _read(self, well: Well) -> tuple[LayerReader, Mapping[str, RegistrationPlan]]:
        reader, plans = self._placed(well)
        return replace(reader, source=lambda image: self._corrected(reader.source(image))), plans

    def _corrected(self, source: SourceImage) -> SourceImage:
        """An image that is corrected when it is read, unless it was when it was registered."""
        if source.record is None or source.is_raw:
            return replace(source, illumination=self.illumination)
        if self.illumination is not None or self.request is not None:
            check_registered(source.folder, source.record, self.illumination)
        return source

    def _placed(self, well: Well) -> tuple[LayerReader, Mapping[str, RegistrationPlan]]:
        request = self.request
        if request is not None and not self.store:
            if self.places is not None:
                return self._at_places(well, Path(self.places)), {}
            with reading_once():
                plans = plan_well(well, request)
            return reader_of_plans(self.options, self.read_as, plans, is_raw=True), plans
        return LayerReader(self.options, self.read_as, self._stored(well)), {}

    def _stored(self, well: Well) -> Callable[[WellImage], SourceImage]:
        """Images in the plate: as they are, or registered there.

        Where places were measured, the fields of registered images are where those of the
        reference are, whose positions the overlaps have refined.
        """
        request = self.request
        if request is None:
            return lambda image: SourceImage.at(image.live)
        places = {} if self.places is None else places_of(well, Path(self.places))

        def registered(image: WellImage) -> SourceImage:
            source = SourceImage.at(request.destination(image))
            if not places:
                return source
            reference = well.reference_image(image.name, request.reference_acquisition)
            return replace(source, places=places.get(reference.name, {}))

        return registered

    def _at_places(self, well: Well, file: Path) -> LayerReader:
        """A reader of raw images whose fields are where they were measured to be."""
        places = places_of(well, file)
        receipt = measured_receipt(file, well)
        pixels = MeasuredFrom.read(receipt).pixels

        def source(image: WellImage) -> SourceImage:
            found = SourceImage.at(image.live)
            if found.record is not None:
                raise RecordError(
                    f"{image.live}: this image is registered already, so its pixels are not where "
                    "they were measured. Set registration.store: true to fuse it as it is."
                )
            state = pixels.get(image.name)
            return replace(
                found,
                is_raw=True,
                places=places.get(image.name, {}),
                measured=None if state is None else MeasuredPixels(state, receipt),
            )

        return LayerReader(self.options, self.read_as, source)


def places_of(well: Well, file: Path) -> dict[str, dict[str, Place]]:
    """The measured places of the fields of a well, by image and field.

    Raises
    ------
    PlatefuseError
        If the file cannot be read, or has no field of the well.
    """
    places: dict[str, dict[str, Place]] = {}
    for key, found in read_places(file, well.name).items():
        place = Place(found.stage_um, found.shift_px, found.angle_deg)
        places.setdefault(key.image, {})[key.field] = place
    if not places:
        check_measured(well, measured_receipt(file, well))
        raise places_unknown(well, file)
    return places


def places_unknown(well: Well, file: Path) -> RecordError:
    """The error for a registered well that cannot be fused where its fields were measured to be.

    Parameters
    ----------
    well : Well
        The well.
    file : Path
        Where the places should be.
    """
    return RecordError(
        f"{well.path}: its images are registered, and {file} does not say where its fields were "
        "measured to be: the results of that run are gone, or a table gave the shifts. Put the "
        "originals back, so that they are measured again "
        f"(`platefuse restore {quoted(well.plate)}`, if they were kept). Or set "
        "registration.measure.enabled: false: then the fields are fused where the stage had them."
    )


def plan_well(well: Well, request: RegistrationRequest) -> dict[str, RegistrationPlan]:
    """What registration does to the images of a well that are not registered yet, by their paths.

    Raises
    ------
    PlatefuseError
        If something is missing or does not fit.
    """
    return {
        image.name: plan_registration(image, request)
        for image in well.images
        if done_record(request.destination(image), request) is None
    }


def reader_of_plans(
    options: FusionOptions,
    read_as: InputOptions,
    plans: Mapping[str, RegistrationPlan],
    *,
    is_raw: bool,
) -> LayerReader:
    """A reader of images as their registration will leave them.

    Parameters
    ----------
    options, read_as
        See `LayerReader`.
    plans : mapping of str to RegistrationPlan
        What registration does to the images that are not registered yet.
    is_raw : bool
        Whether these images are fused as they are, each field at its registered place. Otherwise
        they are only looked at, and are registered before they are fused.
    """

    def source(image: WellImage) -> SourceImage:
        plan = plans.get(image.name)
        if plan is None:
            return SourceImage.at(image.live)
        tables = plan.table_folders.get(options.tile_table, image.live)
        return SourceImage(image.live, image.live, tables, plan.record, is_raw)

    return LayerReader(options, read_as, source)


@contextmanager
def registered_tables(
    well: Well, fused: Path, reader: LayerReader, plans: Mapping[str, RegistrationPlan]
) -> Iterator[LayerReader]:
    """A reader that finds the tables as registration makes them, in the staging of a fused plate.

    Parameters
    ----------
    well : Well
        The well.
    fused : Path
        Folder of the fused plate.
    reader : LayerReader
        Reads the raw images.
    plans : mapping of str to RegistrationPlan
        What registration does to them.
    """
    staged = staging_folder(fused, well.row, well.column)
    folder = staged.with_name(f"{staged.name}.tables")
    with fused_well_lock(fused / well.row / well.column):
        remove_tree(folder)
        try:
            left_out = {
                name: write_tables(
                    plan.target,
                    plan.record,
                    folder / name,
                    is_needed=partial(_is_carried, plan.record, reader.options),
                )[1]
                for name, plan in plans.items()
            }

            def source(image: WellImage) -> SourceImage:
                raw = reader.source(image)
                if image.name not in plans:
                    return raw
                return replace(raw, tables=folder / image.name, left_out=left_out[image.name])

            yield replace(reader, source=source)
        finally:
            remove_tree(folder)


def _is_carried(
    record: RegistrationRecord, options: FusionOptions, image: Path, table: str
) -> bool:
    return not is_replaced(image, table, record, options.tile_table)

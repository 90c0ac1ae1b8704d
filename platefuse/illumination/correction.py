"""The correction that a config asks for: which images, which channels, which camera fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from platefuse.engine.blending import float_dtype
from platefuse.engine.flat_field import ChannelProfile, FlatField
from platefuse.errors import ConfigError, ImageError, RecordError
from platefuse.geometry import Box
from platefuse.illumination.profiles import pixels, summary
from platefuse.ngff.channels import channel_count, channel_names, channels_named
from platefuse.ngff.image import Multiscale
from platefuse.ngff.metadata import is_node
from platefuse.ngff.tables.boxes import boxes_in
from platefuse.ngff.tables.table import read_table, table_path
from platefuse.records import AppliedProfile, FusedImageRecord, RegistrationRecord
from platefuse.storage.arrays import StoredArray

_KEY = "config.illumination"


@dataclass(frozen=True)
class ProfileFiles:
    """The profiles of one channel.

    Attributes
    ----------
    flat : Path
        TIFF file, or folder of an OME-Zarr image.
    dark : Path or float
        The same, or a number for all pixels.
    """

    flat: Path
    dark: Path | float = 0.0


@dataclass(frozen=True)
class Illumination:
    """The flat-field correction of raw images.

    Attributes
    ----------
    channels : mapping of str to ProfileFiles
        The channels to correct, by label or wavelength. An image is corrected in those it has.
    tile_table : str
        Table with the camera fields of an image. Without it an image is one field.
    """

    channels: Mapping[str, ProfileFiles]
    tile_table: str

    @classmethod
    def of_config(
        cls, given: Mapping[str, Mapping[str, str | float]] | None, tile_table: str
    ) -> Illumination | None:
        """The correction that the config's key `illumination` describes; None for null."""
        if given is None:
            return None
        channels = {}
        for name, files in given.items():
            dark = files.get("dark", 0.0)
            channels[name] = ProfileFiles(
                Path(str(files["flat"])), Path(dark) if isinstance(dark, str) else float(dark)
            )
        return cls(channels, tile_table)

    def check_files(self) -> None:
        """Check that all profiles can be used.

        Raises
        ------
        ConfigError
            With a message for each profile that cannot.
        """
        faults: list[str] = []
        for channel in self.channels:
            try:
                self._shape(channel)
            except ConfigError as error:
                faults += map(str, error.args)
        if faults:
            raise ConfigError(*faults)

    def check_channels(self, images: Iterable[Multiscale]) -> None:
        """Check that each channel is one of some image of the run.

        Parameters
        ----------
        images : iterable of Multiscale
            The images; no more are taken than are needed.

        Raises
        ------
        ConfigError
            With a message for each channel that no image has.
        """
        missing, known = dict.fromkeys(self.channels), dict[str, None]()
        for image in images:
            names = channel_names(image)
            known |= dict.fromkeys(names)
            missing = dict.fromkeys(name for name in missing if name not in names)
            if not missing:
                return
        if missing:
            raise ConfigError(
                *(
                    f"{_KEY} names the channel {name!r}, which no image has; their channels are "
                    f"{sorted(known)}. Name a label or wavelength_id of theirs."
                    for name in missing
                )
            )

    def check_image(self, image: Multiscale) -> None:
        """Check that an image can be corrected.

        Raises
        ------
        PlatefuseError
            If its channels are not named, its fields do not have the shape of a profile, or it is a
            fused image, which has no camera fields any more.
        """
        if FusedImageRecord.read(image.path) is not None:
            raise RecordError(
                f"{image.path}: this image was fused by platefuse, so its pixels are not those of "
                f"one camera field, and {_KEY} is for raw images. Set it to null."
            )
        chosen = self._chosen(image)
        fields = camera_fields(image, self.tile_table) if chosen else {}
        for channel in chosen.values():
            expected = self._shape(channel)
            self._check_dark(channel, image)
            for name, field in fields.items():
                if field.shape != expected:
                    raise ImageError(
                        f"{image.path}: the camera field {name} has {field.shape} pixels (y, x), "
                        f"the profiles under {_KEY}.{channel} have {expected}. A profile must have "
                        "the shape of a field: give profiles of this camera and binning, or "
                        f"check the table {self.tile_table!r}."
                    )

    def applied(self, image: Multiscale) -> dict[str, AppliedProfile]:
        """The profiles that an image is to be corrected by; empty without any of the channels."""
        return {channel: self._identity(channel) for channel in self._chosen(image).values()}

    def flat_field(self, image: Multiscale, axes: str | None = None) -> FlatField | None:
        """The correction of an image's pixels.

        Parameters
        ----------
        image : Multiscale
            The raw image.
        axes : str, optional
            Axes of the array that is read: those of the image, which is the default, and channels
            if it has none.

        Returns
        -------
        FlatField or None
            None if it has none of the channels.

        Raises
        ------
        PlatefuseError
            If it cannot be corrected.
        """
        self.check_image(image)
        chosen = self._chosen(image)
        if not chosen:
            return None
        kind = float_dtype(StoredArray.open(image.level_paths[0]).dtype)
        profiles = {index: self._profile(name, kind) for index, name in chosen.items()}
        axes = axes or image.axes
        fields = list(camera_fields(image, self.tile_table).values())
        return FlatField(fields, profiles, axes.index("c") if "c" in axes else None)

    def _chosen(self, image: Multiscale) -> dict[int, str]:
        """The channels of an image that are corrected: names in the config by their indices."""
        names = channel_names(image)
        if not names:
            raise ImageError(
                f"{image.path}: its channels have no names in `omero`; expected a label or "
                f"wavelength_id for each of its {channel_count(image)} channels, by which {_KEY} "
                f"finds them. Add them, or set {_KEY}: null."
            )
        chosen = [(names[name], name) for name in self.channels if name in names]
        for name in names.keys() & self.channels.keys():
            if len(channels_named(image, name)) > 1:
                raise ImageError(
                    f"{image.path}: its channels {channels_named(image, name)} are all named "
                    f"{name!r}, and {_KEY} does not tell which of them has the profiles. Correct "
                    "the names in `omero`, or name each channel by its wavelength_id."
                )
        for index, times in Counter(index for index, _ in chosen).items():
            if times > 1:
                same = [name for own, name in chosen if own == index]
                raise ImageError(
                    f"{image.path}: {_KEY} has profiles for {same}, which are names of one channel "
                    f"({index}). Leave out one of them."
                )
        return dict(chosen)

    def _shape(self, channel: str) -> tuple[int, ...]:
        """Shape of the profiles of a channel, which are checked."""
        files, name = self.channels[channel], f"{_KEY}.{channel}"
        flat = summary(files.flat, "flat", f"{name}.flat")
        if isinstance(files.dark, Path):
            dark = summary(files.dark, "dark", f"{name}.dark")
            if dark.shape != flat.shape:
                raise ConfigError(
                    f"{name}: the flat has the shape {flat.shape}, the dark {dark.shape}. Expected "
                    "the same, that of a camera field. Give profiles of one camera."
                )
        return flat.shape

    def _check_dark(self, channel: str, image: Multiscale) -> None:
        """Check that the dark lies below the largest value that pixels of an image can have."""
        files, name, dtype = self.channels[channel], f"{_KEY}.{channel}.dark", image.levels[0].dtype
        dark = files.dark
        least = dark if isinstance(dark, float) else summary(dark, "dark", name).least
        kind = np.dtype(dtype)
        if kind.kind in "iu" and least >= np.iinfo(kind).max:
            raise ImageError(
                f"{image.path}: {name} is {least:g} or more, and pixels of the data type {dtype} "
                f"are at most {np.iinfo(kind).max}, so that all would become 0. Give what this "
                "camera has without light."
            )

    def _identity(self, channel: str) -> AppliedProfile:
        files, name = self.channels[channel], f"{_KEY}.{channel}"
        flat = summary(files.flat, "flat", f"{name}.flat").sha256
        if isinstance(files.dark, Path):
            return AppliedProfile(flat, summary(files.dark, "dark", f"{name}.dark").sha256)
        return AppliedProfile(flat, dark=files.dark)

    def _profile(self, channel: str, kind: np.dtype[np.floating]) -> ChannelProfile:
        files, name = self.channels[channel], f"{_KEY}.{channel}"
        flat = pixels(files.flat, "flat", f"{name}.flat").astype(kind, copy=False)
        if not isinstance(files.dark, Path):
            return ChannelProfile(flat, files.dark)
        return ChannelProfile(
            flat, pixels(files.dark, "dark", f"{name}.dark").astype(kind, copy=False)
        )


def camera_fields(image: Multiscale, tile_table: str) -> dict[str, Box]:
    """The camera fields of a raw image, by their names: their pixels in y and x.

    They are in its own tile table; without the table, the image is one field.
    """
    if not is_node(table_path(image.path, tile_table)):
        return {image.path.name: Box.of_shape(image.shape_in_space[-2:])}
    (rois,) = boxes_in(image, "yx", read_table(image.path, tile_table))
    fields = {}
    for roi in rois:
        start = tuple(round(roi.start_um[a] / image.pixel_size_um[a]) for a in "yx")
        size = tuple(round(roi.length_um[a] / image.pixel_size_um[a]) for a in "yx")
        fields[roi.name] = Box(start, tuple(a + n for a, n in zip(start, size, strict=True)))
    return fields


def check_registered(
    folder: Path, record: RegistrationRecord, illumination: Illumination | None
) -> None:
    """Check that a registered image was corrected as the config asks, because it is not raw now.

    Parameters
    ----------
    folder : Path
        The registered image.
    record : RegistrationRecord
        Its record.
    illumination : Illumination or None
        The correction that the config asks for.

    Raises
    ------
    RecordError
        If it was corrected otherwise, or not at all.
    """
    recorded = record.illumination or {}
    expected = {} if illumination is None else illumination.applied(Multiscale.read(folder))
    if expected == recorded:
        return
    same = sorted(name for name in expected if expected[name] == recorded.get(name))
    raise RecordError(
        f"{folder}: this image was registered already, and then corrected for its illumination in "
        f"the channels {sorted(recorded)}; now {_KEY} asks for {sorted(expected)}"
        f"{f', of which {same} have the same profiles' if recorded and expected else ''}. Its "
        "pixels are not where the camera had them any more, so they are not corrected now, and "
        f"never twice. Restore the original image, or set {_KEY} to what was used then"
        f"{'' if recorded else ' (null)'}."
    )

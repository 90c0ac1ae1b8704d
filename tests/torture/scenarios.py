"""Which operations are attacked, from which state, and what must hold after each point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from platefuse.testing import PlateSpec
from tests.torture.steps import BARE, PLATE, SPEC, WELL

Steps = tuple[str, ...]

IMAGES = (f"{PLATE}/{WELL}/0", f"{PLATE}/{WELL}/1")
NEW_IMAGES = tuple(f"{image}_registered" for image in IMAGES)
FUSED = PLATE.replace(".zarr", "_fused.zarr")
FUSED_WELL = f"{FUSED}/{WELL}"

_STAGE = ("register 0", "register 1", "copy 0", "copy 1")
_BESIDE = ("register-beside 0", "register-beside 1", "copy-beside 0", "copy-beside 1")
_IN_PLACE = (*_STAGE, "swap 0", "swap 1", "discard")
_KEPT = (*_IN_PLACE[:-1], "keep")
_PARTS = ("part 0", "part 1", "gather")


@dataclass(frozen=True)
class Scenario:
    """An operation that is attacked.

    Attributes
    ----------
    chain : tuple of str
        The steps of a run. It is what is done again after a point.
    attack : tuple of str
        Those of its steps that are attacked.
    earlier : tuple of str
        Steps of an earlier run, before the chain.
    live : tuple of str
        Folders that are old or new at any time.
    between : tuple of str
        Steps that are a part of the attacked ones: what they leave is allowed, too.
    no_exchange : bool
        Whether the filesystem cannot exchange two folders.
    spec : PlateSpec
        The plate.
    """

    chain: Steps
    attack: Steps
    earlier: Steps = ()
    live: Steps = IMAGES
    between: Steps = ()
    no_exchange: bool = False
    spec: PlateSpec = SPEC

    @property
    def before(self) -> Steps:
        """The steps that lead to the attacked ones."""
        return (*self.earlier, *self.chain[: self.chain.index(self.attack[0])])

    @property
    def rest(self) -> Steps:
        """The steps of the chain after the attacked ones."""
        return self.chain[self.chain.index(self.attack[-1]) + 1 :]


_FUSION = Scenario(("fuse", "finish"), ("fuse",), live=(IMAGES[0], FUSED_WELL), spec=BARE)
_ANEW = replace(
    _FUSION, chain=("fuse-other", "finish"), attack=("fuse-other",), earlier=("fuse", "finish")
)

SCENARIOS: Mapping[str, Scenario] = {
    "register image": Scenario(_IN_PLACE, ("register 1",)),
    "copy tables": Scenario(_IN_PLACE, ("copy 1",)),
    "swap": Scenario(_IN_PLACE, ("swap 1",)),
    "swap by two renames": Scenario(_IN_PLACE, ("swap 1",), no_exchange=True),
    "discard backups": Scenario(_IN_PLACE, ("discard",)),
    "publish": Scenario(
        (*_BESIDE, "publish"),
        ("publish",),
        live=(*IMAGES, *NEW_IMAGES),
        between=("publish-one 0",),
    ),
    "one call": Scenario(("call 0", "call 1"), ("call 1",)),
    "restore": Scenario(("undo",), ("undo",), _KEPT),
    "restore by renames": Scenario(("undo",), ("undo",), _KEPT, no_exchange=True),
    "fuse": _FUSION,
    "fuse anew": _ANEW,
    "fuse anew by renames": replace(_ANEW, no_exchange=True),
    "fuse in parts": replace(_FUSION, chain=(*_PARTS, "finish"), attack=_PARTS),
    "fused plate": replace(_FUSION, attack=("finish",)),
    "receipt": Scenario(("receipt 1",), ("receipt 1",), ("receipt 0",), spec=BARE),
}

"""Types of the arguments and results of registration, for annotations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NotRequired, Protocol, TypedDict

from numpy.typing import ArrayLike

AggregationFunction = Callable[..., ArrayLike]
"""Called as ``f(block, axis=axes)``; it returns the block without these axes."""


class RoiTable(Protocol):
    """What is read of an `anndata.AnnData`, which has no types of its own.

    Attributes
    ----------
    X : array of numbers, shape (rows, columns)
        The values; a sparse matrix has a method ``toarray``.
    obs_names, var_names : iterable
        Names of the rows and of the columns.
    """

    @property
    def X(self) -> Any: ...  # noqa: D102, N802

    @property
    def obs_names(self) -> Iterable[object]: ...  # noqa: D102

    @property
    def var_names(self) -> Iterable[object]: ...  # noqa: D102


class ImageUpdate(TypedDict):
    """An image that registration wrote.

    Attributes
    ----------
    zarr_url : str
        Its path.
    origin : str
        Path of the image that it was made from, if that is another one.
    """

    zarr_url: str
    origin: NotRequired[str]


class RegistrationResult(TypedDict):
    """The result of registering one image, as Fractal expects it from a task.

    Attributes
    ----------
    image_list_updates : list of ImageUpdate
        The images written.
    """

    image_list_updates: list[ImageUpdate]

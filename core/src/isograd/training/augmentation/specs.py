"""Augmentations as data: what is drawn for each image, and where each pixel of the new image comes from.

An augmentation maps places of the new image to places of the old one. In a list the first one changes the
image first. Their maps are composed, so that pixels are interpolated once however many there are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from isograd import random
from isograd.data.expanded import DIRECTIONS
from isograd.errors import ArgumentError, ArgumentTypeError
from isograd.tables import from_table, to_table
from isograd.training.augmentation.warp import Floats, exp, sine_and_cosine, smooth
from isograd.training.checks import number

_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True)
class Draw:
    """Whose numbers are drawn: those of successive steps, for `rows` images each."""

    seed: int
    path: str
    epoch: int
    first_step: int
    steps: int
    rows: int

    def uniforms(self, *shape: int) -> npt.NDArray[np.float64]:
        """Uniform in [0, 1): (steps * rows, *shape); an image's depend on its step and place in it only."""
        return self._each_image(random.uniforms, shape)

    def int16s(self, *shape: int) -> npt.NDArray[np.int16]:
        """Every 16-bit integer as likely as another, otherwise as `uniforms`."""
        return self._each_image(random.int16s, shape)

    def _each_image(
        self, draw: Callable[..., npt.NDArray[_Number]], shape: tuple[int, ...]
    ) -> npt.NDArray[_Number]:
        drawn = draw(
            self.seed,
            "augment",
            self.path,
            epoch=self.epoch,
            first_step=self.first_step,
            steps=self.steps,
            shape=(self.rows, *shape),
        )
        return drawn.reshape(-1, *shape)


class Augmentation(ABC):
    """A random change of images."""

    @abstractmethod
    def places(self, draw: Draw, y: Floats, x: Floats) -> tuple[Floats, Floats]:
        """Where the pixels at these places of the new images come from in the old ones.

        Parameters
        ----------
        draw : Draw
            Of n images.
        y, x : float32 or float64 arrays that broadcast to (n, height, width)
            In pixels from the centre of the image; they are not changed.
        """


@dataclass(frozen=True)
class OnePixelShifts(Augmentation):
    """None, or one pixel up, down, left or right, each as likely; zeros move in.

    The displacements by which the chapter expands its training data; here one is drawn for each image in each
    epoch. Alone it keeps the dtype of the images, which need no interpolation.
    """

    def drawn(self, draw: Draw) -> npt.NDArray[np.intp]:
        """Which of `isograd.data.expanded.DIRECTIONS`, for each image."""
        return (draw.uniforms() * 5).astype(np.intp)

    def places(self, draw: Draw, y: Floats, x: Floats) -> tuple[Floats, Floats]:
        down, right = np.array(DIRECTIONS, y.dtype)[self.drawn(draw)].T[:, :, None, None]
        return y - down, x - right


@dataclass(frozen=True)
class Affine(Augmentation):
    """Rotation, scaling, shear and shift about the image's centre, each uniform in its range.

    The content is sheared, x + shear * y, then scaled on each axis, then turned anticlockwise, then shifted.

    Parameters
    ----------
    rotation : float
        In degrees, at most 180: angles from -rotation to rotation.
    log_scale : float
        At most 2: each axis is enlarged by exp of a number of its own from -log_scale to log_scale.
    shift : float
        In pixels, on each axis.
    shear : float
        By how much of its height the content's top leans against its middle.
    """

    rotation: float = 0.0
    log_scale: float = 0.0
    shift: float = 0.0
    shear: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            number(field.name, getattr(self, field.name), least=0)
        for name, most in (("rotation", 180), ("log_scale", 2)):
            if getattr(self, name) > most:
                raise ArgumentError(f"{name} is {getattr(self, name)!r}; expected at most {most}")

    def places(self, draw: Draw, y: Floats, x: Floats) -> tuple[Floats, Floats]:
        turn, high, wide, down, right, lean = (2 * draw.uniforms(6) - 1).T
        sine, cosine = sine_and_cosine(turn * (self.rotation * (np.pi / 180)))
        small_y, small_x = exp(-self.log_scale * high), exp(-self.log_scale * wide)
        lean = lean * self.shear
        # The inverse of what happens to the content, one after the other: y grows downwards.
        y_by_y, y_by_x = small_y * cosine, small_y * sine
        x_by_y, x_by_x = -small_x * sine - lean * y_by_y, small_x * cosine - lean * y_by_x

        def each(values: Floats) -> Floats:
            return values.astype(y.dtype)[:, None, None]

        y, x = y - each(self.shift * down), x - each(self.shift * right)
        return each(y_by_y) * y + each(y_by_x) * x, each(x_by_y) * y + each(x_by_x) * x


@dataclass(frozen=True)
class Elastic(Augmentation):
    """Elastic distortion (Simard, Steinkraus and Platt, "Best practices for convolutional neural networks
    applied to visual document analysis", ICDAR 2003).

    Every pixel is displaced on each axis by alpha * (G_sigma * u): u uniform among the multiples of 2**-15
    in [-1, 1), independent from pixel to pixel, G_sigma a Gaussian, as `warp.smooth` has it. In a list it
    stands last: its field belongs to the new image's pixels.

    Parameters
    ----------
    sigma : float
        The standard deviation in pixels, above 0, at most 1000; Simard's is 4.
    alpha : float
        The strength, in pixels; Simard's is 34.
    """

    sigma: float = 4.0
    alpha: float = 34.0

    def __post_init__(self) -> None:
        number("sigma", self.sigma, above=0)
        number("alpha", self.alpha, least=0)
        # Beyond, weights would be less than a hundred of the units that `warp.smooth` rounds them to.
        if self.sigma > 1000:
            raise ArgumentError(f"sigma is {self.sigma!r}; expected at most 1000")

    def places(self, draw: Draw, y: Floats, x: Floats) -> tuple[Floats, Floats]:
        height, width = np.broadcast_shapes(y.shape, x.shape)[-2:]
        fields = smooth(draw.int16s(2, height, width), self.sigma)
        fields = fields.astype(y.dtype) * y.dtype.type(self.alpha)
        return y + fields[:, 0], x + fields[:, 1]


_AUGMENTATIONS: dict[str, type[Augmentation]] = {
    cls.__name__: cls for cls in (OnePixelShifts, Affine, Elastic)
}


def checked_augmentation(value: object) -> tuple[Augmentation, ...]:
    """None, one augmentation, or a list or tuple of them, as a tuple.

    Raises
    ------
    ArgumentTypeError
        If it is something else.
    ArgumentError
        If an `Elastic` is not the last.
    """
    specs = () if value is None else tuple(value) if isinstance(value, list | tuple) else (value,)
    for spec in specs:
        if type(spec) not in _AUGMENTATIONS.values():
            raise ArgumentTypeError(f"augmentation is {spec!r}; expected {', '.join(_AUGMENTATIONS)}")
    if any(isinstance(spec, Elastic) for spec in specs[:-1]):
        raise ArgumentError("augmentation has Elastic before another one; expected it at the end")
    return specs


def to_data(augmentation: tuple[Augmentation, ...]) -> list[dict[str, Any]]:
    """Augmentations as they go into a file: a list of tables with their "type"."""
    return [to_table(spec) for spec in augmentation]


def from_data(data: object) -> tuple[Augmentation, ...]:
    """What `to_data` wrote; parameters that are left out have their defaults.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If it is something else; the message says what.
    """
    if not isinstance(data, list | tuple):
        raise ArgumentTypeError(f"augmentation is {data!r}; expected a list of tables")
    return checked_augmentation([from_table(item, _AUGMENTATIONS, "augmentation") for item in data])

"""Image files as a network's input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from isograd.data.files import check_size, opened, read_up_to
from isograd.errors import FileFormatError, ShapeError, UnsupportedError

if TYPE_CHECKING:
    from PIL.Image import Image

_MAX_BYTES = 2**28


def read_image(path: Path, input_shape: Sequence[int], *, invert: bool = False) -> npt.NDArray[np.uint8]:
    """An image file as one example of bytes, (1, *input_shape).

    Parameters
    ----------
    path : Path
        Of any kind that Pillow reads, with up to 8 bits a channel.
    input_shape : sequence of int
        (channels, height, width) with 1 or 3 channels, (height, width), or (n,) for a square of n pixels.
    invert : bool
        Swap dark and light.

    Raises
    ------
    UnsupportedError
        If Pillow is not installed.
    ShapeError
        If the network's input is no image.
    FileAccessError, FileFormatError
        If the file can not be read, is no image, or has more than 8 bits a channel.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise UnsupportedError(
            'reading images needs Pillow, which is not installed: pip install "isograd[images]"'
        ) from error
    channels, height, width = _image_shape(input_shape)
    with opened(path) as file:
        content = read_up_to(file, _MAX_BYTES + 1)
    check_size(len(content), _MAX_BYTES, str(path))
    try:
        with Image.open(BytesIO(content)) as given:
            image = _opaque(ImageOps.exif_transpose(given))
            image = image.convert("L" if channels == 1 else "RGB").resize((width, height))
            pixels = np.asarray(image, np.uint8).reshape(height, width, channels)
    # A damaged file makes Pillow's readers raise errors of many types.
    except Exception as error:
        raise FileFormatError(f"{path}: no image that can be read: {error}") from error
    if invert:
        pixels = 255 - pixels
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)).reshape(1, *input_shape)


def _image_shape(input_shape: Sequence[int]) -> tuple[int, int, int]:
    """(channels, height, width) of an input."""
    match tuple(input_shape):
        case (1 | 3 as channels, height, width):
            return channels, height, width
        case (height, width):
            return 1, height, width
        case (pixels,) if math.isqrt(pixels) ** 2 == pixels:
            return 1, math.isqrt(pixels), math.isqrt(pixels)
    raise ShapeError(
        f"the network's input_shape is {list(input_shape)}; an image fits (1 or 3 channels, height, width), "
        "(height, width) or the number of pixels of a square"
    )


def _opaque(image: Image) -> Image:
    """The image on white paper, where it is transparent."""
    from PIL.Image import alpha_composite, new

    if image.mode.startswith(("I", "F")):
        raise FileFormatError(f"its mode is {image.mode}; expected up to 8 bits a channel")
    if image.mode not in ("LA", "PA", "RGBA") and "transparency" not in image.info:
        return image
    layer = image.convert("RGBA")
    return alpha_composite(new("RGBA", layer.size, "white"), layer)

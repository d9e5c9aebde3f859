"""Augmented and expanded training images: what is drawn, where pixels go, and what training sees."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd.data import Dataset, expanded
from isograd.data.expanded import DIRECTIONS, shifted
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.layers import FullyConnected, Softmax
from isograd.network import Network
from isograd.testing import ReferenceBackend
from isograd.training import Affine, Augmentation, Elastic, OnePixelShifts
from isograd.training.augmentation import checked_augmentation, from_data, to_data
from isograd.training.augmentation.specs import Draw
from isograd.training.augmentation.warp import bilinear, exp, gaussian, half_gaussian, sine_and_cosine, smooth
from isograd.training.draws import epoch_order
from isograd.training.images import Images

Array = npt.NDArray[Any]

extents = st.integers(1, 6)
image_shapes = st.tuples(st.integers(1, 3), st.integers(1, 2), extents, extents)
dtypes = st.sampled_from(["uint8", "float32", "float64"])
seeds = st.integers(0, 2**64 - 1)
sigmas = st.one_of(st.floats(0.3, 5), st.floats(0, 1000, exclude_min=True))
lists = st.tuples(
    st.lists(
        st.one_of(
            st.just(OnePixelShifts()),
            st.builds(Affine, st.floats(0, 180), st.floats(0, 2), st.floats(0, 9), st.floats(0, 2)),
        ),
        max_size=2,
    ),
    st.lists(st.builds(Elastic, st.floats(0.3, 5), st.floats(0, 40)), max_size=1),
).map(lambda parts: (*parts[0], *parts[1]))


class Fixed(Draw):
    """Gives the numbers that a test wants instead of drawn ones, the same to every image."""

    def __new__(cls, *numbers: float) -> Fixed:
        return object.__new__(cls)

    def __init__(self, *numbers: float) -> None:
        object.__setattr__(self, "numbers", numbers)

    def uniforms(self, *shape: int) -> npt.NDArray[np.float64]:
        return np.array([self.__dict__["numbers"]])


def pixels(shape: tuple[int, ...], dtype: str, seed: int = 1) -> Array:
    return np.random.default_rng(seed % 2**32).integers(0, 256, shape).astype(dtype)


def data_of(images: Array) -> Dataset:
    return Dataset(images, np.arange(len(images)) % 2, scale=1 / 256)


def moved(image: Array, down: int, right: int) -> Array:
    """The image with its content moved by whole pixels: the definition, pixel by pixel."""
    result = np.zeros_like(image)
    height, width = image.shape[-2:]
    for y in range(height):
        for x in range(width):
            if 0 <= y - down < height and 0 <= x - right < width:
                result[..., y, x] = image[..., y - down, x - right]
    return result


def warped(image: Array, spec: Augmentation, *numbers: float) -> Array:
    """A float64 image (height, width) under an augmentation that draws these numbers."""
    height, width = image.shape
    y = np.arange(height)[None, :, None] - (height - 1) / 2
    x = np.arange(width)[None, None, :] - (width - 1) / 2
    y, x = spec.places(Fixed(*numbers), y, x)
    full = (1, height, width)
    places = [np.broadcast_to(v, full) + (n - 1) / 2 for v, n in ((y, height), (x, width))]
    return bilinear(image[None, None], *places)[0, 0]


@given(image_shapes, dtypes, seeds)
def test_ranges_of_zero_give_the_same_image_bit_for_bit(
    shape: tuple[int, ...], dtype: str, seed: int
) -> None:
    images = pixels(shape, dtype)
    made = Images(data_of(images), (Affine(), Elastic(alpha=0.0)))
    result, rows = made.make(seed, 0, 0, np.arange(len(images), dtype=np.int32)[None])
    assert result.dtype == made.dtype == ("float64" if dtype == "float64" else "float32")
    np.testing.assert_array_equal(result[0], images)
    assert rows.tolist() == [list(range(len(images)))]


@given(image_shapes, dtypes, st.integers(-7, 7), st.integers(-7, 7))
def test_a_warp_by_whole_pixels_is_a_slice_with_zeros_moving_in(
    shape: tuple[int, ...], dtype: str, down: int, right: int
) -> None:
    images = pixels(shape, dtype)
    n, _, height, width = shape
    y, x = np.mgrid[:height, :width].astype("float32" if dtype == "uint8" else dtype)
    y, x = np.repeat(y[None] - down, n, 0), np.repeat(x[None] - right, n, 0)
    np.testing.assert_array_equal(bilinear(images, y, x), moved(images, down, right))


@given(extents, extents, st.integers(0, 99), seeds)
def test_between_pixels_the_four_neighbours_are_weighted_by_area(
    height: int, width: int, place: int, seed: int
) -> None:
    image = pixels((height, width), "float32", seed)
    frame = np.pad(image.astype(np.float64), 20)
    at_y, at_x = place / 8 - 4, place % 13 / 4 - 1  # exact in binary, so that the weights are
    y, x = math.floor(at_y), math.floor(at_x)
    corner = frame[y + 20 : y + 22, x + 20 : x + 22]
    weights = np.outer([1 - (at_y - y), at_y - y], [1 - (at_x - x), at_x - x])
    places = [np.full((1, height, width), at, np.float32) for at in (at_y, at_x)]
    # Three roundings, each at most 2**-24 of 255, on each of the two levels of interpolation (Higham,
    # "Accuracy and stability of numerical algorithms", 2002, section 3.1); the fourth has the second order.
    np.testing.assert_allclose(
        bilinear(image[None, None], *places), (weights * corner).sum(), rtol=0, atol=2 * 4 * 255 * 2.0**-24
    )


@given(st.floats(-8, 8), st.floats(-math.pi, math.pi))
def test_the_elementary_functions_are_theirs_within_the_bound_of_horners_rule(x: float, angle: float) -> None:
    # Higham 2002, equation 5.3: gamma_2n times the sum of the magnitudes of all terms, n = 40 or, in
    # the squared angle with a rounding of its own, 20; a rounding more for the coefficients
    # and for the reciprocal.
    unit = 2.0**-53
    assert exp(np.array([x]))[0] == pytest.approx(math.exp(x), rel=84 * unit)
    sine, cosine = sine_and_cosine(np.array([angle]))
    assert sine[0] == pytest.approx(math.sin(angle), abs=84 * unit * math.sinh(math.pi))
    assert cosine[0] == pytest.approx(math.cos(angle), abs=84 * unit * math.cosh(math.pi))


@given(sigmas)
def test_the_weights_are_a_gaussians_within_a_unit_and_sum_to_one(sigma: float) -> None:
    radius = int(4 * sigma + 0.5)
    exact = np.exp(-0.5 * (np.arange(radius + 1) / sigma) ** 2)
    half = half_gaussian(sigma)
    unit = 2.0**-18
    # Half a unit on each of two sums from the outside in, which are right to far less than a thousandth.
    np.testing.assert_allclose(half, exact / (2 * exact.sum() - 1), rtol=0, atol=1.001 * unit)
    assert half[0] + 2 * half[1:].sum() == 1
    assert (half >= 0).all()
    assert (half % unit == 0).all()


@given(st.integers(1, 40), st.integers(1, 40), sigmas, seeds, st.booleans())
def test_smoothing_is_exact_whatever_the_order_of_sums(
    height: int, width: int, sigma: float, seed: int, largest: bool
) -> None:
    fields = np.full((2, height, width), -(2**15), np.int16)
    if not largest:
        fields = np.random.default_rng(seed % 2**32).integers(-(2**15), 2**15, fields.shape, dtype=np.int16)
    down, across = ((gaussian(n, sigma) * 2**18).astype(np.int64) for n in (height, width))
    # NumPy's product of integers rounds nothing: its sums are at most 2**51, exact as doubles too.
    expected = down @ fields.astype(np.int64) @ across
    np.testing.assert_array_equal(smooth(fields, sigma), expected * 2.0**-51)


@given(st.integers(1, 40), sigmas)
def test_the_matrix_has_the_weight_of_the_distance(size: int, sigma: float) -> None:
    half, matrix = half_gaussian(sigma), gaussian(size, sigma)
    for i in range(size):
        for j in range(size):
            assert matrix[i, j] == (half[abs(i - j)] if abs(i - j) < len(half) else 0)


@given(extents, extents, st.floats(0.3, 3), seeds)
def test_smoothing_spreads_a_pixel_by_the_weights_of_each_axis_with_zeros_outside(
    height: int, width: int, sigma: float, seed: int
) -> None:
    at_y, at_x = seed % height, seed % width
    field = np.zeros((1, height, width), np.int16)
    field[0, at_y, at_x] = 2**14
    expected = np.outer(gaussian(height, sigma)[at_y], gaussian(width, sigma)[at_x]) / 2
    np.testing.assert_array_equal(smooth(field, sigma)[0], expected)


def test_content_moves_turns_grows_and_leans_as_documented() -> None:
    image = np.zeros((9, 9))
    image[2, 4], image[4, 5] = 1, 0.5
    half = 0.5
    # What is drawn is, in this order: turn, growth down and across, shift down and across, lean; 0.5 is none.
    down = warped(image, Affine(shift=2), half, half, half, 1, half, half)
    np.testing.assert_array_equal(down, moved(image, 2, 0))
    right = warped(image, Affine(shift=2), half, half, half, half, 1, half)
    np.testing.assert_array_equal(right, moved(image, 0, 2))
    turned = warped(image, Affine(rotation=90), 1, half, half, half, half, half)
    # sin and cos of 90 degrees are right to 84 units times cosh(pi); a place is at most 8 pixels away.
    np.testing.assert_allclose(turned, np.rot90(image), atol=8 * 84 * 2.0**-53 * math.cosh(math.pi) * 4)
    grown = warped(image, Affine(log_scale=math.log(2)), half, 1, half, half, half, half)
    # As above, by exp: its places are at most 4 pixels away.
    assert grown[0, 4] == pytest.approx(1, abs=4 * 84 * 2.0**-53 * 4)
    assert grown[4, 5] == 0.5
    leaning = warped(image, Affine(shear=1), half, half, half, half, half, 1)
    np.testing.assert_array_equal(leaning[2], np.roll(image[2], -2))
    np.testing.assert_array_equal(leaning[4], image[4])


@given(lists, dtypes, seeds, st.integers(1, 4), st.integers(2, 5))
def test_the_images_of_a_step_do_not_depend_on_how_steps_are_chunked(
    specs: tuple[Augmentation, ...], dtype: str, seed: int, rows: int, steps: int
) -> None:
    images = pixels((7, 1, 5, 4), dtype)
    made = Images(data_of(images), specs)
    examples = np.random.default_rng(seed % 2**32).integers(0, 7, (steps, rows)).astype(np.int32)
    whole, _ = made.make(seed, 3, 10, examples)
    for i in range(steps):
        single, _ = made.make(seed, 3, 10 + i, examples[i : i + 1])
        assert single.tobytes() == whole[i].tobytes()
    assert whole.dtype == made.dtype
    assert whole.min() >= 0
    assert whole.max() <= images.max() * (1 + 2.0**-20)  # bilinear weights sum to 1, but for 8 roundings


@pytest.mark.parametrize(
    ("spec", "digest"),
    [
        (OnePixelShifts(), "46785dd87a17829d"),
        (Affine(15, 0.1, 1, 0.1), "b816e43e429fc054"),
        (Elastic(1.5, 4), "f2e570e8fceceea0"),
    ],
)
def test_augmented_images_known_answers(spec: Augmentation, digest: str) -> None:
    images = np.arange(48, dtype="uint8").reshape(4, 1, 3, 4) * np.uint8(5)
    made, _ = Images(data_of(images), (spec,)).make(1, 2, 3, np.arange(4, dtype=np.int32)[None])
    little_endian = made.astype(made.dtype.newbyteorder("<"))
    assert hashlib.sha256(little_endian.tobytes()).hexdigest()[:16] == digest


def test_an_epoch_draws_anew() -> None:
    examples = np.zeros((1, 64), np.int32)
    made = Images(data_of(pixels((1, 1, 6, 6), "uint8")), (OnePixelShifts(),))
    first, again, other = (made.make(5, epoch, 0, examples)[0] for epoch in (0, 0, 1))
    assert first.tobytes() == again.tobytes() != other.tobytes()


@given(seeds, dtypes)
def test_one_pixel_shifts_give_each_of_the_five_displacements(seed: int, dtype: str) -> None:
    images = pixels((1, 2, 4, 5), dtype)
    made, _ = Images(data_of(images), (OnePixelShifts(),)).make(seed, 0, 0, np.zeros((4, 60), np.int32))
    five = {moved(images[0], *direction).tobytes() for direction in DIRECTIONS}
    assert made.dtype == images.dtype
    # One of them is missing with a probability below 5 * 0.8**240 = 3e-23.
    assert {image.tobytes() for image in made.reshape(-1, 2, 4, 5)} == five


@given(image_shapes, dtypes, seeds)
def test_expanded_data_are_each_image_and_its_shifts(shape: tuple[int, ...], dtype: str, seed: int) -> None:
    base = data_of(pixels(shape, dtype))
    data = expanded(base)
    examples = epoch_order(seed, 0, len(data), True)
    assert len(data) == 5 * len(base)
    for example, image in zip(examples.tolist(), data.images(examples), strict=True):
        expected = moved(base.inputs[example // 5], *DIRECTIONS[example % 5])
        assert image.tobytes() == expected.tobytes()
    assert data.fingerprint() != base.fingerprint() == expanded(base).base.fingerprint()


def network() -> Network:
    return Network([FullyConnected(3), Softmax(2)], (1, 4, 3), 5, dtype="float64")


def parameters(net: Network) -> dict[str, bytes]:
    return {path: array.tobytes() for path, array in net.parameters.items()}


def test_training_on_expanded_data_is_training_on_all_the_images() -> None:
    base = data_of(pixels((7, 1, 4, 3), "uint8"))
    lazy = expanded(base)
    rows = np.arange(35)
    full = Dataset(lazy.images(rows), base.labels[rows // 5], scale=base.scale)
    ends = []
    for data in (lazy, full):
        net = network()
        history = net.SGD(data, 2, 4, 0.5, base, lmbda=0.1, momentum=0.5, backend=ReferenceBackend())
        ends.append((parameters(net), [(e.cost, e.validation_cost) for e in history.epochs]))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("augmentation", [OnePixelShifts(), [Affine(15, 0.1, 1, 0.1), Elastic(1.0, 2.0)]])
@pytest.mark.parametrize("grown", [False, True])
def test_an_augmented_run_resumes_in_an_epoch_to_the_same_bits(
    augmentation: Any, grown: bool, tmp_path: Path
) -> None:
    base = data_of(pixels((9, 1, 4, 3), "uint8"))
    data = expanded(base) if grown else base
    backend, path = ReferenceBackend(), tmp_path / "run"
    straight, stopped = network(), network()
    straight.SGD(data, 2, 4, 0.5, augmentation=augmentation, backend=backend)
    stopped.SGD(data, 2, 4, 0.5, augmentation=augmentation, max_steps=2, checkpoint=path, backend=backend)
    resumed = Network.load(path)
    with pytest.raises(ArgumentError, match=r"augmentation is .* the run to resume has"):
        resumed.SGD(data, 2, 4, 0.5, augmentation=Elastic(2.0), resume=True, backend=backend)
    resumed.SGD(data, 2, 4, 0.5, augmentation=augmentation, resume=True, backend=backend)
    assert parameters(resumed) == parameters(straight)


def test_augmentation_that_changes_nothing_trains_to_the_same_bits() -> None:
    data = data_of(pixels((9, 1, 4, 3), "uint8"))
    plain, still = network(), network()
    plain.SGD(data, 1, 4, 0.5, backend=ReferenceBackend())
    still.SGD(data, 1, 4, 0.5, augmentation=Affine(), backend=ReferenceBackend())
    assert parameters(plain) == parameters(still)


@given(lists)
def test_augmentations_come_back_from_data(specs: tuple[Augmentation, ...]) -> None:
    assert from_data(to_data(specs)) == specs


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (3, "augmentation is 3; expected a list of tables"),
        ([3], "augmentation has 3; expected a table"),
        ([{}], "type None; expected one of OnePixelShifts, Affine, Elastic"),
        ([{"type": "os.system"}], "type 'os.system'; expected one of"),
        ([{"type": "Affine", "angle": 3}], "of type Affine has no field angle; expected rotation, log_scale"),
        ([{"type": "Affine", "rotation": 181}], "rotation is 181; expected at most 180"),
        ([{"type": "Affine", "shift": -1}], "shift is -1; expected"),
        ([{"type": "Elastic", "sigma": 0}], "sigma is 0; expected"),
        ([{"type": "Elastic", "sigma": 1001}], "sigma is 1001; expected at most 1000"),
        ([{"type": "Elastic"}, {"type": "Affine"}], "Elastic before another one; expected it at the end"),
    ],
)
def test_bad_tables_are_refused(table: Any, message: str) -> None:
    with pytest.raises((ArgumentError, ArgumentTypeError), match=message):
        from_data(table)


def test_bad_arguments_are_refused_before_anything_changes() -> None:
    net = network()
    before = parameters(net)
    flat = data_of(pixels((9, 12), "uint8"))
    with pytest.raises(ShapeError, match=r"augmentation needs images .* shape \(12,\)"):
        net.SGD(flat, 1, 4, 0.5, augmentation=Affine(), backend=ReferenceBackend())
    with pytest.raises(ArgumentTypeError, match="augmentation is 'Affine'; expected OnePixelShifts, Affine"):
        net.SGD(flat, 1, 4, 0.5, augmentation="Affine", backend=ReferenceBackend())  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"data: expected images .* shape \(12,\)"):
        expanded(flat)
    with pytest.raises(ShapeError, match="training_data"):
        net.SGD(expanded(data_of(pixels((9, 1, 5, 5), "uint8"))), 1, 4, 0.5, backend=ReferenceBackend())
    assert parameters(net) == before
    assert checked_augmentation(None) == ()


def test_shifting_leaves_its_argument_alone() -> None:
    images = pixels((5, 1, 3, 3), "uint8")
    before = images.tobytes()
    shifted(images, np.arange(5))
    assert images.tobytes() == before

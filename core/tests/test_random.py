"""The draws of `random`: known answers, the documented recipe, and independence of how they are cut."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import random
from isograd.errors import ArgumentError, ArgumentTypeError

MASK_64 = 2**64 - 1

word = st.integers(0, MASK_64)
path_text = st.text("abcxyz0123456789._", max_size=12)
shapes = st.lists(st.integers(0, 9), max_size=3).map(tuple)
probabilities = st.floats(0, 1)


def philox(key: tuple[int, int], counter: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Philox4x64-10 as in figure 2 and table 2 of Salmon et al. 2011, written from the paper alone."""
    k0, k1 = key
    c0, c1, c2, c3 = counter
    for _ in range(10):
        high0, low0 = divmod(c0 * 0xD2E7470EE14C6C93, 2**64)
        high1, low1 = divmod(c2 * 0xCA5A826395121157, 2**64)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK_64, (k1 + 0xBB67AE8584CAA73B) & MASK_64
    return c0, c1, c2, c3


def recipe(seed: int, purpose: str, path: str, step: int, epoch: int, count: int) -> list[int]:
    """The words that the module's documentation promises, without NumPy."""
    key = (seed, int.from_bytes(hashlib.sha256(f"{purpose}/{path}".encode()).digest()[:8], "little"))
    blocks = [philox(key, (1 + block, step, epoch, 0)) for block in range((count + 3) // 4)]
    return [one for block in blocks for one in block][:count]


def inverse_normal(ks: list[int]) -> list[float]:
    """What `normal` makes of words whose upper 53 bits are `ks`."""
    return list(map(float, random._inverse_normal(np.array([k << 11 for k in ks], np.uint64))))


def horner(coefficients: tuple[float, ...], x: float) -> float:
    result = coefficients[0]
    for coefficient in coefficients[1:]:
        result = result * x + coefficient
    return result


def recipe_normal(k: int) -> float:
    """The documented operations for one number, in Python's own floats (which CPython never fuses)."""
    m = 2 * k + 1 - 2**53
    q = m * 2.0**-54
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        return q * horner(random._A, r) / horner(random._B, r)
    fraction, exponent = math.frexp((2**53 - abs(m)) * 2.0**-54)
    if fraction < float.fromhex("0x1.6a09e667f3bcdp-1"):
        fraction, exponent = fraction * 2, exponent - 1
    s = (fraction - 1) / (fraction + 1)
    z = s * s
    series = horner(tuple(1 / odd for odd in range(21, 0, -2)), z)
    log = exponent * float.fromhex("0x1.62e42fefa39efp-1") + 2 * s * series
    r = math.sqrt(-log)
    if r <= 5:
        magnitude = horner(random._C, r - 1.6) / horner(random._D, r - 1.6)
    else:
        magnitude = horner(random._E, r - 5) / horner(random._F, r - 5)
    return math.copysign(magnitude, q)


# Values of k that are common, next to a boundary of AS 241's cases, or in a far tail.
interesting_k = st.one_of(
    st.integers(0, 2**53 - 1),
    st.integers(0, 2**20),
    st.integers(2**53 - 2**20, 2**53 - 1),
    st.integers(-3, 3).map(lambda near: int(0.925 * 2**53) + near),
    st.integers(-3, 3).map(lambda near: int(math.exp(-25) * 2**53) + near),
    st.integers(-3, 3).map(lambda near: 2**52 + near),
)


# --- Known answers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        (
            (0, 0, 0, 0),
            (0, 0),
            (0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B),
        ),
        (
            (MASK_64, MASK_64, MASK_64, MASK_64),
            (MASK_64, MASK_64),
            (0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0),
        ),
        (
            (0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89),
            (0x452821E638D01377, 0xBE5466CF34E90C6C),
            (0xA528F45403E61D95, 0x38C72DBD566E9788, 0xA5A1610E72FD18B5, 0x57BD43B5E52B7FE6),
        ),
    ],
)
def test_this_files_own_philox_gives_the_authors_known_answers(
    counter: tuple[int, int, int, int], key: tuple[int, int], answer: tuple[int, int, int, int]
) -> None:
    # From `kat_vectors` of the authors' Random123 distribution, philox4x64 with 10 rounds.
    assert philox(key, counter) == answer


WORDS = [
    "4d35c053255739f1",
    "f29421c638099aa5",
    "50b67365c56b6dce",
    "f0416f9616a6a63a",
    "85b511e18434d557",
    "33ba5e305ac8ac70",
]
UNIFORMS = [
    ["0x1.27d3a5c118336p-1", "0x1.f254e67253556p-2"],
    ["0x1.3950364c10f14p-3", "0x1.00f5f69cb2d88p-4"],
]
NORMALS = [
    ["-0x1.1e7867376e683p-1", "-0x1.680e8d1ee40d6p-3", "-0x1.58d579a876b90p-3"],
    ["-0x1.d27e2b6e09810p-3", "0x1.bcebecfc86f82p-1", "-0x1.85f4c43d17108p-2"],
]
TAILS = [
    "-0x1.095b059d67c4cp+3",
    "-0x1.052484c516592p+3",
    "-0x1.ac351334aa9b2p+2",
    "0x1.095b059d67c4cp+3",
    "0x1.40d931ff62707p-53",
]
PERMUTATION = [8, 6, 10, 9, 2, 1, 3, 4, 11, 0, 7, 5]
MASK = ["1000000011", "0011100010"]


def test_words_known_answers() -> None:
    drawn = random.words(2024, "init", "0.weight", step=3, epoch=5, count=6)
    assert drawn.dtype == np.uint64
    assert [f"{one:016x}" for one in drawn] == WORDS


def test_uniform_known_answers() -> None:
    drawn = random.uniform(2024, "augment", "", shape=(2, 2), step=3, epoch=5)
    assert [[one.hex() for one in row] for row in drawn.tolist()] == UNIFORMS


def test_normal_known_answers() -> None:
    drawn = random.normal(2024, "init", "0.weight", shape=(2, 3))
    assert [[one.hex() for one in row] for row in drawn.tolist()] == NORMALS


def test_normal_known_answers_in_the_far_tails() -> None:
    assert [one.hex() for one in inverse_normal([0, 1, 10**5, 2**53 - 1, 2**52])] == TAILS


def test_permutation_known_answer() -> None:
    order = random.permutation(2024, epoch=5, size=12)
    assert order.dtype == np.int32
    assert order.tolist() == PERMUTATION


def test_mask_known_answer() -> None:
    mask = random.keep_mask(2024, "3", epoch=5, step=3, shape=(2, 10), p_dropout=0.5)
    assert mask.dtype == np.bool_
    assert ["".join("01"[one] for one in row) for row in mask.tolist()] == MASK


# --- The documented recipe, followed without NumPy ----------------------------------------------------------


@given(word, path_text, path_text, word, word, st.integers(0, 9))
def test_words_follow_the_recipe(
    seed: int, purpose: str, path: str, step: int, epoch: int, count: int
) -> None:
    drawn = random.words(seed, purpose, path, step=step, epoch=epoch, count=count)
    assert drawn.tolist() == recipe(seed, purpose, path, step, epoch, count)


@given(word, path_text, word, word, shapes)
def test_uniform_is_53_bits_of_the_word(
    seed: int, path: str, step: int, epoch: int, shape: tuple[int, ...]
) -> None:
    drawn = random.uniform(seed, "augment", path, shape=shape, step=step, epoch=epoch)
    expected = recipe(seed, "augment", path, step, epoch, math.prod(shape))
    assert drawn.shape == shape
    assert drawn.ravel().tolist() == [(one >> 11) * 2.0**-53 for one in expected]


@given(word, path_text, st.integers(0, 2**63), word, shapes, st.integers(0, 3))
def test_the_uniforms_of_successive_steps_are_those_of_each_step(
    seed: int, path: str, first: int, epoch: int, shape: tuple[int, ...], steps: int
) -> None:
    drawn = random.uniforms(seed, "augment", path, epoch=epoch, first_step=first, steps=steps, shape=shape)
    assert drawn.shape == (steps, *shape)
    for step, row in enumerate(drawn, first):
        alone = random.uniform(seed, "augment", path, shape=shape, step=step, epoch=epoch)
        assert row.tobytes() == alone.tobytes()


@given(word, path_text, st.integers(0, 2**63), word, shapes, st.integers(0, 3))
def test_int16s_are_the_quarters_of_each_steps_words(
    seed: int, path: str, first: int, epoch: int, shape: tuple[int, ...], steps: int
) -> None:
    drawn = random.int16s(seed, "augment", path, epoch=epoch, first_step=first, steps=steps, shape=shape)
    assert drawn.dtype == np.int16
    assert drawn.shape == (steps, *shape)
    for step, row in enumerate(drawn, first):
        raw = recipe(seed, "augment", path, step, epoch, -(-row.size // 4))
        quarters = [(one >> 16 * place) % 2**16 for one in raw for place in range(4)]
        expected = [one - 2**16 * (one >= 2**15) for one in quarters[: row.size]]
        assert row.ravel().tolist() == expected


@given(word, path_text, word, word, shapes, probabilities)
def test_mask_is_uniform_below_the_keeping_probability(
    seed: int, path: str, step: int, epoch: int, shape: tuple[int, ...], p: float
) -> None:
    mask = random.keep_mask(seed, path, step=step, epoch=epoch, shape=shape, p_dropout=p)
    assert mask.shape == shape
    assert np.array_equal(
        mask, random.uniform(seed, "dropout", path, shape=shape, step=step, epoch=epoch) < 1 - p
    )


@given(st.integers(0, 39), st.sampled_from([-1, 0, 1]), word)
def test_mask_is_exact_where_the_uniform_number_is_next_to_the_threshold(
    index: int, offset: int, seed: int
) -> None:
    numbers = random.uniform(seed, "dropout", "1", shape=(40,))
    # 1 - (1 - x) == x exactly for these multiples of 2**-53 in [1/2, 1]; below 1/2 the definition's own
    # rounding acts.
    threshold = min(max(numbers[index] + offset * 2.0**-53, 0.0), 1.0)
    p = 1.0 - threshold
    assert np.array_equal(random.keep_mask(seed, "1", shape=(40,), p_dropout=p), numbers < 1.0 - p)


@given(word, word, st.integers(0, 60))
def test_permutation_is_the_argsort_of_the_words(seed: int, epoch: int, size: int) -> None:
    drawn = recipe(seed, "shuffle", "", 0, epoch, size)
    assert random.permutation(seed, epoch=epoch, size=size).tolist() == sorted(
        range(size), key=drawn.__getitem__
    )


def test_equal_words_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "words", lambda *_, **__: np.array([5, 1, 5, 1, 5] * 20, np.uint64))
    ones, fives = [i for i in range(100) if i % 5 % 2], [i for i in range(100) if not i % 5 % 2]
    assert random.permutation(0, epoch=0, size=100).tolist() == ones + fives


@given(word, path_text, word, word, shapes)
def test_normal_follows_the_recipe(
    seed: int, path: str, step: int, epoch: int, shape: tuple[int, ...]
) -> None:
    drawn = random.normal(seed, "init", path, shape=shape, step=step, epoch=epoch)
    expected = recipe(seed, "init", path, step, epoch, math.prod(shape))
    assert drawn.shape == shape
    assert drawn.ravel().tolist() == [recipe_normal(one >> 11) for one in expected]


@given(st.lists(interesting_k, min_size=1, max_size=20))
def test_inverse_normal_follows_the_recipe_in_every_branch(ks: list[int]) -> None:
    assert inverse_normal(ks) == [recipe_normal(k) for k in ks]


def test_inverse_normal_follows_the_recipe_on_a_large_sample_of_its_tails() -> None:
    # Large enough that one rounding more or less anywhere, or one term of the logarithm's series, shows.
    scale = 0.075 * 2**53
    ks = [int(scale * u) for u in random.uniform(5, "test", "", shape=(20_000,)).tolist()]
    assert inverse_normal(ks) == [recipe_normal(k) for k in ks]


@pytest.mark.parametrize("boundary", [0.925, 0.075, math.exp(-25), 1 - math.exp(-25), 0.5])
def test_inverse_normal_changes_its_branch_where_the_recipe_does(boundary: float) -> None:
    middle = int(boundary * 2**53)
    ks = [*range(middle - 50, middle + 50), *range(middle - 2**30, middle + 2**30, 2**26 + 1)]
    ks = [k for k in ks if 0 <= k < 2**53]
    assert inverse_normal(ks) == [recipe_normal(k) for k in ks]


# --- Accuracy and distribution ------------------------------------------------------------------------------


@given(interesting_k)
def test_normal_is_the_inverse_distribution_function_to_40_roundings(k: int) -> None:
    # With u = 2**-53. Wichura states an approximation error of about 1e-16 = 0.9 u. Rounding (Higham,
    # "Accuracy and stability of numerical algorithms", section 5.1): Horner's rule of degree 7 with positive
    # terms errs by at most gamma_14, so the quotient of two by 29 u, the product with q by one more. What is
    # left covers r: at most 4 u from log, the square root and the subtraction, which the quantile (1.4 at r =
    # 1.6, slope 1.7) amplifies twofold.
    with mpmath.workdps(60):
        tail = mpmath.mpf(min(2 * k + 1, 2**54 - 2 * k - 1)) / 2**54
        drawn = mpmath.mpf(*inverse_normal([k]))
        exact = -abs(drawn)
        for _ in range(4):  # Newton's method: from 15 correct digits, 30, 60, ...
            exact -= (mpmath.ncdf(exact) - tail) / mpmath.npdf(exact)
        assert abs(abs(drawn) + exact) <= 40 * mpmath.mpf(2) ** -53 * abs(exact)
    assert (drawn < 0) == (k < 2**52)


@given(st.integers(0, 2**53 - 1))
def test_normal_is_symmetric(k: int) -> None:
    low, high = inverse_normal([k, 2**53 - 1 - k])
    assert low == -high


@given(word, probabilities)
def test_mask_keeps_with_the_stated_probability(seed: int, p: float) -> None:
    count = 20_000
    kept = int(random.keep_mask(seed, "2", shape=(count,), p_dropout=p).sum())
    # Hoeffding's inequality for a binomial count: a deviation beyond this has probability below 1e-12.
    assert abs(kept - count * (1 - p)) <= math.sqrt(count * math.log(2e12) / 2)


def test_normal_has_mean_0_and_variance_1() -> None:
    count = 400_000
    drawn = random.normal(7, "init", "0.weight", shape=(count,))
    # Seven standard errors: of a mean 1 / sqrt(n), of a variance sqrt(2 / n); probability below 1e-11.
    assert abs(drawn.mean()) < 7 / math.sqrt(count)
    assert abs(drawn.var() - 1) < 7 * math.sqrt(2 / count)


# --- A stream does not depend on how it is cut, and depends on all that names it ----------------------------


@given(
    word, path_text, word, st.integers(0, MASK_64 - 8), shapes, probabilities, st.integers(1, 7), st.data()
)
def test_rows_of_masks_do_not_depend_on_the_chunk(
    seed: int,
    path: str,
    epoch: int,
    first: int,
    shape: tuple[int, ...],
    p: float,
    steps: int,
    data: st.DataObject,
) -> None:
    def masks(first_step: int, steps: int) -> npt.NDArray[np.bool_]:
        return random.keep_masks(
            seed, path, epoch=epoch, first_step=first_step, steps=steps, shape=shape, p_dropout=p
        )

    whole = masks(first, steps)
    cut = data.draw(st.integers(0, steps))
    assert whole.shape == (steps, *shape)
    assert np.array_equal(whole, np.concatenate([masks(first, cut), masks(first + cut, steps - cut)]))
    for row in range(steps):
        alone = random.keep_mask(seed, path, epoch=epoch, step=first + row, shape=shape, p_dropout=p)
        assert np.array_equal(whole[row], alone)


@given(word, st.integers(0, 40), st.integers(0, 40))
def test_a_shorter_draw_is_the_beginning_of_a_longer_one(seed: int, count: int, more: int) -> None:
    short = random.words(seed, "init", "w", count=count)
    assert np.array_equal(short, random.words(seed, "init", "w", count=count + more)[:count])


@pytest.mark.parametrize(
    "count", [random._BLOCK - 1, random._BLOCK, random._BLOCK + 1, 2 * random._BLOCK + 5]
)
def test_large_draws_continue_the_stream_from_block_to_block(count: int) -> None:
    raw = random.words(1, "dropout", "w", count=count)
    assert np.array_equal(random.uniform(1, "dropout", "w", shape=(count,)), (raw >> 11) * 2.0**-53)
    assert np.array_equal(random.normal(1, "dropout", "w", shape=(count,)), random._inverse_normal(raw))
    assert np.array_equal(
        random.keep_mask(1, "w", shape=(count,), p_dropout=0.25), (raw >> 11) * 2.0**-53 < 0.75
    )


@given(st.lists(st.tuples(word, path_text, path_text, word, word), min_size=2, max_size=6, unique=True))
def test_streams_that_differ_in_any_name_differ(names: list[tuple[int, str, str, int, int]]) -> None:
    streams = {
        tuple(random.words(seed, purpose, path, step=step, epoch=epoch, count=4).tolist())
        for seed, purpose, path, step, epoch in names
    }
    assert len(streams) == len(names)


def test_each_name_alone_changes_the_stream() -> None:
    base: dict[str, Any] = {"seed": 1, "purpose": "init", "path": "0.weight", "step": 2, "epoch": 3}
    changes = {"seed": 2, "purpose": "dropout", "path": "0.bias", "step": 3, "epoch": 2}
    variants = [base, *({**base, name: value} for name, value in changes.items())]
    assert len({tuple(random.words(**variant, count=2).tolist()) for variant in variants}) == len(variants)


@given(word, word, st.integers(0, 300))
def test_a_permutation_visits_every_example_once(seed: int, epoch: int, size: int) -> None:
    assert sorted(random.permutation(seed, epoch=epoch, size=size).tolist()) == list(range(size))


@pytest.mark.parametrize(("p", "kept"), [(0, True), (0.0, True), (1, False), (1.0, False)])
def test_dropping_nothing_or_everything_is_exact(p: float, kept: bool) -> None:
    mask = random.keep_mask(3, "w", shape=(1000,), p_dropout=p)
    assert np.array_equal(mask, np.full(1000, kept))


def test_a_single_precision_probability_is_taken_at_its_own_value() -> None:
    single = np.float32(0.1)
    mask = random.keep_mask(3, "w", shape=(50_000,), p_dropout=single)  # type: ignore[arg-type]
    assert np.array_equal(mask, random.keep_mask(3, "w", shape=(50_000,), p_dropout=float(single)))


# --- Arguments ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["seed", "step", "epoch", "count"])
@pytest.mark.parametrize("value", [-1, 2**64])
def test_numbers_outside_64_bits_are_refused_by_name(name: str, value: int) -> None:
    arguments = {"seed": 0, "step": 0, "epoch": 0, "count": 1, name: value}
    with pytest.raises(ArgumentError, match=f"^{name}: .*{value}"):
        random.words(purpose="init", path="w", **arguments)


@pytest.mark.parametrize("value", [1.0, "1", None])
def test_a_seed_that_is_no_integer_is_refused(value: object) -> None:
    with pytest.raises(ArgumentTypeError, match=r"^seed: expected an integer"):
        random.words(value, "init", "w", count=1)  # type: ignore[arg-type]


def test_numpy_integers_are_integers() -> None:
    seed, step = np.uint64(MASK_64), np.int32(2)
    drawn = random.words(seed, "init", "w", step=step, count=3)  # type: ignore[arg-type]
    assert drawn.tolist() == random.words(MASK_64, "init", "w", step=2, count=3).tolist()


@pytest.mark.parametrize("p", [-0.1, 1.5, math.nan, "0.5", None])
def test_a_dropout_probability_outside_0_to_1_is_refused(p: object) -> None:
    with pytest.raises(ArgumentError, match=r"^p_dropout: "):
        random.keep_mask(0, "w", shape=(3,), p_dropout=p)  # type: ignore[arg-type]


def test_a_slash_in_the_purpose_is_refused_because_two_names_would_share_a_stream() -> None:
    with pytest.raises(ArgumentError, match=r"^purpose: "):
        random.words(0, "init/0", "weight", count=1)


def test_steps_beyond_the_last_counter_are_refused() -> None:
    random.keep_masks(0, "w", epoch=0, first_step=MASK_64 - 1, steps=2, shape=(1,), p_dropout=0.5)
    with pytest.raises(ArgumentError, match=r"^first_step: "):
        random.keep_masks(0, "w", epoch=0, first_step=MASK_64, steps=2, shape=(1,), p_dropout=0.5)


def test_a_negative_extent_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"^shape: "):
        random.uniform(0, "init", "w", shape=(2, -1))

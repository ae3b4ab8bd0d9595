"""Where tokens stand: rope against its formula, to the bit in float32, and what a rotation has to keep."""

import subprocess
import sys

import numpy as np
import pytest
from arrays import (
    BF16,
    DTYPES,
    ROWS_IN_LAYOUTS,
    ROWS_OUT_LAYOUTS,
    by_eight_callers,
    fence_stands,
    fenced,
    lay,
    same_on_threads,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from fastemb import _memory, _threads, _words, reference
from fastemb._cpu import position
from fastemb._cpu.kernels import position as kernels
from fastemb.position import alibi, rope, sinusoidal


def draw(shape, dtype="f4", layout="plain", seed=1):
    """Return numbers around zero in a layout."""
    return lay(np.random.default_rng(seed).standard_normal(shape).astype(dtype), layout)


def expected(x, *given, dtype=None, **options):
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return reference.rope(x, *given, **options).astype(dtype or x.dtype.newbyteorder("="))


def same(a, b):
    """The same bits; of float64, whose cosines NumPy may round in another way elsewhere in an array, nearly."""
    if a.dtype == "f8" == b.dtype:
        return a.shape == b.shape and np.allclose(a, b, rtol=0, atol=2.0**-48)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_equals_the_formula(framework, data):
    dtype, layout = data.draw(st.sampled_from(DTYPES)), data.draw(st.sampled_from(ROWS_IN_LAYOUTS))
    lead = tuple(data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=4)))
    x = draw((*lead, 2 * data.draw(st.integers(0, 70))), dtype, layout)
    options = {"interleaved": data.draw(st.booleans()), "inverse": data.draw(st.booleans())}
    options["base"] = data.draw(st.sampled_from([10000.0, 10000, 500000.0, 2.0, 1.0, 0.5]))
    ids = None
    if data.draw(st.booleans()):
        shape = [data.draw(st.sampled_from([1, n])) for n in lead][data.draw(st.integers(0, len(lead))) :]
        if len(shape) == 2 and len(lead) == 3:  # texts and positions, not heads and positions
            shape[0] = data.draw(st.sampled_from([1, lead[0]]))
        low, high = data.draw(st.sampled_from([(0, 9), (-9, 9), (4000, 4200), (-(2**31), 2**31 - 1), (0, 10**6)]))
        kind = data.draw(st.sampled_from(["i4", "i8", ">i8"]))
        ids = np.random.default_rng(2).integers(low, high, shape, endpoint=True).astype(kind)
    x, ids = framework.held((x, ids))
    before = x.tobytes()
    result = framework.back(rope(*framework.make((x, ids)), **options))
    assert same(result, expected(x, ids, **options))
    assert x.tobytes() == before


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_width_between_sentinels(dtype, interleaved):
    """Into fenced memory with a distance between rows, and in place there."""
    for D in [*range(0, 70, 2), 80, 94, 96, 98, 128, 160, 192, 256]:
        x = draw((3, 5, D), dtype)
        for apart, shift in ((0, 0), (2, 1), (64, 64)):
            goal = fenced((3, 5, D), dtype, shift=shift, apart=apart)
            assert rope(x, out=goal, interleaved=interleaved) is goal
            first = goal.copy()
            assert same(first, expected(x, interleaved=interleaved))
            goal[...] = x
            rope(goal, out=goal, interleaved=interleaved)
            assert goal.tobytes() == first.tobytes()
            assert fence_stands(goal)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_streaming_gives_the_same_bytes(dtype, interleaved, monkeypatch, general_road):
    """Wherever memory lies: an aligned store to an address that is not would end the process."""
    seen = []
    kernel = kernels.rope_rows
    monkeypatch.setattr(kernels, "rope_rows", lambda *given: seen.append(given[13] != 0) or kernel(*given))
    monkeypatch.setattr(_memory, "STREAM_BYTES", 0)
    monkeypatch.setattr(position, "_SCRATCH_BYTES", 700)
    for D in (2, 16, 30, 64, 80, 86, 88, 174, 176):
        x = draw((2, 3, 11, D), dtype)
        for shift in (0, 2, 8, 32, 48, 63):
            out = fenced(x.shape, dtype, shift=shift)
            rope(x, out=out, interleaved=interleaved)
            # A new result is small here, so never in warm memory.
            assert out.tobytes() == rope(x, interleaved=interleaved).tobytes()
            assert seen == [D * x.itemsize <= 700, False]
            seen.clear()
            assert fence_stands(out)
        every_other = fenced(x.shape, dtype, "every other row")
        rope(x, out=every_other, interleaved=interleaved)
        assert same(every_other.copy(), expected(x, interleaved=interleaved))
        rope(every_other, out=every_other)
        assert seen == [False, False]  # the second because in place, lines are in the caches already
        seen.clear()


def test_large_results_are_streamed_into_warm_memory_alone(monkeypatch):
    seen = []
    kernel = kernels.rope_rows
    monkeypatch.setattr(kernels, "rope_rows", lambda *given: seen.append(given[13] != 0) or kernel(*given))
    x = draw((16, 512, 256))  # 8 MiB
    with _threads.num_threads(1):
        first = rope(x)
        kept = first.copy()
        del first  # its block comes back
        assert rope(x).tobytes() == kept.tobytes()
        rope(x[1:])
    assert seen[1:] == [True, False]  # the first may have found a block that another test has left
    assert same(kept[3], expected(x[3]))


@pytest.mark.parametrize(
    ("dtype", "into"), [("f8", "f4"), ("f8", "f2"), ("f8", BF16), ("f4", "f2"), (BF16, "f4"), ("f4", "f4")]
)
def test_results_of_other_types(dtype, into):
    x = draw((2, 7, 30), dtype) * np.array(300, dtype)  # beyond what float16 holds when multiplied again
    out = np.full(x.shape, np.nan, into)
    assert rope(x, out=out) is out
    assert same(out, expected(x, dtype=into))
    for layout in ROWS_OUT_LAYOUTS:
        goal = fenced((2, 7, 30), into, layout)
        assert rope(x, out=goal) is goal
        assert fence_stands(goal)
        assert same(goal.astype(into), out)


@pytest.mark.parametrize("layout", ROWS_OUT_LAYOUTS)
def test_in_place(layout):
    x = draw((2, 4, 6, 34), "f4", layout)
    wanted = rope(x)
    view = x[...]  # the same memory by another name
    assert rope(x, out=view) is view
    assert same(x.astype("f4"), wanted)
    rope(x, out=x, inverse=True)
    assert np.allclose(x, draw((2, 4, 6, 34)), atol=1e-5)


# What a rotation keeps -------------------------------------------------------------------------------------------

SIDES = pytest.mark.parametrize(("interleaved", "D"), [(False, 2), (True, 4), (False, 6), (True, 30), (False, 64),
                                                       (True, 80), (False, 128)])  # fmt: skip


@SIDES
def test_lengths_are_kept(interleaved, D):
    x, ids = draw((3, 50, D), "f8"), np.random.default_rng(3).integers(-(10**6), 10**6, 50)
    turned = rope(x, ids, interleaved=interleaved)
    a, b = ((y[..., 0::2], y[..., 1::2]) if interleaved else np.split(y, 2, axis=-1) for y in (x, turned))
    np.testing.assert_allclose(np.hypot(*b), np.hypot(*a), rtol=4 * 2.0**-52)
    assert not np.allclose(x, turned)


@SIDES
def test_products_depend_on_how_far_apart_rows_are(interleaved, D):
    """Of queries and keys: the same for (p, q) and (p + n, q + n). Angles of up to 2000 are right to 2000 ulps."""
    q, k = draw((D,), "f8", seed=4), draw((D,), "f8", seed=5)

    def score(p, other):
        return float(rope(q, p, interleaved=interleaved) @ rope(k, other, interleaved=interleaved))

    bound = 8000 * 2.0**-52 * np.linalg.norm(q) * np.linalg.norm(k)
    for p, other, further in ((0, 3, 1000), (7, 7, 1234), (-5, 9, 500), (100, 0, 1)):
        assert abs(score(p, other) - score(p + further, other + further)) <= bound
    assert abs(score(7, 7) - q @ k) <= bound
    assert abs(score(0, 1) - score(0, 2)) > 1e-3


@SIDES
@pytest.mark.parametrize("dtype", DTYPES)
def test_inverse_turns_back(interleaved, D, dtype):
    """Within the roundings of two results, relative to each pair: a half last place each, and the arithmetic's."""
    x, ids = draw((3, 50, D), dtype), np.random.default_rng(3).integers(-5000, 5000, 50)
    there = rope(x, ids, interleaved=interleaved)
    back = rope(there, ids, interleaved=interleaved, inverse=True).astype("f8")
    whole = x.astype("f8")
    pairs = np.hypot(*((whole[..., 0::2], whole[..., 1::2]) if interleaved else np.split(whole, 2, axis=-1)))
    bound = np.repeat(pairs, 2, axis=-1) if interleaved else np.concatenate([pairs, pairs], axis=-1)
    once = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}[x.dtype.name]
    acc = 2.0**-53 if x.dtype == "f8" else 2.0**-24
    assert (np.abs(back - whole) <= bound * (2.5 * once + 6 * acc) + 2.0**-24).all()


@SIDES
def test_inverse_is_the_gradient(interleaved, D):
    """The gradient of <weights, rope(x)> with respect to x, by finite differences: exact, as rope is linear."""
    x, weights, ids = draw((3, D), "f8", seed=6), draw((3, D), "f8", seed=7), [4, 0, -17]
    gradient = rope(weights, ids, interleaved=interleaved, inverse=True)
    for t in range(3):
        for j in range(D):
            step = np.zeros_like(x)
            step[t, j] = 0.5
            both = [np.vdot(weights, rope(x + sign * step, ids, interleaved=interleaved)) for sign in (1, -1)]
            assert abs((both[0] - both[1]) - gradient[t, j]) <= 1e-12


def test_angles_are_right_to_the_last_places_of_float64():
    """Against extended precision: inverse frequencies and angles are rounded, twice each at most."""
    if np.finfo(np.longdouble).nmant <= 52:
        pytest.skip("no floats wider than float64 here")
    D, ids = 64, np.array([0, 1, 3, 511, 4095, 131071, 10**6, -77])
    x = np.zeros((len(ids), D))
    x[:, : D // 2] = 1  # becomes cosines and sines
    angles = ids[:, None].astype(np.longdouble) / np.longdouble(10000) ** (np.arange(0, D, 2) / np.longdouble(D))
    exact = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    bound = np.tile(np.abs(angles), 2) * 2.0**-51 + 2.0**-52
    assert (np.abs(rope(x, ids) - exact) <= bound).all()
    single = rope(x.astype("f4"), ids)
    assert (np.abs(single - exact) <= bound + 2.0**-25 + 2.0**-26).all()


def test_how_far_libraries_with_angles_in_float32_are_off():
    """Hugging Face's formula in its float32: three roundings of 2**-24 of an angle, two of cosine, and ours."""
    B, H, T, D = 2, 3, 512, 64
    q = draw((B, H, T, D))
    frequencies = (np.float32(1) / np.float32(10000) ** (np.arange(0, D, 2, dtype="f4") / np.float32(D))).astype("f4")
    angles = np.arange(T, dtype="f4")[:, None] * frequencies
    both = np.concatenate([angles, angles], axis=-1)
    cos, sin = np.cos(both), np.sin(both)
    theirs = q * cos + np.concatenate([-q[..., D // 2 :], q[..., : D // 2]], axis=-1) * sin
    pairs = np.hypot(*np.split(q.astype("f8"), 2, axis=-1))
    bound = np.concatenate([pairs, pairs], axis=-1) * (both * 4 + 8) * 2.0**-24
    apart = np.abs(rope(q).astype("f8") - theirs)
    assert (apart <= bound).all()
    assert apart.max() > 1e-6  # float32 angles are not ours
    # Given the same cosines and sines, the same bits.
    table = position._first_rows(T, position._speed(10000.0, None, 1.0, D), np.dtype("f4"))[:T]
    cos, sin = (np.tile(table[:, k], 2) for k in (0, 1))
    theirs = q * cos + np.concatenate([-q[..., D // 2 :], q[..., : D // 2]], axis=-1) * sin
    assert rope(q).tobytes() == theirs.tobytes()


# Positions -------------------------------------------------------------------------------------------------------


def test_positions_broadcast():
    x = draw((2, 3, 5, 8))
    wanted = rope(x)
    for ids in (np.arange(5), np.arange(5)[None, None], np.broadcast_to(np.arange(5), (2, 1, 5)), list(range(5))):
        assert rope(x, ids).tobytes() == wanted.tobytes()
    assert rope(x, np.broadcast_to(np.arange(5), (2, 3, 5)).copy()).tobytes() == wanted.tobytes()
    ids = np.random.default_rng(8).integers(0, 50, (2, 1, 5))
    assert same(rope(x, ids), expected(x, ids))
    assert same(rope(x, ids[..., ::-1]), expected(x, ids[..., ::-1]))
    assert same(rope(x, 7), expected(x, np.full((2, 3, 5), 7)))
    one = rope(x[0, 0, 0], 7)
    assert one.shape == (8,)
    assert one.tobytes() == rope(x, 7)[0, 0, 0].tobytes()


@pytest.mark.parametrize(
    "ids",
    [
        [-3, -2, -1, 0],
        [4095, 4096, 0, 5],
        [10**6, 10**6 + 1, 10**6 + 3, 10**6],
        [-(10**9), 10**9, 0, 1],
        [2**53 - 1, 2**53, 2**53 + 2, 7],
        [-(2**63), 2**63 - 1, 0, 1],
        np.array([2**64 - 2**12, 2**63, 1, 0], np.uint64),
        np.array([2**63, 2**63 + 1, 2**63, 2**63], np.uint64),
        np.array([-128, 127, -1, 1], np.int8),
    ],
)
def test_positions_are_numbers(ids):
    x = draw((3, 4, 16))
    ids = np.asarray(ids)
    kept = ids.copy()
    assert same(rope(x, ids), expected(x, ids))
    assert (ids == kept).all()


def test_ways_to_make_tables_agree():
    """The same row at the same position, whatever the others are."""
    x = draw((6, 32))
    for p in (3, 100, 4095, 5000, 100_000):
        wanted = rope(x[:1], [p]).tobytes()
        for ids in ([p] * 6, [p, p + 1, p + 2, p + 3, p + 4, p + 5], [p, 0, 1, 2, 10**9, -5], [p, -1, 0, 0, 0, 0]):
            assert rope(x, ids)[:1].tobytes() == wanted


def test_kept_tables_are_few(monkeypatch):
    monkeypatch.setattr(position, "_kept", {})
    monkeypatch.setattr(position, "_KEPT_BYTES", 1 << 17)
    x = draw((200, 64))
    for base in range(2, 40):
        assert same(rope(x, base=base), expected(x, base=float(base)))
        assert sum(table.nbytes for table in position._kept.values()) <= 1 << 17
    assert len(position._kept) == 2  # of 256 positions, 64 kB each
    rope(x, base=39)
    assert list(position._kept) == [(38.0, 32, 1.0, "f"), (39.0, 32, 1.0, "f")]
    table = position._kept[39.0, 32, 1.0, "f"]
    rope(x[:10], base=39)
    rope(x[:1], [255], base=39.0)
    assert position._kept[39.0, 32, 1.0, "f"] is table
    rope(draw((600, 64)), base=39)  # too many to keep
    assert position._kept[39.0, 32, 1.0, "f"] is table
    rope(x.astype("f8"), base=39)
    assert (39.0, 32, 1.0, "d") in position._kept
    rope(x[:1], [5000], base=38)  # far off, alone: not worth 5000 rows
    assert all(len(table) <= 256 for table in position._kept.values())


def test_eight_callers_at_once(monkeypatch, small_grain, general_road):
    monkeypatch.setattr(position, "_kept", {})
    monkeypatch.setattr(position, "_KEPT_BYTES", 1 << 17)
    x = draw((3, 150, 64))
    wanted = {base: expected(x, base=float(base)).tobytes() for base in range(2, 10)}

    bases = [2 + (k % 8 + k // 8) % 8 for k in range(240)]
    results = by_eight_callers(lambda base: rope(x, base=base), [(base,) for base in bases])
    assert all(result.tobytes() == wanted[base] for result, base in zip(results, bases, strict=True))


@pytest.mark.parametrize("dtype", ["f4", BF16])
@pytest.mark.parametrize("layout", ["plain", "rows first"])
def test_threads_give_the_same_bytes(dtype, layout, small_grain, general_road):
    x = draw((3, 5, 37, 50), dtype, layout)
    ids = np.random.default_rng(8).integers(-50, 50, (3, 1, 37))
    wanted = expected(x, ids)

    def all_three():
        here = x.copy()
        return rope(x, ids, out=np.full(x.shape, np.nan, dtype)), rope(x, ids), rope(here, ids, out=here)

    for result in same_on_threads(all_three):
        assert same(result, wanted)


def test_nan_and_infinity_stay_in_their_pairs():
    x = np.ones((2, 8), "f4")
    x[1, 2], x[0, 5] = np.nan, np.inf
    result = rope(x, [1, 2])
    assert np.isnan(result[1, [2, 6]]).all()
    assert np.isinf(result[0, [1, 5]]).all()
    assert np.isfinite(np.delete(result[1], [2, 6])).all()
    assert np.isfinite(np.delete(result[0], [1, 5])).all()


def test_empty():
    for shape in ((0, 8), (3, 0), (0, 0), (2, 0, 4), (0, 3, 4), (2, 5, 0)):
        assert rope(np.empty(shape, "f4")).shape == shape
    assert rope(np.empty((0, 5, 4)), np.empty((0, 1), int)).shape == (0, 5, 4)
    assert rope(np.empty((0,), "f4"), 3).shape == (0,)


X = np.ones((2, 3, 4))


@pytest.mark.parametrize(
    ("x", "options", "error", "words"),
    [
        ([[1.0, 2.0]], {}, TypeError, "x must be a numpy.ndarray .*got list"),
        (np.ma.ones((2, 2)), {}, TypeError, "x is a masked array"),
        (np.ones((2, 2), int), {}, TypeError, "x must have dtype float64, .* got int64"),
        (np.ones((2, 2), complex), {}, TypeError, "got complex128"),
        (np.array(1.0), {}, ValueError, r"at least one axis, got shape \(\)"),
        (np.ones((2, 3)), {}, ValueError, r"even number of columns.*\(2, 3\)"),
        (np.ones(4), {}, ValueError, r"x of shape \(4,\) has no axis of positions; give position_ids"),
        (X, {"position_ids": [0j, 1, 2]}, TypeError, "position_ids must have an integer or a float.*complex128"),
        (X, {"position_ids": [True] * 3}, TypeError, "position_ids must have an integer or a float dtype, .*bool"),
        (X, {"position_ids": [0, 1]}, ValueError, r"broadcast to x.shape\[:-1\], \(2, 3\), got shape \(2,\)"),
        (X, {"position_ids": [[[0, 1, 2]]]}, ValueError, r"\(2, 3\), got shape \(1, 1, 3\)"),
        (X[:, :1], {"position_ids": [0, 1, 2]}, ValueError, r"\(2, 1\), got shape \(3,\)"),
        (X, {"base": "10000"}, TypeError, "base must be a real number, got str"),
        (X, {"base": True}, TypeError, "base must be a real number, got bool"),
        (X, {"base": 0}, ValueError, "base must be positive and finite, got 0.0"),
        (X, {"base": -2.0}, ValueError, "positive and finite, got -2.0"),
        (X, {"base": np.inf}, ValueError, "positive and finite, got inf"),
        (X, {"base": np.nan}, ValueError, "positive and finite, got nan"),
        (X, {"base": 10**400}, ValueError, "base is beyond the range of float64"),
        (X, {"inv_freq": [1.0]}, ValueError, r"inv_freq must have shape \(2,\), one for each pair of .*, got \(1,\)$"),
        (
            X,
            {"inv_freq": [None, 1.0]},
            TypeError,
            "inv_freq must have an integer or a float dtype, got a list of objects",
        ),
        (
            X,
            {"position_ids": [2**70]},
            ValueError,
            "position_ids must fit int64 or be floats, got 1180591620717411303424",
        ),
        (X, {"out": [1]}, TypeError, "out must be a numpy.ndarray.*got list"),
        (X, {"out": np.ones((2, 3, 4), int)}, TypeError, "out must have dtype float64, .* got int64"),
        (X, {"out": np.ones((3, 4))}, ValueError, r"out must have shape \(2, 3, 4\), got \(3, 4\)"),
    ],
)
def test_refusals(x, options, error, words):
    with pytest.raises(error, match=words):
        rope(x, **options)


def test_refusals_of_memory_leave_it_alone():
    whole = np.arange(40.0).reshape(10, 4)
    before = whole.copy()
    with pytest.raises(ValueError, match="out overlaps x in memory"):
        rope(whole[:8], out=whole[2:])
    with pytest.raises(ValueError, match="out overlaps x in memory"):
        rope(whole, out=whole[::-1])
    with pytest.raises(ValueError, match="out overlaps x in memory"):
        rope(whole, out=whole.reshape(-1).view("f4")[:40].reshape(10, 4))
    assert (whole == before).all()
    ids = np.zeros(10, np.int64)
    with pytest.raises(ValueError, match="out overlaps position_ids in memory"):
        rope(np.ones((5, 2)), ids[:5], out=ids.view("f8").reshape(5, 2))
    assert not ids.any()
    frozen = draw((10, 4), "f8", "read-only")
    with pytest.raises(ValueError, match="out is read-only"):
        rope(frozen, out=frozen)
    for ids, base in (([1, 2], 10000), (range(10), 0)):
        with pytest.raises(ValueError, match=r"must broadcast|must be positive"):
            rope(whole, ids, base=base, out=whole)
    assert (whole == before).all()


# Tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [0, 1, 2, 3, 16, 17, 64, 768])
@pytest.mark.parametrize("length", [0, 1, 2, 100])
def test_sinusoidal(length, dim):
    table = sinusoidal(length, dim)
    assert table.dtype == np.float32
    assert table.shape == (length, dim)
    assert table.flags.c_contiguous
    assert (table == reference.sinusoidal(length, dim).astype("f4")).all()


def test_sinusoidal_by_hand():
    table = sinusoidal(np.int64(60), 6)
    for p in (0, 1, 59):
        for i in range(3):
            angle = p / 10000 ** (2 * i / 6)
            np.testing.assert_allclose(table[p, 2 * i : 2 * i + 2], [np.sin(angle), np.cos(angle)], rtol=2.0**-23)
    # A large table, in pooled memory, and an odd one: the even one's columns but the last, at other frequencies.
    assert (sinusoidal(3000, 512)[2999] == reference.sinusoidal(3000, 512)[2999].astype("f4")).all()
    assert (sinusoidal(5, 5)[:, 4] == np.sin(np.arange(5) / 10000**0.8).astype("f4")).all()


@pytest.mark.parametrize("heads", [0, 1, 2, 3, 5, 8, 12, 16, 20, 25, 32, 112])
def test_alibi(heads):
    for length in (0, 1, 2, 33):
        table = alibi(heads, length)
        assert table.dtype == np.float32
        assert table.shape == (heads, length, length)
        assert table.flags.c_contiguous
        assert table.flags.writeable
        assert (table == reference.alibi(heads, length).astype("f4")).all()
        assert not np.signbit(table[:, range(length), range(length)]).any()


def test_alibi_slopes_of_the_paper():
    """Section 3: 8 heads have 1/2, 1/4 ... 1/256. Its code for 12: those, and every second one of 16 heads'."""
    np.testing.assert_array_equal(alibi(8, 2)[:, 1, 0], -(0.5 ** np.arange(1, 9)))
    np.testing.assert_array_equal(alibi(16, 2)[:, 0, 1], -(0.5 ** np.arange(0.5, 8.5, 0.5)).astype("f4"))
    more = 0.5 ** np.array([0.5, 1.5, 2.5, 3.5])
    np.testing.assert_array_equal(alibi(12, 2)[:, 1, 0], -np.concatenate([0.5 ** np.arange(1, 9), more]).astype("f4"))


@pytest.mark.parametrize("make", [sinusoidal, alibi])
def test_refusals_of_tables(make):
    for wrong in (1.0, "3", None, True, np.float32(2)):
        with pytest.raises(TypeError, match=f"must be an integer, got {_words.type_name(wrong)}"):
            make(wrong, 4)
        with pytest.raises(TypeError, match=r"^(length|dim) must be an integer"):
            make(4, wrong)
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        make(-1, 4)
    with pytest.raises(ValueError, match="must not be negative, got -2"):
        make(4, -2)
    with pytest.raises(
        ValueError, match=r"^(length|heads) is larger than an array can be, got 1180591620717411303424$"
    ):
        make(2**70, 4)


def test_importing_does_not_import_numba():
    code = "import sys, fastemb.position as p; p.alibi(2, 2); assert 'numba' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

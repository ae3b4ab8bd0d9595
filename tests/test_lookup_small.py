"""Small calls of gather, which have a kernel of their own: the bits and the words of the general road."""

import numpy as np
import pytest
from arrays import BF16, LAYOUTS, codes_of, lay, native, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st
from lookup_cases import make_quantized, make_table, spy

from fastemb._cpu import lookup
from fastemb.lookup import gather


@pytest.mark.parametrize("id_dtype", ["i4", "i8"])
@pytest.mark.parametrize("dtype", ["f4", "f2", BF16, "f8", "U5"])
def test_small_calls(dtype, id_dtype, monkeypatch):
    general = spy(monkeypatch, "gather_rows", 0)
    for D in (*range(36), 63, 64, 65, 300):
        table = make_table((9, D), dtype)
        for id_shape in ((), (0,), (1,), (4,), (2, 3), (2, 0), (1, 2, 3)):
            ids = np.random.default_rng(3).integers(0, 9, id_shape).astype(id_dtype)
            result = gather(table, ids)
            assert same_bits(result, np.asarray(table[ids], dtype))
            assert type(result) is np.ndarray
            assert result.flags.writeable
            assert not np.shares_memory(result, table)
            if D and ids.size:
                out = make_table(result.shape, dtype, seed=7)
                assert same_bits(gather(table, ids, out=out), result)
                assert not general
            general.clear()


@pytest.mark.parametrize("id_dtype", ["i4", "i8"])
@pytest.mark.parametrize("dtype", ["f4", "f2", BF16, "U5"])
def test_more_rows_than_numpy_is_asked_for(dtype, id_dtype, monkeypatch):
    general, table = spy(monkeypatch, "gather_rows", 0), make_table((9, 3), dtype)
    for shape in ((lookup._FEW,), (lookup._FEW + 1,), (3, lookup._FEW)):
        ids = np.random.default_rng(3).integers(0, 9, shape).astype(id_dtype)
        assert same_bits(lookup.small_gather(table, ids), table[ids])
        assert same_bits(gather(table, ids), table[ids])
        for bad in (-1, 9):
            ids.flat[-1] = bad
            assert lookup.small_gather(table, ids) is None
    assert not general


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 8), min_size=1, max_size=40), st.sampled_from(["i4", "i8"]),
    st.none() | st.sampled_from([-1, -9, -10, 9, 2**31 - 1, -(2**31)]), st.integers(0, 39),
)  # fmt: skip
def test_an_id_that_is_no_row_is_never_read(ids, id_dtype, bad, place):
    """NumPy, which copies the rows, would read those of negative ids from the table's end."""
    table, index = make_table((9, 3), "f4"), np.array(ids, id_dtype)
    if bad is None:
        assert same_bits(lookup.small_gather(table, index), table[ids])
        return
    index[place % len(ids)] = bad
    assert lookup.small_gather(table, index) is None
    with pytest.raises(IndexError, match=f"id {bad} at position {place % len(ids)} "):
        gather(table, index)


@pytest.mark.parametrize("id_dtype", ["i4", "i8"])
@pytest.mark.parametrize("bits", [8, 4])
def test_small_calls_of_quantized_tables(bits, id_dtype, monkeypatch):
    general = spy(monkeypatch, "widen_rows", 0)
    for D in (*range(36), 63, 64, 65, 300, 1030):
        table, numbers = make_quantized(9, D, bits)
        first = True  # a table's first call finds out what later ones tell the kernel
        for id_shape in ((), (0,), (1,), (4,), (2, 3), (2, 0), (1, 2, 3)):
            ids = np.random.default_rng(3).integers(0, 9, id_shape).astype(id_dtype)
            assert same_bits(gather(table, ids), np.asarray(numbers[ids]))
            assert bool(general) == (first or not D or not ids.size)
            general.clear()
            first = False
        for bad in (-1, 9):
            with pytest.raises(IndexError, match=f"id {bad} at position 1 is out of range for a table of 9 rows"):
                gather(table, np.array([0, bad], id_dtype))
        general.clear()


@pytest.mark.parametrize("bad", [np.array([0, 3]), np.array([[0], [-1]], "i4"), np.array(2**40)])
def test_small_calls_say_the_words_of_the_general_road(bad, monkeypatch):
    words = []
    for most in (lookup._SMALL_BYTES, -4):
        monkeypatch.setattr(lookup, "_SMALL_BYTES", most)
        for ids in (bad, bad.tolist()):
            with pytest.raises(IndexError) as caught:
                gather(make_table((3, 4), "f4"), ids)
            words.append(str(caught.value))
    assert len(set(words)) == 1
    assert words[0].endswith("is out of range for a table of 3 rows")


def test_small_calls_that_take_the_general_road():
    """What the small kernel is not compiled for gives the same result."""
    table, ids = make_table((9, 5), "f4"), np.array([3, 0, 8, 3])
    right = table[ids]
    for layout in LAYOUTS:
        for wanted in (*(lay(ids, other) for other in LAYOUTS), ids.astype("u1"), ids.tolist()):
            assert same_bits(native(gather(make_table((9, 5), "f4", layout), wanted)), right)
    assert same_bits(gather(table, ids.view(np.recarray)), right)
    assert same_bits(gather(table, ids, mode="wrap"), right)


@pytest.mark.parametrize("dtype", ["f4", "f2"])
def test_the_size_at_which_calls_are_no_longer_small(dtype, monkeypatch):
    general = spy(monkeypatch, "gather_rows", 0)
    table = make_table((100, 64), dtype)
    most = lookup._SMALL_BYTES // table.strides[0]
    for N in (most, most + 1):
        ids = np.random.default_rng(4).integers(0, 100, N)
        assert same_bits(gather(table, ids), table[ids])
        assert bool(general) == (most < N)


def test_small_calls_write_nothing_when_an_id_is_bad():
    table, out = make_table((3, 4), "f4"), np.full((4, 4), 7, "f4")
    with pytest.raises(IndexError, match="id 3 at position 3"):
        gather(table, np.array([0, 1, 2, 3]), out=out)
    assert (out == 7).all()


@pytest.mark.parametrize("table", [np.ones((2, 4), "f4"), codes_of(np.ones((2, 4)))], ids=["floats", "codes"])
def test_a_mode_that_is_no_word(table):
    ids = np.array([1])
    assert same_bits(gather(table, ids, mode="".join(["rai", "se"])), gather(table, ids))
    for mode in (np.array("raise"), ["raise"], None):
        with pytest.raises(ValueError, match="mode must be one of"):
            gather(table, ids, mode=mode)


@pytest.mark.parametrize("dtype", ["f4", "f2"])
def test_results_that_the_caller_has_memory_for(dtype, monkeypatch):
    """Up to a larger size than new results; what shares memory, or has a bad id, goes the general road."""
    general = spy(monkeypatch, "gather_rows", 0)
    table = make_table((100, 64), dtype)
    ids = np.random.default_rng(3).integers(0, 100, 2 * lookup._SMALL_BYTES // table.strides[0])
    out = np.empty((ids.size, 64), dtype)
    assert gather(table, ids, out=out) is out
    assert same_bits(out, table[ids])
    assert not general
    monkeypatch.setattr(lookup, "_INTO_BYTES", out.nbytes)
    out[:] = 0
    assert same_bits(gather(table, ids, out=out), table[ids])
    assert general
    kept = out.copy()
    with pytest.raises(IndexError, match="id 100 at position 1 "):
        gather(table, np.array([3, 100]), out=out[:2])
    assert same_bits(out, kept)
    for shared, few in ((table, np.arange(100)), (table[1:3], np.arange(2))):
        with pytest.raises(ValueError, match="out overlaps table in memory"):
            gather(table, few, out=shared)

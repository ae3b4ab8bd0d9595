"""Arrays of PyArrow, series of Polars, and of anything with DLPack: NumPy's numbers to the bit, without a copy."""

import sys
import types

import numpy as np
import pytest
from arrays import by_eight_callers, same_bits
from framework_cases import CALLS, FLAT, IDS, MASK, OFFSETS, POSITIONS, PURE, TABLE, D, Foreign, V, X, check

import fastemb
from fastemb import Ragged, _devices, _frameworks

# Makers of arrays, what kind they make, and the way back ------------------------------------------------------------


def fixed_lists(pa, array):
    made = pa.array(array.reshape(-1))
    for axis in range(array.ndim - 1, 0, -1):
        made = pa.FixedSizeListArray.from_arrays(made, array.shape[axis])
    return made


def of_lists(array):
    shape = [len(array)]
    while hasattr(array.type, "list_size"):
        shape.append(array.type.list_size)
        array = array.flatten()
    return array.to_numpy(zero_copy_only=False).reshape(shape)


def pyarrow():
    pa = pytest.importorskip("pyarrow", reason="the package pyarrow is not installed")
    return lambda array: fixed_lists(pa, array), pa.Array, of_lists


def chunked():
    pa = pytest.importorskip("pyarrow", reason="the package pyarrow is not installed")

    def chunks(array):
        whole = fixed_lists(pa, array)
        return pa.chunked_array([whole[:1], whole[1:]])

    return chunks, pa.ChunkedArray, lambda array: of_lists(array.chunk(0))


def tensors():
    pa = pytest.importorskip("pyarrow", reason="the package pyarrow is not installed")
    # Booleans and integers, too, but for bool, which Arrow's tensors do not have.
    return lambda a: pa.Tensor.from_numpy(a.astype("u1") if a.dtype == bool else a), pa.Tensor, lambda a: a.to_numpy()


def polars():
    pl = pytest.importorskip("polars", reason="the package polars is not installed")
    return pl.Series, pl.Series, lambda series: series.to_numpy()


def dlpack():
    return Foreign, Foreign, lambda array: array.array


@pytest.fixture(params=[pyarrow, chunked, tensors, polars, dlpack], ids=lambda kind: kind.__name__)
def kind(request, monkeypatch):
    monkeypatch.setitem(sys.modules, "library", types.SimpleNamespace(from_dlpack=Foreign))
    return request.param()


@pytest.mark.parametrize("name", PURE)
def test_numpys_numbers_in_the_callers_arrays(name, kind):
    make, made, back = kind
    expected = CALLS[name](np.asarray, np.asarray)
    check(CALLS[name](make, make), expected, made, back)
    check(CALLS[name](make, np.asarray), expected, made, back)


@pytest.mark.parametrize("name", CALLS)
def test_numpys_tables_take_their_ids(name, kind):
    expected = CALLS[name](np.asarray, np.asarray)
    check(CALLS[name](np.asarray, kind[0]), expected, np.ndarray, np.asarray)


@pytest.mark.parametrize("dtype", ["f8", "f2"])
def test_dtypes(dtype, kind):
    make, made, back = kind
    found = fastemb.embedding_bag(make(TABLE.astype(dtype)), IDS)
    check(found, fastemb.embedding_bag(TABLE.astype(dtype), IDS), made, back)


def test_eight_callers(kind):
    make, made, back = kind
    table = make(TABLE)
    jobs = [(table, np.random.default_rng(k).integers(0, V, 300)) for k in range(16)]
    for (_, ids), found in zip(jobs, by_eight_callers(fastemb.gather, jobs), strict=True):
        check(found, TABLE[ids], made, back)


# PyArrow ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pa():
    return pytest.importorskip("pyarrow", reason="the package pyarrow is not installed")


def table_seen(monkeypatch):
    """Return a list that grows by what each lookup is given."""
    seen, room = [], _devices.HERE["lookup"]
    small, general = room.small_gather, room.gather
    monkeypatch.setattr(room, "small_gather", lambda *given: seen.append(given) or small(*given))
    monkeypatch.setattr(room, "gather", lambda *given: seen.append(given) or general(*given))
    return seen


def test_arrow_by_pointers(pa, monkeypatch):
    seen = table_seen(monkeypatch)
    table, ids = fixed_lists(pa, TABLE), pa.array(FLAT)
    found = fastemb.gather(table, ids)
    assert seen[0][0].ctypes.data == TABLE.ctypes.data == table.flatten().buffers()[1].address
    assert seen[0][1].ctypes.data == ids.buffers()[1].address
    assert found.type == table.type
    cut = fastemb.gather(table[5:], [0])
    assert seen[-1][0].ctypes.data == TABLE[5:].ctypes.data
    assert same_bits(of_lists(cut), TABLE[5:6])
    large = np.ones((6000, 64), np.float32)
    made = []
    framework = _frameworks.of(table)
    way = framework.result
    monkeypatch.setattr(framework, "result", lambda array: made.append(array) or way(array))
    found = fastemb.gather(fixed_lists(pa, large), np.arange(6000))
    assert found.flatten().buffers()[1].address == made[0].ctypes.data
    assert made[0].ctypes.data % 64 == 0


def test_lists_are_ragged(pa):
    rows = [[3, 1, 4], [1], [], [5, 9]]
    ragged = Ragged.from_lists(rows)
    expected = fastemb.embedding_bag(TABLE, ragged)
    for kind in (pa.list_, pa.large_list):
        lists = pa.array(rows, kind(pa.int32()))
        for ids in (lists, pa.chunked_array([lists]), pa.chunked_array([lists[:1], lists[1:]])):
            assert same_bits(fastemb.embedding_bag(TABLE, ids), expected)
            found = fastemb.embedding_bag(fixed_lists(pa, TABLE), ids)
            assert same_bits(of_lists(found), expected)
            found = fastemb.embedding_bag(pa.chunked_array([fixed_lists(pa, TABLE)]), ids)
            assert same_bits(of_lists(found.chunk(0)), expected)
        # A slice: its offsets do not begin at 0, and its values are those of the whole.
        assert same_bits(fastemb.embedding_bag(TABLE, lists[1:]), expected[1:])
        assert same_bits(fastemb.embedding_bag(TABLE, lists[1:3]), expected[1:3])
        assert same_bits(fastemb.embedding_bag(TABLE, lists[4:]), expected[4:])
        expected_rows = fastemb.embed(TABLE, Ragged.from_lists(rows[1:]), positions=POSITIONS)
        assert same_bits(fastemb.embed(TABLE, lists[1:], positions=POSITIONS), expected_rows)
        assert same_bits(
            fastemb.row_grad(lists, X.reshape(15, D)[:6]).rows, fastemb.row_grad(ragged, X.reshape(15, D)[:6]).rows
        )


def test_texts_and_rows_in_arrow(pa, llama_file):
    tokens, texts = fastemb.Tokenizer.load(llama_file), ["one two", "", "three"]
    rows = tokens.encode_batch(texts)
    for kind in (pa.list_(pa.int32()), pa.large_list(pa.int64())):
        lists = pa.array(rows.tolist(), kind)
        made = fastemb.Ragged.from_lists(lists)
        assert made.tolist() == rows.tolist()
        assert not np.shares_memory(made.ids, lists.flatten().to_numpy())
        assert fastemb.Ragged.from_lists(lists[1:]).tolist() == rows.tolist()[1:]
        assert tokens.decode_batch(lists) == texts
    assert fastemb.Ragged.from_lists(pa.array([[1, 2], [3, 4]], pa.list_(pa.int32(), 2))).tolist() == [[1, 2], [3, 4]]
    assert tokens.decode(pa.array(rows[0])) == "one two"
    with pytest.raises(TypeError, match=r"^ids has nulls"):
        tokens.decode(pa.array([1, None]))
    for call in (tokens.encode_batch, tokens.count_batch):
        with pytest.raises(
            TypeError, match=r"^texts must be .*got StringScalar at position 0; give texts\.to_pylist\(\)$"
        ):
            call(pa.array(texts))
        with pytest.raises(TypeError, match=r"^texts must be a sequence of str, got Table; give one of its columns$"):
            call(pa.table({"text": texts}))
    with pytest.raises(TypeError, match=r"got pyarrow\.lib\.Table; give one of its columns, table\.column\(0\)$"):
        fastemb.gather(pa.table({"text": texts}), [0])


def test_arrow_of_no_numbers(pa):
    table = fixed_lists(pa, TABLE)
    bad_table = pa.FixedSizeListArray.from_arrays(pa.array([1.0, None, 2.0, 3.0]), 2)
    shaped = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float64(), (2,)), bad_table)
    for words, call in (
        (r"ids has nulls \(1 of 2\); drop or fill them", lambda: fastemb.gather(TABLE, pa.array([1, None]))),
        (r"ids has nulls \(1 of 2\)", lambda: fastemb.gather(table, pa.chunked_array([[1], [None]]))),
        (r"table has nulls \(1 of 4\)", lambda: fastemb.gather(bad_table, [0])),
        (r"table has nulls \(1 of 4\)", lambda: fastemb.gather(shaped, [0])),
        ("ids have nulls", lambda: fastemb.embedding_bag(TABLE, pa.array([[1], None]))),
        (r"ids has nulls", lambda: fastemb.embedding_bag(TABLE, pa.array([[1], [None]]))),
        ("ids is a dictionary.* array of PyArrow", lambda: fastemb.gather(TABLE, pa.array([1, 1]).dictionary_encode())),
        ("ids is a string array", lambda: fastemb.gather(TABLE, pa.array(["1"]))),
        ("ids is a list_view.* array", lambda: fastemb.embedding_bag(TABLE, pa.array([[1]], pa.list_view(pa.int32())))),
        (r"table is a list<.*only as ids it is taken", lambda: fastemb.gather(pa.array([[1.0], [2.0]]), [0])),
        ("ids must have an integer dtype, got dtype float64", lambda: fastemb.gather(table, pa.array([1.0]))),
        ("out is an array of PyArrow, which cannot be written to", lambda: fastemb.gather(table, FLAT, out=table)),
        ("target is an array of PyArrow, which cannot", lambda: fastemb.scatter_add(table, FLAT, table)),
        ("positions is an array of NumPy and table one of PyArrow",
         lambda: fastemb.embed(table, IDS, positions=POSITIONS)),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=words):
            call()


def test_arrow_of_other_shapes(pa):
    assert same_bits(fastemb.normalize(pa.array([3.0, 4.0])).to_numpy(), fastemb.normalize(np.array([3.0, 4.0])))
    assert fastemb.gather(pa.array([3.0, 4.0]), 1).as_py() == 4.0
    assert fastemb.gather(pa.array([True, False]), [1, 0]).to_pylist() == [False, True]
    shaped = pa.FixedShapeTensorArray.from_numpy_ndarray(X)
    found = fastemb.pool(shaped)
    assert isinstance(found, pa.FixedShapeTensorArray)
    assert same_bits(found.to_numpy_ndarray(), fastemb.pool(X))
    none = pa.FixedSizeListArray.from_arrays(pa.array([], pa.float32()), 3)
    assert len(fastemb.gather(none, [])) == 0
    assert len(fastemb.gather(pa.Tensor.from_numpy(np.zeros((3, 0), "f4")), [1, 2]).to_numpy()) == 2


# Polars -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pl():
    return pytest.importorskip("polars", reason="the package polars is not installed")


def test_polars_by_pointers(pl, monkeypatch):
    seen = table_seen(monkeypatch)
    table, ids = pl.Series(TABLE), pl.Series(FLAT)
    found = fastemb.gather(table, ids)
    assert seen[0][0].ctypes.data == table.to_numpy().ctypes.data
    assert seen[0][1].ctypes.data == ids.to_numpy().ctypes.data
    assert found.dtype == pl.Array(pl.Float32, D)
    made, framework = [], _frameworks.of(table)
    way = framework.result
    monkeypatch.setattr(framework, "result", lambda array: made.append(array) or way(array))
    found = fastemb.gather(pl.Series(np.ones((6000, 64), np.float32)), np.arange(6000))
    assert found.to_numpy().ctypes.data == made[0].ctypes.data


def test_lists_of_polars_are_ragged(pl):
    rows = [[3, 1, 4], [1], [], [5, 9]]
    expected = fastemb.embedding_bag(TABLE, Ragged.from_lists(rows))
    lists = pl.Series(rows)
    for ids, wanted in (
        (lists, expected), (lists[1:], expected[1:]), (lists[2:3], expected[2:3]), (lists[4:], expected[4:]),
        (pl.concat([lists, lists[1:]], rechunk=False), np.concatenate([expected, expected[1:]])),
    ):  # fmt: skip
        assert same_bits(fastemb.embedding_bag(TABLE, ids), wanted)
        assert same_bits(fastemb.embedding_bag(pl.Series(TABLE), ids).to_numpy().reshape(-1, D), wanted)


def test_texts_and_rows_in_polars(pl, llama_file):
    tokens, texts = fastemb.Tokenizer.load(llama_file), ["one two", "", "three"]
    rows = tokens.encode_batch(texts)
    lists = pl.Series(rows.tolist(), dtype=pl.List(pl.Int32))
    assert fastemb.Ragged.from_lists(lists).tolist() == rows.tolist()
    assert tokens.decode_batch(lists) == texts
    assert tokens.encode_batch(pl.Series(texts)).tolist() == rows.tolist()
    with pytest.raises(TypeError, match=r"^texts must be a sequence of str, got DataFrame; give one of its columns$"):
        tokens.encode_batch(pl.DataFrame({"text": texts}))
    with pytest.raises(TypeError, match=r"got polars\S*DataFrame; give table\.to_numpy\(\)$"):
        fastemb.gather(pl.DataFrame({"a": [1.0]}), [0])


def test_polars_of_no_numbers(pl):
    table = pl.Series(TABLE)
    for words, call in (
        (r"ids has nulls \(1 of 2\); drop or fill them", lambda: fastemb.gather(TABLE, pl.Series([1, None]))),
        ("ids have nulls", lambda: fastemb.embedding_bag(TABLE, pl.Series([[1], None]))),
        ("ids has nulls", lambda: fastemb.embedding_bag(TABLE, pl.Series([[1], [None]]))),
        ("series of String", lambda: fastemb.gather(TABLE, pl.Series(["a"]))),
        ("series of Date", lambda: fastemb.gather(TABLE, pl.Series([1]).cast(pl.Date))),
        (r"table has nulls \(1 of 2\)",
         lambda: fastemb.gather(pl.Series([[1.0, None]], dtype=pl.Array(pl.Float32, 2)), [0])),
        ("series of Int128 that NumPy cannot see", lambda: fastemb.gather(TABLE, pl.Series([1], dtype=pl.Int128))),
        (r"table is a series of lists.*list\.to_array", lambda: fastemb.gather(pl.Series([[1.0], [2.0]]), [0])),
        ("out is an array of Polars, which cannot be written to", lambda: fastemb.gather(table, FLAT, out=table)),
        ("positions is an array of NumPy and table one of Polars",
         lambda: fastemb.embed(table, IDS, positions=POSITIONS)),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=words):
            call()
    chunks = pl.concat([pl.Series([1, 2]), pl.Series([3])], rechunk=False)
    assert same_bits(fastemb.gather(TABLE, chunks), TABLE[[1, 2, 3]])
    assert same_bits(fastemb.pool(X, pl.Series(MASK)), fastemb.pool(X, MASK))


# DLPack, and devices ------------------------------------------------------------------------------------------------


def test_dlpack_by_pointers(monkeypatch, general_road):
    monkeypatch.setitem(sys.modules, "library", types.SimpleNamespace(from_dlpack=Foreign))
    seen = table_seen(monkeypatch)
    table, out = Foreign(TABLE), Foreign(np.zeros((15, D), np.float32))
    assert fastemb.gather(table, Foreign(FLAT), out=out) is out
    assert [array.ctypes.data for array in (*seen[0][:2], seen[0][3])] == [
        TABLE.ctypes.data, FLAT.ctypes.data, out.array.ctypes.data
    ]  # fmt: skip
    assert same_bits(out.array, TABLE[FLAT])
    target = Foreign(TABLE.copy())
    assert fastemb.scatter_add(target, FLAT, Foreign(X.reshape(15, D))) is target
    assert same_bits(target.array, fastemb.scatter_add(TABLE.copy(), FLAT, X.reshape(15, D)))
    frozen = np.zeros((15, D), np.float32)
    frozen.flags.writeable = False
    with pytest.raises((TypeError, ValueError), match=r"read-only|readonly"):
        fastemb.gather(table, FLAT, out=Foreign(frozen))


class Device(Foreign):
    """Arrays on a device of another maker, whose memory nobody may look at."""

    def __dlpack__(self, **options):
        raise AssertionError("looked into")

    def __dlpack_device__(self):
        return 10, 0


Device.__module__ = "library"


def test_devices_of_other_makers_are_refused_unseen():
    array = Device(TABLE)
    words = (
        r"is an array of library \(Device\) on a device \(DLPack's \(10, 0\)\) that is neither the CPU nor a GPU of NV"
    )
    for name, call in (
        ("table", lambda: fastemb.gather(array, FLAT)),
        ("ids", lambda: fastemb.gather(TABLE, array)),
        ("offsets", lambda: fastemb.embedding_bag(TABLE, FLAT, array)),
        ("x", lambda: fastemb.pool(array)),
        ("mask", lambda: fastemb.pool(X, array)),
        ("target", lambda: fastemb.scatter_add(array, FLAT, X)),
    ):
        with pytest.raises(TypeError, match=f"^{name} {words}"):
            call()


def test_a_library_that_makes_no_arrays(monkeypatch):
    monkeypatch.setitem(sys.modules, "library", types.SimpleNamespace())
    with pytest.raises(TypeError, match=r"library has no from_dlpack.*give numpy\.from_dlpack\(array\)"):
        fastemb.gather(Foreign(TABLE), FLAT)
    assert same_bits(
        fastemb.embedding_bag(TABLE, Foreign(FLAT), Foreign(OFFSETS)), fastemb.embedding_bag(TABLE, FLAT, OFFSETS)
    )


def test_arrays_that_dlpack_does_not_hold():
    class Odd(Foreign):
        def __dlpack__(self, **options):
            raise BufferError("not today")

    Odd.__module__ = "library"
    with pytest.raises(TypeError, match=r"table is an array of library .*no NumPy array: not today"):
        fastemb.gather(Odd(TABLE), FLAT)
    assert _frameworks.of(np.float32(1)) is None
    assert _frameworks.of(np.zeros(2).view(np.recarray)) is None

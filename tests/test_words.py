"""Words of errors that a person can act on: what was given, what was expected, of which argument, and the way out."""

import collections
import re

import ml_dtypes
import numpy as np
import pytest
from arrays import codes_of

import fastemb
from fastemb import LayerNorm, Ragged, _words

TABLE, X, IDS = np.ones((5, 4), "f4"), np.ones((2, 3, 4), "f4"), np.array([[0, 1, 2], [3, 4, 0]])
GRAD, CODES = np.ones((2, 4), "f4"), codes_of(TABLE)


class Frame:
    """A frame of pandas, as far as words look."""

    columns = ("a",)

    def to_numpy(self):
        raise AssertionError


class Sparse:
    """A sparse matrix of SciPy."""

    def toarray(self):
        raise AssertionError


class Lazy:
    """What NumPy could make an array of."""

    def __array__(self, dtype=None, copy=None):
        return np.ones((5, 4))


class Layer:
    """A layer of a framework: parameters, and a weight."""

    weight = TABLE

    def parameters(self):
        raise AssertionError


# Tables and their like: a call with each, by the name that errors say.
TABLES = {
    "gather": ("table", lambda given: fastemb.gather(given, IDS)),
    "embed": ("table", lambda given: fastemb.embed(given, IDS)),
    "embed, positions": ("positions", lambda given: fastemb.embed(TABLE, IDS, positions=given)),
    "embed, segments": ("segments", lambda given: fastemb.embed(TABLE, IDS, segments=given)),
    "embed, norm": ("norm.weight", lambda given: fastemb.embed(TABLE, IDS, norm=LayerNorm(given))),
    "embed_backward": ("grad", lambda given: fastemb.embed_backward(given, TABLE, IDS)),
    "row_grad": ("grad", lambda given: fastemb.row_grad(IDS, given)),
    "scatter_add": ("target", lambda given: fastemb.scatter_add(given, IDS, X)),
    "scatter_add, rows": ("rows", lambda given: fastemb.scatter_add(TABLE, IDS, given)),
    "embedding_bag": ("table", lambda given: fastemb.embedding_bag(given, IDS)),
    "embedding_bag_backward": ("grad", lambda given: fastemb.embedding_bag_backward(given, TABLE, IDS)),
    "pool": ("x", lambda given: fastemb.pool(given)),
    "pool_backward": ("grad", lambda given: fastemb.pool_backward(given, X)),
    "normalize": ("x", lambda given: fastemb.normalize(given)),
    "rope": ("x", lambda given: fastemb.rope(given)),
    "quantize": ("table", lambda given: fastemb.quantize(given)),
    "QuantizedTable": ("codes", lambda given: fastemb.QuantizedTable(given, CODES.scale, CODES.offset, (5, 4))),
    "topk": ("queries", lambda given: fastemb.topk(given, TABLE, 2)),
    "topk, vectors": ("vectors", lambda given: fastemb.topk(TABLE, given, 2)),
}


@pytest.mark.parametrize("name", TABLES)
def test_what_is_no_table(name):
    argument, call = TABLES[name]
    for given, words in (
        (None, "got None"),
        ("text", "got str"),
        (1.5, "got float"),
        ([[1.0]], f"got list; give numpy.array({argument}), of the dtype that is meant"),
        (memoryview(TABLE), f"got memoryview; give numpy.array({argument}), of the dtype that is meant"),
        (Frame(), f"got {__name__}.Frame; give {argument}.to_numpy()"),
        (Sparse(), f"got {__name__}.Sparse; give {argument}.toarray()"),
        (Lazy(), f"got {__name__}.Lazy; give numpy.asarray({argument})"),
        (Layer(), f"got {__name__}.Layer; give {argument}.weight.detach()"),
        ({"a": TABLE}, "got dict; give one of its values"),
        (Ragged([0], [0, 1]), "got fastemb.ragged.Ragged; give a Ragged as ids"),
    ):
        if given is None and argument in ("positions", "segments"):
            continue
        expected = f"{argument} must be a numpy.ndarray or an array of another framework, {words}"
        with pytest.raises(TypeError, match=f"^{re.escape(expected)}$"):
            call(given)
    if argument not in ("table", "vectors", "target"):
        with pytest.raises(TypeError, match=rf"^{argument} must be .*QuantizedTable; give {argument}\.dequantize\(\)$"):
            call(CODES)


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_other_dtypes(name):
    argument, call = TABLES[name]
    kinds = [np.ma.MaskedArray, object] if name == "gather" else ["O", int, bool, complex, "U1", "M8[s]", "f4,f4"]
    for kind in kinds:
        if kind is np.ma.MaskedArray:
            table, words = np.ma.ones((5, 4)), rf"is a masked array, .*; give {argument}\.data or filled\(\)$"
        elif kind in (object, "O"):
            table = np.ones((5, 4), object)
            words = (
                r"must have a fixed-size dtype without Python objects, got object; give numpy\.array\(.*\.tolist\(\)"
            )
        else:
            table = np.zeros((5, 4), kind)
            words = rf"must have dtype .*got {re.escape(str(table.dtype))}$"
        with pytest.raises(TypeError, match=f"^{argument} {words}"):
            call(table)


# Ids and their like ------------------------------------------------------------------------------------------------

LISTS = {
    "gather": ("ids", lambda given: fastemb.gather(TABLE, given)),
    "embed": ("ids", lambda given: fastemb.embed(TABLE, given)),
    "embed, positions": ("position_ids", lambda given: fastemb.embed(TABLE, IDS, positions=TABLE, position_ids=given)),
    "embed, segments": ("segment_ids", lambda given: fastemb.embed(TABLE, IDS, segments=TABLE, segment_ids=given)),
    "embed_backward": ("ids", lambda given: fastemb.embed_backward(X, TABLE, given)),
    "row_grad": ("ids", lambda given: fastemb.row_grad(given, X)),
    "scatter_add": ("ids", lambda given: fastemb.scatter_add(TABLE, given, X)),
    "embedding_bag": ("ids", lambda given: fastemb.embedding_bag(TABLE, given)),
    "embedding_bag_backward": ("ids", lambda given: fastemb.embedding_bag_backward(GRAD, TABLE, given)),
    "embedding_bag, offsets": ("offsets", lambda given: fastemb.embedding_bag(TABLE, IDS[0], given)),
    "pool, offsets": ("offsets", lambda given: fastemb.pool(TABLE, offsets=given)),
    "pool, lengths": ("lengths", lambda given: fastemb.pool(X, lengths=given)),
    "Ragged": ("ids", lambda given: Ragged(given, [0, 2])),
    "Ragged, offsets": ("offsets", lambda given: Ragged([0, 1], given)),
    "Ragged, rows": ("rows[0]", lambda given: Ragged.from_lists([given])),
}


@pytest.mark.parametrize("name", LISTS)
def test_what_are_no_integers(name):
    argument, call = LISTS[name]
    must, ids = f"{argument} must have an integer dtype, got ", argument == "ids"
    for given, words in (
        ([0.5], "dtype float64; whole numbers have to be converted to an integer dtype first"),
        (["a", "bc"], "strings (dtype <U2)" + "; a Tokenizer makes ids of text" * ids),
        ([True], "dtype bool" + "; a mask is no list of ids: its places are numpy.flatnonzero(ids)" * ids),
        ([1j], "dtype complex128"),
        ([1, None], "a list of objects that holds None"),
        (np.array([1, 2], object), "an array of dtype object that holds int; give numpy.asarray(" + argument),
        (
            np.array([[1], [2, 3]], object),
            "an array of dtype object that holds list"
            + f"; rows of different lengths are a Ragged: Ragged.from_lists({argument})" * argument.endswith("ids"),
        ),
        ({1, 2}, f"set; give list({argument}), or an array of it"),
        ((i for i in range(2)), f"generator; give list({argument}), or an array of it"),
        (Sparse(), f"{__name__}.Sparse; give {argument}.toarray()"),
        (collections.UserDict(input_ids=[1]), f'strings (dtype <U9); give {argument}["input_ids"]'),
        ({"input_ids": [1]}, f'dict; give {argument}["input_ids"]'),
        (np.zeros(2, ml_dtypes.int4), "dtype int4"),
    ):
        with pytest.raises(TypeError, match=f"^{re.escape(must + words)}"):
            call(given)
    rectangular = f"{argument} must be rectangular, got rows of different lengths"
    if argument.endswith("ids"):
        rectangular += f", which are a Ragged: Ragged.from_lists({argument})"
    with pytest.raises(ValueError, match=f"^{re.escape(rectangular)}$"):
        call([[1], [2, 3]])


@pytest.mark.parametrize("name", LISTS)
def test_integers_that_no_dtype_holds(name):
    argument, call = LISTS[name]
    for given, value, place in (([1, 2**70], 2**70, 1), ([-(2**70)], -(2**70), 0), ([2**63, -1], 2**63, 0)):
        if argument.endswith("ids") and not name.startswith("Ragged"):
            what = argument[:-1].replace("_", " ")
            error, words = IndexError, f"{what} {value} at position {place} is beyond int64; no table has such a row"
        else:
            fits = "int32" if name in ("Ragged", "Ragged, rows") else "int64"
            error, words = ValueError, f"{argument} must fit {fits}, got {value}"
        with pytest.raises(error, match=f"^{re.escape(words)}$"):
            call(given)


def test_an_id_that_no_dtype_holds_is_out_of_range_in_any_mode():
    for mode in ("raise", "clip", "wrap"):
        with pytest.raises(IndexError, match=r"^id 1180591620717411303424 is beyond int64"):
            fastemb.gather(TABLE, 2**70, mode=mode)
        with pytest.raises(IndexError, match=r"^id -9223372036854775809 at position \(1, 0\) is beyond int64"):
            fastemb.gather(TABLE, [[0], [-(2**63) - 1]], mode=mode)
    assert fastemb.gather(TABLE, [2**63], mode="clip").shape == (1, 4)  # uint64, as NumPy reads it
    for largest in (2**63 - 1, -(2**63)):
        with pytest.raises(TypeError, match=r"got an array of dtype object that holds int; give numpy\.asarray\(ids"):
            fastemb.gather(TABLE, np.array([0, largest], object))
        with pytest.raises(IndexError, match=r"at position 1 is beyond int64"):
            fastemb.gather(TABLE, np.array([0, largest + (1 if largest > 0 else -1)], object))
    with pytest.raises(TypeError, match=r"^ids must have an integer dtype, got a list of objects that holds bool$"):
        fastemb.gather(TABLE, [2**70, True])


MASKS = {
    "embed": lambda mask: fastemb.embed(TABLE, IDS, mask=mask),
    "embed_backward": lambda mask: fastemb.embed_backward(X, TABLE, IDS, mask=mask),
    "embedding_bag": lambda mask: fastemb.embedding_bag(TABLE, IDS, mask=mask),
    "embedding_bag_backward": lambda mask: fastemb.embedding_bag_backward(GRAD, TABLE, IDS, mask=mask),
    "pool": lambda mask: fastemb.pool(X, mask),
    "pool_backward": lambda mask: fastemb.pool_backward(GRAD, X, mask),
}


@pytest.mark.parametrize("name", MASKS)
def test_what_is_no_mask(name):
    floats = "; give mask != 0, or mask == 0 where it is added to scores, so that 0 keeps"
    for given, words in (
        (np.ones((2, 3)), f"dtype float64{floats}"),
        (np.ones((2, 3), ml_dtypes.bfloat16), f"dtype bfloat16{floats}"),
        (np.ones((2, 3), object), "an array of dtype object that holds int; give an array of bools"),
        ([["1", "0"]], "strings (dtype <U1); give an array of bools"),
        ({"attention_mask": [1]}, "dict; give one of its values"),
    ):
        expected = f"mask must have dtype bool or an integer dtype, got {words}"
        with pytest.raises(TypeError, match=f"^{re.escape(expected)}$"):
            MASKS[name](given)
    with pytest.raises(TypeError, match=r"^mask is a fastemb\.ragged\.Ragged that NumPy cannot read: .*give \.ids and"):
        MASKS[name](Ragged([0], [0, 1]))
    for fine in (np.ones((2, 3), bool), np.ones((2, 3), "u1"), np.ones((2, 3), "i8").tolist()):
        MASKS[name](fine)


# Options -----------------------------------------------------------------------------------------------------------


def test_other_libraries_norms():
    layer, rms = type("LayerNorm", (), {}), type("LlamaRMSNorm", (), {})
    ours, theirs, plain = layer(), rms(), layer()
    ours.weight, ours.bias, ours.eps = TABLE[0], TABLE[0], 1e-5
    theirs.weight, theirs.variance_epsilon = TABLE[0], 1e-6
    plain.weight, plain.bias, plain.eps = TABLE[0], None, 1e-5
    parts = "; give LayerNorm(weight, bias, eps) or RMSNorm(weight, eps), of arrays of one number for each column"
    for norm, words in (
        (ours, "LayerNorm; give fastemb.LayerNorm(norm.weight, norm.bias, norm.eps)"),
        (plain, "LayerNorm; give fastemb.LayerNorm(norm.weight, None, norm.eps)"),
        (theirs, "LlamaRMSNorm; give fastemb.RMSNorm(norm.weight, norm.variance_epsilon)"),
        (TABLE[0], "numpy.ndarray" + parts),
        (LayerNorm, "type" + parts),
        ("layer", "str" + parts),
    ):
        for call in (
            lambda norm: fastemb.embed(TABLE, IDS, norm=norm),
            lambda norm: fastemb.embed_backward(X, TABLE, IDS, norm=norm),
        ):
            with pytest.raises(TypeError, match=r"^norm must be a fastemb\.LayerNorm or RMSNorm, got") as caught:
                call(norm)
            assert str(caught.value).endswith(words)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("normalize", lambda flag: fastemb.pool(X, normalize=flag)),
        ("normalize", lambda flag: fastemb.pool_backward(GRAD, X, normalize=flag)),
        ("normalize", lambda flag: fastemb.embedding_bag(TABLE, IDS, normalize=flag)),
        ("normalize", lambda flag: fastemb.embedding_bag_backward(GRAD, TABLE, IDS, normalize=flag)),
        ("scale_grad_by_freq", lambda flag: fastemb.row_grad(IDS, X, scale_grad_by_freq=flag)),
        ("scale_grad_by_freq", lambda flag: fastemb.embed_backward(X, TABLE, IDS, scale_grad_by_freq=flag)),
        ("scale_grad_by_freq", lambda f: fastemb.embedding_bag_backward(GRAD, TABLE, IDS, scale_grad_by_freq=f)),
        ("interleaved", lambda flag: fastemb.rope(X, interleaved=flag)),
        ("inverse", lambda flag: fastemb.rope(X, inverse=flag)),
    ],
)
def test_options_that_are_on_or_off(name, call):
    for wrong in ("no", "", np.array([1, 2]), np.array(["a", "b"])):
        with pytest.raises(TypeError, match=f"^{name} must be a bool, got {re.escape(repr(wrong))}$"):
            call(wrong)
    for fine in (True, np.False_, 1, 0, None, np.array(True)):
        call(fine)


def test_numbers():
    for wrong, words in (
        (np.ones(1), "numpy.ndarray; give scale.item()"),
        (np.array(1.0), "numpy.ndarray; give scale.item()"),
        (np.ones(2), "numpy.ndarray"),
        ("2", "str"),
        (None, "None"),
    ):
        with pytest.raises(TypeError, match=f"^{re.escape('scale must be a real number, got ' + words)}$"):
            fastemb.embed(TABLE, IDS, scale=wrong)
    for wrong in (np.ones(1), np.ones(2), 2.0, None, "2", True):
        with pytest.raises(
            TypeError, match=rf"^k must be an integer, got \S*{type(wrong).__name__.replace('Type', '')}"
        ):
            fastemb.topk(TABLE, TABLE, wrong)


def test_values_are_shown_short():
    for value, words in (
        (5, "5"),
        ("a" * 98, repr("a" * 98)),
        ([0] * 1000, f"{str([0] * 1000)[:100]}..."),
        (10**5000, "an int of 16610 bits"),  # which Python refuses to write
    ):
        assert _words.shown(value) == words
    with pytest.raises(ValueError, match=r"got an int of 16610 bits$"):
        fastemb.gather(TABLE, IDS, mode=10**5000)
    with pytest.raises(IndexError, match=r"^id an int of 16610 bits at position 0 is beyond int64"):
        fastemb.gather(TABLE, [10**5000])

"""The seam: one room a device with the same names in each, no value looked at above it, no climbing back."""

import ast
import functools
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from arrays import codes_of

import fastemb
from fastemb import _checks, _devices, _frameworks

PACKAGE = Path(fastemb.__file__).parent
#: The twins of each family: in every room the same names with the same parameters.
TWINS = {
    "embedding": {"embed": ["embeds", "out"], "embed_backward": ["embeds", "grad"]},
    "gradient": {
        "row_grad": ["ids", "grad", "skip", "by_count"],
        "scatter_add": ["target", "ids", "rows", "alpha", "mode"],
    },
    "lookup": {"gather": ["table", "ids", "mode", "out"]},
    "optim": {
        "new_state": ["table", "shape", "value"],
        "step": ["table", "ids", "given", "update"],
        "step_from": ["table", "ids", "grad", "skip", "update"],
    },
    "pooling": {"reduce": ["bags", "out"], "reduce_backward": ["bags", "grad"], "normalize": ["x", "out"]},
    "position": {"rope": ["x", "position_ids", "base", "inv_freq", "scale", "interleaved", "inverse", "out"]},
    "quantized": {
        "quantize": ["table", "bits"],
        "dequantize": ["table"],
        "as_part": ["array"],
        "check_finite": ["scale", "offset"],
    },
    "search": {"topk": ["queries", "vectors", "k", "metric"]},
}
#: What no array of the caller decides: NumPy's arrays are made of sizes, by the CPU's room alone.
ONLY_HERE = {"lookup": {"prefetch"}, "position": {"rope_frequencies", "sinusoidal", "alibi"}}


def parameters_of(file, name):
    """Return the parameters of a function by its source, as a room's compiler need not be installed."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node.args
        if isinstance(node, ast.ImportFrom) and node.level == 1 and name in {alias.name for alias in node.names}:
            return parameters_of(file.with_name(f"{node.module}.py"), name)
    raise AssertionError(f"{file} has no {name}")


@pytest.mark.parametrize("family", TWINS)
@pytest.mark.parametrize("device", _devices.ROOMS)
def test_twins_have_the_same_names_and_parameters(device, family):
    file = PACKAGE / _devices.ROOMS[device].package.removeprefix("fastemb.") / f"{family}.py"
    for name, parameters in TWINS[family].items():
        found = parameters_of(file, name)
        assert [one.arg for one in found.args] == parameters
        others = [found.defaults, found.posonlyargs, found.kwonlyargs, found.vararg, found.kwarg]
        assert not any(others), f"{name} is called by place, with all of them"


def test_public_files_ask_rooms_for_twins_and_small_calls_alone():
    """What a public file calls on a room is a twin or a small path: so a second device needs nothing else."""
    for family, twins in TWINS.items():
        tree = ast.parse((PACKAGE / f"{family}.py").read_text(encoding="utf-8"))
        asked = {
            (node.value.func.attr, node.attr, ast.unparse(node.value.args[0]))
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Call)
            and isinstance(node.value.func, ast.Attribute)
            and ast.unparse(node.value.func.value) == "_devices"
        }
        assert asked
        assert {room for room, _, _ in asked} == {family}
        names = {name for _, name, array in asked if array != "None"}
        assert {name for name in names if not name.startswith("small_")} <= set(twins)
        assert {name for _, name, array in asked if array == "None"} == ONLY_HERE.get(family, set())


# A device that is not there ---------------------------------------------------------------------------------------


def on_device(*shape, dtype="f4", pointer=64):
    """Return an array of a device that is not there: whoever looks at a value fails."""
    strides = [int(np.prod(shape[k + 1 :])) * np.dtype(dtype).itemsize for k in range(len(shape))]
    return _frameworks.DeviceArray("stub", pointer, shape, tuple(strides), np.dtype(dtype), 7, None)


@pytest.fixture
def stub(monkeypatch):
    """A room whose twins keep what they are asked and answer by their name; returns what they were asked."""
    seen = []
    room = _devices.Room("a package that is not there")
    monkeypatch.setitem(_devices.ROOMS, "stub", room)
    for family, twins in TWINS.items():
        room[family] = types.SimpleNamespace()
        for name in twins:
            answer = lambda *given, name=name: seen.append((name, given)) or ANSWERS.get(name, name)  # noqa: E731
            setattr(room[family], name, answer)
    return seen


ANSWERS = {
    "new_state": on_device(50, 24, pointer=1 << 24),
    "reduce_backward": (("ids", "rows"), None),
    "row_grad": ("ids", "rows"),
    "embed_backward": (("ids", "rows"), "positions", None, None),
    "topk": ("scores", "ids"),
    "quantize": (on_device(50, 24, dtype="u1"), on_device(50), on_device(50)),
}


def test_pools_and_bags_of_a_second_device(stub):
    table, ids, offsets = on_device(50, 24), on_device(15, dtype="i4"), on_device(4, dtype="i8")
    assert fastemb.embedding_bag(table, ids, offsets, mode="mean_max", padding_idx=3) == "reduce"
    bags, out = stub[0][1]
    assert (bags.shape, bags.dtype, bags.padding_idx, out) == ((3, 48), np.float32, 3, None)
    x, mask, out = on_device(3, 5, 24, dtype="f2"), on_device(3, 5, dtype="?"), on_device(3, 24, pointer=1 << 20)
    assert fastemb.pool(x, mask, weights=on_device(3, 5), normalize=True, out=out) is out
    assert stub[1][1][1] is out
    assert fastemb.pool(x, lengths=on_device(3, dtype="i8")) == "reduce"
    assert fastemb.pool(x) == "reduce"
    assert fastemb.pool_backward(out, x).x == ("ids", "rows")
    assert fastemb.normalize(x) == "normalize"
    assert fastemb.normalize(x, out=x) is x
    assert fastemb.embedding_bag_backward(out, table, ids, offsets).table.rows == "rows"
    with pytest.raises(ValueError, match="out overlaps x in memory"):
        fastemb.pool(x, out=on_device(3, 24, pointer=100))
    with pytest.raises(ValueError, match=r"out must have shape \(3, 24\), got \(2, 24\)"):
        fastemb.pool(x, out=on_device(2, 24))
    with pytest.raises(TypeError, match="ids must have an integer dtype"):
        fastemb.embedding_bag(table, on_device(15), offsets)
    with pytest.raises(TypeError, match="x must have dtype float64"):
        fastemb.pool(on_device(3, 5, 24, dtype="i4"))


def test_lookups_and_gradients_of_a_second_device(stub):
    table, ids = on_device(50, 24), on_device(3, 5, dtype="i8", pointer=1 << 16)
    assert fastemb.gather(table, ids) == "gather"
    assert fastemb.gather(table, ids, mode="clip", out=(out := on_device(3, 5, 24, pointer=1 << 20))) is out
    with pytest.raises(ValueError, match="out overlaps ids in memory"):
        fastemb.gather(table, ids, out=on_device(3, 5, 24, pointer=1 << 16))
    with pytest.raises(TypeError, match="out must have the table's dtype"):
        fastemb.gather(table, ids, out=on_device(3, 5, 24, dtype="f8"))
    grad = on_device(3, 5, 24, pointer=1 << 20)
    assert fastemb.row_grad(ids, grad, padding_idx=7) == ("ids", "rows")
    assert stub[-1][1][2:] == (7, False)
    assert fastemb.scatter_add(table, ids, grad, alpha=-1) is table
    with pytest.raises(ValueError, match="target overlaps rows in memory"):
        fastemb.scatter_add(table, ids, on_device(3, 5, 24, pointer=128))
    with pytest.raises(ValueError, match="grad must have shape"):
        fastemb.row_grad(ids, table)


def test_optimizers_of_a_second_device(stub):
    table, ids = on_device(50, 24, dtype="f2"), on_device(3, 5, dtype="i8", pointer=1 << 16)
    grad, optimizer = on_device(3, 5, 24, pointer=1 << 20), fastemb.Adam(weight_decay=0.5)
    assert optimizer.step_from(table, ids, grad, padding_idx=7) is table
    assert [name for name, _ in stub] == ["new_state", "new_state", "step_from"]
    assert stub[0][1] == (table, (50, 24), 0.0)
    update = stub[2][1][4]
    assert stub[2][1][:4] == (table, ids, grad, 7)
    assert (update.first, update.second, update.decay, update.key) == (*[ANSWERS["new_state"]] * 2, 0.5, None)
    rows = fastemb.RowGrad(on_device(5, dtype="i4", pointer=1 << 16), on_device(5, 24, pointer=1 << 20))
    assert optimizer.step(table, rows, check_finite=True) is table
    assert stub[3][1][:3] == (table, *rows)
    assert stub[3][1][3].check_finite
    assert optimizer.steps == 2
    with pytest.raises(ValueError, match=r"table overlaps row_grad\.rows in memory"):
        optimizer.step(table, (rows.ids, on_device(5, 24, pointer=128)))
    with pytest.raises(TypeError, match=r"^rows is on the CPU and table on stub:0"):
        optimizer.step(table, (rows.ids, np.ones((5, 24), "f4")))


def test_embeds_of_a_second_device(stub):
    table, ids = on_device(50, 24, dtype="f2"), on_device(3, 5, dtype="i8", pointer=1 << 16)
    positions, weight, out = on_device(9, 24), on_device(24), on_device(3, 5, 24, pointer=1 << 20)
    norm = fastemb.LayerNorm(weight, on_device(24, dtype="f8"), 1e-6)
    given = {
        "positions": positions,
        "segments": on_device(2, 24),
        "segment_ids": on_device(5, dtype="u1"),
        "norm": norm,
    }
    assert fastemb.embed(table, ids, **given, scale=3) == "embed"
    embeds, target = stub[0][1]
    assert (embeds.shape, embeds.dtype, embeds.scale, target) == ((3, 5, 24), np.float16, 3.0, None)
    assert embeds.norm == ("layer", weight, norm.bias, 1e-6)
    assert fastemb.embed(table, ids, norm=fastemb.RMSNorm(weight), out=out) is out
    assert stub[1][1][0].norm == ("rms", weight, None, 1e-6)
    assert stub[1][1][1] is out
    found = fastemb.embed_backward(out, table, ids, **given, padding_idx=3)
    assert found == (("ids", "rows"), "positions", None, None)
    assert stub[2][1][0].padding_idx == 3
    assert stub[2][1][1] is out
    with pytest.raises(ValueError, match="positions must have at least 5 rows for these ids, got 4"):
        fastemb.embed(table, ids, positions=on_device(4, 24))
    with pytest.raises(ValueError, match=r"segment_ids must broadcast to the shape of ids, \(3, 5\), got \(4,\)"):
        fastemb.embed(table, ids, segments=positions, segment_ids=on_device(4, dtype="i8"))
    with pytest.raises(TypeError, match=r"norm\.weight must have dtype float64"):
        fastemb.embed(table, ids, norm=fastemb.RMSNorm(on_device(24, dtype="i4")))
    with pytest.raises(ValueError, match=r"out overlaps norm\.weight in memory"):
        fastemb.embed(table, ids, norm=fastemb.RMSNorm(on_device(24, pointer=(1 << 20) + 8)), out=out)
    with pytest.raises(ValueError, match=r"grad must have shape \(3, 5, 24\) as the result of embed has"):
        fastemb.embed_backward(table, table, ids)


def test_positions_and_searches_of_a_second_device(stub):
    x, ids, out = on_device(2, 5, 8, dtype="f2"), on_device(5, dtype="i8"), on_device(2, 5, 8, pointer=1 << 20)
    assert fastemb.rope(x) == "rope"
    assert fastemb.rope(x, ids, base=500, interleaved=1, inverse=1, out=out) is out
    assert [given for _, given in stub] == [
        (x, None, 1e4, None, 1.0, False, False, None), (x, ids, 500.0, None, 1.0, True, True, out)
    ]  # fmt: skip
    with pytest.raises(ValueError, match="out overlaps x in memory"):
        fastemb.rope(x, out=on_device(2, 5, 8, pointer=100))
    queries, vectors = on_device(3, 24, dtype="f2"), on_device(50, 24)
    assert fastemb.topk(queries, vectors, 7, metric="l2") == ("scores", "ids")
    assert stub[-1][1] == (queries, vectors, 7, "l2")
    with pytest.raises(ValueError, match="number of vectors, 50, got 51"):
        fastemb.topk(queries, vectors, 51)


def test_codes_of_a_second_device(stub):
    _devices.ROOMS["stub"]["quantized"].as_part = lambda array: array
    table = fastemb.quantize(on_device(50, 24, dtype="f2"))
    assert (table.shape, table.nbytes, table.kernel_args) == ((50, 24), 1600, None)
    assert table.dequantize() == "dequantize"
    assert fastemb.gather(table, on_device(2, dtype="i8")) == "gather"
    assert fastemb.embedding_bag(table, on_device(3, 5, dtype="i8")) == "reduce"
    fastemb.QuantizedTable(table.codes, table.scale, table.offset, (50, 24))
    assert stub[-1] == ("check_finite", (table.scale, table.offset))
    with pytest.raises(
        TypeError, match=r"^scale is on the CPU and codes on stub:0: arrays of one call must be on one device"
    ):
        fastemb.QuantizedTable(table.codes, np.ones(50, "f4"), table.offset, (50, 24))


def test_a_device_has_read_only_and_strided_arrays():
    array = on_device(3, 4)
    assert _checks.is_contiguous(array)
    assert _checks.is_writeable(array)
    assert not _checks.is_writeable(array._replace(writeable=False))
    assert not _checks.is_contiguous(array._replace(strides=(32, 4)))
    assert not _checks.overlaps_itself(array._replace(strides=(32, 4)))
    assert _checks.overlaps_itself(array._replace(strides=(0, 4)))
    assert on_device(3, 4)._replace(strides=(-16, 4)).bounds() == (32, 80)


def test_numpy_pays_for_no_framework():
    assert _frameworks.of(np.zeros(3)) is None


# Floors -----------------------------------------------------------------------------------------------------------

TOOLBOXES = {"_checks", "_cpu/arrays", "_memory", "_threads", "_frameworks"}
T, IDS = np.random.default_rng(0).standard_normal((50, 24), np.float32), np.arange(16).reshape(2, 8)
X, MASK, OFFSETS = T[:16].reshape(2, 8, 24), np.ones((2, 8), bool), np.array([0, 4, 16])
model = functools.cache(fastemb.StaticModel.load)
NORM, CODES = fastemb.LayerNorm(np.ones(24, np.float32)), codes_of(T)
SMALL = {
    "gather": lambda: fastemb.gather(T, IDS),
    "gather of codes": lambda: fastemb.gather(CODES, IDS),
    "embedding_bag": lambda: fastemb.embedding_bag(T, IDS.reshape(-1), OFFSETS),
    "embedding_bag, 2-D": lambda: fastemb.embedding_bag(T, IDS, mode="max"),
    "pool": lambda: fastemb.pool(X),
    "pool, mask": lambda: fastemb.pool(X, MASK),
    "normalize": lambda: fastemb.normalize(T),
    "embed": lambda: fastemb.embed(T, IDS, positions=T),
    "rope": lambda: fastemb.rope(X),
    "embed, norm": lambda: fastemb.embed(T, IDS, positions=T, norm=NORM),
    "row_grad": lambda: fastemb.row_grad(IDS, X),
    "scatter_add": lambda: fastemb.scatter_add(T.copy(), IDS, X),
    "topk": lambda: fastemb.topk(T[0], T, 3),
    "quantize": lambda: fastemb.quantize(T),
    "StaticModel.encode": lambda: model().encode("a b", normalize=False),
    "StaticModel.encode, few": lambda: model().encode(["a b", "c"], normalize=False),
}
GENERAL = {
    "gather": lambda: fastemb.gather(T, IDS, mode="clip"),
    "embedding_bag": lambda: fastemb.embedding_bag(T, IDS, mask=MASK, mode="mean_max", normalize=True),
    "embedding_bag_backward": lambda: fastemb.embedding_bag_backward(T[:2], T, IDS, mode="max"),
    "pool": lambda: fastemb.pool(X, MASK, weights=np.ones((2, 8))),
    "pool_backward": lambda: fastemb.pool_backward(T[:2], X, MASK, mode="max", normalize=True),
    "normalize": lambda: fastemb.normalize(T, out=np.empty_like(T)),
    "embed": lambda: fastemb.embed(T, IDS, positions=T, segments=T, norm=NORM),
    "embed_backward": lambda: fastemb.embed_backward(X, T, IDS, positions=T, norm=NORM),
    "row_grad": lambda: fastemb.row_grad(IDS.astype("u1"), X),
    "scatter_add": lambda: fastemb.scatter_add(T.copy(), IDS, X, mode="clip"),
    "Adam.step": lambda: fastemb.Adam().step(T.copy(), fastemb.row_grad(IDS, X)),
    "Adam.step_from": lambda: fastemb.Adam().step_from(T.copy(), IDS, X),
    "rope": lambda: fastemb.rope(X, out=X.copy()),
    "topk": lambda: fastemb.topk(T[:2], T.astype("f2"), 3),
    "quantize": lambda: fastemb.quantize(T.astype("f8")),
}


def place(frame):
    """Return the file of a frame below the package, without suffix; this test's own name for all others."""
    name = frame.f_code.co_filename if frame else ""
    return (
        name.removeprefix(f"{PACKAGE}/").removesuffix(".py").removesuffix("/__init__")
        if name.startswith(str(PACKAGE))
        else __name__
    )


def walk(call):
    """Call, and return the pairs of files between which calls went: (caller, callee).

    Numba tells a profiler of kernels as well: they count as their files.
    """
    call(), call()  # imports, compiles, and makes notes
    seen = []

    def note(frame, event, argument):
        if event == "call" and place(frame) != __name__:
            seen.append((place(frame.f_back), place(frame)))

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return seen


def floor(file):
    if file.startswith("_cpu"):
        return 4 if "kernels" in file else 3
    return {"_bags": 1, "_embeds": 1, "_devices": 2}.get(file, 0)


@pytest.mark.parametrize("name", SMALL)
def test_a_small_call_enters_four_files_at_most(name):
    files = {there for _, there in walk(SMALL[name])}
    assert len(files) <= 4, files


@pytest.mark.parametrize("name", GENERAL)
def test_the_general_road_enters_eight_files_and_climbs_to_no_floor_above(name):
    """Files of Python, that is: kernels, machine code at the end of the road, count for the floors alone."""
    steps = walk(GENERAL[name])
    files = {there for _, there in steps if "kernels" not in there} - TOOLBOXES
    assert len(files) <= 8, files
    for here, there in steps:
        if not TOOLBOXES & {here, there} and here != __name__:
            assert floor(here) <= floor(there), f"{here} calls {there}, which stands above it"

"""Programs of JAX around fastemb.jax: vmap, scan, remat, threads, exports, and what a process does at its end."""

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

import jax_cases as cases
import numpy as np
import pytest
from arrays import by_eight_callers, same_bits

import fastemb
from fastemb import LayerNorm

jax = pytest.importorskip("jax", reason="the package jax is not installed")
jnp = jax.numpy

import fastemb.jax as fj  # noqa: E402
from fastemb._cpu.kernels import ffi, jit  # noqa: E402

TABLE, POSITIONS, WEIGHT = (jnp.asarray(array, "f4") for array in (cases.TABLE, cases.POSITIONS, cases.WEIGHT))
N = 3
_random = np.random.default_rng(11)
IDS = jnp.asarray(_random.integers(0, cases.V, (N, cases.S, cases.T)))
MASK = jnp.asarray(_random.random(IDS.shape) > 0.3)
X = jnp.asarray(_random.standard_normal((N, *cases.TURNED.shape)), "f4")
PLACES = jnp.asarray(_random.integers(0, 50, (N, 2, 7)))
OFFSETS = jnp.asarray([[0, 4, 30], [0, 30, 30], [0, 0, 30]])

#: Functions of some arguments, the arguments of a batch, and whether it is one call (else it is a loop).
BATCHES = {
    "gather": (lambda ids: fj.gather(TABLE, ids), (IDS,), True),
    "gather of tables": (fj.gather, (jnp.stack([TABLE, TABLE + 1, TABLE + 2]), IDS), False),
    "embed": (lambda ids: fj.embed(TABLE, ids, positions=POSITIONS, norm=LayerNorm(WEIGHT)), (IDS,), True),
    "embed masked": (lambda ids, mask: fj.embed(TABLE, ids, positions=POSITIONS, mask=mask), (IDS, MASK), True),
    "embed masks": (lambda mask: fj.embed(TABLE, IDS[0], positions=POSITIONS, mask=mask), (MASK,), True),
    "embed places": (
        lambda ids, places: fj.embed(TABLE, ids, positions=POSITIONS, position_ids=places), (IDS, IDS[:, 0] % 9), True
    ),
    "embed same places": (
        lambda ids: fj.embed(TABLE, ids, positions=POSITIONS, position_ids=IDS[0, 0] % 9), (IDS,), True
    ),
    "embed single ids": (
        lambda one: fj.embed(TABLE, one, positions=POSITIONS, position_ids=one % 9), (IDS[:, 0, 0],), True
    ),
    "embed norms": (lambda weight: fj.embed(TABLE, IDS[0], norm=LayerNorm(weight)), (TABLE[:N],), False),
    "bags": (lambda ids, mask: fj.embedding_bag(TABLE, ids, mask=mask, mode="max"), (IDS, MASK), True),
    "bags of weights": (
        lambda weights: fj.embedding_bag(TABLE, IDS[0], weights=weights),
        (X.reshape(N, -1)[:, :30].reshape(IDS.shape),),
        True,
    ),
    "ragged bags": (lambda ids, offsets: fj.embedding_bag(TABLE, ids.reshape(-1), offsets), (IDS, OFFSETS), False),
    "pool": (lambda x, mask: fj.pool(TABLE[x], mask, mode="mean_max"), (IDS, MASK), True),
    "pool lengths": (lambda x, lengths: fj.pool(TABLE[x], lengths=lengths), (IDS, IDS[:, :, 0] % 6), True),
    "pool masks": (lambda mask: fj.pool(TABLE[IDS[0]], mask), (MASK,), False),
    "rope": (fj.rope, (X,), True),
    "rope places": (fj.rope, (X, PLACES), True),
    "rope same places": (lambda x: fj.rope(x, PLACES[0]), (X,), True),
    "rope of three axes": (lambda x: fj.rope(x, PLACES[0, :1]), (X[:, 0],), True),
    "gradient of pool": (
        lambda x, mask: jax.grad(lambda x: (fj.pool(x, mask, mode="max") ** 2).sum())(x), (TABLE[IDS], MASK), True
    ),
    "gradient of a table": (
        lambda ids: jax.grad(lambda table: (fj.embedding_bag(table, ids) ** 2).sum())(TABLE), (IDS,), False
    ),
    "gradient of ids' rows": (
        lambda ids: jax.grad(lambda table: (fj.gather(table, ids) ** 2).sum())(TABLE), (IDS,), False
    ),
    "row_grad": (lambda ids: fj.row_grad(ids, TABLE[ids], size=30), (IDS,), False),
}  # fmt: skip


@pytest.mark.parametrize("case", BATCHES)
def test_vmap(case):
    call, given, folded = BATCHES[case]
    found = jax.vmap(call)(*given)
    for k in range(N):
        one = call(*(array[k] for array in given))
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(one), strict=True):
            assert same_bits(np.asarray(a)[k], np.asarray(b))
    words = str(jax.make_jaxpr(jax.vmap(call))(*given))
    assert ("scan[" in words) != folded


def test_vmap_of_vmap_and_along_other_axes():
    ids = IDS.reshape(N, 2, 3, cases.T)
    found = jax.vmap(jax.vmap(lambda ids: fj.embedding_bag(TABLE, ids)), in_axes=2, out_axes=1)(ids)
    bags = np.asarray(ids).transpose(0, 2, 1, 3).reshape(-1, cases.T)
    expected = fastemb.embedding_bag(np.asarray(TABLE), bags).reshape(N, 3, 2, cases.D)
    assert same_bits(np.asarray(found), expected)


def test_scan_and_remat_and_programs_in_programs():
    @jax.checkpoint
    def loss(table, ids):
        rows = fj.embed(table, ids, positions=POSITIONS, norm=LayerNorm(WEIGHT))
        return (fj.pool(fj.rope(rows), mode="mean") ** 2).sum()

    @jax.jit
    def train(table):
        def step(table, ids):
            value, grad = jax.value_and_grad(loss)(table, ids)
            return table - 0.1 * grad, value

        return jax.lax.scan(step, table, IDS)

    table, values = train(TABLE)
    here = TABLE
    for ids, value in zip(IDS, values, strict=True):
        assert same_bits(np.asarray(jax.jit(loss)(here, ids)), np.asarray(value))
        here = here - 0.1 * jax.jit(jax.grad(loss))(here, ids)
    np.testing.assert_allclose(table, here, rtol=1e-6, atol=1e-6)
    assert values[0] > 0


def test_many_callers_at_once():
    program = jax.jit(lambda ids: fj.embedding_bag(TABLE.astype(jnp.bfloat16), ids, normalize=True))
    expected = [np.asarray(program(ids)) for ids in IDS]
    found = by_eight_callers(lambda ids: np.asarray(program(ids)), [(ids,) for ids in IDS] * 8)
    assert all(same_bits(one, expected[k % N]) for k, one in enumerate(found))


def test_on_several_devices_of_the_cpu():
    code = """
import os
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
import jax, jax.numpy as jnp, numpy as np, fastemb, fastemb.jax as fj
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
table, ids = np.random.rand(50, 8).astype("f4"), np.random.randint(0, 50, (8, 5))
mesh = Mesh(np.array(jax.devices()), ("b",))
expected = fastemb.embedding_bag(table, ids, normalize=True)
call = lambda table, ids: fj.embedding_bag(table, ids, normalize=True)
shards = jax.jit(jax.shard_map(call, mesh=mesh, in_specs=(P(), P("b")), out_specs=P("b")))
assert np.array_equal(shards(table, ids), expected)
there = jax.device_put(ids, NamedSharding(mesh, P("b")))
assert np.array_equal(jax.jit(call)(jax.device_put(table, NamedSharding(mesh, P())), there), expected)
print("good")
"""
    assert run(code) == "good\n"


def test_gradients_on_several_devices():
    """What all devices share has the sum of what each of them gives, as with functions of JAX."""
    code = """
import os
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
import jax, jax.numpy as jnp, numpy as np, fastemb.jax as fj
from fastemb import LayerNorm
from jax.sharding import Mesh, PartitionSpec as P
random = np.random.default_rng(1)
given = [jnp.asarray(random.standard_normal(shape), "f4") for shape in ((50, 8), (9, 8), (8,), (8, 5))]
ids = jnp.asarray(random.integers(0, 50, (8, 5)))
def loss(table, positions, weight, weights, ids):
    rows = fj.rope(fj.embed(table, ids, positions=positions, norm=LayerNorm(weight)))
    bags = fj.embedding_bag(table, ids, weights=weights)
    return (fj.pool(rows, mode="max") ** 2).sum() + ((fj.gather(table, ids).sum(1) * bags) ** 2).sum()
places = P(), P(), P(), P("b"), P("b")
mesh = Mesh(np.array(jax.devices()), ("b",))
def spread(function, out):
    return jax.jit(jax.shard_map(function, mesh=mesh, in_specs=places, out_specs=out))
every = (0, 1, 2, 3)
whole = spread(lambda *arrays: jax.lax.psum(loss(*arrays), "b"), P())
expected = jax.grad(loss, every)(*given, ids)
for found in jax.grad(whole, every)(*given, ids), spread(jax.grad(loss, every), places[:4])(*given, ids):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
found = jax.shard_map(
    lambda ids: jax.tree.map(lambda one: one[None], fj.row_grad(ids, jnp.ones((2, 5, 3)), size=12)),
    mesh=mesh, in_specs=P("b"), out_specs=P("b"),
)(ids)
assert found.rows.shape == (4, 12, 3)
print("good")
"""
    assert run(code) == "good\n"


# Exports and handlers ---------------------------------------------------------------------------------------------


def run(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )
    assert not done.returncode, done.stderr
    return done.stdout


def test_exported_programs(tmp_path):
    checks = [jax.export.DisabledSafetyCheck.custom_call(name) for name in fj.register()]

    def program(table, ids):
        return fj.embedding_bag(table, ids), fj.embed(table, ids, mask=ids > 3)

    exported = jax.export.export(jax.jit(program), disabled_checks=checks)(TABLE, IDS[0])
    expected = [np.asarray(one) for one in program(TABLE, IDS[0])]
    assert all(map(same_bits, map(np.asarray, exported.call(TABLE, IDS[0])), expected))
    pytest.importorskip("flatbuffers", reason="JAX writes exported programs by the package flatbuffers")
    (tmp_path / "program").write_bytes(exported.serialize())
    np.savez(tmp_path / "arrays.npz", table=TABLE, ids=IDS[0], bags=expected[0], rows=expected[1])
    code = """
import sys, jax, numpy as np, fastemb.jax
fastemb.jax.register()
here = np.load(sys.argv[2])
with open(sys.argv[1], "rb") as file:
    bags, rows = jax.export.deserialize(file.read()).call(here["table"], here["ids"])
print(np.array_equal(bags, here["bags"]) and np.array_equal(rows, here["rows"]))
"""
    assert run(code, tmp_path / "program", tmp_path / "arrays.npz") == "True\n"


def test_handlers_are_made_once_and_when_asked_for():
    code = """
import sys
import fastemb
assert "jax" not in sys.modules
import jax, jax.numpy as jnp
import fastemb.jax as fj
from fastemb.jax import _calls
assert not _calls._registered
known = []
old = jax.ffi.register_ffi_target
jax.ffi.register_ffi_target = lambda name, *given, **options: (known.append(name), old(name, *given, **options))
table = jnp.ones((3, 2))
for call in (fj.gather, fj.gather, fj.embed): call(table, jnp.array([1]))
print(known)
"""
    assert run(code) == "['fastemb_cpu_gather_v1', 'fastemb_cpu_embed_v1']\n"


@pytest.mark.parametrize(("asker", "told"), [((0, 1), (0, 1)), ((0, 7), (0, 7)), ((1, 2), (0, 0))])
def test_handlers_say_which_version_they_are_of(asker, told):
    fj.register()
    words = ctypes.c_int64
    api = (words * 24)(192, 0, 24, 0, asker[0] | asker[1] << 32)
    metadata = (words * 6)(40, 24, 0, -1, -1)
    extension = (words * 4)(32, 1, 0, ctypes.addressof(metadata))
    frame = (words * 22)(168, ctypes.addressof(extension), ctypes.addressof(api))
    for name in ("all_general", "gather", "reduce", "embed"):
        handler = ctypes.CFUNCTYPE(words, words)(jit.entry_point(getattr(ffi, name)))
        assert handler(ctypes.addressof(frame)) == 0
        assert (metadata[3] & 0xFFFFFFFF, metadata[3] >> 32) == told
        assert metadata[4] & 0xFFFFFFFF == 0
        metadata[3] = metadata[4] = -1


def test_an_exception_before_the_first_line_of_the_road_is_an_error(monkeypatch):
    """As of a handler of signals, which Python calls where a function begins; ctypes returns anything then."""
    said, words = [], ctypes.c_int64
    monkeypatch.setattr(sys, "unraisablehook", lambda what: said.append(what.exc_type))

    def road(asked):
        raise KeyboardInterrupt

    def make_error(given):
        said.append(ctypes.string_at((words * 4).from_address(given)[2]))
        return 77

    functions = ctypes.CFUNCTYPE(None, words)(road), ctypes.CFUNCTYPE(words, words)(make_error)
    of_road, of_errors = (ctypes.cast(one, ctypes.c_void_p).value for one in functions)
    state, ended, interrupted = (words * 2)(), *map(ctypes.create_string_buffer, (b"ended", b"interrupted"))
    gate = ffi.make_gate(*map(ctypes.addressof, (state, ended, interrupted)), of_road)
    api = (words * 7)(0, 0, 0, 0, 0, 0, of_errors)
    frame = (words * 3)(0, 0, ctypes.addressof(api))
    assert gate(ctypes.addressof(frame)) == 77
    assert said == [KeyboardInterrupt, b"interrupted"]
    assert list(state) == [0, 0]
    state[1] = 1
    assert gate(ctypes.addressof(frame)) == 77
    assert said[2:] == [b"ended"]
    assert list(state) == [0, 1]


def test_frames_are_read_where_the_header_says(tmp_path):
    """Compile the header that jaxlib brings, and ask it for the offsets that handlers have as numbers."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler to read XLA's header with")
    fields = {
        "CallFrame": {"extension_start": 1, "api": 2, "args": 5, "rets": 10, "attrs": 15},
        "Args": {"size": 2, "args": 4},
        "Rets": {"size": 2, "rets": 4},
        "Attrs": {"size": 2, "attrs": 5},
        "Buffer": {"dtype": 2, "data": 3, "rank": 4, "dims": 5},
        "ByteSpan": {"ptr": 0, "len": 1},
        "Array": {"data": 2},
        "Extension_Base": {"type": 1, "next": 2},
        "Metadata_Extension": {"metadata": 3},
        "Metadata": {"api_version.major_version": 3, "traits": 4},
        "Api": {"api_version.major_version": 4, "XLA_FFI_Error_Create": 6},
        "Error_Create_Args": {"message": 2, "errc": 3},
    }
    checks = "".join(
        f'_Static_assert(offsetof(XLA_FFI_{struct}, {field}) == {8 * at}, "{struct}.{field}");\n'
        for struct, places in fields.items()
        for field, at in places.items()
    )
    codes = {"S32": 4, "S64": 5, "PRED": 1, "BF16": 16, "F8E4M3FN": 20}
    codes |= {"F8E4M3": 28, "F8E3M4": 29, "F8E8M0FNU": 33}
    checks += "".join(f'_Static_assert(XLA_FFI_DataType_{name} == {code}, "{name}");\n' for name, code in codes.items())
    errors = {"CANCELLED": 1, "INVALID_ARGUMENT": 3, "RESOURCE_EXHAUSTED": 8, "OUT_OF_RANGE": 11, "INTERNAL": 13}
    checks += "".join(
        f'_Static_assert(XLA_FFI_Error_Code_{name} == {code}, "{name}");\n' for name, code in errors.items()
    )
    source = tmp_path / "offsets.c"
    source.write_text(f'#include <stddef.h>\n#include "xla/ffi/api/c_api.h"\n{checks}')
    command = [compiler, "-std=c11", "-fsyntax-only", "-I", Path(jax.ffi.include_dir()), source]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not done.returncode, done.stderr


END = """
import sys, jax, jax.numpy as jnp, numpy as np
import fastemb.jax as fj
table, ids = jnp.ones((2000, 256)), jnp.asarray(np.random.randint(0, 2000, (2000, 100)))
program = jax.jit(lambda table, ids: fj.embedding_bag(table, ids, mode="max", normalize=True))
program(table, ids).block_until_ready()
kept = []
for k in range(30):
    result = program(table + k, ids)
    if sys.argv[1] == "keep":
        kept.append(result)
del result
print("end")
"""


@pytest.mark.parametrize("what", ["keep", "drop"])
def test_a_process_ends_while_calls_are_on_their_way(what):
    """XLA waits for its threads at the end and holds the GIL: none of them may wait for it."""
    assert run(END, what) == "end\n"


def test_what_a_process_does_at_its_end_may_call_us():
    code = """
import atexit, jax.numpy as jnp, fastemb.jax as fj
x = jnp.ones((2, 4))
atexit.register(lambda: print(fj.rope(x)[0, 0]))
fj.rope(x).block_until_ready()
"""
    assert run(code) == "1.0\n"


def test_interrupts():
    """Ctrl-C in a program whose calls are made by the main thread: nearly always while that is not in Python."""
    code = """
import signal, jax, jax.numpy as jnp, fastemb.jax as fj
jax.config.update("jax_cpu_enable_async_dispatch", False)
x, wide = jnp.ones((8, 64)), jnp.ones((300, 300))
def step(_, both):
    return fj.rope(both[0]), jnp.sin(both[1] @ both[1])
program = jax.jit(lambda *both: jax.lax.fori_loop(0, 10**7, step, both)[0]).lower(x, wide).compile()
signal.signal(signal.SIGALRM, signal.default_int_handler)
for k in range(5):
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        program(x, wide)
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        print("CANCELLED: interrupted by" in str(error) or "INTERNAL: KeyboardInterrupt" in str(error))
"""
    assert run(code) == "True\n" * 5

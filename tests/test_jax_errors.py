"""What fastemb.jax refuses: when a program is traced by Python's errors, when it runs by XLA's, in the same words."""

import jax_cases as cases
import numpy as np
import pytest

import fastemb
from fastemb import LayerNorm

jax = pytest.importorskip("jax", reason="the package jax is not installed")
jnp = jax.numpy

import fastemb.jax as fj  # noqa: E402
from fastemb.jax import _arrays, _general  # noqa: E402

TABLE = jnp.asarray(cases.TABLE, "f4")
ROWS = np.zeros((3, 4, 8), "f4")

#: Calls that are wrong when they are traced.
TRACED = {
    "float ids": lambda fe: fe.gather(TABLE, jnp.ones(3)),
    "a bool id": lambda fe: fe.embedding_bag(TABLE, jnp.ones((2, 2), bool)),
    "no mode": lambda fe: fe.gather(TABLE, jnp.array([1]), mode="nearest"),
    "no pool mode": lambda fe: fe.pool(jnp.asarray(ROWS), mode="median"),
    "an integer table": lambda fe: fe.embedding_bag(jnp.ones((3, 2), int), jnp.array([[1]])),
    "a wrong shape of weights": lambda fe: fe.embedding_bag(TABLE, jnp.ones((2, 3), int), weights=jnp.ones((2, 2))),
    "weights of a maximum": lambda fe: fe.pool(jnp.asarray(ROWS), weights=jnp.ones((3, 4)), mode="max"),
    "no offsets": lambda fe: fe.embedding_bag(TABLE, jnp.ones(3, int)),
    "offsets of rows": lambda fe: fe.pool(jnp.asarray(ROWS), offsets=jnp.array([0, 3])),
    "a float mask": lambda fe: fe.pool(jnp.asarray(ROWS), jnp.ones((3, 4))),
    "two of three": lambda fe: fe.pool(jnp.asarray(ROWS), jnp.ones((3, 4), int), lengths=jnp.ones(3, int)),
    "a mask of another shape": lambda fe: fe.embed(TABLE, jnp.ones((2, 3), int), mask=jnp.ones((3, 2), bool)),
    "narrow positions": lambda fe: fe.embed(TABLE, jnp.ones((2, 3), int), positions=jnp.ones((9, 4))),
    "few positions": lambda fe: fe.embed(TABLE, jnp.ones((2, 3), int), positions=TABLE[:2]),
    "no norm": lambda fe: fe.embed(TABLE, jnp.ones(3, int), norm=3),
    "a wide norm": lambda fe: fe.embed(TABLE, jnp.ones(3, int), norm=LayerNorm(jnp.ones(9))),
    "no weight": lambda fe: fe.embed(TABLE, jnp.ones(3, int), norm=LayerNorm(None, TABLE[0])),
    "a low eps": lambda fe: fe.embed(TABLE, jnp.ones(3, int), norm=LayerNorm(TABLE[0], eps=-1.0)),
    "an odd width": lambda fe: fe.rope(jnp.ones((2, 3))),
    "places of another shape": lambda fe: fe.rope(jnp.asarray(ROWS), jnp.ones(3)),
    "no base": lambda fe: fe.rope(jnp.asarray(ROWS), base=0.0),
    "few speeds": lambda fe: fe.rope(jnp.asarray(ROWS), inv_freq=jnp.ones(3)),
    "a padding of letters": lambda fe: fe.embedding_bag(TABLE, jnp.array([[1]]), padding_idx="pad"),
}  # fmt: skip


@pytest.mark.parametrize("case", TRACED)
def test_the_words_of_numpys_functions_when_traced(case):
    with pytest.raises((TypeError, ValueError)) as expected:
        TRACED[case](fastemb)
    with pytest.raises(expected.type) as found:
        TRACED[case](fj)
    words = str(expected.value).replace(
        "a numpy.ndarray or an array of another framework", "a jax.Array or a numpy.ndarray"
    )
    assert str(found.value) == words


#: Calls that are wrong when they run, and the kind of error that XLA makes of it.
RUN = {
    "a large id": (lambda fe: fe.gather(TABLE, jnp.array([[1, 77]])), "OUT_OF_RANGE"),
    "an id below 0": (lambda fe: fe.gather(TABLE, jnp.array(-1)), "OUT_OF_RANGE"),
    "no rows": (lambda fe: fe.gather(TABLE[:0], jnp.array([0]), mode="clip"), "OUT_OF_RANGE"),
    "an id of embed": (lambda fe: fe.embed(TABLE, jnp.array([[1, 2], [3, 40]])), "OUT_OF_RANGE"),
    "a position": (
        lambda fe: fe.embed(TABLE, jnp.array([1, 2]), positions=TABLE[:3], position_ids=jnp.array([1, 3])),
        "OUT_OF_RANGE",
    ),
    "an id of a bag": (lambda fe: fe.embedding_bag(TABLE, jnp.array([[1, 2], [3, 40]])), "OUT_OF_RANGE"),
    "offsets that fall": (
        lambda fe: fe.embedding_bag(TABLE, jnp.array([1, 2, 3]), jnp.array([0, 2, 1, 3])), "INVALID_ARGUMENT"
    ),
    "offsets that end": (lambda fe: fe.embedding_bag(TABLE, jnp.array([1, 2]), jnp.array([0, 1])), "INVALID_ARGUMENT"),
    "lengths": (lambda fe: fe.pool(jnp.asarray(ROWS), lengths=jnp.array([1, 5, 2])), "INVALID_ARGUMENT"),
    "speeds": (
        lambda fe: fe.rope(jnp.asarray(ROWS), inv_freq=jnp.array([1, np.inf, 1, 1])), "INVALID_ARGUMENT"
    ),
    "too many kept": (
        lambda fe: fe.embed(TABLE, jnp.ones((2, 3), int), positions=TABLE[:2], mask=jnp.ones((2, 3), int)),
        "INVALID_ARGUMENT",
    ),
}  # fmt: skip


@pytest.mark.parametrize("jitted", [False, True])
@pytest.mark.parametrize("case", RUN)
def test_the_words_of_numpys_functions_when_run(case, jitted):
    call, kind = RUN[case]
    with pytest.raises((IndexError, ValueError)) as expected:
        call(fastemb)
    with pytest.raises((jax.errors.JaxRuntimeError, ValueError)) as found:
        (jax.jit(lambda: call(fj)) if jitted else lambda: call(fj))().block_until_ready()
    assert str(found.value).startswith(f"{kind}: {expected.value}")


def test_in_a_loop_and_backwards():
    @jax.jit
    def loop(ids):
        return jax.lax.scan(lambda total, one: (total + fj.gather(TABLE, one), None), jnp.zeros(cases.D), ids)[0]

    with pytest.raises(Exception, match="OUT_OF_RANGE: id 41 is out of range for a table of 40 rows"):
        loop(jnp.array([1, 41, 2])).block_until_ready()
    grad = jax.jit(jax.grad(lambda table: fj.gather(table, jnp.array([1, 50])).sum()))  # the rows are not needed
    assert "gather_v1" not in grad.lower(TABLE).compile().as_text()
    with pytest.raises(Exception, match="id 50 at position 1 is out of range for a table of 40 rows"):
        grad(TABLE).block_until_ready()


def test_what_is_known_too_late():
    with pytest.raises(TypeError, match=r"norm\.eps must be a number when a program is traced, got a tracer"):
        jax.jit(lambda norm: fj.embed(TABLE, [1], norm=norm))(LayerNorm(TABLE[0], None, 1e-5))
    with pytest.raises(TypeError, match="scale must be a real number"):
        jax.jit(lambda scale: fj.embed(TABLE, [1], scale=scale))(2.0)
    with pytest.raises(TypeError, match="padding_idx must be an integer or None"):
        jax.jit(lambda one: fj.embedding_bag(TABLE, [[1]], padding_idx=one))(2)


def test_no_arrays():
    with pytest.raises(TypeError, match=r"table must be a jax.Array or a numpy.ndarray, got list"):
        fj.gather([[1.0]], [0])
    with pytest.raises(TypeError, match=r"table must be an array, got a QuantizedTable; give table.dequantize\(\)"):
        fj.embedding_bag(fastemb.quantize(np.ones((3, 4), "f4")), [[0]])
    with pytest.raises(TypeError, match="table is an array of key<fry>, which has no numbers"):
        fj.gather(jax.random.split(jax.random.key(0), 3), [0])
    with pytest.raises(TypeError, match="ids of one shape; give the flat ids of a Ragged"):
        fj.gather(TABLE, fastemb.Ragged.from_lists([[1], [2]]))
    with pytest.raises(TypeError, match="elements of whole bytes, got int4"):
        fj.gather(jnp.ones((3, 4), jnp.int4), [0])
    with pytest.raises(TypeError, match="masked array"):
        fj.gather(np.ma.ones((3, 4)), [0])


def test_ids_that_jax_would_cut():
    for ids in ([2**32 + 1], np.array([2**32 + 1]), np.array([2**40], np.uint64)):
        with pytest.raises(ValueError, match=r"at position 0 does not fit u?int32, to which JAX cuts integers"):
            fj.gather(TABLE, ids)
    with jax.enable_x64(True), pytest.raises(Exception, match="id 4294967297 at position 0 is out of range"):
        fj.gather(TABLE, [2**32 + 1]).block_until_ready()


def test_arrays_on_a_gpu(monkeypatch):
    class Device:
        platform = "gpu"

        def __repr__(self):
            return "cuda:0"

    monkeypatch.setattr(_arrays, "_devices", lambda array: {Device()})
    with pytest.raises(
        TypeError, match=r"table is a JAX array on cuda:0; fastemb.jax computes on the CPU: give jax.dev"
    ):
        fj.gather(TABLE, [1])


def test_symbolic_shapes():
    ids = jax.ShapeDtypeStruct(jax.export.symbolic_shape("n"), jnp.int32)
    with pytest.raises(TypeError, match=r"ids must have a shape of numbers, got the symbolic shape \(n,\)"):
        jax.export.export(jax.jit(fj.gather))(TABLE, ids)


def test_errors_that_nobody_foresaw(monkeypatch):
    def broken(*given):
        raise KeyError("what")

    monkeypatch.setitem(_general._FUNCTIONS, "rope", broken)
    with pytest.raises(Exception, match="INTERNAL: KeyError: 'what'"):
        fj.rope(jnp.ones((6, 2))).block_until_ready()

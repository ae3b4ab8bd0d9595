"""Gradients of fastemb.jax: the bits of fastemb's backwards, and the numbers of JAX's own and of float64."""

import jax_cases as cases
import numpy as np
import pytest
from arrays import BF16, same_bits

import fastemb

jax = pytest.importorskip("jax", reason="the package jax is not installed")
jnp = jax.numpy

import fastemb.jax as fj  # noqa: E402

CASES = [case for case in cases.CASES if case not in ("gather none", "embed none", "rope speeds")]


def pulled_back(name, floats, others, grad):
    """Return a result and the gradients of all arrays of floats, in one program."""

    @jax.jit
    def program(floats, grad):
        result, back = jax.vjp(lambda floats: cases.call(fj, name, floats, others), floats)
        return result, back(grad)[0]

    return program(jax.tree.map(jnp.asarray, floats), jnp.asarray(grad))


@pytest.mark.parametrize("case", CASES)
def test_the_bits_of_our_backwards(case):
    name, floats, others = cases.CASES[case]
    floats = cases.of_dtype(floats, "f4")
    expected = cases.call(fastemb, name, floats, others)
    grad = np.random.default_rng(1).standard_normal(expected.shape).astype("f4")
    result, found = pulled_back(name, floats, others, grad)
    assert same_bits(np.asarray(result), expected)
    wanted = cases.gradients(name, floats, others, grad)
    assert found.keys() == wanted.keys()
    for key, one in found.items():
        assert same_bits(np.asarray(one), wanted[key]), key


def norm(x, weight, bias=0.0):
    return (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5) * weight + bias


def turned(x, position_ids):
    angles = position_ids[:, None, :, None] * 10000.0 ** (-jnp.arange(4) / 4)
    a, b = x[..., :4], x[..., 4:]
    return jnp.concatenate([a * jnp.cos(angles) - b * jnp.sin(angles), b * jnp.cos(angles) + a * jnp.sin(angles)], -1)


FORMULAS = {
    "gather": lambda table: table[cases.IDS],
    "bags sum": lambda table: table[cases.IDS].sum(1),
    "bags mean": lambda table: table[cases.IDS].mean(1),
    "bags max": lambda table: table[cases.IDS].max(1),
    "ragged bags sum": lambda table: jax.ops.segment_sum(
        table[cases.FLAT], np.repeat(np.arange(5), np.diff(cases.OFFSETS)), 5
    ),
    "weighted bags sum": lambda table, weights: (table[cases.IDS] * weights[..., None]).sum(1),
    "weighted bags mean": lambda table, weights: (
        (table[cases.IDS] * weights[..., None]).sum(1) / weights.sum(1)[:, None]
    ),
    "pool mean_sqrt_len": lambda x: x.sum(1) / np.sqrt(cases.T),
    "masked pool sum": lambda x: (x * cases.MASK[..., None]).sum(1),
    "embed positions norm": lambda table, positions, weight: norm(table[cases.IDS] + positions[: cases.T], weight),
    "rope": lambda x: turned(x, np.tile(np.arange(7), (2, 1))),
}


@pytest.mark.parametrize("case", FORMULAS)
def test_jaxs_own_gradients_in_float64(case):
    name, floats, others = cases.CASES[case]
    with jax.enable_x64(True):
        result, back = jax.vjp(lambda floats: FORMULAS[case](**floats), jax.tree.map(jnp.asarray, floats))
        grad = np.random.default_rng(2).standard_normal(result.shape)
        found, grads = pulled_back(name, floats, others, grad)
        np.testing.assert_allclose(found, result, rtol=1e-11, atol=1e-12)
        for key, one in back(jnp.asarray(grad))[0].items():
            np.testing.assert_allclose(grads[key], one, rtol=1e-9, atol=1e-11, err_msg=key)


@pytest.mark.parametrize("dtype", ["f4", "f2", BF16])
@pytest.mark.parametrize("case", ["gather", "bags mean", "weighted bags sum", "pool max", "embed positions norm"])
def test_smaller_dtypes_against_float64(case, dtype):
    name, floats, others = cases.CASES[case]
    floats = cases.of_dtype(floats, dtype)
    grad = np.random.default_rng(3).standard_normal(cases.call(fastemb, name, floats, others).shape).astype(dtype)
    _, found = pulled_back(name, floats, others, grad)
    exact = cases.gradients(name, cases.of_dtype(floats, "f8"), others, grad.astype("f8"))
    last = {"f4": 1e-5, "f2": 2.0**-11}.get(dtype, 2.0**-8)  # one rounding, of sums that are made in float32
    for key, one in found.items():
        assert one.dtype == np.dtype(dtype)
        np.testing.assert_allclose(np.asarray(one, "f8"), exact[key], rtol=1.01 * last, atol=2e-6, err_msg=key)


def test_gradients_of_gradients_where_they_are_linear():
    table, x = (jnp.asarray(array, "f4") for array in (cases.TABLE, cases.TURNED))

    def twice(rows):
        inner = jax.grad(lambda table: (rows(table) ** 3).sum())
        return jax.grad(lambda table: (inner(table) ** 2).sum())(table)

    ours, theirs = twice(lambda table: fj.gather(table, cases.IDS)), twice(lambda table: table[cases.IDS])
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    inner = jax.grad(lambda x: (fj.rope(x) ** 3).sum())
    assert jax.grad(lambda x: (inner(x) ** 2).sum())(x).shape == x.shape
    with pytest.raises(ValueError, match="fastemb_cpu_all_general_v1` cannot be differentiated"):
        twice(lambda table: fj.embedding_bag(table, cases.IDS))


def test_only_what_is_asked_for_is_computed():
    table, weights = jnp.asarray(cases.TABLE, "f4"), jnp.asarray(cases.WEIGHTS, "f4")

    def loss(table, weights):
        return fj.embedding_bag(table, cases.IDS, weights=weights).sum()

    def words(which):
        return str(jax.make_jaxpr(jax.grad(loss, which))(table, weights)).replace("\\", "")

    assert '"results": ["table"]' in words(0)
    assert '"results": ["weights"]' in words(1)


def test_no_gradient_of_positions_and_none_forward():
    x, places = jnp.asarray(cases.TURNED, "f4"), jnp.arange(7.0)
    with pytest.raises(TypeError, match="rope has a gradient of x alone, not of position_ids"):
        jax.grad(lambda places: fj.rope(x, places).sum())(places)
    for call in (fj.rope, lambda x: fj.gather(x, [0]), lambda x: fj.pool(x[0]), lambda x: fj.embed(x[0, 0], [0])):
        with pytest.raises(TypeError, match="forward-mode"):
            jax.jvp(call, (x,), (x,))
    with pytest.raises(TypeError, match="gather has gradients of float64, float32, float16 and bfloat16"):
        jax.grad(lambda table: fj.gather(table, [1]).real.sum())(jnp.ones((3, 2), jnp.complex64))


def test_integers_have_no_gradient():
    table = jnp.asarray(np.arange(12).reshape(6, 2))

    def loss(scale):
        return (fj.gather(table, [1, 2]) * scale).sum() + fj.embedding_bag(scale * table, [[1, 2]], weights=[[1, 2]])[
            0, 0
        ]

    assert jax.grad(loss)(jnp.float32(2)) == 14 + (2 * 1 + 4 * 2) / 3


@pytest.mark.parametrize("options", [{}, {"padding_idx": 3}, {"scale_grad_by_freq": True}])
@pytest.mark.parametrize("dtype", cases.FLOATS)
def test_row_grad(dtype, options):
    grad = np.random.default_rng(4).standard_normal((cases.S, cases.T, cases.D)).astype(dtype)
    expected = fastemb.row_grad(cases.IDS.astype("i4"), grad, **options)
    n = len(expected.ids)
    found = jax.jit(lambda ids, grad: fj.row_grad(ids, grad, size=n + 3, **options))(cases.IDS, grad)
    assert same_bits(np.asarray(found.ids[:n]), expected.ids)
    assert same_bits(np.asarray(found.rows[:n]), expected.rows)
    assert (found.ids[n:] == 2**31 - 1).all()
    assert not found.rows[n:].any()
    table = jnp.asarray(cases.TABLE, "f4")
    dropped = table.at[found.ids].add(found.rows)
    assert same_bits(np.asarray(dropped), np.asarray(table.at[expected.ids].add(expected.rows)))
    with pytest.raises(Exception, match=f"size must be at least the number of ids that differ, {n}, got {n - 1}"):
        fj.row_grad(cases.IDS, grad, size=n - 1, **options).rows.block_until_ready()


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "u4"])
def test_ids_behind_those_in_use_are_those_of_no_row(dtype):
    table, ids = jnp.zeros((70_000, 1)), np.array([np.iinfo(dtype).max >> (16 if dtype == "u4" else 0), 3], dtype)
    found = fj.row_grad(ids, jnp.ones((2, 1)), size=5)
    assert found.ids.dtype == (np.uint32 if dtype == "u4" else np.int32)
    written = table.at[found.ids].set(7.0)
    assert sorted(np.flatnonzero(written)) == sorted(ids.tolist())


def test_a_step_on_the_rows_in_use():
    table, target = jnp.asarray(cases.TABLE, "f4"), jnp.asarray(cases.X[::-1], "f4")

    @jax.jit
    def step(table, ids):
        def loss(rows):
            return ((rows - target) ** 2).sum()

        found = fj.row_grad(ids, jax.grad(loss)(fj.gather(table, ids)), size=ids.size)
        return table.at[found.ids].add(-0.1 * found.rows)

    dense = jax.grad(lambda table: ((table[cases.IDS] - target) ** 2).sum())(table)
    np.testing.assert_allclose(step(table, jnp.asarray(cases.IDS)), table - 0.1 * dense, rtol=1e-5, atol=1e-6)

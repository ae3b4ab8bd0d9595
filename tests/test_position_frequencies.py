"""``rope_frequencies`` against transformers, and ``rope`` with frequencies, a scale, fractions and positions (B, T)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastemb import reference
from fastemb.position import rope, rope_frequencies

PHI = [1.0 + 0.25 * i for i in range(48)]
# Name, columns of a head, base, dict, length; then of Hugging Face's formulas, computed in float64, the scale and the
# frequencies of some pairs.
MODELS = {
    "default": (128, 10_000.0, None, None),
    "Llama 3.1": (128, 500_000.0, {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }, None),
    "Qwen 2.5, yarn": (128, 1e6, {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, None),
    "DeepSeek V3": (64, 10_000.0, {
        "type": "yarn", "beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 0.5,
        "original_max_position_embeddings": 4096,
    }, None),
    "yarn, no truncation": (64, 150_000.0, {
        "rope_type": "yarn", "beta_fast": 32.0, "beta_slow": 1.0, "factor": 32.0, "truncate": False,
        "original_max_position_embeddings": 4096,
    }, None),
    "Phi-3, short": (96, 10_000.0, {
        "type": "longrope", "short_factor": PHI, "long_factor": [2 * one for one in PHI],
        "original_max_position_embeddings": 4096, "max_position_embeddings": 131_072,
    }, 4096),
    "Phi-3, long": (96, 10_000.0, {
        "type": "longrope", "short_factor": PHI, "long_factor": [2 * one for one in PHI],
        "original_max_position_embeddings": 4096, "max_position_embeddings": 131_072,
    }, 4097),
    "GPT-NeoX, partial": (96, 10_000.0, {"rope_type": "default", "partial_rotary_factor": 0.25}, None),
    "linear": (128, 10_000.0, {"type": "linear", "factor": 2.5}, None),
    "dynamic, short": (128, 10_000.0, {"type": "dynamic", "factor": 2.0, "max_position_embeddings": 2048}, 100),
    "dynamic, long": (128, 10_000.0, {"type": "dynamic", "factor": 2.0, "max_position_embeddings": 2048}, 5000),
}  # fmt: skip


def theirs(monkeypatch, dim, base, scaling, length):
    """Return what transformers computes, its float32 made float64."""
    torch = pytest.importorskip("torch", reason="no torch here to compare with")
    utils = pytest.importorskip("transformers.modeling_rope_utils", reason="no transformers here to compare with")
    for name in ("float", "float32"):
        monkeypatch.setattr(torch, name, torch.float64)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    from transformers import LlamaConfig

    scaling = dict(scaling or {"rope_type": "default"})
    longest = scaling.pop("max_position_embeddings", None)
    scaling["rope_type"] = kind = scaling.pop("type", scaling.get("rope_type"))
    scaling |= {"rope_theta": base}
    config = LlamaConfig(head_dim=dim, max_position_embeddings=longest or 1 << 17, rope_parameters=scaling)
    if kind == "default":
        turning = int(dim * scaling.get("partial_rotary_factor", 1.0))
        return 1.0 / base ** (np.arange(0, turning, 2) / turning), 1.0
    inv_freq, scale = utils.ROPE_INIT_FUNCTIONS[kind](config, "cpu", seq_len=length)
    assert inv_freq.dtype == torch.float64
    return inv_freq.numpy(), scale


@pytest.mark.parametrize("name", MODELS)
def test_equals_transformers(name, monkeypatch):
    dim, base, scaling, length = MODELS[name]
    inv_freq, scale = rope_frequencies(dim, base=base, scaling=scaling, length=length)
    wanted, wanted_scale = theirs(monkeypatch, dim, base, scaling, length)
    assert inv_freq.dtype == np.float64
    np.testing.assert_allclose(inv_freq, wanted, rtol=1e-13)
    assert scale == pytest.approx(wanted_scale, rel=1e-14)
    # Turned by ours in float32, and by their formula in float64, up to position 10**5.
    ids = np.array([0, 1, 77, 4095, 65_537, 100_000])
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 2 * inv_freq.size), np.float32)
    angles = np.tile(ids[:, np.newaxis] * wanted, 2)
    cos, sin = np.cos(angles) * wanted_scale, np.sin(angles) * wanted_scale
    half = np.concatenate([-x[..., inv_freq.size :], x[..., : inv_freq.size]], axis=-1).astype("f8")
    got = rope(x, ids, inv_freq=inv_freq, scale=scale)
    np.testing.assert_allclose(got, x * cos + half * sin, rtol=0, atol=1e-6 * np.abs(x).max() * scale)


def test_equals_gptj(monkeypatch):
    """The pairs of GPT-J lie side by side, and its heads stand behind the positions: (B, T, heads, D)."""
    torch = pytest.importorskip("torch", reason="no torch here to compare with")
    gptj = pytest.importorskip("transformers.models.gptj.modeling_gptj", reason="no transformers here to compare with")
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    ids, dim = np.array([[0, 1, 77, 4095], [3, 65_537, 99_999, 100_000]]), 64
    x = np.random.default_rng(0).standard_normal((2, 4, 3, dim), np.float32)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        sin, cos = gptj.create_sinusoidal_positions(100_001, dim)[torch.from_numpy(ids)].chunk(2, dim=-1)
    finally:
        torch.set_default_dtype(before)
    assert sin.dtype == torch.float64
    wanted = gptj.apply_rotary_pos_emb(torch.from_numpy(x.astype("f8")), sin, cos).numpy()
    got = rope(x.swapaxes(1, 2), ids, interleaved=True).swapaxes(1, 2)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6 * np.abs(x).max())


KNOWN = {
    "default": ([
        1.0, 0.177827941003892, 0.0316227766016838, 0.00562341325190349, 0.001,
        0.000177827941003892,
    ], 1.0),
    "Llama 3.1": ([
        1.0, 0.0853971002857656, 0.00729266473721711, 7.78465527393245e-05, 6.64786987118124e-06,
        5.67708810075984e-07,
    ], 1.0),
    "Qwen 2.5, yarn": ([
        1.0, 0.0749894209332456, 0.0053753214907901, 0.000179841155873954, 7.90569415042095e-06,
        5.92843426415414e-07,
    ], 1.13862943611199),
    "DeepSeek V3": ([
        1.0, 0.177827941003892, 0.0268793601114312, 0.0022493653007614, 2.5e-05,
        4.44569852509731e-06,
    ], 1.15572199019626),
    "yarn, no truncation": ([
        1.0, 0.107024421477811, 0.00679495948973222, 3.83088123737534e-05, 4.09997848180298e-06,
        4.3879782508644e-07,
    ], 1.34657359027997),
    "Phi-3, short": ([
        1.0, 0.0547162895396592, 0.00574959574576069, 0.000725601709923031, 0.0001,
        1.45165666125626e-05,
    ], 1.19023807142381),
    "Phi-3, long": ([
        0.5, 0.0273581447698296, 0.00287479787288034, 0.000362800854961516, 5e-05,
        7.25828330628132e-06,
    ], 1.19023807142381),
    "GPT-NeoX, partial": ([
        1.0, 0.215443469003188, 0.0464158883361278, 0.01, 0.00215443469003188, 0.000464158883361278,
    ], 1.0),
    "linear": ([
        0.4, 0.0711311764015569, 0.0126491106406735, 0.0022493653007614, 0.0004,
        7.11311764015569e-05,
    ], 1.0),
    "dynamic, short": ([
        1.0, 0.177827941003892, 0.0316227766016838, 0.00562341325190349, 0.001,
        0.000177827941003892,
    ], 1.0),
    "dynamic, long": ([
        1.0, 0.137335127316983, 0.018860937195172, 0.00259026921101657, 0.000355734951880223,
        4.88549049075713e-05,
    ], 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_equals_what_transformers_computed(name):
    """For machines without torch: the first frequency, the last, and those between, as transformers 5 gave them."""
    dim, base, scaling, length = MODELS[name]
    inv_freq, scale = rope_frequencies(dim, base=base, scaling=scaling, length=length)
    np.testing.assert_allclose(inv_freq[:: max(1, inv_freq.size // 5)], KNOWN[name][0], rtol=1e-12)
    assert scale == pytest.approx(KNOWN[name][1], rel=1e-12)


def test_a_configuration_brings_its_base():
    parameters = {"rope_type": "default", "rope_theta": 500_000.0}
    assert rope_frequencies(64, scaling=parameters)[0].tolist() == rope_frequencies(64, base=5e5)[0].tolist()
    assert rope_frequencies(0)[0].shape == (0,)
    assert (
        rope_frequencies(2, scaling={"type": "dynamic", "factor": 2, "max_position_embeddings": 8}, length=99)[0] == 1
    )


@pytest.mark.parametrize("name", ["Qwen 2.5, yarn", "Phi-3, short", "Phi-3, long"])
def test_a_configuration_brings_its_scale(name):
    dim, base, scaling, length = MODELS[name]
    plain = rope_frequencies(dim, base=base, scaling=scaling, length=length)
    given = rope_frequencies(dim, base=base, scaling=scaling | {"attention_factor": 1.25}, length=length)
    assert given[1] == 1.25
    assert given[0].tolist() == plain[0].tolist()


LLAMA = MODELS["Llama 3.1"][2]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"dim": 3}, ValueError, "dim must be even, .* got 3"),
        ({"dim": -2}, ValueError, "dim must not be negative"),
        ({"dim": 4.0}, TypeError, "dim must be an integer, got float"),
        ({"base": 0}, ValueError, "base must be positive and finite"),
        ({"length": 1.5}, TypeError, "length must be an integer"),
        ({"scaling": "yarn"}, TypeError, "scaling must be a mapping, got str"),
        ({"scaling": {"type": "su"}}, ValueError, "rope_type of 'default', .*'llama3', got 'su'"),
        ({"scaling": {"type": ["yarn"]}}, ValueError, "rope_type of"),
        ({"scaling": {"type": "linear"}}, ValueError, "needs 'factor', got 'type'"),
        ({"scaling": {"type": "linear", "factor": "2"}}, TypeError, r"scaling\['factor'\] must be a real .*got str"),
        ({"scaling": {"type": "linear", "factor": True}}, TypeError, "must be a real number, got bool"),
        ({"scaling": {"type": "linear", "factor": 0}}, ValueError, "must be positive and finite, got 0"),
        ({"scaling": {"type": "linear", "factor": 10**400}}, ValueError, r"scaling\['factor'\] is beyond the range"),
        ({"scaling": {"type": "dynamic", "factor": 2}}, ValueError, "needs 'max_position_embeddings'"),
        ({"scaling": {"type": "yarn", "factor": 2}}, ValueError, "needs 'original_max_position_embeddings'"),
        ({"scaling": {"type": "yarn", "factor": 2, "original_max_position_embeddings": 9}, "base": 1}, ValueError,
         "base must be more than 1 for yarn"),
        ({"scaling": LLAMA | {"high_freq_factor": 1.0}}, ValueError, "must be more than"),
        ({"scaling": {"type": "longrope", "original_max_position_embeddings": 9}}, ValueError,
         "needs 32 numbers 'short_factor', got nothing"),
        ({"scaling": {"type": "longrope", "original_max_position_embeddings": 9, "short_factor": [1] * 31}}, ValueError,
         "got 31"),
        ({"scaling": {"partial_rotary_factor": 0.52}}, ValueError, "even number of the 64 columns, got 33"),
        ({"scaling": {"partial_rotary_factor": 1.5}}, ValueError, r"factor'\] must be at most 1, got 1.5"),
        ({"scaling": {"partial_rotary_factor": 1e308}}, ValueError, "must be at most 1"),
        ({"scaling": {"type": "longrope", "original_max_position_embeddings": 1, "factor": 2, "short_factor": [1] * 32,
                      "long_factor": [1] * 32}}, ValueError, "must be more than 1 for longrope, got 1"),
        ({"scaling": {"full_attention": LLAMA, "sliding_attention": {"rope_type": "default"}}}, ValueError,
         "one for each kind of layer: give that of 'full_attention' or 'sliding_attention'"),
    ],
    ids=str,
)  # fmt: skip
def test_refusals(options, error, words):
    with pytest.raises(error, match=words):
        rope_frequencies(**{"dim": 64} | options)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["f8", "f4", "f2"]), st.integers(1, 40), st.booleans(), st.booleans(),
    st.sampled_from([1.0, 0.5, -2.0, 0.0]), st.booleans(), st.booleans(), st.sampled_from(["f8", "f4", "f2", "i8"]),
    st.sampled_from([1, 2]), st.integers(0, 2**32),
)  # fmt: skip
def test_equals_the_formula(dtype, H, interleaved, inverse, scale, own, flat, id_dtype, rows, seed):
    """Positions of two axes beside four of x are (B, T) or (1, T), also where there are as many heads as texts."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, 2, 3, 2 * H)).astype(dtype)
    options = {"interleaved": interleaved, "inverse": inverse, "scale": scale}
    options["inv_freq"] = rng.random(H) if own else None
    ids = (rng.standard_normal((rows, 3)) * 50).astype(id_dtype)
    with np.errstate(all="ignore"):
        wanted = reference.rope(x, ids, **options).astype(dtype)
    got = rope(x, ids if flat else ids[:, np.newaxis], **options)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=2.0**-46 if dtype == "f8" else 0)


def test_frequencies_of_other_types():
    x = np.random.default_rng(0).standard_normal((3, 8), np.float32)
    wanted = rope(x, inv_freq=np.array([1.0, 0.5, 0.25, 2.0]))
    for same in ([1, 0.5, 0.25, 2], np.array([1, 0.5, 0.25, 2], ">f4"), np.array([1, 0, 0.5, 0, 0.25, 0, 2, 0])[::2]):
        assert rope(x, inv_freq=same).tobytes() == wanted.tobytes()
    with pytest.raises(ValueError, match="out overlaps inv_freq"):
        rope(x, inv_freq=(memory := np.ones(24, np.float32))[:4], out=memory.reshape(3, 8))


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (2, 2)])
def test_two_axes_are_texts_and_positions(shape):
    with pytest.raises(ValueError, match=r"of two axes must be \(B, T\) or \(1, T\) beside x of shape \(2, 4, 3, 8\)"):
        rope(np.ones((2, 4, 3, 8), np.float32), np.zeros(shape, int))


def test_positions_that_are_no_numbers_give_nan():
    got = rope(np.ones((3, 4), np.float32), [np.nan, 1.0, np.inf])
    assert np.isnan(got).all(axis=1).tolist() == [True, False, True]

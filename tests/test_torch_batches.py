"""Many gradients of one eager call of fastemb.torch at once; and batches of what has no axis for positions."""

import pytest

torch = pytest.importorskip("torch", reason="the package torch is not installed")

from fastemb import LayerNorm, RMSNorm  # noqa: E402
from fastemb.torch import embed, pool, rotary  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop")  # of torch's older batches
MODES = "sum", "mean", "max", "cls", "last", "mean_sqrt_len", "weighted_mean", "mean_max"
IDS = torch.tensor([[1, 2, 1], [4, 0, 0]])
MASK = torch.tensor([[1, 0, 1], [0, 0, 0]])


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def check(function, x):
    """Compare a Jacobian row by row with the same by both kinds of batches that torch makes of gradients."""
    expected = torch.autograd.functional.jacobian(function, x)
    torch.testing.assert_close(torch.autograd.functional.jacobian(function, x, vectorize=True), expected)
    leaf = x.clone().requires_grad_()
    y = function(leaf)
    rows = torch.eye(y.numel(), dtype=y.dtype).reshape(-1, *y.shape)
    found = torch.func.vmap(lambda grad: torch.autograd.grad(y, leaf, grad, retain_graph=True)[0])(rows)
    torch.testing.assert_close(found.reshape(expected.shape), expected)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_gradients_of_pool(mode, normalize):
    offsets = torch.tensor([0, 2, 2, 6])
    for options in ({}, {"mask": MASK}, {"lengths": torch.tensor([1, 3])}):
        check(lambda x, o=options: pool(x, mode=mode, normalize=normalize, **o), draw(2, 3, 4))
    check(lambda x: pool(x, offsets=offsets, mode=mode, normalize=normalize), draw(6, 4))
    if mode == "mean":
        flat = draw(6, 4)
        weigh = lambda w: pool(flat, offsets=offsets, mode=mode, weights=w, normalize=normalize)  # noqa: E731
        check(weigh, draw(6, seed=1).abs())


@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("norm", [None, RMSNorm(draw(4)), LayerNorm(draw(4)), LayerNorm(draw(4), draw(4, seed=1))])
def test_gradients_of_embed(norm, mask):
    table, positions = draw(5, 4, seed=2), draw(3, 4, seed=3)
    given = {"norm": norm, "mask": mask, "padding_idx": 1, "position_padding": 1}
    check(lambda table: embed(table, IDS, positions=positions, **given), table)
    check(lambda positions: embed(table, IDS, positions=positions, **given), positions)


@pytest.mark.parametrize("options", [{}, {"interleaved": True}, {"inverse": True, "scale": 1.3}])
@pytest.mark.parametrize("places", [None, torch.tensor([3, 1, 2]), torch.tensor([[3, 1, 2], [0, 5, 6]])])
def test_gradients_of_rotary(places, options):
    check(lambda x: rotary(x, places, **options), draw(2, 3, 4))
    speeds = torch.tensor([1.0, 0.2], dtype=torch.float64)
    check(lambda x: rotary(x, places, inv_freq=speeds, **options), draw(2, 2, 3, 4))


def test_a_batch_of_single_ids_or_rows_is_no_text():
    """Its axis would be counted as positions, where one call of those in it is refused."""
    vmap, table = torch.func.vmap, draw(5, 4)
    with pytest.raises(ValueError, match="a single id has no place of its own"):
        vmap(lambda one: embed(table, one, positions=table))(torch.tensor([1, 2]))
    found = vmap(lambda one: embed(table, one, positions=table, position_ids=one))(torch.tensor([1, 2]))
    assert torch.equal(found, 2 * table[1:3])
    with pytest.raises(ValueError, match=r"x of shape \(4,\) has no axis of positions"):
        vmap(rotary)(table)
    assert torch.equal(vmap(rotary)(table, torch.arange(5)), rotary(table))

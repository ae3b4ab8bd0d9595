"""What tests of fastemb.torch share: gradients that are exact in every dtype, and a data set for workers."""

import numpy as np
import torch

#: Dtypes of tables, and of ids.
FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
INTEGERS = [torch.int64, torch.int32, torch.int16, torch.uint8]


def whole(*shape, dtype=torch.float32, seed=0):
    """Return small whole numbers: their sums are exact in every dtype and order, so that results can be equal."""
    return torch.randint(-4, 5, shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def pair(ours, theirs, *args, **options):
    """Return two layers of the same weight, whose numbers are whole."""
    one, other = ours(*args, **options), theirs(*args, **options)
    with torch.no_grad():
        one.weight.copy_(whole(*one.weight.shape))
        other.weight.copy_(one.weight)
    return one, other


def table_grad(rows, *args, grad=None):
    """Return the gradient of a layer's weight, dense."""
    rows.weight.grad = None
    result = rows(*args)
    result.backward(whole(*result.shape, dtype=result.dtype, seed=1) if grad is None else grad)
    return rows.weight.grad.to_dense()


class Rows(torch.utils.data.Dataset):
    """Rows that are looked up where the data is loaded."""

    def __init__(self, layer):
        self.layer = layer

    def __len__(self):
        return 8

    def __getitem__(self, place):
        with torch.no_grad():
            return self.layer(torch.tensor([place, place + 1]))

    def expected(self):
        """Return all of them, by NumPy."""
        index = np.arange(len(self))[:, np.newaxis] + np.arange(2)
        return self.layer.weight.detach().numpy()[index]

"""What tests of optimizers share: every rule in some of its forms, gradients, and the oracle of several steps."""

import copy
import itertools

import numpy as np
import pytest
from arrays import DTYPES, lay, same_bits

import fastemb.reference as reference
from fastemb.gradient import RowGrad
from fastemb.optim import SGD, Adagrad, Adam, AdamW

FLOATS = [np.dtype(dtype) for dtype in DTYPES]

#: Every rule, with and without what it may have.
RULES = {
    "SGD": (SGD, {"lr": 0.1}),
    "SGD, decay": (SGD, {"lr": 0.1, "weight_decay": 0.3}),
    "SGD, momentum": (SGD, {"lr": 0.1, "momentum": 0.9}),
    "SGD, nesterov": (SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    "Adagrad": (Adagrad, {"lr": 0.1}),
    "Adagrad, decay": (Adagrad, {"lr": 0.1, "lr_decay": 0.5, "weight_decay": 0.1, "initial_accumulator_value": 0.1}),
    "Adagrad, row-wise": (Adagrad, {"lr": 0.1, "row_wise": True}),
    "Adagrad, row-wise, decay": (Adagrad, {"lr": 0.1, "row_wise": True, "weight_decay": 0.2}),
    "Adam": (Adam, {"lr": 0.1}),
    "Adam, decay": (Adam, {"lr": 0.1, "weight_decay": 0.1, "betas": (0.8, 0.95), "eps": 1e-3}),
    "AdamW": (AdamW, {"lr": 0.1}),
    "AdamW, no decay": (AdamW, {"lr": 0.1, "weight_decay": 0.0}),
}


def make(name, **options):
    """Return an optimizer of `RULES`."""
    kind, given = RULES[name]
    return kind(**given | options)


def _cases():
    """Rules, and types of tables and of gradients, as few as meet every part of a kernel.

    Each of them is two kernels to compile. Whatever is read is brought to the type of sums, of which there are two:
    every rule meets both, tables of 16 bits meet the rules of no state and of two, other gradients the plainest one.
    """
    f8, f4, f2, bf16 = FLOATS
    found = [(name, kind, kind) for name in RULES for kind in (f8, f4)]
    both = [name for name in RULES if len(make(name)._STATE) != 1]
    found += [(name, kind, kind) for name in both for kind in (f2, bf16)]
    return found + [("SGD", a, b) for a, b in [(f4, f8), (f8, f4), (f4, f2), (f4, bf16), (f2, f4), (bf16, f4)]]


CASES = _cases()
ALL_CASES = list(itertools.product(RULES, FLOATS, FLOATS))
#: The first by default, and beside them everything.
EXTENT = pytest.mark.parametrize(
    "cases", [pytest.param(CASES, id="some"), pytest.param(ALL_CASES, id="all", marks=pytest.mark.exhaustive)]
)


def of_one_type(dtypes=DTYPES):
    """Run a test of rules, whose gradients have the type of the table; the others of these when all is asked for."""
    usual = {(name, a) for name, a, b in CASES if a == b}
    return pytest.mark.parametrize(
        ("name", "dtype"),
        [
            pytest.param(
                name, dtype, id=f"{name}-{dtype}", marks=() if (name, dtype) in usual else pytest.mark.exhaustive
            )
            for name in RULES
            for dtype in map(np.dtype, dtypes)
        ],
    )


def draw(shape, dtype, seed, layout="plain"):
    """Return random numbers in a layout."""
    return lay(np.random.default_rng(seed).standard_normal(shape).astype(dtype), layout)


def draw_grad(V, U, D, dtype, seed, id_dtype="i8"):
    """Return a RowGrad of U rows of a table of V."""
    ids = np.sort(np.random.default_rng(seed).permutation(V)[:U]).astype(id_dtype)
    return RowGrad(ids, draw((U, D), dtype, seed + 1))


class Law:
    """The oracle beside an optimizer: a table and a state of its own."""

    def __init__(self, optimizer, table):
        self.options = {name: getattr(optimizer, name) for name in optimizer._OPTIONS}
        if not self.options.pop("stochastic_rounding"):
            del self.options["seed"]
        self.rule, self.table, self.steps = type(optimizer).__name__, np.array(table), 0
        kind = np.float64 if table.dtype.itemsize == 8 else np.float32
        begin, row_wise = self.options.get("initial_accumulator_value", 0.0), self.options.get("row_wise")
        shape = table.shape[:1] if row_wise else table.shape
        self.state = {name: np.full(shape, begin, kind) for name in optimizer._STATE}

    def step(self, grad):
        """Do one step."""
        self.steps += 1
        with np.errstate(all="ignore"):
            given = self.rule, self.table, self.state, grad.ids.astype(np.int64), np.asarray(grad.rows), self.steps
            self.table, self.state = reference.optimize(*given, **self.options)

    def holds(self, optimizer, table):
        """Assert that an optimizer and its table are where the law is, to the bit."""
        assert same_bits(np.array(table), np.array(self.table))
        told = optimizer.state_dict()
        assert told["step"] == self.steps
        assert told["state"].keys() == self.state.keys()
        for name, array in told["state"].items():
            assert same_bits(array, self.state[name])


def twin(optimizer):
    """Return a copy that shares nothing."""
    return copy.deepcopy(optimizer)

"""warmup and show_config: what is compiled ahead, and what is said of the installation."""

import os
import subprocess
import sys

import numpy as np
import pytest

import fastemb
from fastemb import _warmup

# What large calls use must have been compiled by the small ones of warmup.
LATER = """
import numpy as np, fastemb
fastemb.set_num_threads(1)
fastemb.warmup("embedding_bag")
from numba.core.dispatcher import Dispatcher
more, add = [], Dispatcher.add_overload
def note(self, result):
    more.append(str(self))
    add(self, result)
Dispatcher.add_overload = note  # whether it was compiled, or found in the cache
rng = np.random.default_rng(0)
table, ids = rng.standard_normal((5000, 64), np.float32), rng.integers(0, 5000, (64, 128))
large = np.zeros((300_000, 64), "f4")  # whose rows lie in memory, those of the other in a cache
for source in (table, large):
    for mode in ("mean", "max"): fastemb.embedding_bag(source, ids, mode=mode, normalize=True)
    fastemb.embedding_bag(source, ids, weights=np.ones(ids.shape, "f4"))
of_bags = [*more]
fastemb.warmup()
more[:] = of_bags
x = fastemb.gather(table, ids)
fastemb.gather(table, ids, out=np.empty_like(x))
fastemb.embed(table, ids, positions=table[:128], norm=fastemb.LayerNorm(np.ones(64, "f4")))
fastemb.embedding_bag(table, ids); fastemb.pool(x, ids % 3); fastemb.pool(x, mode="max"); fastemb.normalize(x)
fastemb.row_grad(ids, x); fastemb.scatter_add(table.copy(), ids, x); fastemb.rope(x)
for kind in (fastemb.SGD, fastemb.Adagrad, fastemb.Adam, fastemb.AdamW):
    made = kind(weight_decay=0.1)
    made.step(made.step_from(table.copy(), ids, x), fastemb.row_grad(ids, x))
fastemb.SGD(momentum=0.9, nesterov=True).step_from(table.copy(), ids.astype("i4"), x, padding_idx=3)
fastemb.Adagrad(row_wise=True, lr_decay=0.1).step_from(table.copy(), ids, x)
for few in (1, 40): fastemb.topk(table[:few], table, 5)
for bits in (8, 4):
    for source in (table, large): fastemb.embedding_bag(fastemb.quantize(source, bits), ids)
for few in (ids[:2], ids[:2].astype("i4")):  # small calls
    x = fastemb.gather(table, few)
    fastemb.normalize(x); fastemb.row_grad(few, x); fastemb.scatter_add(table.copy(), few, x)
    norm, both = fastemb.RMSNorm(np.ones(64, "f4")), {"positions": table[:128], "segments": table[:2]}
    fastemb.embed(table, few, norm=norm, segment_ids=(few % 2).astype("i8"), **both)
    fastemb.embed_backward(x, table, few, norm=norm, **both); fastemb.embed_backward(x, table, few, **both)
    for mode in ("mean", "sum", "mean_sqrt_len", "max"):
        fastemb.pool_backward(x[:, 0], x, mode=mode); fastemb.pool_backward(x[:, 0], x, few % 3, mode=mode)
        fastemb.embedding_bag_backward(x[:, 0], table, few, mode=mode)
        fastemb.embedding_bag(table, few, mode=mode); fastemb.embedding_bag(table, few, mask=few % 3, mode=mode)
        fastemb.embedding_bag(table, few[0], np.array([0, 5, 128]), mode=mode)
        fastemb.pool(x, mode=mode); fastemb.pool(x, few % 3, mode=mode); fastemb.pool(x, few % 3 > 0, mode=mode)
    for bits in (8, 4):
        codes = fastemb.quantize(table[:300], bits)
        for _ in range(2): fastemb.gather(codes, few % 300)
print(more)
"""


def test_nothing_is_compiled_after_it():
    done = subprocess.run([sys.executable, "-W", "error", "-c", LATER], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_names_and_dtypes(caplog):
    caplog.set_level("INFO", "fastemb")
    seconds = fastemb.warmup("gather", "normalize", dtypes=["float32", "bfloat16"])
    assert list(seconds) == ["gather", "normalize"]
    assert min(seconds.values()) > 0
    assert [record.args[0] for record in caplog.records] == ["gather", "normalize"]
    assert fastemb.warmup("normalize", dtypes=np.float64).keys() == {"normalize"}
    with pytest.raises(ValueError, match=r"no kernels belong to 'nothing'; functions with kernels are Adagrad, "):
        fastemb.warmup("nothing")
    with pytest.raises(TypeError, match="dtypes must have dtype float64, float32, float16 or bfloat16, got int32"):
        fastemb.warmup("gather", dtypes="int32")
    for wrong in (2.0, "no dtype", object(), np.array([1, 2])):
        with pytest.raises(
            TypeError, match=r"^dtypes must be of float64, float32, float16 or bfloat16, by NumPy's names"
        ):
            fastemb.warmup("gather", dtypes=wrong)
    with pytest.raises(TypeError, match=r"dtypes must have dtype float64, .* got object"):
        fastemb.warmup("gather", dtypes=None)  # NumPy's float64
    with pytest.raises(ValueError, match=r"^no kernels belong to \['gather'\]; functions with kernels are Adagrad, "):
        fastemb.warmup(["gather"])
    assert set(_warmup._CALLS) < set(fastemb.__all__)


def test_show_config(capsys):
    assert fastemb.show_config() is None
    printed = capsys.readouterr().out
    config = fastemb.show_config("dicts")
    for section, lines in config.items():
        assert f"{section}:\n" in printed
        for name, value in lines.items():
            assert f"  {name}: {value}\n" in printed
    assert config["versions"]["NumPy"] == np.__version__
    assert config["threads"]["a call may use"] == str(fastemb.get_num_threads())
    with pytest.raises(ValueError, match="mode must be 'stdout' or 'dicts', got 'print'"):
        fastemb.show_config("print")


@pytest.mark.parametrize(
    "refuse", ["", "import tempfile\ndef no(*a, **k): raise OSError('x')\ntempfile.TemporaryFile = no\n"]
)
def test_where_kernels_are_kept(refuse):
    code = refuse + "import fastemb; print(fastemb.show_config('dicts')['memory']['compiled kernels'])"
    environment = {**os.environ, "FASTEMB_CACHE": "1" if refuse else "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "not kept\n"


def test_without_the_compiler():
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    code = "import numpy as np, fastemb; fastemb.gather(np.ones((2, 2)), [0])"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ImportError: fastemb's kernels exist as machine code alone: unset NUMBA_DISABLE_JIT" in done.stderr

"""Text to vectors, held against the models' own packages: WordLlama and model2vec."""

import copy
import json
import logging
import pickle
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import safetensors.numpy
import tokenizers

import fastemb
from fastemb._text import encode


@pytest.fixture(scope="module")
def model(llama_folder):
    return fastemb.StaticModel.load(llama_folder)


@pytest.fixture(scope="module")
def wordllama(llama_file, llama_weights):
    from wordllama.inference import WordLlamaInference

    logging.getLogger().handlers.clear()  # the package configures the root logger when it is imported
    table = safetensors.numpy.load_file(llama_weights)["embedding.weight"]
    return WordLlamaInference(table, tokenizers.Tokenizer.from_file(str(llama_file)))


def assert_close_rows(ours, theirs, tolerance):
    """For each row, max|a - b| <= tolerance * max|b|."""
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    assert np.all(np.abs(ours - theirs).max(axis=1) <= tolerance * np.abs(theirs).max(axis=1))


@pytest.mark.parametrize("normalize", [False, True])
def test_equal_to_wordllama(model, wordllama, real_lines, normalize):
    lines = [line for line in real_lines[::4] if line]
    lengths = model.tokenizer.encode_batch(lines, special="all").lengths
    assert lengths.max() <= 512
    assert_close_rows(model.encode(lines, normalize=normalize), wordllama.embed(lines, norm=normalize), 2e-6)


@pytest.mark.parametrize("normalize", [False, True])
def test_equal_to_wordllama_on_long_texts(model, wordllama, real_lines, normalize):
    texts = ["\n".join(real_lines[i : i + 150]) for i in range(0, 6000, 150)]
    assert model.tokenizer.encode_batch(texts).lengths.min() > 512
    # The package's own float32 sums are off by up to 9e-6 here.
    assert_close_rows(model.encode(texts, normalize=normalize), wordllama.embed(texts, norm=normalize), 3e-5)


def test_long_texts_against_float64(model, real_lines):
    """Ours alone, against sums in float64: what the tolerance above leaves open."""
    texts = ["\n".join(real_lines[i : i + 150]) for i in range(0, 6000, 150)]
    rows = model.tokenizer.encode_batch(texts, special="all")
    exact = np.stack([model.table[row].astype(np.float64).mean(axis=0) for row in rows])
    assert_close_rows(model.encode(texts).astype(np.float64).astype(np.float32), exact.astype(np.float32), 2e-5)


def test_empty_texts(model):
    assert not model.encode("").any()
    vectors = model.encode(["", "a", ""], normalize=True)
    assert not vectors[[0, 2]].any()
    assert np.linalg.norm(vectors[1]) == pytest.approx(1, abs=1e-6)
    assert model.encode([]).shape == (0, 256)


def test_added_tokens_are_recognised(model, llama_folder):
    row = model.tokenizer.encode("a<s>b", special="all")
    assert row.tolist() == [263, 1, 289]
    assert np.array_equal(model.encode("a<s>b"), fastemb.StaticModel.load(llama_folder).encode(["a<s>b"])[0])
    assert_close_rows(model.encode(["a<s>b"]), model.table[row].astype(np.float32).mean(axis=0)[None], 1e-6)


def test_single_text_and_out(model):
    one = model.encode("hello")
    assert one.shape == (256,)
    out = np.full((3, 256), np.nan, np.float32)
    assert model.encode(["hello", "", "x"], out=out) is out
    assert np.array_equal(out[0], one)
    with pytest.raises(ValueError, match="out"):
        model.encode(["a"], out=out)
    with pytest.raises(TypeError, match="got int at position 0"):
        model.encode([1])
    with pytest.raises(TypeError, match="texts must be a sequence of str, got NoneType"):
        model.encode(None)
    with pytest.raises(TypeError, match=r"out must be a numpy\.ndarray"):
        model.encode("a", out=[1])
    with pytest.raises(TypeError, match="normalize must be a bool or None, got 'no'"):
        model.encode("a", normalize="no")


def test_a_quantised_table(model):
    quantized = fastemb.quantize(model.table[:, :33])
    ours = fastemb.StaticModel(model.tokenizer, quantized)
    expected = fastemb.StaticModel(model.tokenizer, quantized.dequantize())
    assert ours.table is quantized
    np.testing.assert_allclose(ours.encode(TEXTS), expected.encode(TEXTS), rtol=1e-5, atol=1e-6)
    assert ours.most_similar("house", 5) == expected.most_similar("house", 5)
    assert ours._first(7).table.shape == (len(model.table), 7)
    assert np.array_equal(ours.table.dequantize(), expected.table[:, :7])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tokenizer": None}, "tokenizer must be a fastemb.Tokenizer, got None"),
        ({"tokenizer": "a folder"}, "tokenizer must be a fastemb.Tokenizer, got str"),
        ({"table": None}, "table must be a numpy.ndarray, got None"),
        ({"table": [[1.0]]}, r"table must be a numpy.ndarray, got list; give numpy.array\(table\)"),
        ({"table": np.ma.ones((32_000, 2))}, "table is a masked array"),
        ({"table": np.ones((32_000, 2), int)}, "table must have dtype float64, .* got int64"),
        ({"normalize": "no"}, "normalize must be a bool or None, got 'no'"),
        ({"max_length": "model"}, "max_length must be an integer or None, got 'model'"),
        ({"drop": 0.5}, "drop must be an integer or None, got 0.5"),
    ],
)
def test_what_makes_no_model(model, options, words):
    parts = {"tokenizer": model.tokenizer, "table": model.table} | options
    with pytest.raises(TypeError, match=f"^{words}"):
        fastemb.StaticModel(parts.pop("tokenizer"), parts.pop("table"), **parts)
    for wrong in ({"max_length": 0}, {"drop": -1}):
        with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must be at least"):
            fastemb.StaticModel(model.tokenizer, model.table, **wrong)
    with pytest.raises(ValueError, match="vocabulary needs 32000 rows"):
        fastemb.StaticModel(model.tokenizer, model.table[1:])
    assert fastemb.StaticModel(model.tokenizer, model.table, drop=0, max_length=np.int64(5)).encode("a").any()


def test_dim_keeps_the_first_columns_without_a_copy(model, llama_folder):
    small = fastemb.StaticModel.load(llama_folder, dim=64)
    assert small.table.base is not None
    assert np.array_equal(small.encode("hello world"), model.encode("hello world")[:64])
    with pytest.raises(ValueError, match="dim must be from 1 to 256, got 257"):
        fastemb.StaticModel.load(llama_folder, dim=257)
    for dim in (0, -1):
        with pytest.raises(ValueError, match=f"dim must be at least 1, got {dim}"):
            fastemb.StaticModel.load(llama_folder, dim=dim)
    for dim in ("64", 2.5, True):
        with pytest.raises(TypeError, match="dim must be an integer or None"):
            fastemb.StaticModel.load(llama_folder, dim=dim)


def test_the_same_bits_for_any_thread_count(small_grain, model, real_lines):
    lines = real_lines[:20_000]
    with fastemb.num_threads(1):
        one = model.encode(lines)
    for threads in (2, 7):
        with fastemb.num_threads(threads):
            assert np.array_equal(model.encode(lines), one)


class Text(str):
    """A text that lies about its length."""

    def __len__(self):
        return 1


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_many_texts_of_very_different_lengths(small_grain, model, real_lines, threads):
    """Only some texts tell how much room to make; here the long ones are none of them."""
    texts = real_lines[:5000]
    for i in (1, 2, 2049, 4998):
        texts[i] = " ".join(real_lines[i : i + 3000])
    expected = np.concatenate([model.encode(texts[i : i + 100]) for i in range(0, len(texts), 100)])
    with fastemb.num_threads(threads):
        assert np.array_equal(model.encode(texts), expected)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_bad_text_among_many(small_grain, model, real_lines, threads):
    """Types are looked at block by block, but nothing is written before the last, and the position is that of all."""
    texts = real_lines[:5000]
    texts[4990] = b"bytes"
    out = np.full((5000, 256), 7, np.float32)
    with fastemb.num_threads(threads):
        with pytest.raises(TypeError, match="texts must be str, got bytes at position 4990"):
            model.encode(texts, out=out)
        assert (out == 7).all()
        texts[4990] = Text("a b")
        assert np.array_equal(model.encode(texts)[4990], model.encode("a b"))


@pytest.mark.parametrize("short", [1000, 9000])
def test_long_texts_that_lie_together_are_shared_out(small_grain, model, monkeypatch, short):
    """By the mean length of all texts they would share one block, and one thread would take nearly all work."""
    texts, found, plain = ["a"] * short + ["word " * 4000] * 100, [], encode._encode_range
    expected = np.repeat(model.encode([texts[0], texts[-1]]), [short, 100], axis=0)

    def block(*arguments):
        found.append(sum(map(len, texts[slice(*arguments[5:7])])))
        return plain(*arguments)

    monkeypatch.setattr(encode, "_encode_range", block)
    with fastemb.num_threads(2):
        assert np.array_equal(model.encode(texts), expected)
    assert sum(found) == sum(map(len, texts))
    assert max(found) < sum(found) / 6


@pytest.mark.parametrize("culprit", ["caller", "helper"])
def test_an_error_stops_the_other_threads(small_grain, model, real_lines, monkeypatch, culprit):
    caller, both, seen = threading.get_ident(), threading.Barrier(2, timeout=120), threading.local()
    after = []
    plain = encode._encode_range

    def block(*arguments):
        if not hasattr(seen, "first"):
            seen.first = True
            both.wait()  # both threads have a block
            if (threading.get_ident() == caller) == (culprit == "caller"):
                raise MemoryError("no room")
            blocks, until = sys._getframe(1).f_locals["todo"], time.monotonic() + 60
            while blocks and time.monotonic() < until:  # until the error is heard, however busy the machine is
                time.sleep(0.001)
        after.append(threading.get_ident())
        return plain(*arguments)

    monkeypatch.setattr(encode, "_encode_range", block)
    with fastemb.num_threads(2), pytest.raises(MemoryError, match="no room"):
        model.encode(real_lines[:20_000])
    assert len(after) == 1  # the block that the other thread was at
    monkeypatch.setattr(encode, "_encode_range", plain)
    with fastemb.num_threads(2):
        assert model.encode(real_lines[:3000]).shape == (3000, 256)


INTERRUPTED = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
import numpy as np
import fastemb
from fastemb import _threads

_threads._GRAIN = 1
model = fastemb.StaticModel.load()
fastemb.set_num_threads(2)
texts = [f"line {i} of a text that is no longer than others" for i in range(30_000)]
expected = model.encode(texts)
signal.signal(signal.SIGALRM, lambda number, frame: signal.raise_signal(signal.SIGINT))
caught = calls = 0
while caught < 20 or calls < 40:  # at the least delay a call is never over, on whatever machine
    delay = np.linspace(1e-4, 2e-2, 40)[calls % 40]
    calls += 1
    try:
        signal.setitimer(signal.ITIMER_REAL, delay)
        model.encode(texts)
        signal.setitimer(signal.ITIMER_REAL, 0)
        time.sleep(0)
    except KeyboardInterrupt:
        caught += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
assert np.array_equal(model.encode(texts), expected)
print("alive")
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no setitimer")
def test_interrupts():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == "alive\n", done.stderr


def test_max_length(model):
    assert np.array_equal(model.encode("one two three four", max_length=2), model.encode("one two"))
    with pytest.raises(ValueError, match="max_length must be at least 1"):
        model.encode("a", max_length=0)
    for length in ("foo", 2.5, True):
        with pytest.raises(TypeError, match="max_length must be an integer or None"):
            model.encode("a", max_length=length)


def test_pickle_and_copy(model):
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert np.array_equal(other.encode(["a b", ""]), model.encode(["a b", ""]))


# ---------------------------------------------------------------- model2vec's own folders


def save_model2vec(folder, tokenizer, dtype=np.float32, config=None, **tensors):
    folder.mkdir()
    rows = tokenizer.get_vocab_size()
    rng = np.random.default_rng(1)
    table = rng.integers(-127, 128, (rows, 32)).astype(dtype) if dtype == np.int8 else rng.standard_normal((rows, 32))
    tensors = {"embeddings": tensors.pop("embeddings", table.astype(dtype)), **tensors}
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    tokenizer.save(str(folder / "tokenizer.json"))
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def hf(llama_file):
    return tokenizers.Tokenizer.from_file(str(llama_file))


TEXTS = ["Hello, wonderful world!", "", "x<unk> y", " ".join(["long text"] * 700), "日本語 😀", "<s>"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8])
@pytest.mark.parametrize("config", [{"normalize": False}, {"normalize": True, "max_length": 20}, {"max_length": None}])
def test_equal_to_model2vec(tmp_path, hf, dtype, config):
    from model2vec import StaticModel

    folder = save_model2vec(tmp_path / "m", hf, dtype, {"max_length": 512, **config})
    theirs = StaticModel.from_pretrained(folder).encode(TEXTS)
    model = fastemb.StaticModel.load(folder)
    ours, rows = model.encode(TEXTS), model._tokenize(TEXTS)
    # Sums of more than 256 rows are cut here and run on in float32 there: such texts are held against float64.
    table = model.table.dequantize() if dtype == np.int8 else model.table
    exact = np.stack([table[row].astype(np.float64).sum(axis=0) / max(row.size, 1) for row in rows])
    if config.get("normalize"):
        exact /= np.maximum(np.linalg.norm(exact, axis=1, keepdims=True), 1e-30)
    short = rows.lengths <= 256
    assert short.any()
    # float16 results are rounded to float16 there
    assert_close_rows(ours[short], theirs[short].astype(np.float32), 1e-3 if dtype == np.float16 else 1e-6)
    assert_close_rows(ours, exact.astype(np.float32), 1e-3 if dtype == np.float16 else 1e-6)
    assert not ours[1].any()


def test_equal_to_model2vec_with_weights_and_mapping(tmp_path, hf):
    from model2vec import StaticModel

    rng = np.random.default_rng(2)
    rows = hf.get_vocab_size()
    folder = save_model2vec(
        tmp_path / "m",
        hf,
        config={"normalize": False},
        embeddings=rng.standard_normal((100, 32)).astype(np.float32),
        mapping=rng.integers(0, 100, rows),
        weights=rng.random(rows),
    )
    theirs = StaticModel.from_pretrained(folder).encode(TEXTS)
    assert_close_rows(fastemb.StaticModel.load(folder).encode(TEXTS), theirs.astype(np.float32), 2e-6)


def test_normalize_overrides_the_config(tmp_path, hf):
    model = fastemb.StaticModel.load(save_model2vec(tmp_path / "m", hf, config={"normalize": True}))
    assert np.linalg.norm(model.encode("a b")) == pytest.approx(1, abs=1e-6)
    assert np.linalg.norm(model.encode("a b", normalize=False)) != pytest.approx(1, abs=1e-3)


# ---------------------------------------------------------------- folders that are no model


@pytest.fixture
def folder(tmp_path, llama_file, llama_weights):
    """A good model folder."""
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(llama_file, folder / "tokenizer.json")
    shutil.copy(llama_weights, folder / "model.safetensors")
    return folder


def test_a_folder_with_the_pair(folder, model):
    assert np.array_equal(fastemb.StaticModel.load(str(folder)).encode("a b"), model.encode("a b"))
    assert repr(model).startswith("<StaticModel: 32000 x 256 float16, <Tokenizer")


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda f: shutil.rmtree(f), FileNotFoundError, "does not exist"),
        (lambda f: (f / "tokenizer.json").unlink(), FileNotFoundError, r"holds no tokenizer\.json"),
        (lambda f: (f / "model.safetensors").unlink(), FileNotFoundError, r"holds no \.safetensors"),
        (
            lambda f: shutil.copy(f / "model.safetensors", f / "b.safetensors"),
            ValueError,
            r"expected one \.safetensors file, found b\.safetensors, model\.safetensors",
        ),
        (lambda f: (f / "model.safetensors").write_bytes(b"x" * 99), ValueError, r"model\.safetensors: damaged"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), ValueError, r"model\.safetensors: damaged"),
        (
            lambda f: (f / "model.safetensors").write_bytes(b"\xff" * 8 + b"{}"),
            ValueError,
            r"model\.safetensors: damaged",
        ),
        (lambda f: cut(f / "model.safetensors"), ValueError, r"model\.safetensors: damaged"),
        (lambda f: (f / "tokenizer.json").write_text("{"), ValueError, r"tokenizer\.json: not valid JSON"),
    ],
)
def test_damaged_folders(folder, damage, error, message):
    damage(folder)
    with pytest.raises(error, match=message):
        fastemb.StaticModel.load(folder)


def cut(file):
    file.write_bytes(file.read_bytes()[:100_000])


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"embedding.weight": np.zeros((31_999, 8), np.float32)}, r"shape \(31999, 8\), .* needs 32000 rows"),
        (
            {"embedding.weight": np.zeros(32_000, np.float32)},
            r"must have two axes and some columns, got shape \(32000,\)",
        ),
        (
            {"embedding.weight": np.zeros((32_000, 2), np.int64)},
            "has the type I64; supported are F16, BF16, F32, F64, I8",
        ),
        ({"embeddings": np.zeros((2, 2), np.float32), "mapping": np.zeros(3)}, "'mapping' has the type F64; supported"),
        ({"embedding.weight": np.zeros((32_000, 0), np.float32)}, "must have two axes and some columns"),
        (
            {"embeddings": np.zeros((32_000, 2), np.float32), "weights": np.full(32_000, 1e300)},
            "tensor 'weights' holds numbers that are not finite in float32",
        ),
        ({"other": np.zeros((2, 2), np.float32)}, r"expected one tensor named .* it holds \['other'\]"),
        (
            {"embeddings": np.zeros((2, 2), np.float32), "mapping": np.full(32_000, 2)},
            "tensor 'mapping' must hold row numbers below 2",
        ),
        (
            {"embeddings": np.zeros((32_000, 2), np.float32), "weights": np.zeros(3)},
            r"tensor 'weights' must have shape \(32000,\), got \(3,\)",
        ),
    ],
)
def test_tables_that_do_not_fit(folder, tensors, message):
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ValueError, match=message) as caught:
        fastemb.StaticModel.load(folder)
    assert "model.safetensors" in str(caught.value)


def write_table(folder, kind, data, rows=32_000):
    header = {"embedding.weight": {"dtype": kind, "shape": [rows, 1], "data_offsets": [0, len(data)]}}
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


def test_a_type_that_is_not_read(folder):
    write_table(folder, "F8_E4M3", bytes(32_000))
    with pytest.raises(
        ValueError, match=r"model\.safetensors: tensor 'embedding\.weight' has the type F8_E4M3; supported"
    ):
        fastemb.StaticModel.load(folder)


def test_bfloat16_and_more_rows_than_ids(folder):
    values = np.arange(33_000, dtype=np.uint16)
    write_table(folder, "BF16", values.tobytes(), rows=33_000)
    table = fastemb.StaticModel.load(folder).table
    assert table.dtype == np.float32
    assert np.array_equal(table.view(np.uint32)[:, 0], values.astype(np.uint32) << 16)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"max_length": 0}, "max_length must be a positive integer or null, got 0"),
        ({"max_length": "x"}, "max_length must be a positive integer or null"),
        ({"normalize": 3}, "normalize must be true or false, got 3"),
        ([], "expected a JSON object"),
    ],
)
def test_damaged_configs(tmp_path, hf, config, message):
    folder = save_model2vec(tmp_path / "m", hf, config=config)
    with pytest.raises(ValueError, match=rf"config\.json: {message}"):
        fastemb.StaticModel.load(folder)

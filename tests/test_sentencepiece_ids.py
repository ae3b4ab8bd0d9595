"""SentencePiece's models: ids, pieces, texts and normalized texts are those of sentencepiece."""

import functools
import random

import numpy as np
import piece_models
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tokenizer_patterns import installed

import fastemb
from fastemb._text.core import Core
from fastemb._text.sentencepiece_engine import Engine
from fastemb._text.sentencepiece_file import ModelType, PieceType, read_model
from fastemb._text.sentencepiece_plan import plan_pieces
from fastemb._text.sentencepiece_write import write_model
from fastemb.tokenizer import Tokenizer

MISTRAL = [
    "tokenizer.model.v1",
    "mistral_instruct_tokenizer_240323.model.v3",
    *(
        pytest.param(f"mistral_instruct_tokenizer_{version}", marks=pytest.mark.exhaustive)
        for version in ("240216.model.v2", "241114.model.v7", "241114.model.v7m1")
    ),
]


def tokenizer_of(data):
    return Tokenizer(Core(plan_pieces(data)))


@functools.cache
def three(kind, name):
    """A model's oracle, its engine in Python, and its tokenizer, which is C's."""
    data = piece_models.trained(kind, name)
    tokenizer = tokenizer_of(data)
    assert not tokenizer._core.metadata.general_road
    return piece_models.oracle(data), Engine(read_model(data)), tokenizer


def check(oracle, engine, tokenizer, texts):
    rows = [row.tolist() for row in tokenizer.encode_batch(texts)]
    for text, row in zip(texts, rows, strict=True):
        want = oracle.encode(text)
        assert row == want, text
        pieces = engine.encode(text.encode())
        assert [piece.id for piece in pieces] == want, text
        assert [piece.text for piece in pieces] == oracle.encode(text, out_type=bytes), text
        assert engine.normalize(text.encode())[0].decode() == oracle.normalize(text)
        assert tokenizer.decode(row) == oracle.decode(want), text


@pytest.mark.parametrize(("kind", "name"), piece_models.KINDS)
def test_models_trained_here(kind, name):
    check(*three(kind, name), piece_models.texts(100))


@pytest.mark.parametrize(("kind", "name"), [("bpe", "bytes, as Llama"), ("unigram", "identity, symbols")])
@settings(max_examples=60, deadline=None)
@given(
    text=st.text(st.one_of(st.sampled_from("".join(piece_models.ALPHABET)), st.characters(exclude_categories=["Cs"])))
)
def test_any_text(kind, name, text):
    check(*three(kind, name), [text])


@pytest.mark.exhaustive
@pytest.mark.parametrize(("kind", "name"), piece_models.KINDS)
def test_many_texts(kind, name):
    check(*three(kind, name), piece_models.texts(20_000, seed=1))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["nmt_nfkc", "nfkc_cf"])
def test_every_code_point(name):
    oracle, _, tokenizer = three("unigram", name)
    texts = [f"a{chr(code)}b" for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    for first in range(0, len(texts), 50_000):
        block = texts[first : first + 50_000]
        assert [row.tolist() for row in tokenizer.encode_batch(block)] == oracle.encode(block)


@pytest.mark.parametrize("name", MISTRAL)
def test_mistrals_models(name):
    data = installed("mistral_common", f"data/{name}").read_bytes()
    tokenizer = tokenizer_of(data)
    assert not tokenizer._core.metadata.general_road
    texts = [*piece_models.texts(300), "[INST] x [/INST]", "[REF]a[/REF]", "[REFERENCE_DOC_1]0", "</s>[REF]"]
    check(piece_models.oracle(data), Engine(read_model(data)), tokenizer, texts)


def test_llama_2():
    data = piece_models.llama_2(installed("wordllama", "tokenizers/l2_supercat_tokenizer_config.json"))
    check(piece_models.oracle(data), Engine(read_model(data)), tokenizer_of(data), piece_models.texts(300))


# ---------------------------------------------------------------- merges


def test_ties_at_the_lowest_score_go_by_place():
    """Runs of spaces all score the same in Llama's models: from the left, and not pair by pair."""
    pieces = [("▁", -5), *(("▁" * n, -1e9) for n in (2, 3, 4, 7)), ("a", -6), ("▁a", -1)]
    data = piece_models.model(pieces, ModelType.BPE, normalizer={"remove_extra_whitespaces": False})
    oracle, tokenizer = piece_models.oracle(data), tokenizer_of(data)
    assert not tokenizer._core.metadata.general_road
    for text in (" " * n + "a" * (n % 3) for n in range(500)):
        assert tokenizer.encode(text).tolist() == oracle.encode(text), len(text)


@pytest.mark.parametrize("seed", range(12))
def test_merges_by_chance(seed):
    """Overlapping pieces, equal scores, pieces without parts, unused ones: what C cannot say goes by Python."""
    chance = random.Random(seed)
    names = {"".join(chance.choices("ab▁", k=chance.randrange(2, 6))) for _ in range(chance.randrange(4, 30))}
    kinds = [PieceType.NORMAL, PieceType.NORMAL, PieceType.UNUSED] if seed % 3 == 2 else [PieceType.NORMAL]
    scores = [-1.0, -2.0, -3.0] if seed % 3 == 1 else [-float(n) for n in range(40)]
    pieces = [(name, chance.choice(scores), chance.choice(kinds)) for name in sorted(names)]
    pieces += [(char, -50, PieceType.NORMAL) for char in "ab▁" if seed % 4 or char != "b"]
    data = piece_models.model(pieces, ModelType.BPE, normalizer={"remove_extra_whitespaces": False})
    oracle, tokenizer, engine = piece_models.oracle(data), tokenizer_of(data), Engine(read_model(data))
    for _ in range(200):
        text = "".join(chance.choices("ab ▁x", k=chance.randrange(24)))
        want = oracle.encode(text)
        assert [piece.id for piece in engine.encode(text.encode())] == want, text
        assert tokenizer.encode(text).tolist() == want, text


@pytest.mark.parametrize("fallback", [False, True])
def test_an_unused_character_is_unknown(fallback):
    """It merges all the same; left by itself there is nothing to take it apart into."""
    unused = [(char, -4, PieceType.UNUSED) for char in ("b", "日")]
    byte = [(f"<0x{value:02X}>", 0, PieceType.BYTE) for value in range(256)] if fallback else []
    pieces = [("▁", -5), ("a", -3), ("ab", -1), ("b日", -2, PieceType.UNUSED), *unused, *byte]
    data = piece_models.model(pieces, ModelType.BPE, {"byte_fallback": fallback})
    oracle, tokenizer, engine = piece_models.oracle(data), tokenizer_of(data), Engine(read_model(data))
    for text in ("b", "ab", "b日", "bb日a", "日日 ab日 b"):
        want = oracle.encode(text)
        assert tokenizer.encode(text).tolist() == [piece.id for piece in engine.encode(text.encode())] == want, text


def test_a_long_text_of_one_letter():
    pieces = [("a", -9), *(("a" * 2**n, -float(n)) for n in range(1, 8)), ("aaa", -0.5), ("▁", -10)]
    data = piece_models.model(pieces, ModelType.BPE)
    for n in (383, 384, 385, 20_000):
        assert tokenizer_of(data).encode("a" * n).tolist() == piece_models.oracle(data).encode("a" * n)


# ---------------------------------------------------------------- scores


@pytest.mark.parametrize("seed", range(12))
def test_scores_by_chance(seed):
    """Many equal sums, and such as differ only by the rounding of 32 bits."""
    chance = random.Random(seed)
    names = {"".join(chance.choices("abé▁", k=chance.randrange(1, 5))) for _ in range(chance.randrange(3, 30))}
    step = [1.0, 0.1, 1e-3, 7e3][seed % 4]
    kinds = [PieceType.NORMAL] * 6 + [PieceType.USER_DEFINED, PieceType.UNUSED] * (seed % 3 == 2)
    pieces = [(name, -step * chance.randrange(1, 9), chance.choice(kinds)) for name in sorted(names)]
    data = piece_models.model([*pieces, ("x", -step)], ModelType.UNIGRAM)
    oracle, tokenizer, engine = piece_models.oracle(data), tokenizer_of(data), Engine(read_model(data))
    assert not tokenizer._core.metadata.general_road
    for size in [*([20] * 150), 400, 1000]:
        text = "".join(chance.choices("abé ▁xq", k=chance.randrange(size)))
        want = oracle.encode(text)
        assert [piece.id for piece in engine.encode(text.encode())] == want, text
        assert tokenizer.encode(text).tolist() == want, text


def test_a_sum_that_runs_through_a_long_text():
    oracle, _, tokenizer = three("unigram", "nmt_nfkc")
    text = " ".join(piece_models.lines())
    assert len(text) > 40_000
    assert tokenizer.encode(text).tolist() == oracle.encode(text)
    assert tokenizer.encode(text).tolist() == oracle.encode(text), "and once more, with what is remembered"


def test_sums_through_remembered_words_with_unknown_characters():
    """Of `ab` and `a b` rounding chooses, by the sum that unknown characters before them made; `cd` is close."""
    pieces = [("▁", -1.3), ("a", -0.1), ("b", -0.3), ("ab", -0.4), ("c", -0.2), ("d", -0.7), ("cd", -0.901)]
    data = piece_models.model([*pieces, ("x", -3.7)], ModelType.UNIGRAM)
    oracle, tokenizer = piece_models.oracle(data), tokenizer_of(data)
    chance = random.Random(5)
    words = ["ab", "a界b", "界界界", "界ab", "cd界", "界cd", "ab" * 8 + "世界" * 3, "x世界x", "世界" * 40 + "ab"]
    for size in (3, 40, 400, 9_000):
        text = " ".join(chance.choices(words, k=size))
        want = oracle.encode(text)
        for _ in range(3):
            assert tokenizer.encode(text).tolist() == want


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_load_and_save(kind, tmp_path):
    data = piece_models.trained(kind, "bytes")
    (tmp_path / "x.model").write_bytes(data)
    tokenizer = fastemb.Tokenizer.load(tmp_path / "x.model")
    tokenizer.save(tmp_path / "saved")
    saved = fastemb.Tokenizer.load(tmp_path / "saved")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/tokenizer.model").write_bytes(data)
    for other in (saved, fastemb.Tokenizer.load(tmp_path / "folder")):
        for text in piece_models.texts(40):
            assert other.encode(text).tolist() == tokenizer.encode(text).tolist()
            assert other.decode(other.encode(text)) == piece_models.oracle(data).decode(other.encode(text).tolist())
    with pytest.raises(ValueError, match="brings its own pattern"):
        fastemb.Tokenizer.load(tmp_path / "x.model", "gpt2")


def test_a_model_that_python_does_is_saved_too(tmp_path):
    pieces = [("a", -3), ("b", -3), ("ab", -1, PieceType.UNUSED), ("▁", -4)]
    (tmp_path / "x.model").write_bytes(piece_models.model(pieces, ModelType.BPE))
    tokenizer = fastemb.Tokenizer.load(tmp_path / "x.model")
    assert tokenizer._core.metadata.general_road
    tokenizer.save(tmp_path / "saved")
    assert fastemb.Tokenizer.load(tmp_path / "saved").encode("ab a").tolist() == tokenizer.encode("ab a").tolist()


@pytest.mark.parametrize(("kind", "name"), [("bpe", "nmt_nfkc"), ("unigram", "bytes"), ("bpe", "bytes, as Llama")])
def test_offsets(kind, name):
    oracle, _, tokenizer = three(kind, name)
    for text in piece_models.texts(60):
        ids, spans = tokenizer.encode(text, offsets=True)
        want = oracle.encode(text, out_type="offset_mapping")
        assert ids.tolist() == want["ids"]
        if "<0x" not in "".join(want["pieces"]):  # of bytes of a character ours are all of it
            assert spans.tolist() == [list(span) for span in want["offsets"]] or tokenizer._placing.told == "all", text
        assert (spans[:, 0] <= spans[:, 1]).all()


def test_control_symbols():
    """sentencepiece never finds them in a text; here that can be asked for, and each text between is one by itself."""
    oracle, _, tokenizer = three("bpe", "identity, symbols")
    ctl = oracle.piece_to_id("<ctl>")
    assert tokenizer.encode("a<ctl>b").tolist() == oracle.encode("a<ctl>b")
    assert tokenizer.encode("a<ctl>b", special="all").tolist() == [*oracle.encode("a"), ctl, *oracle.encode("b")]
    with pytest.raises(ValueError, match="special token '<ctl>' stands in the text"):
        tokenizer.encode("a<ctl>b", special="raise")
    row = [oracle.bos_id(), *oracle.encode("the foo"), oracle.eos_id()]
    assert tokenizer.decode(row) == oracle.decode(row) == "the foo"


@pytest.mark.parametrize(("kind", "name"), piece_models.KINDS)
def test_decoding_ids_by_chance(kind, name):
    oracle, _, tokenizer = three(kind, name)
    rng = np.random.default_rng(3)
    for _ in range(60):
        ids = rng.integers(0, len(oracle), rng.integers(0, 9)).tolist()
        assert tokenizer.decode(ids) == oracle.decode(ids), ids


def test_what_is_written_sentencepiece_reads():
    data = piece_models.trained("bpe", "symbols, spaces kept")
    again = piece_models.oracle(write_model(read_model(data)))
    for text in piece_models.texts(40):
        assert again.encode(text) == piece_models.oracle(data).encode(text)

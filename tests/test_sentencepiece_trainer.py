"""`fastemb.compat.sentencepiece.SentencePieceTrainer`: models that both packages read, and every option, honoured or
refused."""

import io
import random

import pytest

from fastemb.compat import sentencepiece as ours
from fastemb.compat._sentencepiece_options import ONLY, OPTIONS

CHANCE = random.Random(3)
WORDS = ["low", "12", "345", "x9y", "\u00e9t\u00e9", "\u65e5\u672c"]
WORDS += ["".join(CHANCE.choices("etaoinshlw", k=CHANCE.randint(2, 7))) for _ in range(80)]
LINES = [" ".join(CHANCE.choices(WORDS, k=CHANCE.randint(3, 9))) + CHANCE.choice([".", "!", ""]) for _ in range(300)]
KINDS = ["unigram", "bpe"]
PLAIN = {"normalization_rule_name": "identity", "vocab_size": 60}


def train(lines=LINES, **options):
    """Return the bytes of a model."""
    out = io.BytesIO()
    ours.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=out, **PLAIN | options)
    return out.getvalue()


def pieces(**options):
    processor = ours.SentencePieceProcessor(model_proto=train(**options))
    return processor, [processor.id_to_piece(id) for id in range(len(processor))]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byte_fallback": True, "split_digits": True, "vocab_size": 320, "character_coverage": 0.97},
        {"user_defined_symbols": ["low", " ", "\t"], "control_symbols": ["<c>"], "pad_id": 0, "unk_id": 3},
        {"add_dummy_prefix": False, "remove_extra_whitespaces": False},
    ],
)
def test_both_packages_read_the_model(kind, options):
    theirs = pytest.importorskip("sentencepiece", reason="sentencepiece is the oracle")
    data = train(model_type=kind, **options)
    mine, want = ours.SentencePieceProcessor(model_proto=data), theirs.SentencePieceProcessor(model_proto=data)
    texts = [*LINES[:40], "  low  lower\t\u732b ", ""]
    assert mine.encode(texts) == want.encode(texts)
    assert mine.encode(texts, out_type=str) == want.encode(texts, out_type=str)
    for name in ("unk_id", "bos_id", "eos_id", "pad_id", "vocab_size"):
        assert getattr(mine, name)() == getattr(want, name)()
    assert len(mine) == options.get("vocab_size", 60)
    assert mine.decode(mine.encode(LINES[0])) == LINES[0]


@pytest.mark.parametrize("kind", KINDS)
def test_where_no_piece_reaches_across(kind):
    _, found = pieces(model_type=kind, split_digits=True, vocab_size=70)
    assert all("\u2581" not in piece[1:] for piece in found)
    assert all(len(piece) == 1 for piece in found if any(char.isdigit() for char in piece))
    _, found = pieces(model_type=kind, max_sentencepiece_length=2, vocab_size=70, hard_vocab_limit=False)
    assert max(map(len, found[3:])) == 2
    assert not any(
        any(char.isdigit() for char in piece) and any(char.isalpha() for char in piece) for piece in found[3:]
    )
    symbols = ["low", "wi"]
    _, found = pieces(model_type=kind, user_defined_symbols=symbols, vocab_size=50)
    assert found[3:5] == symbols
    assert not any("low" in piece for piece in found[5:])


def test_merges_are_the_most_frequent_first():
    processor, found = pieces(lines=["ab ab ab abc"] * 3, model_type="bpe", vocab_size=9)
    assert found == ["<unk>", "<s>", "</s>", "ab", "\u2581ab", "a", "b", "\u2581", "c"]
    assert processor.get_score(3) == 0
    assert processor.encode("abc ba", out_type=str) == ["\u2581ab", "c", "\u2581", "b", "a"]


def test_files(tmp_path):
    text, prefix = tmp_path / "a.txt", tmp_path / "m"
    text.write_text("".join(f"{line}\n" for line in LINES))
    train_ = ours.SentencePieceTrainer.Train
    train_(f"--input={text} --model_prefix={prefix} --vocab_size=60 --normalization_rule_name=identity --pad_id=3")
    model, vocab = (tmp_path / f"m.{end}" for end in ("model", "vocab"))
    assert model.read_bytes() == train(pad_id=3)
    processor = ours.SentencePieceProcessor(model_file=str(model))
    rows = [line.split("\t") for line in vocab.read_text("utf-8").splitlines()]
    assert [name for name, _ in rows] == [processor.id_to_piece(id) for id in range(60)]
    assert [float(score) for _, score in rows] == pytest.approx(processor.get_score(list(range(60))), rel=1e-5)
    before = model.read_bytes()
    with pytest.raises(RuntimeError, match="too high"):
        train_(input=[text], model_prefix=prefix, **PLAIN | {"vocab_size": 5000})
    assert model.read_bytes() == before
    train_(input=[text], model_prefix=prefix, hard_vocab_limit=False, **PLAIN | {"vocab_size": 5000})
    assert 60 < len(ours.SentencePieceProcessor(model_file=str(model))) < 5000
    with pytest.raises(RuntimeError, match=r"NOT_FOUND.*there_is_none"):
        train_(input="there_is_none", model_prefix=prefix)


def test_normalizers():
    own = ours.SentencePieceNormalizer(norm_map=[("low", "high"), ("w r", "wr")])
    out = io.BytesIO()
    ours.SentencePieceTrainer.train(
        sentence_iterator=[*LINES, *["low"] * 999], model_writer=out, vocab_size=50, normalizer=own, model_type="bpe"
    )
    processor = ours.SentencePieceProcessor(model_proto=out.getvalue())
    assert processor.normalize("low w r") == "\u2581high\u2581wr"
    assert processor.encode("low") == [processor.piece_to_id("\u2581high")] != [processor.unk_id()]
    for options, why in (({"normalizer": own, "add_dummy_prefix": True}, "one of normalizer and add_dummy_prefix"),):
        with pytest.raises(ValueError, match=why):
            ours.SentencePieceTrainer.train(sentence_iterator=LINES, model_writer=out, **options)
    off = ours.SentencePieceNormalizer(rule_name="identity", escape_whitespaces=False)
    with pytest.raises(ValueError, match="escape_whitespaces is off"):
        ours.SentencePieceTrainer.train(sentence_iterator=LINES, model_writer=out, normalizer=off)


def test_remembered_words_are_those_of_whole_lines():
    """Normalized one by one, where no rule has a space in it, and as one text else."""
    lines = [" \u2581low\u3000 lower ", "a\u00a0 \u00a0b", "low", "  ", "\u2581 \u2581"] * 20
    rules = [("\u3000", " "), ("\u00a0", " "), ("w", "ww")]
    tokens = list[list[str]]()
    for more in ([], [("q q", "q")]):  # which stands nowhere
        out = io.BytesIO()
        own = ours.SentencePieceNormalizer(norm_map=rules + more)
        options = {"normalizer": own, "vocab_size": 40, "hard_vocab_limit": False, "model_type": "bpe"}
        ours.SentencePieceTrainer.train(sentence_iterator=lines, model_writer=out, **options)
        processor = ours.SentencePieceProcessor(model_proto=out.getvalue())
        tokens.append([processor.id_to_piece(id) for id in range(len(processor))])
    assert tokens[0] == tokens[1]
    assert "\u2581lowwer" in tokens[0]


def test_pretokenizers():
    cut = lambda text: [part for part in text.replace("lo", "|lo|").split("|") if part]  # noqa: E731
    _, found = pieces(pretokenizer=cut)
    assert not any("low" in piece for piece in found)
    with pytest.raises(RuntimeError, match="allow_inconsistent"):
        pieces(pretokenizer=lambda text: ["x"])
    other = {"allow_inconsistent_pretokenization": True, "hard_vocab_limit": False, "model_type": "bpe"}
    _, found = pieces(pretokenizer=lambda text: ["xy"], **other)
    assert {*found[3:]} == {"x", "y", "xy", "\u2581"}
    with pytest.raises(ZeroDivisionError):
        pieces(pretokenizer=lambda text: 1 / 0)


def test_samples():
    first = train(LINES[:100])
    assert train(input_sentence_size=100, shuffle_input_sentence=False) == first
    assert train(input_sentence_size=100) == train(input_sentence_size=100) != first
    assert train([*LINES, "q" * 5000]) == train() != train([*LINES, "q" * 5000], max_sentence_length=6000)


FAULTS = [
    ({"nope": 1}, RuntimeError, "NOT_FOUND: unknown field name 'nope'"),
    ({"vocab_size": "many"}, ValueError, "vocab_size must be a int, got 'many'"),
    ({"vocab_size": 0}, ValueError, "vocab_size must be from 1"),
    ({"vocab_size": 7}, RuntimeError, "smaller than required_chars. 7 vs"),
    ({"hard_vocab_limit": "perhaps"}, ValueError, "hard_vocab_limit must be a bool"),
    ({"character_coverage": 2}, ValueError, "character_coverage must be above 0"),
    ({"max_sentencepiece_length": 99}, ValueError, "from 1 to 32, got 99"),
    ({"input_sentence_size": -1}, ValueError, "at least 0, got -1"),
    ({"model_type": "word"}, NotImplementedError, "model_type='word'"),
    ({"model_type": "foo"}, ValueError, "got 'foo'"),
    ({"unk_id": -1}, ValueError, "unk_id must be at least 0"),
    ({"bos_id": 0}, ValueError, "bos_id is 0, which '<unk>' has"),
    ({"bos_id": 99}, ValueError, "beyond the 60 pieces"),
    ({"control_symbols": ["a", "a"]}, ValueError, "'a' is there twice"),
    ({"user_defined_symbols": [""]}, ValueError, "'' is empty"),
    ({"user_defined_symbols": [3]}, ValueError, "must be a list of str"),
    ({"lines": ["a", 3]}, ValueError, "Iterator must return str or bytes, got int"),
    ({"lines": [b"a", b"\xff"]}, ValueError, "text 1 is no UTF-8 at byte 0"),
    ({"lines": []}, ValueError, "nothing to train on"),
    ({"input": "a.txt"}, RuntimeError, "one of input and sentence_iterator"),
    ({"model_prefix": "a"}, RuntimeError, "one of model_prefix and model_writer"),
]


@pytest.mark.parametrize(("options", "error", "why"), FAULTS)
def test_faults(options, error, why):
    with pytest.raises(error, match=why):
        train(**options)


def test_options_are_honoured_or_refused():
    """What is done in one way alone is refused by name where another is asked for."""
    assert not OPTIONS.keys() & ONLY.keys()
    plain = train()
    for name, value in ONLY.items():
        other = (not value) if isinstance(value, bool) else f"{value}x" if isinstance(value, str) else value + 1
        with pytest.raises(NotImplementedError, match=f"{name}="):
            train(**{name: other})
    assert train(**ONLY, num_threads=3, minloglevel=2, train_extremely_large_corpus=True) == plain
    theirs = pytest.importorskip("sentencepiece.sentencepiece_model_pb2", reason="it lists the options")
    names = {field.name for field in theirs.TrainerSpec.DESCRIPTOR.fields}
    for name in names - OPTIONS.keys() - ONLY.keys():
        with pytest.raises(RuntimeError, match="NOT_FOUND"):
            train(**{name: 1})

"""fastemb.compat.tokenizers against tokenizers: saved and trained files, copies, what is shown, and errors."""

import asyncio
import copy
import json
import os
import pickle

import numpy as np
import pytest
import tokenizers as theirs
from compat_cases import MAKERS, SAMPLES, pair

from fastemb.compat import tokenizers as ours

# Files, copies, errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKERS)
def test_saved(name, tmp_path):
    us = copy.deepcopy(pair(name)[1])
    us.add_special_tokens(["<new>"])
    us.enable_truncation(7, stride=1)
    us.enable_padding(pad_id=1, pad_token="<p>")
    us.save(str(tmp_path / "tokenizer.json"))
    assert "<new>" not in pair(name)[1].get_vocab()
    for other in (
        theirs.Tokenizer.from_str(us.to_str()),
        theirs.Tokenizer.from_str(us.to_str(pretty=True)),
        theirs.Tokenizer.from_file(str(tmp_path / "tokenizer.json")),
        ours.Tokenizer.from_pretrained(str(tmp_path)),
        ours.Tokenizer.from_buffer(us.to_str().encode()),
        pickle.loads(pickle.dumps(us)),
        copy.copy(us),
    ):
        assert other.get_vocab() == us.get_vocab()
        assert (other.truncation, other.padding) == (us.truncation, us.padding)
        for one, again in zip(us.encode_batch(SAMPLES), other.encode_batch(SAMPLES), strict=True):
            assert (one.ids, one.tokens, one.attention_mask) == (again.ids, again.tokens, again.attention_mask)


def test_shown():
    them, us = (module.Tokenizer(module.models.BPE()) for module in (theirs, ours))
    for module, tokenizer in ((theirs, them), (ours, us)):
        tokenizer.add_tokens(["my"])
        tokenizer.normalizer = module.normalizers.Sequence([module.normalizers.Lowercase(), module.normalizers.Strip()])
        tokenizer.pre_tokenizer = module.pre_tokenizers.Metaspace()
        tokenizer.post_processor = module.processors.TemplateProcessing("a $0", "a $A $B:1", special_tokens=[("a", 1)])
        tokenizer.decoder = module.decoders.Replace(module.Regex("a"), 'b"')
    assert repr(us) == repr(them)
    assert str(us) == str(them)


def test_shown_whatever_tokens_are_called():
    """Tokens that are called as fields are, merges as older files have them, and how texts are cut and filled up."""
    vocab = {"type": 0, "Sequence": 1, "t": 2, "y": 3, "ty": 4}
    for merges in ([["t", "y"]], ["t y"]):
        text = theirs.Tokenizer(theirs.models.BPE(vocab, [("t", "y")])).to_str()
        document = json.loads(text)
        document["model"]["merges"] = merges
        them, us = (module.Tokenizer.from_str(json.dumps(document)) for module in (theirs, ours))
        for one in (them, us):
            one.enable_truncation(7, stride=1, strategy="only_first", direction="left")
            one.enable_padding(length=4, direction="left")
            one.add_special_tokens(["type"])
        assert (repr(us), str(us)) == (repr(them), str(them))
        for one in (them, us):
            one.enable_padding(pad_to_multiple_of=8)
        again = ours.Tokenizer.from_str(them.to_str())  # the fields of the file in their order
        assert repr(again) == repr(us) == repr(them)


PIECES = [("<unk>", 0.0), ("\u2581", -3.0), ("\u2581a", -3.5), ("a", -4.0), ("bc", -4.5), ("fi", -5.0)]


@pytest.mark.parametrize("parts", ["", "normalizer", "padding", "windows"])
def test_unknown_pieces_are_called_what_they_are(parts):
    """Of Unigram alone; in windows, in pairs, in words, and behind normalizers that change the text."""
    pairs = [module.Tokenizer(module.models.Unigram(PIECES, 0)) for module in (theirs, ours)]
    for module, one in zip((theirs, ours), pairs, strict=True):
        one.add_special_tokens(["<unk>", "<s>"])
        one.pre_tokenizer = module.pre_tokenizers.Metaspace()
        one.post_processor = module.processors.TemplateProcessing("<s> $A", "<s> $A $B:1", [("<s>", 6)])
        if parts == "normalizer":
            one.normalizer = module.normalizers.Sequence([module.normalizers.NFKC(), module.normalizers.Lowercase()])
        if parts == "padding":
            one.enable_padding(length=40, direction="left")
        if parts == "windows":
            one.enable_truncation(5)
    them, us = pairs
    texts = ["xyz a bcx", "\ufb01X \u00bd a", "<unk> q<s>q", "", "\U0001f600\u65e5bc \u65e5"]
    for text in texts:
        for first, second in ((them.encode(text), us.encode(text)), (them.encode(text, "qa"), us.encode(text, "qa"))):
            assert second.tokens == first.tokens
            assert [one.tokens for one in second.overflowing][:1] == [one.tokens for one in first.overflowing][:1]
        words = text.split()
        assert us.encode(words, is_pretokenized=True).tokens == them.encode(words, is_pretokenized=True).tokens
    batches = [[one.tokens for one in each.encode_batch(texts)] for each in pairs]
    assert batches[0] == batches[1]
    found = [[one.as_tuple() for one in each.model.tokenize("axyz\u65e5bc")] for each in pairs]
    assert found[0] == found[1]


PRE_TOKENIZERS = {
    "none": lambda module: None,
    "bytes": lambda module: module.ByteLevel(add_prefix_space=False),
    "spaced bytes": lambda module: module.ByteLevel(),
    "digits": lambda module: module.Sequence([module.Digits(True), module.ByteLevel(add_prefix_space=False)]),
    "words": lambda module: module.BertPreTokenizer(),
    "marks": lambda module: module.Metaspace(),
}
TRAINED_ON = [
    "low Lower lowest 12 1\u00e9\u00e9 \u65e5\u672c\u65e5\u672c \ufb01 \ufb01x",
    "",
    "\u00ad\n",
    "<s>low [x] \n\n lower",
] * 2


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
@pytest.mark.parametrize("alphabet", ["", "bytes", "few"])
@pytest.mark.parametrize("trained", ["BPE", "WordPiece"])
@pytest.mark.parametrize("whose", [theirs, ours], ids=["their trainer", "our trainer"])
def test_trained(tmp_path, name, alphabet, trained, whose):
    """The same files, by C and by the general road; a trainer of either library."""
    level = sorted(theirs.pre_tokenizers.ByteLevel.alphabet())
    options = {"vocab_size": 330, "show_progress": False, "special_tokens": ["<unk>", "<s>", "low"]}
    options["initial_alphabet"] = {"": [], "bytes": level, "few": ["q", "lx"]}[alphabet]
    if trained == "WordPiece":  # theirs numbers characters that go on with a word by chance; special tokens it does not
        letters = sorted({*level, *"".join(TRAINED_ON).lower(), "f", "i", "\u2581"})
        options["special_tokens"] = ["<unk>", *letters, *(f"##{letter}" for letter in letters)]
        options["vocab_size"] = 2 * len(letters) + 20
    path = tmp_path / "texts.txt"
    path.write_text("".join(TRAINED_ON), newline="")
    found = []
    for module in (theirs, ours):
        for by_file in (False, True):
            one = module.Tokenizer(getattr(module.models, trained)(unk_token="<unk>"))
            one.normalizer = module.normalizers.Sequence([module.normalizers.NFKC(), module.normalizers.Lowercase()])
            one.pre_tokenizer = PRE_TOKENIZERS[name](module.pre_tokenizers)
            kind = getattr(
                (theirs if module is theirs else whose).trainers, {"BPE": "BpeTrainer"}.get(trained, "WordPieceTrainer")
            )
            trainer = pickle.loads(pickle.dumps(kind(**options)))
            if by_file:
                one.train([str(path)], trainer)
            else:
                one.train_from_iterator([TRAINED_ON[:2], *TRAINED_ON[2:]], trainer)
            found.append((json.loads(one.to_str()), [one.encode(text).ids for text in TRAINED_ON]))
    assert found[2] == found[0]
    assert found[3] == found[1]


def test_trainers():
    settings = {"vocab_size": 9, "special_tokens": ["a", ours.AddedToken("b", lstrip=True)], "initial_alphabet": ["xy"]}
    for name in ("BpeTrainer", "WordPieceTrainer"):
        us = getattr(ours.trainers, name)(**settings)
        settings["special_tokens"][1] = theirs.AddedToken("b", lstrip=True)
        assert us.__getstate__() == getattr(theirs.trainers, name)(**settings).__getstate__()
        assert copy.deepcopy(us).__getstate__() == us.__getstate__()
        us.vocab_size = 12
        assert us.vocab_size == 12
        assert us.special_tokens == [
            ours.AddedToken("a", special=True),
            ours.AddedToken("b", lstrip=True, special=True),
        ]
    with pytest.raises(TypeError, match="vocab_size must be an integer, got str"):
        ours.trainers.BpeTrainer(vocab_size="5")
    with pytest.raises(OverflowError, match="min_frequency must be at least 0, got -1"):
        ours.trainers.BpeTrainer(min_frequency=-1)


@pytest.mark.parametrize(
    ("model", "trainer", "texts", "error", "words"),
    [
        ("BPE", "WordPieceTrainer", ["a"], ValueError, "WordPieceTrainer can only train a WordPiece"),
        ("Unigram", None, ["a"], NotImplementedError, "Unigram is not trained by the drop-in"),
        ("BPE", theirs.trainers.UnigramTrainer(), ["a"], ValueError, "UnigramTrainer can only train a Unigram"),
        ("Unigram", theirs.trainers.UnigramTrainer(), ["a"], NotImplementedError, "UnigramTrainer is not in the drop"),
        ("BPE", 5, ["a"], TypeError, "trainer must be a trainer, got int"),
        ("BPE", None, [], ValueError, "nothing to train on"),
        ("BPE", None, [[5]], TypeError, "texts must be str"),
        ("BPE", ours.trainers.BpeTrainer(end_of_word_suffix="</w>"), ["a"], NotImplementedError, "end_of_word_suffix"),
    ],
)
def test_not_trained(model, trainer, texts, error, words):
    us = ours.Tokenizer(getattr(ours.models, model)())
    before = us.to_str()
    with pytest.raises(error, match=words):
        us.train_from_iterator(texts, getattr(ours.trainers, trainer)() if isinstance(trainer, str) else trainer)
    assert us.to_str() == before


def test_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is no regular file"):
        pair("bert")[1].save(str(tmp_path / "pipe"))
    assert (tmp_path / "pipe").is_fifo()
    assert len(list(tmp_path.iterdir())) == 1


def test_models_of_files(tmp_path):
    vocab, merges = {"a": 0, "b": 1, "ab": 2}, [("a", "b")]
    saved = ours.models.BPE(vocab, merges).save(str(tmp_path), "x")
    assert saved == theirs.models.BPE(vocab, merges).save(str(tmp_path), "x")
    assert ours.models.BPE.read_file(*saved) == (vocab, merges) == theirs.models.BPE.read_file(*saved)
    assert ours.models.BPE(*saved).vocabulary() == ours.models.BPE.from_file(*saved).vocabulary() == vocab
    [words] = ours.models.WordPiece({"[UNK]": 0, "a": 1}).save(str(tmp_path))
    assert theirs.models.WordPiece.read_file(words) == ours.models.WordPiece.read_file(words) == {"[UNK]": 0, "a": 1}
    assert ours.models.WordPiece.from_file(words).token_to_id("a") == 1
    [level] = ours.models.WordLevel({"a": 0}).save(str(tmp_path))
    assert ours.models.WordLevel.from_file(level).vocabulary() == theirs.models.WordLevel.read_file(level) == {"a": 0}
    (tmp_path / "bad.txt").write_text("a b c\n")
    with pytest.raises(ValueError, match="line 1 is no pair of tokens"):
        ours.models.BPE.read_file(saved[0], str(tmp_path / "bad.txt"))
    with pytest.raises(TypeError, match="both be paths"):
        ours.models.BPE(saved[0])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda us: us.encode(5), TypeError, "TextInputSequence must be str, got int"),
        (lambda us: us.encode(["a"]), TypeError, "TextInputSequence must be str"),
        (lambda us: us.encode("a", ["b"]), TypeError, "TextInputSequence must be str"),
        (lambda us: us.encode("a", is_pretokenized=True), TypeError, "InputSequence must be Union"),
        (lambda us: us.encode(["a", 5], is_pretokenized=True), TypeError, "InputSequence must be Union"),
        (lambda us: us.encode_batch("abc"), TypeError, "input must be a list of texts, got str"),
        (lambda us: us.encode_batch(5), TypeError, "input must be a list of texts, got int"),
        (lambda us: us.encode_batch(["a", 5]), TypeError, "TextInputSequence must be str, got int"),
        (lambda us: us.encode_batch([("a", "b", "c")]), TypeError, "TextInputSequence must be str, got tuple"),
        (lambda us: us.decode(["a"]), TypeError, "integers"),
        (lambda us: us.enable_truncation(4, strategy="first"), ValueError, "strategy must be one of"),
        (lambda us: us.enable_truncation(4, direction="up"), ValueError, "direction must be one of"),
        (lambda us: us.enable_truncation(4, stride=3), ValueError, "stride must be at most 2"),
        (lambda us: us.enable_truncation(-1), OverflowError, "max_length must be at least 0"),
        (lambda us: us.enable_truncation("4"), TypeError, "max_length must be an integer"),
        (lambda us: us.enable_padding(direction="up"), ValueError, "direction must be one of"),
        (lambda us: us.enable_padding(pad_token=5), TypeError, "pad_token must be a str"),
        (lambda us: us.id_to_token(-1), OverflowError, "id must be from 0"),
        (lambda us: us.id_to_token(2**32), OverflowError, "id must be from 0"),
        (lambda us: us.id_to_token(1.0), TypeError, "float"),
        (lambda us: ours.Tokenizer.from_str("{"), ValueError, "not valid JSON"),
        (lambda us: ours.Tokenizer.from_str("[]"), ValueError, "a tokenizer.json is a JSON object, got list"),
        (lambda us: ours.Tokenizer.from_str("{}"), ValueError, "no 'model'"),
        (lambda us: ours.Tokenizer.from_buffer(5), TypeError, "as str or bytes, got int"),
        (lambda us: ours.Tokenizer.from_file("nowhere.json"), FileNotFoundError, "nowhere.json"),
        (lambda us: ours.Tokenizer.from_pretrained("nowhere"), FileNotFoundError, "downloads nothing"),
    ],
)
def test_refused(call, error, words):
    us = copy.copy(pair("bert")[1])
    with pytest.raises(error, match=words):
        call(us)
    assert (us.truncation, us.padding) == (None, None)


def test_nothing_to_build():
    us, them = ours.Tokenizer(ours.models.BPE()), theirs.Tokenizer(theirs.models.BPE())
    assert us.encode("abc").ids == them.encode("abc").ids == []
    assert [one.ids for one in us.encode_batch(["a", ("b", "c")])] == [[], []]
    assert us.decode([1]) == them.decode([1]) == ""
    assert us.id_to_token(0) is None
    assert us.get_vocab_size() == 0


def test_other_inputs():
    them, us = pair("bert")
    for batch in (
        ("hello", "world"),
        [["hello", "world"], ("a", "b")],
        np.array(["hello", "world"]),
        np.array([["hello", "world"]]),
        iter(["hello"]),
    ):
        mine = us.encode_batch(batch)
        other = them.encode_batch(["hello"] if len(mine) == 1 and len(mine[0]) == 3 else batch)
        assert [one.ids for one in mine] == [one.ids for one in other]
    words = np.array([["hello", "world"], ["a", "b"]], dtype=object)
    assert us.encode_batch(words, is_pretokenized=True)[1].ids == us.encode(["a", "b"], is_pretokenized=True).ids
    assert us.decode(np.array([3, 4, 5])) == us.decode((3, 4, 5)) == us.decode([3, 4, 5])


def test_without_waiting():
    us = pair("bert")[1]

    async def all_of_them():
        one = await us.async_encode("hello", "world")
        many = await us.async_encode_batch(["hello", "a"])
        fast = await us.async_encode_batch_fast(["hello", "a"], add_special_tokens=False)
        return one, many, fast, await us.async_decode_batch([[7], [8]])

    one, many, fast, texts = asyncio.run(all_of_them())
    assert one.ids == us.encode("hello", "world").ids
    assert [each.ids for each in many] == [each.ids for each in us.encode_batch(["hello", "a"])]
    assert len(fast[0]) == 1
    assert texts == us.decode_batch([[7], [8]])

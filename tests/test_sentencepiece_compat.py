"""`fastemb.compat.sentencepiece` answers as sentencepiece does: all forms of texts, ids and pieces, and errors."""

import pickle

import numpy as np
import piece_models
import pytest

from fastemb._text.sentencepiece_file import ModelType, PieceType
from fastemb.compat import sentencepiece as ours

NAMES = [("unigram", "nmt_nfkc"), ("bpe", "bytes"), ("unigram", "identity, symbols")]


def pair(kind, name, **options):
    """Return a processor of each of the two packages."""
    data = piece_models.trained(kind, name)
    theirs = pytest.importorskip("sentencepiece", reason="sentencepiece is the oracle")
    return ours.SentencePieceProcessor(model_proto=data, **options), theirs.SentencePieceProcessor(
        model_proto=data, **options
    )


def plain(value):
    """Return an answer in a form that can be compared."""
    if isinstance(value, np.ndarray):
        assert value.dtype == np.int32
        return ("array", value.tolist())
    return [plain(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("kind", "name"), NAMES)
@pytest.mark.parametrize("form", [int, str, bytes, "numpy", "serialized_proto", "offset_mapping"])
def test_encode(kind, name, form):
    mine, want = pair(kind, name)
    for text in [*piece_models.texts(40), "é漢x 漢字", *(text.encode() for text in piece_models.texts(8))]:
        assert plain(mine.encode(text, return_type=form)) == plain(want.encode(text, return_type=form)), text
    rows = piece_models.texts(12)
    assert plain(mine.encode(rows, out_type=form)) == plain(want.encode(rows, out_type=form))
    assert mine.encode([], out_type=form) == []


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_bytes_that_are_no_text(kind, name):
    mine, want = pair(kind, name)
    for data in (b"a\xff\xe3\x81b", b"\xff", b"\xed\xa0\x80", b"a\xf0\x9f\x98", "é".encode() + b"\xc3"):
        for form in (int, bytes, str, "offset_mapping"):
            assert mine.encode(data, out_type=form) == want.encode(data, out_type=form), data


def test_a_symbol_is_found_as_it_is_written():
    """Not where its letters are left out: places in its double array are not shared."""
    rows = [("▁", -1), ("a", -2), ("b", -3), ("c", -4), ("ac", -0.5), ("abc", 0, PieceType.USER_DEFINED)]
    processor = ours.SentencePieceProcessor(model_proto=piece_models.model(rows, ModelType.BPE))
    assert processor.encode("aac abc", out_type=str) == ["▁", "a", "ac", "▁", "abc"]
    assert processor.encode("aac", out_type="offset_mapping")["offsets"] == [(0, 0), (0, 1), (1, 3)]


@pytest.mark.parametrize("options", [{"add_bos": True}, {"add_eos": True, "reverse": True}, {"emit_unk_piece": True}])
def test_what_is_put_around(options):
    for given, call in ((options, {}), ({}, options)):
        mine, want = pair("unigram", "nmt_nfkc", **given)
        for form in (int, str, bytes, "numpy"):
            for text in ("the 漢 cat", "", ["a", "漢字"]):
                assert plain(mine.encode(text, out_type=form, **call)) == plain(
                    want.encode(text, out_type=form, **call)
                )


@pytest.mark.parametrize(("kind", "name"), NAMES)
@pytest.mark.parametrize("form", [int, str, bytes, "numpy", "serialized_proto"])
def test_parallel_encode(kind, name, form):
    mine, want = pair(kind, name)
    rows = [*piece_models.texts(6), "é漢x 漢字", b"a\xff b"]
    for given in (rows, rows[0], "".join(rows[:6]), ""):
        for size in (3, 100):
            got = mine.parallel_encode(given, chunk_len=size, out_type=form)
            assert plain(got) == plain(want.encode(given, out_type=form))  # theirs loses pieces of a character's parts
    if form is int:
        assert mine.ParallelEncodeAsIds(rows[0], chunk_len=5, add_bos=True, num_threads=2) == [1, *want.encode(rows[0])]
        assert mine.parallel_encode_as_pieces(rows[0], chunk_len=5) == want.encode(rows[0], out_type=str)
        for size in (0, -1, None, "3"):
            with pytest.raises(ValueError, match="chunk_len must be positive"):
                mine.parallel_encode("a", chunk_len=size)
        with pytest.raises(ValueError, match="unknown return_type"):
            mine.parallel_encode("a", chunk_len=1, return_type="offset_mapping")
        with pytest.raises(TypeError, match="unexpected keyword argument 'alpha'"):
            mine.parallel_encode("a", chunk_len=1, alpha=1)


@pytest.mark.parametrize(("kind", "name"), NAMES)
@pytest.mark.parametrize("form", [str, bytes, "serialized_proto", "offset_mapping"])
def test_decode(kind, name, form):
    mine, want = pair(kind, name)
    rng = np.random.default_rng(1)
    rows = [rng.integers(0, len(want), rng.integers(0, 7)).tolist() for _ in range(30)]
    rows += [want.encode(text) for text in piece_models.texts(20)]
    for row in rows:
        assert mine.decode(row, out_type=form) == want.decode(row, out_type=form), row
        names = [want.id_to_piece(id) for id in row]
        assert mine.decode(names, out_type=form) == want.decode(names, out_type=form), names
    assert mine.decode(rows, out_type=form) == want.decode(rows, out_type=form)
    for given in ([], None, [[]], [[], ["▁a"]], 5, "▁a", ["▁▁a", "nope"], np.array([5, 6]), np.array([[5, 6]])):
        assert mine.decode(given, out_type=form) == want.decode(given, out_type=form), given


@pytest.mark.parametrize("form", [int, str, bytes, "numpy", "serialized_proto"])
def test_nbest(form):
    mine, want = pair("unigram", "bytes")
    for text in ("the cat", "", ["hello 漢", "a"], b"in bytes"):
        for count in (0, 1, 4):
            got = mine.nbest_encode(text, nbest_size=count, return_type=form)
            assert plain(got) == plain(want.nbest_encode(text, nbest_size=count, return_type=form))


def test_nbest_in_time():
    mine, _ = pair("unigram", "identity, symbols")
    text = "the cat " * 12
    many = mine.nbest_encode(text, nbest_size=5)
    ours.set_nbest_timeout(1)
    try:
        assert mine.nbest_encode(text * 40, nbest_size=5) == [mine.encode(text * 40)]
    finally:
        ours.SetNBestTimeout(0)
    assert mine.nbest_encode(text, nbest_size=5) == many
    assert len(many) == 5


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_pieces(kind, name):
    mine, want = pair(kind, name)
    ids = [*range(0, len(want), 7), 0, 1, 2]
    assert len(mine) == len(want) == mine.vocab_size() == mine.piece_size() == mine.get_piece_size()
    for method in ("id_to_piece", "get_score", "is_unknown", "is_control", "is_unused", "is_byte", "IdToPiece"):
        assert getattr(mine, method)(ids) == getattr(want, method)(ids)
        assert getattr(mine, method)(np.int64(3)) == getattr(want, method)(3)
    pieces = [*want.id_to_piece(ids), "nope", b"\xff"]
    assert mine.piece_to_id(pieces) == want.piece_to_id(pieces)
    assert mine["▁"] == want["▁"]
    for method in ("unk_id", "bos_id", "eos_id", "pad_id"):
        assert getattr(mine, method)() == getattr(want, method)()


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_normalize(kind, name):
    mine, want = pair(kind, name)
    for text in [*piece_models.texts(40), "Ａé  漢ﬁ ", "é漢".encode(), ["a  b", "c"]]:
        assert mine.normalize(text) == want.normalize(text)
        assert mine.normalize(text, with_offsets=True) == want.normalize(text, with_offsets=True)


FAULTS = {
    "no file": (lambda p: type(p)(model_file="/there/is/none"), RuntimeError),
    "no model": (lambda p: type(p)(model_proto=b"abc"), RuntimeError),
    "two models": (lambda p: type(p)(model_file="a", model_proto=b"b"), ValueError),
    "not loaded": (lambda p: type(p)().encode("a"), RuntimeError),
    "nothing to load": (lambda p: p.load(), ValueError),
    "an id too high": (lambda p: p.id_to_piece(99_999), IndexError),
    "an id below 0": (lambda p: p.decode([-1]), IndexError),
    "a score of no id": (lambda p: p.get_score("a"), TypeError),
    "a piece that is an id": (lambda p: p.piece_to_id(3), TypeError),
    "a number as a text": (lambda p: p.encode(5), TypeError),
    "no text": (lambda p: p.encode(None), TypeError),
    "a tuple": (lambda p: p.encode(("a", "b")), TypeError),
    "a list with a number": (lambda p: p.encode(["a", 5]), TypeError),
    "ids that are floats": (lambda p: p.decode([5.5]), TypeError),
    "ids and pieces": (lambda p: p.decode([5, "a"]), TypeError),
    "a type that there is not": (lambda p: p.encode("a", out_type=float), ValueError),
    "two types": (lambda p: p.encode("a", out_type=int, return_type=int), ValueError),
    "ids of ids": (lambda p: p.decode([5], out_type=int), ValueError),
    "bytes of no offsets": (lambda p: p.encode("a", return_bytes=True), ValueError),
    "one way by chance": (lambda p: p.encode("a", enable_sampling=True, nbest_size=1), ValueError),
    "too many ways": (lambda p: p.encode("a", enable_sampling=True, nbest_size=600), RuntimeError),
    "too many best": (lambda p: p.nbest_encode("a", nbest_size=5000), RuntimeError),
    "bos in a message": (lambda p: p.encode("a", add_bos=True, out_type="serialized_proto"), RuntimeError),
    "threads that are none": (lambda p: p.encode("a", num_threads="x"), TypeError),
    "a word that there is not": (lambda p: p.encode("a", nope=1), TypeError),
    "a model twice": (lambda p: type(p).from_proto(b"a", model_file="b"), ValueError),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_errors_are_of_the_same_type(fault):
    call, error = FAULTS[fault]
    for processor in pair("unigram", "nmt_nfkc"):
        with pytest.raises(error):
            call(processor)


def test_merges_have_no_best_ways():
    for processor in pair("bpe", "bytes"):
        with pytest.raises(RuntimeError, match="NBestEncode is not available for the current model"):
            processor.nbest_encode("abc", nbest_size=3)


def test_a_processor_without_a_model():
    mine = ours.SentencePieceProcessor()
    assert (mine.vocab_size(), len(mine), mine.bos_id()) == (0, 0, -1)


def test_load_and_pickle(tmp_path):
    data = piece_models.trained("unigram", "bytes")
    (tmp_path / "x.model").write_bytes(data)
    file = str(tmp_path / "x.model")
    first = ours.SentencePieceProcessor(model_file=file, out_type=str, add_bos=True)
    second = ours.SentencePieceProcessor.from_file(file, out_type=str, add_bos=True)
    third, fourth = pickle.loads(pickle.dumps(first)), ours.SentencePieceProcessor(out_type=str, add_bos=True)
    assert fourth.load(file) is True
    for one in (first, second, third, fourth, ours.SentencePieceProcessor.from_proto(data, out_type=str, add_bos=True)):
        assert one.encode("hello 漢") == first.encode("hello 漢")
        assert one.serialized_model_proto() == data


def test_ways_by_chance():
    mine, _ = pair("unigram", "nmt_nfkc", enable_sampling=True, alpha=0.2)
    ours.set_random_generator_seed(4)
    rows = [mine.encode("the cat sat") for _ in range(20)]
    ours.SetRandomGeneratorSeed(4)
    assert [mine.encode("the cat sat") for _ in range(20)] == rows
    assert len({*map(tuple, rows)}) > 1
    assert {mine.decode(row) for row in rows} == {"the cat sat"}
    bpe, want = pair("bpe", "bytes")
    for alpha in (0.0, 1.0):
        options = {"enable_sampling": True, "nbest_size": -1, "alpha": alpha, "out_type": str}
        assert bpe.encode("the cat", **options) == want.encode("the cat", **options)
    assert mine.sample_encode_as_pieces("a", -1, 0.1)[0].startswith("▁")


def test_names_of_sentencepiece():
    """Of the methods of sentencepiece's processor those that are missing here are known."""
    mine, want = pair("unigram", "nmt_nfkc")
    missing = {name for name in dir(want) if not name.startswith("_")} - {*dir(mine)}
    assert all("proto" in name.lower() or "parallel" in name.lower() for name in missing), missing
    assert mine.encode_as_ids("a b") == mine.EncodeAsIds("a b") == mine.tokenize("a b") == want.tokenize("a b")
    assert mine.decode_pieces(["▁a"]) == mine.Detokenize(["▁a"]) == want.decode_pieces(["▁a"])

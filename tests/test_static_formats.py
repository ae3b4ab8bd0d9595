"""Files of word vectors: word2vec's, GloVe's and fastText's, written by hand, and what is said of damaged ones."""

import gzip
import json
import struct

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from word_cases import VOCAB, document

import fastemb
from fastemb._models.subwords import Subwords

WORDS = ["the", "cat", "Äpfel", "日本語", "a", "emoji😀", "the_", "."]
TABLE = np.random.default_rng(3).standard_normal((len(WORDS), 6)).astype(np.float32)
TABLE[1, :3] = 1e-30, -0.0, 3e38


def text(words=WORDS, table=TABLE, header=True, blank=" "):
    lines = [f"{len(words)} {table.shape[1]}"] if header else []
    lines += [blank.join([word, *(repr(float(x)) for x in row)]) for word, row in zip(words, table, strict=True)]
    return ("\n".join(lines) + "\n").encode()


def binary(words=WORDS, table=TABLE, end=b"\n"):
    rows = (word.encode() + b" " + row.tobytes() + end for word, row in zip(words, table, strict=True))
    return f"{len(words)} {table.shape[1]}\n".encode() + b"".join(rows)


FILES = {
    "word2vec": text(),
    "word2vec, tabs": text(blank="\t"),
    "word2vec, blanks at line ends": text().replace(b"\n", b" \r\n"),
    "GloVe": text(header=False),
    "GloVe, no line end": text(header=False)[:-1],
    "binary": binary(),
    "binary, no line ends": binary(end=b""),
    "gzip": gzip.compress(text()),
    "gzip, GloVe": gzip.compress(text(header=False)),
    "byte order mark": b"\xef\xbb\xbf" + text(),
}


@pytest.fixture
def load(tmp_path):
    def loaded(content, **options):
        (tmp_path / "vectors").write_bytes(content)
        return fastemb.StaticModel.load(tmp_path / "vectors", **options)

    return loaded


@pytest.mark.parametrize("kind", FILES)
def test_the_same_vectors_in_every_format(load, kind):
    model = load(FILES[kind])
    assert model.table.dtype == np.float32
    assert np.array_equal(model.table.view(np.uint32), TABLE.view(np.uint32))  # -0.0 too
    assert [model.tokenizer.id_to_token(id) for id in range(len(WORDS))] == WORDS
    assert np.array_equal(model.encode("Äpfel"), TABLE[2])
    assert np.array_equal(load(FILES[kind], dim=2, mmap=True).table, TABLE[:, :2])


def test_words_are_whole_and_unknown_ones_are_left_out(load):
    model = load(FILES["GloVe"])
    texts = ["the\u3000日本語\n a", "The cats", "", "cat unknown word the", "the."]
    expected = [TABLE[[0, 3, 4]].mean(0), np.zeros(6), np.zeros(6), TABLE[[1, 0]].mean(0), np.zeros(6)]
    np.testing.assert_allclose(model.encode(texts), expected, rtol=1e-6)
    assert np.array_equal(model.encode("a " * 3000 + "b", max_length=1), TABLE[4])


def test_binary_numbers_that_hold_line_ends_and_blanks(load):
    table = np.frombuffer(b"\n\n\n\n 1 2\n 0 " * 3 + b"0.5 " * 3, "<f4").reshape(4, 3)
    model = load(binary(["a", "b", "c", "d"], table))
    assert np.array_equal(model.table.view(np.uint32), table.view(np.uint32))


def test_a_word_that_stands_twice_has_its_first_row(load):
    model = load(text(["x", "y", "x"], TABLE[:3]))
    assert np.array_equal(model.encode("x"), TABLE[0])
    assert {word for word, _ in model.most_similar("y", 9)} == {"x"}


def test_words_that_hold_blanks_and_words_that_are_no_utf8(load):
    model = load(b"a 1 2\n. . . 3 4\nat me@here 5 6\n")
    assert list(model.tokenizer.vocab)[:3] == ["a", ". . .", "at me@here"]
    assert np.array_equal(model.table, [[1, 2], [3, 4], [5, 6]])
    cut = load(b"a 1 2\n\xe6\x97 3 4\n")
    assert cut.tokenizer.id_to_token(1) == "\\xe6\\x97"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"\n\n", "it is empty"),
        (b"hello\n", "no word vectors: its first line begins b'hello'; what is read is"),
        (b"hello there\nworld\n", "no word vectors"),
        (b'{"a": 1}', "no word vectors"),
        (b"\x00\x01" * 99, "no word vectors"),
        (b"2 3\n", "line 2: the file ends after 0 of 2 words"),
        (b"2 3\na 1 2 3\n", "line 3: the file ends after 1 of 2 words"),
        (b"2 3\na 1 2 3\nb 1 2\n", "line 3: expected a word and 3 numbers, found 2 numbers"),
        (b"2 3\na 1 2 3\nb 1 2 3 4\n", "line 3: expected a word and 3 numbers, found 4 numbers"),
        (b"1 3\na 1 2 3\nb 1 2 3\n", "line 3: the header announces 1 words, and more lines follow"),
        (b"2 3\na 1 2 3\nb 1 x 3\n", "line 3: expected 3 numbers behind the word, found b'x'"),
        (b"2 3\na 1 2 3\n\nb 1 2 3\n", "line 3: expected a word and 3 numbers, found 0 numbers"),
        (b"a 1 2 3\nb 1 2\n", "line 2: expected a word and 3 numbers, found 2 numbers"),
        (b"a 1 2 3\nb 0 1 2 3\n", "line 2: expected a word and 3 numbers, found 4 numbers"),
        (b"a 1 2 3\nb 1 2 0x10\n", "line 2: expected 3 numbers behind the word, found b'0x10'"),
        (b"999999999999 300\na 1 2\n", "its header: 999999999999 words of 300 numbers do not fit"),
        (binary()[:-1], None),
        (binary()[:-9], "byte 220: the file ends after 7 of 8 words"),
        (binary() + b"x", "byte 247: the header announces 8 words, and 2 bytes follow"),
        (binary(["a", ""], TABLE[:2]), "byte 30: a word is empty"),
        (gzip.compress(text(), mtime=0)[:-30], "damaged gzip file"),
        (gzip.compress(binary(), mtime=0), r"a binary file that is compressed by gzip: expand it first"),
    ],
)
def test_damaged_files(load, content, words):
    if words is None:  # the line end behind the last row
        assert len(load(content).table) == len(WORDS)
        return
    with pytest.raises(ValueError, match=r"vectors: ") as caught:
        load(content)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def loaded_or_refused(file):
    """Load a file; None where it is refused by the one error that there is for that, which names it."""
    try:
        return fastemb.StaticModel.load(file)
    except ValueError as error:
        words = str(error)
    assert words.startswith(str(file))
    return None


@given(content=st.one_of(st.binary(max_size=60), st.from_regex(rb"([0-9a ]{0,6}\n?){0,9}", fullmatch=True)))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "any"
    file.write_bytes(content)
    model = loaded_or_refused(file)
    assert model is None or len(model.table) + 1 == model.tokenizer.vocab_size


@pytest.mark.parametrize("as_binary", [False, True])
def test_saved_and_read_back(load, tmp_path, as_binary):
    model = load(FILES["binary"])
    model.save_word2vec(tmp_path / "saved", binary=as_binary)
    again = fastemb.StaticModel.load(tmp_path / "saved")
    assert np.array_equal(again.table.view(np.uint32), TABLE.view(np.uint32))
    assert again.tokenizer.vocab == model.tokenizer.vocab
    if as_binary:
        assert (tmp_path / "saved").read_bytes() == binary()
    half = fastemb.StaticModel(model.tokenizer, TABLE[:, 3:].astype(np.float16), drop=len(WORDS))
    half.save_word2vec(tmp_path / "saved", binary=as_binary)
    assert np.array_equal(fastemb.StaticModel.load(tmp_path / "saved").table, half.table)


def test_what_cannot_be_saved(load, tmp_path):
    model = load(b"a 1 2\n. . . 3 4\n")
    (tmp_path / "saved").write_text("before")
    with pytest.raises(ValueError, match=r"the token '\. \. \.' is empty or holds white space"):
        model.save_word2vec(tmp_path / "saved")
    with pytest.raises(TypeError, match="binary must be a bool, got 'yes'"):
        model.save_word2vec(tmp_path / "saved", binary="yes")
    assert (tmp_path / "saved").read_text() == "before"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["saved", "vectors"]


# fastText ----------------------------------------------------------------------------------------------------------


def n_grams(word, shortest, longest):
    """The n-grams of a word, as slowly as their definition."""
    marked = f"<{word}>"
    for i in range(len(marked)):
        for n in range(1, longest + 1):
            gram = marked[i : i + n]
            is_mark = n == 1 and (i == 0 or i + 1 == len(marked))
            if len(gram) == n >= shortest and not is_mark:
                yield gram


def fnv(gram):
    """The 32-bit hash, whose bytes have a sign."""
    value = 2166136261
    for byte in gram.encode():
        value = ((value ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16777619) % 2**32
    return value


def test_published_hashes():
    """FNV-1a's own for ASCII; where a byte is above 0x7F fastText's differs from it."""
    assert [fnv(""), fnv("a"), fnv("foobar")] == [0x811C9DC5, 0xE40C292C, 0xBF9CF968]
    plain = (((2166136261 ^ 0xC3) * 16777619 % 2**32) ^ 0xA9) * 16777619 % 2**32
    assert fnv("é") == (((2166136261 ^ 0xFFFFFFC3) * 16777619 % 2**32) ^ 0xFFFFFFA9) * 16777619 % 2**32 != plain


@given(words=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), max_size=5))
@pytest.mark.parametrize("sizes", [(3, 6), (1, 2), (2, 2), (5, 40), (0, 1), (4, 3)])
@settings(max_examples=40, deadline=None)
def test_n_grams(sizes, words):
    buckets, starts = Subwords(*sizes, 1009).of([word.encode() for word in words])
    for word, begin, end in zip(words, starts, starts[1:], strict=False):
        assert buckets[begin:end].tolist() == [fnv(gram) % 1009 for gram in n_grams(word, *sizes)]
    assert starts[-1] == len(buckets)


FT_WORDS = ["</s>", "king", "Äpfel", "日本語", "a"]
BUCKETS, DIM = 50, 4


def fasttext(sizes=(3, 5), quantised=False, version=12, kind=2, labels=(), rows=None):
    total = len(FT_WORDS) + BUCKETS if rows is None else rows
    table = np.random.default_rng(8).standard_normal((total, DIM)).astype(np.float32)
    head = struct.pack("<2i12id", 793712314, version, DIM, 5, 5, 1, 5, 1, 1, kind, BUCKETS, *sizes, 100, 1e-4)
    names = [*FT_WORDS, *labels]
    head += struct.pack("<iiiqq", len(names), len(FT_WORDS), len(labels), 99, -1)
    for i, name in enumerate(names):
        head += name.encode() + b"\0" + struct.pack("<qb", 7, i >= len(FT_WORDS))
    return head + struct.pack("<?qq", quantised, total, DIM) + table.tobytes() + b"output", table


def vector_of(word, table, sizes=(3, 5)):
    rows = [FT_WORDS.index(word)] if word in FT_WORDS else []
    if word != "</s>":
        rows += [len(FT_WORDS) + fnv(gram) % BUCKETS for gram in n_grams(word, *sizes)]
    return table[rows].astype(np.float64).mean(axis=0)


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("sizes", [(3, 5), (1, 3)])
def test_fasttext_words_known_and_unknown(load, sizes, mapped):
    content, table = fasttext(sizes)
    model = load(content, mmap=mapped)
    assert isinstance(model.table, np.memmap) == mapped
    for word in [*FT_WORDS, "kings", "Äpfelchen", "日本", "x", "😀" * 20]:
        np.testing.assert_allclose(model.encode(word), vector_of(word, table, sizes), rtol=1e-5, atol=1e-6)
    texts = ["king unseen 日本 king", "", "unseen", "a king"]
    expected = [np.mean([vector_of(w, table, sizes) for w in t.split()], axis=0) if t else np.zeros(4) for t in texts]
    vectors = model.encode(texts)
    np.testing.assert_allclose(vectors, expected, rtol=1e-5, atol=1e-6)
    assert np.array_equal(vectors[3], model.encode("a king"))  # whatever else is encoded with it
    assert np.array_equal(model.encode(texts, max_length=1)[0], model.encode("king"))
    assert np.array_equal(load(content, dim=2, mmap=mapped).encode(texts), vectors[:, :2])


def test_a_mapped_file_is_not_written(load, tmp_path):
    content, _ = fasttext()
    load(content, mmap=True).encode("unseen king")
    assert (tmp_path / "vectors").read_bytes() == content


def test_fasttext_words_without_n_grams_are_left_out(load):
    content, table = fasttext((4, 5))
    assert np.array_equal(load(content).encode(["x", "x king"]), [np.zeros(4), load(content).encode("king")])
    content, table = fasttext((0, 0))
    np.testing.assert_allclose(load(content).encode("king unseen"), table[1], rtol=1e-6)


def test_fasttext_classifiers(load):
    content, table = fasttext(kind=3, labels=["__label__x"])
    model = load(content)
    assert "__label__x" not in model.tokenizer.vocab
    np.testing.assert_allclose(model.encode("king"), vector_of("king", table), rtol=1e-5, atol=1e-6)
    content, table = fasttext(kind=3, version=11)  # whose n-grams do not count
    np.testing.assert_allclose(load(content).encode("king unseen"), table[1], rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (fasttext()[0][:7], "byte 0: the file ends, 8 more bytes were expected"),
        (fasttext()[0][:94], "the file ends in a word"),
        (fasttext()[0][:300], "the file ends within a table of 55 x 4 numbers, 880 bytes"),
        (fasttext(version=13)[0], "byte 4: version 13 of fastText's format; 11 and 12 are read"),
        (fasttext(quantised=True)[0], r"not supported: a quantised fastText model (.ftz)"),
        (fasttext(rows=9)[0], "a table of 9 x 4; 5 words, 50 buckets and 4 columns need more"),
    ],
)
def test_damaged_fasttext(load, content, words):
    with pytest.raises(ValueError, match=r"vectors: ") as caught:
        load(content)
    assert words in str(caught.value)


@given(at=st.integers(0, 400), byte=st.integers(0, 255))
@settings(max_examples=100, deadline=None)
def test_a_changed_byte_is_read_or_refused(tmp_path_factory, at, byte):
    content = bytearray(fasttext()[0])
    content[at] = byte
    file = tmp_path_factory.getbasetemp() / "changed"
    file.write_bytes(content)
    model = loaded_or_refused(file)
    assert model is None or model.encode(["king", "unseen"]).shape == (2, 4)


# Tables as they are stored -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8])
@pytest.mark.parametrize("mapped", [False, True])
def test_tables_stay_as_they_are_stored(tmp_path, dtype, mapped):
    table = np.random.default_rng(1).integers(-128, 128, (len(VOCAB), 5)).astype(dtype)
    (tmp_path / "tokenizer.json").write_text(json.dumps(document()))
    safetensors.numpy.save_file({"embedding.weight": table}, tmp_path / "model.safetensors")
    model = fastemb.StaticModel.load(tmp_path, mmap=mapped)
    if dtype == np.int8:
        assert model.table.codes.nbytes == table.nbytes
        assert np.array_equal(model.table.dequantize(), table)
    else:
        assert model.table.dtype == dtype
        assert isinstance(model.table, np.memmap) == mapped
        assert np.array_equal(model.table, table)
    wide = fastemb.StaticModel(model.tokenizer, table.astype(np.float32))
    np.testing.assert_allclose(model.encode(["hello world", ""]), wide.encode(["hello world", ""]), rtol=1e-6)


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", "i1"])
def test_tables_of_npy_files(tmp_path, dtype, mapped):
    table = np.random.default_rng(1).integers(-128, 128, (len(VOCAB), 5)).astype(dtype)
    (tmp_path / "tokenizer.json").write_text(json.dumps(document()))
    np.save(tmp_path / "table.npy", table)
    model = fastemb.StaticModel.load(tmp_path, mmap=mapped)
    assert isinstance(model.table, np.memmap) == (mapped and dtype != "i1")
    wide = fastemb.StaticModel(model.tokenizer, table.astype(np.float32))
    np.testing.assert_allclose(model.encode(["hello world", ""]), wide.encode(["hello world", ""]), rtol=1e-6)
    np.save(tmp_path / "table.npy", np.ones(5, np.int64))
    with pytest.raises(ValueError, match=r"table\.npy: expected float16, float32, float64 or int8, it holds int64"):
        fastemb.StaticModel.load(tmp_path, mmap=mapped)
    (tmp_path / "table.npy").write_bytes(b"\x93NUMPY" + b"x" * 9)
    with pytest.raises(ValueError, match=r"table\.npy: damaged \.npy file"):
        fastemb.StaticModel.load(tmp_path, mmap=mapped)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8])
@pytest.mark.parametrize("names", ["mapping", "weights", "mapping weights"])
@pytest.mark.parametrize("mapped", [False, True])
def test_no_table_grows_by_weights_or_a_mapping(tmp_path, dtype, names, mapped):
    rng, V = np.random.default_rng(1), len(VOCAB)
    rows = 9 if "mapping" in names else V
    table = rng.integers(-128, 128, (rows, 5)).astype(dtype)
    more = {"mapping": rng.integers(0, rows, V), "weights": rng.random(V)}
    mapping = more["mapping"] if "mapping" in names else np.arange(V)
    weights = more["weights"] if "weights" in names else np.ones(V)
    (tmp_path / "tokenizer.json").write_text(json.dumps(document()))
    tensors = {"embeddings": table} | {name: more[name] for name in names.split()}
    safetensors.numpy.save_file(tensors, tmp_path / "model.safetensors")
    model = fastemb.StaticModel.load(tmp_path, mmap=mapped)
    assert (model.table.codes if dtype == np.int8 else model.table).nbytes == table.nbytes
    assert isinstance(model.table, np.memmap) == (mapped and dtype != np.int8)
    wide = (table[mapping].astype(np.float64) * weights[:, None]).astype(np.float32)
    law = fastemb.StaticModel(model.tokenizer, wide, drop=model.tokenizer.unk_id)
    for normalize in (False, True):
        vectors = model.encode(["hello world the", "", "the"], normalize=normalize)
        expected = law.encode(["hello world the", "", "the"], normalize=normalize)
        np.testing.assert_allclose(vectors, expected, rtol=1e-5, atol=1e-5)
    found, expected = model.most_similar(wide[7], 3), law.most_similar(wide[7], 3)
    np.testing.assert_allclose([score for _, score in found], [score for _, score in expected], atol=1e-6)


# gensim ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_binary", [False, True])
def test_gensim_reads_and_writes_the_same(load, tmp_path, as_binary):
    gensim = pytest.importorskip("gensim.models", reason="the package gensim is not installed")
    load(FILES["binary"]).save_word2vec(tmp_path / "ours", binary=as_binary)
    theirs = gensim.KeyedVectors.load_word2vec_format(str(tmp_path / "ours"), binary=as_binary)
    assert theirs.index_to_key == WORDS
    assert np.array_equal(theirs.vectors.view(np.uint32), TABLE.view(np.uint32))
    theirs.save_word2vec_format(str(tmp_path / "theirs"), binary=as_binary)
    assert np.array_equal(fastemb.StaticModel.load(tmp_path / "theirs").table, TABLE)


def test_equal_to_gensim_of_fasttext(tmp_path):
    gensim = pytest.importorskip("gensim.models.fasttext", reason="the package gensim is not installed")
    sentences = [["king", "Äpfel", "日本語", "emoji😀", "running", "a"]] * 5
    trained = gensim.FastText(sentences, vector_size=8, min_count=1, epochs=1, bucket=300, min_n=2, max_n=5, seed=1)
    gensim.save_facebook_model(trained, str(tmp_path / "model.bin"))
    theirs = gensim.load_facebook_vectors(str(tmp_path / "model.bin"))
    ours = fastemb.StaticModel.load(tmp_path / "model.bin")
    for word in [*theirs.index_to_key, "kings", "Äpfelchen", "日本", "😀", "zzzz"]:
        np.testing.assert_allclose(ours.encode(word), theirs[word], rtol=1e-5, atol=1e-7)
    for query in ("king", "kings"):
        for (word, score), (other, cosine) in zip(
            ours.most_similar(query, 4), theirs.most_similar(query, topn=4), strict=True
        ):
            assert word == other
            assert abs(score - cosine) < 1e-6

"""fastemb.compat.tiktoken against tiktoken: the same answers and the same exceptions, of published vocabularies and of
drawn ones; what tiktoken's own tests ask for is among it, in other words."""

import copy
import gc
import os
import pickle
import shutil
import subprocess
import sys
import weakref
from functools import cache

import numpy as np
import pytest
import tiktoken as theirs
import tiktoken.load as their_load
from hypothesis import given, settings
from hypothesis import strategies as st
from vocabularies import END, MissingVocabularyError, gpt2_folder, read

from fastemb import num_threads
from fastemb.compat import tiktoken as ours
from fastemb.compat.tiktoken import load, model, registry

NAMES = ["gpt2", "cl100k", "o200k"]
TEXTS = [
    "",
    "hello world",
    " hello  ",
    "today\n \n",
    "'rer we'LL 12345",
    "请考试我的软件！12345",
    "नமस்தே \u00e9\u0301",
    "x" * 3000,
    "\U0001f44d \ud83d\udc4d \ud83d",
    "a\r\n\t  b",
]


@cache
def pair(name):
    """Both libraries' encodings of a real vocabulary."""
    real = read(name)
    given = {"pat_str": real.pattern, "mergeable_ranks": real.ranks, "special_tokens": real.special}
    return theirs.Encoding(name, **given), ours.Encoding(name, **given)


def small(special, pattern=r"\w+|\W+", **more):
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"ab": 256, b"<|": 257, b" a": 258, b"aab": 259} | more
    given = {"pat_str": pattern, "mergeable_ranks": ranks, "special_tokens": special}
    return theirs.Encoding("small", **given), ours.Encoding("small", **given)


def outcome(function, *arguments, **options):
    """What a call returns, or the type of what it raises."""
    try:
        return function(*arguments, **options)
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", TEXTS)
def test_texts(name, text):
    them, us = pair(name)
    ids = them.encode(text)
    assert us.encode(text) == us.encode_ordinary(text) == us.encode(text, disallowed_special=()) == ids
    assert us.encode(text, allowed_special="all") == us.encode(text, allowed_special={END}) == ids
    assert us.decode(ids) == them.decode(ids)
    assert us.decode_bytes(np.array(ids, np.int64)) == us.decode_bytes(tuple(ids)) == them.decode_bytes(ids)
    assert us.decode_with_offsets(ids) == them.decode_with_offsets(ids)
    assert us.decode_tokens_bytes(ids) == them.decode_tokens_bytes(ids)
    found = us.encode_to_numpy(text)
    assert found.dtype == np.uint32
    assert found.tolist() == ids


@pytest.mark.parametrize("name", NAMES)
def test_batches(name):
    them, us = pair(name)
    rows = [them.encode(text) for text in TEXTS]
    assert us.encode_batch(TEXTS) == us.encode_ordinary_batch(TEXTS, num_threads=1) == rows
    assert us.encode_batch(iter(TEXTS), allowed_special="all") == rows
    assert us.decode_batch(rows) == [them.decode(row) for row in rows]
    assert us.decode_bytes_batch(rows, num_threads=2) == [them.decode_bytes(row) for row in rows]
    assert us.encode_batch([]) == us.decode_batch([]) == []
    assert us.encode_batch("ab") == them.encode_batch("ab")
    with num_threads(2):
        assert us.encode_batch(TEXTS * 200, num_threads=1) == rows * 200


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=60)
@given(text=st.text(), data=st.binary())
def test_drawn(name, text, data):
    them, us = pair(name)
    assert outcome(us.encode, text) == outcome(them.encode, text)  # Hypothesis finds special tokens in our sources
    ids = us.encode(text, disallowed_special=())
    assert ids == them.encode(text, disallowed_special=())
    assert us.decode(ids) == text
    ids = us._encode_bytes(data)
    assert ids == them._encode_bytes(data)
    assert us.decode_bytes(ids) == data
    assert us._encode_single_piece(data) == (them._encode_single_piece(data) if data else [])
    assert us._encode_only_native_bpe(text) == them._encode_only_native_bpe(text)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.sampled_from([b" ", b"\n", b"the", b"\xe6\xbc\xa2", b"\xe6\xbc", b"\xff", b"1", b"!", END.encode()]),
        max_size=8,
    )
)
def test_bytes_in_which_text_ends(name, parts):
    them, us = pair(name)
    data = b"".join(parts)
    assert us._encode_bytes(data) == them._encode_bytes(data)


@pytest.mark.parametrize("name", ["gpt2", "cl100k"])
@settings(deadline=None, max_examples=12)
@given(st.text(alphabet=" \n\tab'lLé<|!1\u0301漢", max_size=8))
def test_unstable(name, text):
    them, us = pair(name)
    stable, completions = us.encode_with_unstable(text)
    expected, others = them.encode_with_unstable(text)
    assert stable == expected
    assert {*map(tuple, completions)} == {*map(tuple, others)}
    assert len({*map(tuple, completions)}) == len(completions)


def test_unstable_behind_a_special_token():
    for them, us in (pair("cl100k"), small({"<|e|>": 300})):
        token = next(iter(us.special_tokens_set))
        for text in (f"ab{token}", f"ab {token} a", f" {token}  "):
            stable, completions = us.encode_with_unstable(text, allowed_special="all")
            expected, others = them.encode_with_unstable(text, allowed_special="all")
            assert (stable, {*map(tuple, completions)}) == (expected, {*map(tuple, others)})


ALLOWED = ["all", set(), {END}, {"<|fim_prefix|>"}, {"no token"}]
DISALLOWED = [
    "all",
    (),
    {END},
    ["<|fim_prefix|>"],
    {"hello"},
    frozenset({END}),
]  # one each: a set's words differ by process


@pytest.mark.parametrize("allowed", ALLOWED, ids=str)
@pytest.mark.parametrize("disallowed", DISALLOWED, ids=str)
def test_special_tokens(allowed, disallowed):
    them, us = pair("cl100k")
    how = {"allowed_special": allowed, "disallowed_special": disallowed}
    for text in (f"hello {END} you", f"<|fim_prefix|>{END}", "hello", "x", f"<{END}<|fim_suffix|>", f"{END}\ud800"):
        expected = outcome(them.encode, text, **how)
        assert outcome(us.encode, text, **how) == expected
        found = outcome(us.encode_to_numpy, text, **how)
        if "\ud800" not in text:  # which theirs refuses there
            assert (found if isinstance(found, type) else found.tolist()) == expected
        batch = outcome(us.encode_batch, [text, text], **how)
        assert batch == (expected if isinstance(expected, type) else [expected] * 2)
        unstable = outcome(them.encode_with_unstable, "x", **how), outcome(us.encode_with_unstable, "x", **how)
        assert isinstance(unstable[0], type) == isinstance(unstable[1], type)


def test_a_list_is_no_set():
    for encoding in pair("cl100k"):
        with pytest.raises(TypeError):
            encoding.encode("hello", allowed_special=[END])


def test_what_is_said_of_a_special_token():
    us = pair("cl100k")[1]
    for encode in (us.encode, us.encode_to_numpy, us.encode_with_unstable, lambda text: us.encode_batch([text])):
        with pytest.raises(ValueError, match=r"disallowed special token '<\|endoftext\|>' \(character 3\)"):
            encode(f"ab {END}")


@settings(deadline=None, max_examples=60)
@given(
    st.text(alphabet="<|abx>", max_size=20),
    st.sets(st.sampled_from(["<|a|>", "<|ab|>", "|>x", "a|", "ab"]), min_size=1),
    st.data(),
)
def test_tokens_over_one_another(text, names, data):
    """One that is plain text hides none; of two that begin at one place theirs depends on the process: not drawn."""
    names = sorted(names)
    allowed = frozenset(data.draw(st.sets(st.sampled_from(names))))
    them, us = small({name: 300 + i for i, name in enumerate(names)}, pattern=r"[^<]+|<")
    if not {"a|", "ab"} <= allowed:
        how = {"allowed_special": allowed, "disallowed_special": ()}
        assert us.encode(text, **how) == them.encode(text, **how)
        assert us.encode_batch([text], **how) == [us.encode(text, **how)]


WRONG = [
    ("decode", [10**6]),
    ("decode", [-1]),
    ("decode", [2**32]),
    ("decode", [1.0]),
    ("decode", ["a"]),
    ("decode", 5),
    ("decode", None),
    ("decode_bytes", [0] * 600 + [10**6]),
    ("decode_bytes", [0] * 600 + [-1]),
    ("decode_bytes", [0] * 600 + [0.5]),
    ("decode_single_token_bytes", 10**6),
    ("decode_single_token_bytes", -1),
    ("decode_single_token_bytes", "a"),
    ("decode_single_token_bytes", 5.0),
    ("decode_single_token_bytes", 2**32),
    ("decode_tokens_bytes", [1, 10**6]),
    ("decode_tokens_bytes", [5, 5.0]),
    ("decode_tokens_bytes", [5, -1]),
    ("decode_tokens_bytes", [5, "a"]),
    ("decode", [2**70]),
    ("decode", [0] * 131_073 + [-1]),
    ("_encode_single_piece", 5),
    ("_encode_single_piece", "\ud800"),
    ("decode_batch", [[10**6]]),
    ("encode_single_token", 5),
    ("encode_single_token", "hello world"),
    ("encode_single_token", b"\xff\xfe\xfd"),
    ("is_special_token", "a"),
    ("encode", b"ab"),
    ("encode", None),
    ("encode_ordinary", b"ab"),
    ("encode_ordinary", 5),
    ("encode_batch", ["a", 5]),
    ("encode_batch", ["a", b"b"]),
    ("encode_to_numpy", b"a"),
    ("_encode_bytes", "a"),
]


@pytest.mark.parametrize(("method", "argument"), WRONG, ids=lambda value: str(value)[-20:])
def test_exceptions(method, argument):
    them, us = pair("cl100k")
    assert us.decode_single_token_bytes(5) == b"&"  # which a float finds, where tokens are kept by id
    expected = outcome(getattr(them, method), argument)
    assert isinstance(expected, type)
    assert outcome(getattr(us, method), argument) is expected


def test_bytes_that_are_no_text():
    them, us = pair("cl100k")
    ids = [9468, 239]
    assert us.decode(ids) == them.decode(ids) == "\ufffd"
    assert us.decode(ids, errors="ignore") == us.decode_batch([ids], errors="ignore")[0] == ""
    for decode in (us.decode, them.decode):
        with pytest.raises(UnicodeDecodeError):
            decode(ids, errors="strict")
    for decode in (us.decode_with_offsets, them.decode_with_offsets):
        with pytest.raises(UnicodeDecodeError):
            decode(ids)


class Number(int):
    def __index__(self):
        raise AssertionError("asked")


class Row(list):
    pass


class Text(str):
    pass


@pytest.mark.parametrize(
    "ids",
    [[], [True, False, 5], [Number(7), 8], Row([9, 10]), (11, 12), [np.int64(13), np.uint8(14)], np.array([15, 16])],
    ids=lambda ids: f"{type(ids).__name__} of {len(ids)}",
)
def test_ids_of_all_kinds(ids):
    them, us = pair("cl100k")
    assert us.decode(ids) == them.decode(list(ids))
    assert us.decode_bytes(ids) == them.decode_bytes(list(ids))
    assert us.decode_tokens_bytes(ids) == us.decode_tokens_bytes(iter(ids)) == them.decode_tokens_bytes(list(ids))
    assert [us.decode_single_token_bytes(id) for id in ids] == them.decode_tokens_bytes(list(ids))


def test_an_iterator_is_read_once():
    for encoding in pair("cl100k"):
        with pytest.raises(KeyError):
            encoding.decode_tokens_bytes(iter([1, 10**6, 2]))


@pytest.mark.parametrize("size", [1, 511, 512, 513, 131_072, 131_073])
def test_ids_of_all_sizes(size):
    """Of which some lie on the stack, and those of more than 131,072 take another road."""
    them, us = pair("cl100k")
    ids = [(i * 7919) % 100_256 for i in range(size)]
    assert us.decode(ids, "ignore") == them.decode(ids, "ignore")
    assert us.decode_bytes(ids) == them.decode_bytes(ids)
    assert outcome(us.decode, [*ids, 10**6]) is outcome(them.decode, [*ids, 10**6])


@pytest.mark.parametrize(
    "errors", ["replace", "strict", "ignore", "backslashreplace", "nobody", "re\0place", None, 5, "é"]
)
def test_error_handlers(errors):
    them, us = pair("cl100k")
    for ids in ([9468, 239], [5], []):
        assert outcome(us.decode, ids, errors) == outcome(them.decode, ids, errors)
    assert us.decode([9468, 239] * 300, "ignore") == ""


def test_long_tokens_and_pieces():
    long = b"a" * 5000
    ranks = small({})[0]._mergeable_ranks | {long: 300}
    given = {"pat_str": r"\w+|\W+", "mergeable_ranks": ranks, "special_tokens": {}}
    them, us = theirs.Encoding("long", **given), ours.Encoding("long", **given)
    [id] = them._encode_single_piece(long)
    assert us._encode_single_piece(long) == us.encode_ordinary(long.decode()) == [id]
    for ids in ([id], [id, 97, id], [id] * 600):
        assert us.decode_bytes(ids) == them.decode_bytes(ids)
        assert us.decode(ids) == them.decode(ids)
        assert us.decode_tokens_bytes(ids) == them.decode_tokens_bytes(ids)
    for size in (511, 512, 513, 4999):
        assert us._encode_single_piece(long[:size]) == them._encode_single_piece(long[:size])


@pytest.mark.parametrize("text", ["q", "abq", "é漢", "\U0001f44d", "a" * 512, "é" * 257, "ab<|e|>"])
def test_pieces_of_text(text):
    them, us = small({"<|e|>": 300})
    for one in (text, Text(text), text.encode()):
        assert us._encode_single_piece(one) == them._encode_single_piece(one)


def test_functions_keep_the_tokenizer_alive():
    us = small({})[1]
    ids, decode = us.encode("aab b<|"), us._core_bpe.small.decode
    gone = weakref.ref(us._core_bpe.core)
    del us
    gc.collect()
    assert gone() is None
    assert decode(ids, "strict") == "aab b<|"
    assert decode(tuple(ids), "strict") is decode(ids) is decode(ids, None) is decode([-1], "strict") is None


@pytest.mark.parametrize("name", NAMES)
def test_properties(name):
    them, us = pair(name)
    for what in ("name", "max_token_value", "n_vocab", "eot_token", "special_tokens_set"):
        assert getattr(us, what) == getattr(them, what)
    for what in ("_pat_str", "_mergeable_ranks", "_special_tokens", "_special_token_values"):
        assert getattr(us, what) == getattr(them, what)
    assert us.token_byte_values() == them.token_byte_values()
    assert repr(us) == repr(them)
    assert us.is_special_token(us.eot_token)
    assert not us.is_special_token(0)
    ids = [*range(0, us.n_vocab, 997), us.eot_token]
    assert us.decode_tokens_bytes(ids) == them.decode_tokens_bytes(ids)
    assert [us.encode_single_token(token) for token in us.decode_tokens_bytes(ids)] == ids
    assert us.encode_single_token("hello") == them.encode_single_token("hello")
    engine = us._core_bpe
    assert engine.encode("a" + END, {END}) == us.encode("a" + END, allowed_special="all")
    assert engine.encode_ordinary("hello world") == us.encode("hello world")
    assert engine.encode_single_piece(b"helloqqqq") == them._core_bpe.encode_single_piece(b"helloqqqq")


def test_unknown_pattern_and_ranks_in_any_order():
    ranks = dict(reversed(small({})[1]._mergeable_ranks.items())) | {b"zz": 5000}
    given = {"pat_str": r"(?:a+b)+|[^a]", "mergeable_ranks": ranks, "special_tokens": {}}  # dropped: a alone
    them, us = theirs.Encoding("odd", **given), ours.Encoding("odd", **given)
    for text in ("aabab", "aaaxzz ab", "", "aéa"):
        assert us.encode(text) == us.encode_batch([text])[0] == them.encode(text)
        assert us.encode(text, allowed_special="all") == them.encode(text)
    assert us.n_vocab == them.n_vocab == 5001
    with pytest.raises(KeyError):
        us.decode([4999])
    with pytest.raises(KeyError):
        us.eot_token  # noqa: B018


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"mergeable_ranks": {}}, ValueError, "empty"),
        ({"mergeable_ranks": {bytes([i]): i for i in range(255)}}, ValueError, "byte 0xFF"),
        ({"mergeable_ranks": {bytes([i]): i // 2 for i in range(256)}}, ValueError, "rank 0 twice"),
        ({"mergeable_ranks": {bytes([i]): i - 1 for i in range(256)}}, ValueError, "got -1"),
        ({"mergeable_ranks": {chr(i): i for i in range(256)}}, TypeError, "bytes to int"),
        ({"mergeable_ranks": {bytes([i]): str(i) for i in range(256)}, "special_tokens": {}}, TypeError, "int"),
        ({"special_tokens": {"<|e|>": 3}}, ValueError, "has the id 3"),
        ({"special_tokens": {"": 300}}, ValueError, "special_tokens"),
        ({"special_tokens": {"a": -1}}, ValueError, "special_tokens"),
        ({"pat_str": "("}, ValueError, "pattern"),
        ({"explicit_n_vocab": 7}, AssertionError, "explicit_n_vocab is 7"),
    ],
)
def test_refused(changed, error, words):
    ranks = {bytes([i]): i for i in range(256)}
    given = {"pat_str": r"\w+|\W", "mergeable_ranks": ranks, "special_tokens": {"<|e|>": 256}} | changed
    with pytest.raises(error, match=words):
        ours.Encoding("wrong", **given)
    assert ours.Encoding("right", pat_str=".", mergeable_ranks=ranks, special_tokens={}, explicit_n_vocab=256)


def test_copies():
    us = small({"<|pickle|>": 100_000})[1]
    assert copy.copy(us) is copy.deepcopy(us) is us
    again = pickle.loads(pickle.dumps(us))
    assert again.encode("ab <|pickle|>", allowed_special="all") == us.encode("ab <|pickle|>", allowed_special="all")
    assert again.name == "small"


# Files -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of rank files, as TIKTOKEN_CACHE_DIR, and no encoding made yet."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(registry, "ENCODINGS", {})
    return tmp_path


def put(folder, name):
    shutil.copy(read(name.removesuffix("_base")).file, folder / f"{name}.tiktoken")


def test_published_encodings(folder):
    assert ours.list_encoding_names() == []
    with pytest.raises(FileNotFoundError, match=r"cl100k_base.tiktoken is not at hand.*TIKTOKEN_CACHE_DIR"):
        ours.get_encoding("cl100k_base")
    put(folder, "cl100k_base")
    assert ours.list_encoding_names() == ["cl100k_base"]
    us = ours.encoding_for_model("gpt-4")
    assert us is ours.get_encoding("cl100k_base")
    assert us.encode("hello <|endoftext|>", allowed_special="all") == [15339, 220, 100257]
    assert us._special_tokens == read("cl100k").special
    assert us._pat_str == read("cl100k").pattern
    assert pickle.loads(pickle.dumps(us)) is us
    assert len(pickle.dumps(us)) < 200
    # The names of tiktoken's own cache, where it can read them.
    address = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"
    [hashed, *_] = load.candidates(address)
    (folder / "cl100k_base.tiktoken").rename(hashed)
    assert load.load_tiktoken_bpe(address) == their_load.load_tiktoken_bpe(address) == us._mergeable_ranks
    registry.ENCODINGS.clear()
    assert ours.get_encoding("cl100k_base").encode("hello world") == [15339, 1917]


def test_o200k_and_harmony(folder):
    put(folder, "o200k_base")
    assert ours.list_encoding_names() == ["o200k_base", "o200k_harmony"]
    base, harmony = ours.get_encoding("o200k_base"), ours.encoding_for_model("gpt-oss-120b")
    assert base.encode("hello world") == harmony.encode("hello world") == pair("o200k")[0].encode("hello world")
    assert base._pat_str == harmony._pat_str == read("o200k").pattern
    assert harmony.n_vocab == 201088
    assert harmony.encode("<|start|>a", allowed_special="all")[0] == 200006


def test_gpt2_of_its_two_files(folder):
    for name in ("encoder.json", "vocab.bpe"):
        shutil.copy(gpt2_folder() / name, folder)
    assert ours.list_encoding_names() == ["gpt2", "r50k_base"]
    us = ours.get_encoding("gpt2")
    assert us._mergeable_ranks == read("gpt2").ranks
    assert us.encode("hello <|endoftext|>", allowed_special="all") == [31373, 220, 50256]
    registry.ENCODINGS.clear()
    (folder / "vocab.bpe").write_text("#version\na b\n")
    with pytest.raises(ValueError, match="SHA-256"):
        ours.get_encoding("gpt2")
    with pytest.raises(ValueError, match="merges"):
        load.data_gym_to_mergeable_bpe_ranks(str(folder / "vocab.bpe"), str(folder / "encoder.json"))


def test_p50k_serves_r50k(folder):
    try:
        real = read("p50k")
    except MissingVocabularyError as error:
        pytest.skip(str(error))
    shutil.copy(real.file, folder / "p50k_base.tiktoken")
    assert ours.list_encoding_names() == ["gpt2", "r50k_base", "p50k_base", "p50k_edit"]
    assert ours.get_encoding("r50k_base")._mergeable_ranks == read("gpt2").ranks


def test_damaged_and_unknown(folder, monkeypatch):
    (folder / "cl100k_base.tiktoken").write_text("IQ== 0\n")
    with pytest.raises(ValueError, match=r"cl100k_base.tiktoken: damaged, or another file: its SHA-256"):
        ours.get_encoding("cl100k_base")
    with pytest.raises(ValueError, match="unknown encoding 'nothing'; known are gpt2"):
        ours.get_encoding("nothing")
    with pytest.raises(ValueError, match="must be a str, got int"):
        ours.get_encoding(5)
    (folder / "bad").write_text("IQ== 0\nno line\n")
    with pytest.raises(ValueError, match="line 2 is not base64"):
        load.load_tiktoken_bpe(str(folder / "bad"))
    with pytest.raises(FileNotFoundError, match="downloads nothing"):
        load.load_tiktoken_bpe(str(folder / "missing"))
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    with pytest.raises(FileNotFoundError, match="the variable is empty"):
        ours.get_encoding("cl100k_base")


def test_rank_files_are_written(tmp_path):
    ranks = small({})[1]._mergeable_ranks
    load.dump_tiktoken_bpe(ranks, tmp_path / "ranks.tiktoken")
    assert load.load_tiktoken_bpe(tmp_path / "ranks.tiktoken") == ranks
    assert their_load.load_tiktoken_bpe(str(tmp_path / "ranks.tiktoken")) == ranks


def test_models():
    assert theirs.model.MODEL_TO_ENCODING == model.MODEL_TO_ENCODING
    assert theirs.model.MODEL_PREFIX_TO_ENCODING == model.MODEL_PREFIX_TO_ENCODING
    for name in ("gpt-4o-2024-05-13", "gpt-oss-20b", "gpt-3.5-turbo-0301", "ada"):
        assert ours.encoding_name_for_model(name) == theirs.encoding_name_for_model(name)
    with pytest.raises(KeyError, match="no encoding is known for the model 'llama'"):
        ours.encoding_name_for_model("llama")


def test_plugins(tmp_path):
    """Modules of the namespace package tiktoken_ext, without tiktoken: in a process of its own."""
    (tmp_path / "tiktoken_ext").mkdir()
    (tmp_path / "tiktoken_ext/mine.py").write_text(
        "def mine():\n"
        "    ranks = {bytes([byte]): byte for byte in range(256)}\n"
        "    return dict(name='mine', pat_str='.', mergeable_ranks=ranks, special_tokens={'<|e|>': 256})\n"
        "ENCODING_CONSTRUCTORS = {'mine': mine}\n"
    )
    code = (
        "import pickle, sys; from fastemb.compat import tiktoken as ours; us = ours.get_encoding('mine')\n"
        "print(us.encode('a'), pickle.loads(pickle.dumps(us)) is us, ours.list_encoding_names()[-1])\n"
        "print([name for name in ('tiktoken', 'requests', 'regex') if name in sys.modules])"
    )
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    env = os.environ | {"PYTHONPATH": paths}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert run.stdout == "[97] True mine\n[]\n"

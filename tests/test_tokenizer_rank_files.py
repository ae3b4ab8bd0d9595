"""Rank vocabularies: what `.tiktoken` and `tekken*.json` files say, and what is said of damaged ones."""

import base64
import binascii
import importlib.util
import json
import re
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastemb
from fastemb._text.core import ffi, lib
from fastemb._text.rank_file import RankVocabulary, looks_like_rank_file, read_rank_file, read_ranks
from fastemb._text.tekken import OLD_SPECIAL_TOKENS, is_tekken, read_tekken

BYTES = [bytes([byte]) for byte in range(256)]
LINE = re.compile(rb"([A-Za-z0-9+/=]+) ([0-9]+)")


def installed(package: str, path: str) -> Path:
    """Return a file of an installed package; skip the test where there is none."""
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (Path(folder) / path).exists():
            return Path(folder) / path
    return pytest.skip(f"{package} with {path} is not installed")


def lines(tokens: dict[bytes, int], end: str = "\n") -> bytes:
    """Return the text of a rank file."""
    return "".join(f"{base64.b64encode(token).decode()} {rank}{end}" for token, rank in tokens.items()).encode()


def ranked(*more: bytes) -> dict[bytes, int]:
    """Return the 256 bytes and other tokens, ranked in this order."""
    return {token: rank for rank, token in enumerate([*BYTES, *more])}


def as_dict(vocabulary: RankVocabulary) -> dict[bytes, int]:
    tokens = [vocabulary.token(i) for i in range(len(vocabulary))]
    assert len({*tokens}) == len(tokens)
    return dict(zip(tokens, vocabulary.ids.tolist(), strict=True))


def oracle(text: bytes) -> tuple[list[bytes], list[int], int | None]:
    """Return tokens, ranks and the first bad line by Python's own base64."""
    tokens, ranks = [], []
    *ended, last = text.split(b"\n")
    # The last line has no LF, so a CR at its end ends nothing.
    for number, line in enumerate([*(line.removesuffix(b"\r") for line in ended), last], 1):
        if not line:
            continue
        found = LINE.fullmatch(line)
        try:
            token = base64.b64decode(found[1], validate=True) if found else b""
        except binascii.Error:
            token = b""
        if not token or base64.b64encode(token) != found[1] or int(found[2]) > 2**31 - 2:
            return tokens, ranks, number
        tokens.append(token)
        ranks.append(int(found[2]))
    return tokens, ranks, None


REAL = {
    "cl100k": ("tiktoken_ext", "data/cl100k_base.tiktoken", 100256, 100255),
    "o200k": (
        "llama_index",
        "core/_static/tiktoken_cache/fb374d419588a4632f3f557e76b4b70aebbca790",
        199998,
        199997,
    ),
    "p50k": (
        "litellm",
        "litellm_core_utils/tokenizers/ec7223a39ce59f226a68acc30dc1af2788490e15",
        50280,
        50280,
    ),
    "llama3": ("llama_models", "llama3/tokenizer.model", 128000, 127999),
    "llama4": ("llama_models", "llama4/tokenizer.model", 200000, 199999),
    "qwen": ("dashscope", "resources/qwen.tiktoken", 151643, 151642),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files(name):
    package, path, size, last = REAL[name]
    path = installed(package, path)
    vocabulary = read_rank_file(path)
    assert len(vocabulary) == size
    assert vocabulary.ids[-1] == last
    assert vocabulary.ids.dtype == np.int32
    assert vocabulary.offsets.dtype == np.int64
    tokens, ranks, bad = oracle(path.read_bytes())
    assert bad is None
    assert as_dict(vocabulary) == dict(zip(tokens, ranks, strict=True))
    assert (np.diff(vocabulary.ids) > 0).all()
    assert looks_like_rank_file(path.read_bytes()[:512])


def test_p50k_has_a_hole():
    package, path, *_ = REAL["p50k"]
    assert 50256 not in read_rank_file(installed(package, path)).ids


@pytest.mark.parametrize(
    ("name", "other"), [("cl100k", "cl100k"), ("o200k", "o200k"), ("llama3", "llama3"), ("qwen", "qwen3")]
)
def test_another_copy(name, other):
    package, path, *_ = REAL[name]
    data = installed("quicktok", f"data/{other}.vocab").read_bytes()
    want, place = {}, 4
    for _ in range(struct.unpack_from("<I", data)[0]):
        (length,) = struct.unpack_from("<H", data, place)
        token = data[place + 2 : place + 2 + length]
        (want[token],) = struct.unpack_from("<I", data, place + 2 + length)
        place += 6 + length
    assert as_dict(read_rank_file(installed(package, path))) == want


def test_what_is_no_rank_file():
    assert not looks_like_rank_file(b"")
    assert not looks_like_rank_file(b"\n\n")
    assert not looks_like_rank_file(b'{"version": "1.0",\n "truncation": null}')
    assert not looks_like_rank_file("#version: 0.2\nĠ t\nĠ a\nh e\n".encode())
    assert not looks_like_rank_file(b"\x0a\x0e\x0a\x05<unk>\x15\x00\x00\x00\x00\x18\x02")
    assert looks_like_rank_file(b"IQ== 0")
    assert looks_like_rank_file(b"\r\nIQ== 0\r\nIg=")
    assert looks_like_rank_file(b"IQ= 0\nIg== 1\n"), "one damaged line is for the reader to name"


@pytest.mark.parametrize("version", ["v1", "240216.model.v2"])
def test_a_sentencepiece_model_is_no_rank_file(version, tmp_path):
    name = "tokenizer.model.v1" if version == "v1" else "mistral_instruct_tokenizer_240216.model.v2"
    path = installed("mistral_common", f"data/{name}")
    assert not looks_like_rank_file(path.read_bytes()[:4096])
    with pytest.raises(ValueError, match="not a rank file"):
        read_rank_file(path)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n", "\r\n\n\r\n"])
def test_ends_of_lines(end, tmp_path):
    want = ranked(b"ab", b"abc", b"\xff\xfe\xfd\xfc")
    text = lines(want, end)
    (tmp_path / "a").write_bytes(text)
    assert as_dict(read_rank_file(tmp_path / "a")) == want
    (tmp_path / "b").write_bytes(text.removesuffix(end.encode()))
    assert as_dict(read_rank_file(tmp_path / "b")) == want


def test_any_order_and_holes(tmp_path):
    want = {token: 3 * rank for token, rank in ranked(b"ab", b"a" * 5000).items()} | {b"last": 2**31 - 2}
    (tmp_path / "a").write_bytes(lines(dict(reversed(want.items()))))
    vocabulary = read_rank_file(tmp_path / "a")
    assert as_dict(vocabulary) == want
    assert vocabulary.ids.tolist() == sorted(want.values())
    assert vocabulary.token(0) == b"\0"


GOOD = lines(ranked())
DAMAGE = {
    "empty": (b"", "it is empty"),
    "only empty lines": (b"\n\r\n\n", "it is empty"),
    "another kind": (b'{"model": {}}\n', "pattern is for rank files"),
    "binary": (bytes(range(256)) * 9, "no vocabulary that can be read"),
    "no base64": (GOOD + b"a*== 256\n", "line 257: its token is not base64: 'a"),
    "short base64": (GOOD + b"YWI 256\n", "line 257: its token is not base64"),
    "padding too early": (GOOD + b"YQ==YQ== 256\n", "line 257: its token is not base64"),
    "padding alone": (GOOD + b"==== 256\n", "line 257: its token is not base64"),
    "loose bits": (GOOD + b"YWJ= 256\n", "line 257: its base64 has bits that belong to no byte"),
    "no token": (GOOD + b" 256\n", "line 257: its token is empty"),
    "an empty token twice": (GOOD + b"= 256\n= 256\n", "the rank 256 stands twice, for b'' and another token"),
    "an empty token with another's rank": (GOOD + b"= 255\n", "the rank 255 stands twice, for b'' and another token"),
    "an empty token of no rank": (GOOD + b"= x\n", "line 257: its token is not base64"),
    "no rank": (GOOD + b"YWI=\n", "line 257: it has no rank"),
    "no rank behind the space": (GOOD + b"YWI= \n", "line 257: it has no rank"),
    "no number": (GOOD + b"YWI= x\n", "line 257: its rank is not a number"),
    "negative": (GOOD + b"YWI= -1\n", "line 257: its rank is not a number"),
    "too large": (GOOD + b"YWI= 2147483647\n", "line 257: its rank is not a number from 0 to 2"),
    "far too large": (GOOD + b"YWI= " + b"9" * 50 + b"\n", "line 257: its rank is not a number"),
    "three columns": (GOOD + b"YWI= 256 1\n", "line 257: its rank is not a number"),
    "a lone CR": (GOOD + b"YWI= 256\rYWM= 257\n", "line 257"),
    "cut": (GOOD[:-3] + b"\0", "line 256"),
    "the first line": (b"*" + GOOD, "line 1: its token is not base64"),
    "rank twice": (GOOD + b"YWI= 256\nYWM= 7\n", r"the rank 7 stands twice, for b'\\x07' and b'ac'"),
    "token twice": (GOOD + b"YWI= 256\nYWI= 257\n", "the token b'ab' stands twice, with 256 and 257"),
    "byte twice": (GOOD + b"AA== 300\n", r"the token b'\\x00' stands twice, with 0 and 300"),
    "no byte": (b"YWI= 256\n", r"no token for the byte 0x00 \(256 bytes missing\)"),
    "two bytes less": (b"".join(GOOD.splitlines(True)[:-2]), r"no token for the byte 0xFE \(2 bytes missing\)"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage(name, tmp_path):
    text, message = DAMAGE[name]
    path = tmp_path / "some.tiktoken"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}: .*{message}"):
        fastemb.Tokenizer.load(path, "gpt2")


fragments = st.sampled_from(
    b"AA==,YWI=,YWJj,YWJjZGVm,/+/+,YWJ=,A,=, ,0,17,2147483646,2147483647,\n,\r\n,\r,\t,\0,\xff,-,+1".split(b",")
)
rows = st.builds(
    lambda token, rank, end: base64.b64encode(token) + b" %d" % rank + end,
    st.binary(min_size=1, max_size=9),
    st.integers(0, 2**31),
    st.sampled_from([b"\n", b"\r\n"]),
)


@settings(deadline=None)
@given(st.lists(fragments | rows, max_size=12).map(b"".join))
def test_reading_equals_pythons_base64(text):
    tokens, offsets, ranks, bad = read_ranks(text)
    got = [tokens[a:b] for a, b in pairwise(offsets)]
    assert (got, ranks.tolist(), bad) == oracle(text)


@settings(deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_rightly_or_refused(tmp_path_factory, data):
    text = bytearray(lines(ranked(b"ab", b"abc", b"hello")))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 3))
        text[at : at + cut] = data.draw(st.binary(max_size=3) | fragments)
    path = tmp_path_factory.getbasetemp() / "damaged.tiktoken"
    path.write_bytes(text)
    tokens, ranks, bad = oracle(bytes(text))
    good = bad is None and len({*tokens}) == len(tokens) and len({*ranks}) == len(ranks) and {*tokens} >= {*BYTES}
    if good:
        assert as_dict(read_rank_file(path)) == dict(zip(tokens, ranks, strict=True))
    else:
        with pytest.raises(ValueError, match=re.escape(str(path))):
            read_rank_file(path)


def test_room_is_never_overrun():
    text = lines(ranked())
    tokens = np.full(len(text), 77, np.uint8)
    offsets, ranks = np.full(12, -9, np.int64), np.full(11, -9, np.int32)
    count, bad = ffi.new("int64_t *"), ffi.new("int64_t *")
    arguments = [ffi.from_buffer("uint8_t[]", text), len(text), ffi.from_buffer("uint8_t[]", tokens)]
    arguments += [ffi.from_buffer("int64_t[]", offsets), ffi.from_buffer("int32_t[]", ranks)]
    assert lib.fe_ranks_read(*arguments, 10, count, bad) == lib.FE_FULL
    assert (count[0], bad[0]) == (10, -1)
    assert offsets.tolist() == [*range(11), -9]
    assert ranks.tolist() == [*range(10), -9]
    assert (tokens[10:] == 77).all()
    assert lib.fe_ranks_read(arguments[0], 0, *arguments[2:], 0, count, bad) == lib.FE_OK
    assert count[0] == 0


# Tekken


def document(count: int = 300, **more) -> dict:
    """Return a tekken document of 300 tokens, of which the model uses 290, behind 30 special ones."""
    tokens = [*BYTES, *(b"token %d" % i for i in range(count - 256))]
    return {
        "config": {
            "pattern": r"\p{L}+",
            "num_vocab_tokens": count,
            "default_vocab_size": 320,
            "default_num_special_tokens": 30,
            "version": "v3",
        },
        "vocab": [
            {"rank": rank, "token_bytes": base64.b64encode(token).decode(), "token_str": None}
            for rank, token in enumerate(tokens)
        ],
    } | more


def write(path: Path, content: dict) -> Path:
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("name", ["tekken_240718.json", "tekken_240911.json"])
def test_real_tekken_files(name):
    path = installed("mistral_common", f"data/{name}")
    content = json.loads(path.read_bytes())
    model = read_tekken(path)
    assert is_tekken(content)
    assert model.pattern == content["config"]["pattern"]
    want = {base64.b64decode(token["token_bytes"]): token["rank"] + 1000 for token in content["vocab"][: 131072 - 1000]}
    assert as_dict(model.vocabulary) == want
    assert list(model.special_tokens.values()) == [*range(1000)]
    assert list(model.special_tokens)[:21] == [*OLD_SPECIAL_TOKENS, "<SPECIAL_20>"]
    assert model.special_tokens["[INST]"] == 3


def test_tekken_keeps_the_first_tokens(tmp_path):
    model = read_tekken(write(tmp_path / "a.json", document()))
    assert len(model.vocabulary) == 290
    assert model.vocabulary.ids.tolist() == [*range(30, 320)]
    assert model.vocabulary.token(289) == b"token 33"
    assert model.special_tokens["<s>"] == 1
    assert model.special_tokens["<SPECIAL_29>"] == 29
    assert len(model.special_tokens) == 30


def test_tekken_lists_special_tokens(tmp_path):
    listed = [{"rank": 1, "token_str": "[B]", "is_control": True}, {"rank": 0, "token_str": "<a>", "is_control": True}]
    content = document(special_tokens=listed)
    content["config"]["version"] = "v13"
    model = read_tekken(write(tmp_path / "a.json", content))
    assert list(model.special_tokens.items())[:3] == [("<a>", 0), ("[B]", 1), ("<SPECIAL_2>", 2)]
    assert len(model.special_tokens) == 30


def _token(place, **fields):
    content = document()
    content["vocab"][place] |= fields
    return content


def _config(**fields):
    content = document()
    content["config"] = {key: value for key, value in (content["config"] | fields).items() if value is not ...}
    return content


def _special(*tokens):
    return document(special_tokens=[{"rank": rank, "token_str": text} for rank, text in tokens])


TEKKEN_DAMAGE = {
    "no config": ({"vocab": []}, "its config is missing"),
    "config a list": (document(config=[]), "its config is missing"),
    "no pattern": (_config(pattern=...), "its config has no pattern but nothing"),
    "pattern a number": (_config(pattern=5), "its config has no pattern but 5"),
    "pattern with half a pair": (_config(pattern="\ud800"), "its config has no pattern"),
    "no size": (_config(default_vocab_size=...), "its default_vocab_size is nothing"),
    "size a string": (_config(default_vocab_size="320"), "its default_vocab_size is '320'"),
    "size a bool": (_config(default_num_special_tokens=True), "its default_num_special_tokens is True"),
    "size of 2 GB": (_config(default_vocab_size=2**31 - 2), "asks for 2147483616 of the 300 tokens"),
    "special tokens of 2 GB": (
        _config(default_vocab_size=2**31 - 2, default_num_special_tokens=2**31 - 100),
        "asks for 2147483548 special tokens",
    ),
    "negative size": (_config(default_vocab_size=-1), "its default_vocab_size is -1"),
    "no room": (_config(default_vocab_size=7), "its default_vocab_size, 7, has no room for 30 special tokens"),
    "no tokens": (_config(default_vocab_size=30), "asks for 0 of the 300 tokens"),
    "more than there are": (_config(default_vocab_size=331), "asks for 301 of the 300 tokens"),
    "no vocab": (document(vocab=None), "its vocab is missing"),
    "vocab a dict": (document(vocab={}), "its vocab is missing"),
    "a token a list": (document(vocab=[[]] * 300), r"token 0 of its vocab has no rank and token_bytes: \[\]"),
    "a token without bytes": (
        document(vocab=[*document()["vocab"][:280], {"rank": 280}] * 2),
        "token 280 of its vocab has no rank and token_bytes",
    ),
    "bytes a number": (_token(7, token_bytes=7), "token_bytes of token 7 is 7, no string"),
    "bytes no base64": (_token(7, token_bytes="*"), r"token_bytes of token 7 is not base64 or empty: '\*'"),
    "bytes empty": (_token(7, token_bytes=""), "token_bytes of token 7 is not base64 or empty: ''"),
    "bytes of two lines": (_token(7, token_bytes="AA== 0\nAQ=="), "token_bytes of token 7 is not base64"),
    "bytes with a rank": (_token(289, token_bytes="AA== 0"), "token_bytes of token 289 is not base64"),
    "bytes not ASCII": (_token(7, token_bytes="é==="), "token_bytes of token 7 is not base64"),
    "bytes with half a pair": (_token(7, token_bytes="\ud800==="), "token_bytes of token 7 is not base64"),
    "a rank of another": (_token(280, rank=281), "the rank of token 280 is 281, not 280"),
    "a rank a string": (_token(280, rank="280"), "the rank of token 280 is '280', not 280"),
    "a rank a bool": (_token(1, rank=True), "the rank of token 1 is True, not 1"),
    "a rank a float": (_token(280, rank=280.0), "the rank of token 280 is 280.0, not 280"),
    "a token twice": (_token(280, token_bytes="AA=="), r"the token b'\\x00' stands twice, with 30 and 310"),
    "no byte": (_token(255, token_bytes="YWI="), r"no token for the byte 0xFF \(1 bytes missing\)"),
    "no version": (_config(version=...), "its version is nothing, and it lists no special tokens"),
    "a strange version": (_config(version="x"), "its version is 'x', and it lists no special tokens"),
    "a new version": (_config(version="v11"), "it lists no special tokens, which a file of version v11 must"),
    "special tokens a dict": (document(special_tokens={}), "its special_tokens are no list"),
    "a special token a string": (document(special_tokens=["<s>"]), "special token 0 has no token_str and rank: '<s>'"),
    "an empty special token": (_special((0, "")), "special token 0 has no token_str and rank"),
    "a special token twice": (_special((0, "<s>"), (1, "<s>")), "the special token '<s>' stands twice"),
    "special ranks with a hole": (_special((0, "<s>"), (2, "<t>")), "the ranks of its special tokens are not 0 to 1"),
    "a filler listed": (_special((0, "<SPECIAL_5>")), "the special token '<SPECIAL_5>' stands twice"),
    "too many special tokens": (
        _special(*((i, f"<{i}>") for i in range(31))),
        "it has 31 special tokens where its config has room for 30",
    ),
    "too many old special tokens": (
        _config(default_num_special_tokens=19, default_vocab_size=300),
        "it has 20 special tokens where its config has room for 19",
    ),
}


@pytest.mark.parametrize("name", TEKKEN_DAMAGE)
def test_tekken_damage(name, tmp_path):
    content, message = TEKKEN_DAMAGE[name]
    path = write(tmp_path / "a.json", content)
    # Without these two nothing tells that it was to be one.
    read = read_tekken if name in ("no config", "no vocab", "vocab a dict") else fastemb.Tokenizer.load
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}: damaged (tekken file|vocabulary): .*{message}"):
        read(path)


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000, b'{"config": NaN'])
def test_what_is_no_json(text, tmp_path):
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / "a.json"))):
        read_tekken(tmp_path / "a.json")


def test_which_json_is_tekken():
    assert is_tekken(document())
    assert not is_tekken({"model": {"vocab": {}}, "config": {}})
    assert not is_tekken({"vocab": {"a": 1}, "config": {}})
    assert not is_tekken([])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**33) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


@settings(deadline=None)
@given(st.data())
def test_a_damaged_tekken_file_is_read_rightly_or_refused(tmp_path_factory, data):
    content = document()
    place = content
    path = []
    while True:
        keys = list(place) if isinstance(place, dict) else [data.draw(st.integers(0, len(place) - 1))]
        key = data.draw(st.sampled_from(keys))
        path.append(key)
        if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            break
        place = place[key]
    value = data.draw(json_values)
    place[key] = value
    file = write(tmp_path_factory.getbasetemp() / "damaged.json", content)
    try:
        model = read_tekken(file)
    except ValueError as caught:
        error = caught
    else:
        error = None
    if error is not None:
        assert str(error).startswith(f"{file}: ")
        return
    used = content["config"]["default_num_special_tokens"]
    want = [base64.b64decode(token["token_bytes"]) for token in content["vocab"][: len(model.vocabulary)]]
    assert as_dict(model.vocabulary) == {token: used + i for i, token in enumerate(want)}
    assert len(model.vocabulary) + used == content["config"]["default_vocab_size"]
    assert len(model.special_tokens) == used

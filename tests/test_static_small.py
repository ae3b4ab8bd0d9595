"""Small calls of ``StaticModel.encode``, which go from text to vector in two steps: the bits of the general road."""

import base64
import copy
import functools
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import arrays
import numpy as np
import pytest
import tokenizers
from arrays import same_bits, same_but_nan

import fastemb
from fastemb import _warmup
from fastemb._cpu import pooling as room
from fastemb._cpu import static as static_room
from fastemb._text import core

ADDED = ["<unk>", "<s>", "</s>", "[X]", "ab", "the q", "é"]


@pytest.fixture(scope="module")
def model(llama_folder):
    return fastemb.StaticModel.load(llama_folder)


@pytest.fixture(scope="module")
def added_tokenizers(hf_llama, hf_gpt2, tmp_path_factory):
    """Two vocabularies with added tokens in ordinary text, special and not; in the second some are matched late."""
    read = []
    for engine, late in (hf_llama, False), (hf_gpt2, True):
        hf = tokenizers.Tokenizer.from_str(engine.to_str())
        for number, token in enumerate(ADDED):
            special = number % 2 == 0
            added = tokenizers.AddedToken(token, special=special, normalized=late and number > 3)
            (hf.add_special_tokens if special else hf.add_tokens)([added])
        file = tmp_path_factory.mktemp("added") / "tokenizer.json"
        hf.save(str(file))
        read.append(fastemb.Tokenizer.load(file))
    return read


def draw_model(tokenizer, dtype, D, seed=0, **settings):
    table = np.random.default_rng(seed).standard_normal((tokenizer.vocab_size, D)).astype(dtype)
    table[:3, 0] = np.nan, np.inf, -0.0
    return fastemb.StaticModel(tokenizer, table, **settings)


MODELS = {
    "WordLlama": lambda use: use("model"),
    "float32": lambda use: draw_model(use("llama"), "f4", 64),
    "float16, cut": lambda use: draw_model(use("llama"), "f2", 130, max_length=5, normalize=True),
    "unknown dropped": lambda use: draw_model(use("llama"), "f4", 32, max_length=512, drop=use("llama").unk_id),
    "bytes": lambda use: draw_model(use("gpt2"), "f2", 100),
    "added": lambda use: draw_model(use("added_tokenizers")[0], "f4", 16, max_length=60, drop=0),
    "added, late": lambda use: draw_model(use("added_tokenizers")[1], "f2", 16),
    "wide": lambda use: draw_model(use("gpt2"), "f2", 300),
    "one column": lambda use: draw_model(use("llama"), "f2", 1),
}


@pytest.fixture(scope="module", params=MODELS)
def models(request):
    """Models of each maker's kind, and of odd widths."""
    return MODELS[request.param](request.getfixturevalue)


general_calls = functools.partial(arrays.general_calls, room, "reduce")


def general(model, texts, **options):
    """Return what the general road gives, to which `out` leads."""
    D = model.table.shape[1]
    out = np.full(D if isinstance(texts, str) else (len(texts), D), np.nan, np.float32)
    with general_calls() as seen:
        model.encode(texts, out=out, **options)
    assert len(seen) == 1
    return out


def small(model, texts, **options):
    """Return what the small path gives."""
    with general_calls() as seen:
        vectors = model.encode(texts, **options)
    assert not seen
    return vectors


def both(model, texts, **options):
    """Hold a call, by whatever road it takes, against the general road."""
    before = copy.copy(texts)
    vectors = model.encode(texts, **options)
    assert same_but_nan(vectors, general(model, texts, **options))
    assert type(vectors) is np.ndarray
    assert vectors.flags.writeable
    assert vectors.flags.c_contiguous
    assert texts == before


# ---------------------------------------------------------------- the same bits


def test_random_texts_alone(models, random_strings):
    for text in random_strings(500, seed=1):
        both(models, text)
        both(models, [text], normalize=True)


def test_random_texts_together(models, random_strings):
    strings, rng = random_strings(3000, seed=2), np.random.default_rng(3)
    while strings:
        count = int(rng.integers(1, 40))
        few, strings = strings[:count], strings[count:]
        both(models, few, normalize=[None, False, True][count % 3])
        both(models, tuple(few))


def test_real_lines(models, real_lines):
    lines = real_lines[::97]
    for at, line in enumerate(lines):
        both(models, line)
        if at % 9 == 0:
            both(models, lines[at : at + 9])


@pytest.mark.parametrize("count", [1, 3])
def test_added_tokens_in_the_text(models, random_strings, count):
    rng = np.random.default_rng(4)
    for text in random_strings(400, seed=5):
        names = rng.choice(ADDED, count)
        at = rng.integers(0, len(text) + 1)
        both(models, text[:at] + "".join(names) + text[at:])
        both(models, [text, *names, text[at:] + names[0]])


@pytest.mark.parametrize("texts", ["", [""], ["", ""], ["", "a", ""], " ", ["<s>"], "<s><s>", ["a"] * 256])
def test_texts_that_are_small(model, texts):
    for normalize in (None, False, True):
        assert same_bits(small(model, texts, normalize=normalize), general(model, texts, normalize=normalize))


def test_a_model_that_has_encoded_nothing(llama_file, model):
    """Not even the first call needs the general road."""
    fresh = fastemb.StaticModel(fastemb.Tokenizer.load(llama_file), model.table)
    assert same_bits(small(fresh, "a b"), model.encode("a b"))


@pytest.mark.parametrize(
    ("dtype", "id_dtype", "count"), [("f2", "i4", 1), ("f4", "i4", 1), ("f4", "i8", 0), ("f8", "i4", 0)]
)
def test_warmup_compiles_the_kernel(monkeypatch, dtype, id_dtype, count):
    from fastemb._cpu import static

    seen, means = [], static.small_means
    monkeypatch.setattr(static, "small_means", lambda *given, **options: seen.append(means(*given, **options)))
    monkeypatch.setattr(_warmup.pooling, "embedding_bag", lambda *given, **options: None)  # its kernels take long
    _warmup._bags(np.ones((8, 64), dtype), np.arange(8, dtype=id_dtype).reshape(2, 4))
    assert len(seen) == count
    assert all((vectors == 1).all() for vectors in seen)


# ---------------------------------------------------------------- what is not small


@pytest.mark.parametrize("texts", ["a b", ["a b"], ["a", "b <s>"]], ids=str)
@pytest.mark.parametrize("options", [{"max_length": None}, {"max_length": 7}, {"normalize": np.True_}], ids=str)
def test_options_that_are_not_small(model, texts, options):
    with general_calls() as seen:
        vectors = model.encode(texts, **options)
    assert len(seen) == 1
    assert same_bits(vectors, model.encode(texts, normalize=bool(options.get("normalize"))))


class Text(str):
    """A str that answers for its length as it likes."""

    def __len__(self):
        return 1


@pytest.mark.parametrize(
    "texts",
    [Text("a b"), [Text("a b")], ["a", Text("b")], np.array(["a", "b"]), {"a": 1}, [], (), ["a"] * 257],
    ids=repr,
)
def test_texts_that_are_not_small(model, texts):
    with general_calls() as seen:
        vectors = model.encode(texts)
    assert len(seen) == 1
    expected = [small(model, str.__str__(text)) for text in ([texts] if isinstance(texts, str) else texts)]
    assert same_bits(vectors.reshape(-1, 256), np.array(expected, np.float32).reshape(-1, 256))


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\ud83d\ude00", "a" * core.SHORT + "b", "日" * core.SHORT])
def test_texts_of_which_c_cannot_take_the_short_way(model, text):
    with general_calls() as seen:
        vectors = model.encode(text), *model.encode([text, "x"])
    assert len(seen) == 2
    assert same_bits(vectors[0], general(model, text))
    assert same_bits(np.stack(vectors[1:]), general(model, [text, "x"]))


@pytest.mark.parametrize("dtype", ["f8", ">f4", "i4"])
def test_tables_of_other_dtypes(llama, dtype):
    table = np.arange(32_000 * 4).reshape(-1, 4).astype(dtype)
    if dtype == "i4":
        with pytest.raises(TypeError, match=r"table must have dtype float64, .* got int32"):
            fastemb.StaticModel(llama, table)
        return
    model = fastemb.StaticModel(llama, table)
    with general_calls() as seen:
        both(model, "a b")
        assert len(seen) == 2


@pytest.mark.parametrize("layout", ["read-only", "rows apart", "reversed", "misaligned", "cut", "strided", "fortran"])
def test_tables_of_other_layouts(model, layout):
    laid = arrays.lay(model.table[:, :40].copy(), layout)[: len(model.table), :40]
    other = fastemb.StaticModel(model.tokenizer, laid)
    with general_calls() as seen:
        both(other, ["a b", "c"])
    assert len(seen) == (2 if layout in ("strided", "fortran") else 1)


def test_the_first_columns_of_a_table(model, llama_folder):
    narrow = fastemb.StaticModel.load(llama_folder, dim=70)
    assert same_bits(small(narrow, "a b"), model.encode("a b")[:70].copy())
    for normalize in (False, True):
        both(narrow, ["a b", "", "c"], normalize=normalize)


@pytest.mark.parametrize("more", [0, 1])
def test_the_size_at_which_calls_are_no_longer_small(llama, more):
    most = fastemb._devices.static(None)._SMALL_BYTES >> 2
    model = draw_model(llama, "f4", 1024)
    ids = most // 1024 + more
    text = "a" + " a" * (ids - 1)
    assert llama.encode(text).size == ids
    with general_calls() as seen:
        both(model, text)
        both(model, [text, ""])
    assert len(seen) == 2 + 2 * more


def test_what_a_model_cuts_and_drops(llama):
    model = draw_model(llama, "f4", 32, max_length=4, drop=llama.unk_id)
    characters = 4 * model._chars_per_id
    for text in (
        "one two three",
        "x" * characters,
        "x" * (characters + 1),
        "1 2 3 4 5 6",
        "a<unk>b",
        "<unk>",
        "日本語" * 2,
    ):
        both(model, text)
        both(model, [text, "a"])
    small(model, "one two")
    small(model, ["one two"] * 9)  # more ids than one text may have
    with general_calls() as seen:
        model.encode("a<unk>b"), model.encode("1 2 3 4 5 6"), model.encode(["1 2 3 4 5 6"] * 2)
    assert len(seen) == 3


def test_a_pattern_that_c_does_not_know(tmp_path, gpt2_folder):
    pytest.importorskip("regex")
    (tmp_path / "ranks").write_bytes(b"".join(b"%s %d\n" % (base64.b64encode(bytes([i])), i) for i in range(256)))
    tokenizer = fastemb.Tokenizer.load(tmp_path / "ranks", r"(?:ab)+|\w+|\s+|[^\w\s]+")
    model = fastemb.StaticModel(tokenizer, np.arange(256.0 * 3, dtype=np.float32).reshape(-1, 3))
    with general_calls() as seen:
        assert same_bits(model.encode("ab c"), model.table[list(b"ab c")].mean(axis=0))
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("texts", "options", "error", "words"),
    [
        (["a", 1], {}, TypeError, "got int at position 1"),
        (["a", b"b"], {}, TypeError, "got bytes at position 1"),
        ([None], {}, TypeError, "got NoneType at position 0"),
        (None, {}, TypeError, "texts must be a sequence of str, got NoneType"),
        (b"a", {}, TypeError, "texts must be"),
        ("a", {"normalize": "no"}, TypeError, "normalize must be a bool or None, got 'no'"),
        ("a", {"normalize": 1}, TypeError, "normalize must be a bool or None, got 1"),
        (["a"], {"max_length": 0}, ValueError, "max_length must be at least 1"),
        (["a"], {"max_length": "Model"}, TypeError, "max_length must be an integer or None"),
        (["a"], {"out": np.zeros((2, 256), "f4")}, ValueError, "out must have shape"),
        ("a", {"out": [1]}, TypeError, "out must be"),
    ],
    ids=str,
)
def test_errors_are_those_of_the_general_road(model, texts, options, error, words):
    with pytest.raises(error, match=words):
        model.encode(texts, **options)


# ---------------------------------------------------------------- a model that changes, and callers at once


def test_a_table_that_changes(llama):
    model = draw_model(llama, "f2", 8)
    first = small(model, "a b")
    model.table *= 2
    assert same_bits(small(model, "a b"), first * 2)
    model.table = model.table[::-1].copy()
    assert same_bits(small(model, "a b"), general(model, "a b"))
    model.table = model.table.astype("f4")
    assert same_bits(small(model, "a b"), general(model, "a b"))
    model.table = model.table[:20]
    with pytest.raises(IndexError, match="is out of range"):
        model.encode("a b")


def test_a_table_that_changes_during_a_look_up(llama, monkeypatch):
    """What is looked up belongs together, whatever another thread does meanwhile."""
    zeros, ones = np.zeros((llama.vocab_size, 8), np.float32), np.ones((llama.vocab_size, 8), np.float32)
    model, look_up = fastemb.StaticModel(llama, zeros), static_room.small_rows

    def meanwhile(table):
        model.table = ones
        return look_up(table)

    monkeypatch.setattr(static_room, "small_rows", meanwhile)
    model.encode("hello")
    monkeypatch.undo()
    assert (model.encode("hello") == 1).all()


def test_a_tokenizer_that_changes(llama, gpt2):
    model = draw_model(gpt2, "f4", 8)
    small(model, "a b")
    model.tokenizer = llama
    assert same_bits(small(model, "a b"), general(model, "a b"))


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_look_up_their_own_table(llama, make):
    model = draw_model(llama, "f2", 8)
    first = small(model, "a b")
    other = make(model)
    assert same_bits(small(other, "a b"), first)
    shared = other.table is model.table
    model.table[...] = 0
    assert not small(model, "a b").any()
    assert small(other, "a b").any() == (not shared)
    assert len(pickle.dumps(other)) < 2 * other.table.nbytes + (1 << 22)


def test_eight_callers_at_once(llama_file, model, real_lines):
    """Each call has a workspace of its own, also where more calls run than there are caches."""
    fresh = fastemb.StaticModel(fastemb.Tokenizer.load(llama_file), model.table)
    jobs = [(line,) if at % 3 else (real_lines[at : at + 5],) for at, line in enumerate(real_lines[:4000])]
    expected = [general(model, *job) for job in jobs[::10]]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        results = arrays.by_eight_callers(fresh.encode, jobs)
    finally:
        sys.setswitchinterval(interval)
    for got, one in zip(results[::10], expected, strict=True):
        assert same_bits(got, one)


def test_more_callers_than_caches(llama_file, model, monkeypatch):
    monkeypatch.setenv("FASTEMB_TOKENIZER_CACHE", "1000000")
    tokenizer = fastemb.Tokenizer.load(llama_file)
    tokenizer._core._parts.clear()
    fresh = fastemb.StaticModel(tokenizer, model.table)
    for texts in ("one two", ["one two", "three"]):
        assert same_bits(small(fresh, texts), model.encode(texts))
    assert not tokenizer._core._workspaces


def test_a_list_that_changes_meanwhile(model):
    texts, expected = ["one two"] * 3, {len(few): model.encode(few) for few in (["one two"] * n for n in range(1, 9))}

    def change():
        for n in range(20_000):
            texts[:] = ["one two"] * (1 + n % 8)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(change)
        while not done.done():
            vectors = model.encode(texts)
            assert same_bits(vectors, expected[len(vectors)])


# ---------------------------------------------------------------- the tokenizer's short way, by which it goes


@contextmanager
def no_short_way(tokenizer):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer, "_short_actions", {})
        yield


@pytest.mark.parametrize("special", ["none", "all"])
def test_short_ids_are_those_of_a_batch(added_tokenizers, gpt2, random_strings, special):
    rng = np.random.default_rng(6)
    for tokenizer in (*added_tokenizers, gpt2):
        strings = [
            text + "".join(rng.choice([*ADDED, "<|endoftext|>"], rng.integers(3))) + text[:3]
            for text in random_strings(2000, seed=7)
        ]
        ids = [tokenizer.encode(text, special=special) for text in strings]
        with no_short_way(tokenizer):
            for text, row in zip(strings, ids, strict=True):
                assert same_bits(tokenizer.encode(text, special=special), row)
        actions = tokenizer._actions.fixed[special]
        flat, offsets = tokenizer._core.encode_few(strings[:60], actions)
        assert same_bits(flat, np.concatenate(ids[:60]))
        assert np.array_equal(np.diff(offsets), [row.size for row in ids[:60]])


def test_a_refused_token_is_named(gpt2):
    assert gpt2.encode("a b", special="raise").tolist() == gpt2.encode("a b").tolist()
    with pytest.raises(ValueError, match=r"'<\|endoftext\|>' stands in the text"):
        gpt2.encode("a<|endoftext|>", special="raise")
    with pytest.raises(ValueError, match="special must be"):
        gpt2.encode("a", special="some")


def test_texts_that_find_no_room(gpt2):
    for text in ("\u4e00\U00010348" * (core.SHORT // 2), "a" * core.SHORT, "ab" * core.SHORT):
        assert same_bits(gpt2.encode(text), gpt2.encode_batch([text]).ids)
    many = ["\u4e00\U00010348" * 500] * 8
    assert gpt2._core.encode_few(many, gpt2._actions.fixed["none"]) is None
    assert gpt2._core.encode_few(["ab"] * core.SHORT, gpt2._actions.fixed["none"]) is None

"""Pieces found 64 bytes at a time equal those found one after the other, by every kind of instructions."""

import ctypes
import mmap
import pickle
import random

import numpy as np
import pytest

from fastemb._text import core

lib, ffi = core.lib, core.ffi
OTHERS = ("FE_PATTERN_OWN", "FE_PATTERN_PROGRAM", "FE_PATTERN_BERT")  # what a tokenizer brings with it, and words
PATTERNS = [getattr(lib, name) for name in dir(lib) if name.startswith("FE_PATTERN_") and name not in OTHERS]
PATHS = {  # those that a processor lacks are replaced
    "plain": lib.FE_PATH_PLAIN,
    "neon": lib.FE_PATH_NEON,
    "avx2": lib.FE_PATH_AVX2,
    "avx512": lib.FE_PATH_AVX512,
}
# What the masks treat apart: contractions, runs of digits, line ends and white space in all orders, slashes behind line
# ends, cases, letters of neither case, marks, spaces and digits of several bytes, characters of 2, 3 and 4 bytes, and
# bytes that are none.
PARTS = [
    *(
        b"a",
        b"b",
        b"Z",
        b"S",
        b"'",
        b"'s",
        b"'S",
        b"'ll",
        b"'RE",
        b"'ve",
        b"LL",
        b" ",
        b"  ",
        b"\n",
        b"\r\n",
        b"\r",
        b"\t",
    ),
    *(
        b"1",
        b"2",
        b"34",
        b"5678",
        b"/",
        b"//",
        b".",
        b"!",
        b"-",
        b"\0",
        b"\x0b",
        b"hello",
        b"World",
        b"iPhone",
        b"foo_bar",
    ),
    *(char.encode() for char in "éÉ中あ\u3000\xa0“—\u0301ſ😀Пи٣१ǅʰⅣ\x85\u2028\ufeff鿿"),
    *("'ſ".encode(), "▁".encode(), "一一一".encode(), "日本".encode(), "\U00011de0".encode()),
    *(b"\xff", b"\xc2", b"\x80", b"\x85", b"\xe4\xb8", b"\xe5", b"\xe6\x97", b"\xed\xa0\x80", b"\xf0\x9f"),
]


def pieces(pattern, path, buffer, size):
    """The ends of the pieces of the first `size` bytes of a buffer."""
    ends, count = np.empty(size, np.int64), ffi.new("int64_t *")
    target = ffi.from_buffer("int64_t[]", ends, require_writable=True)
    assert lib.fe_split(pattern, path, buffer, size, target, size, count) == lib.FE_OK
    return ends[: count[0]].tolist()


def assert_paths_agree(text, size=None):
    size = len(text) if size is None else size
    for pattern in PATTERNS:
        expected = pieces(pattern, lib.FE_PATH_SCALAR, text, size)
        for name, path in PATHS.items():
            assert pieces(pattern, path, text, size) == expected, (pattern, name, bytes(text[:size]))


def draw(rng, size):
    """Bytes of a few of the parts, so that they meet often."""
    some = rng.choices(PARTS, k=rng.randint(1, 12))
    text = b""
    while len(text) < size:
        text += rng.choice(some)
    return text


def test_random_texts():
    rng = random.Random(1)
    for _ in range(1500):
        assert_paths_agree(draw(rng, rng.choice([20, 140, 400])))


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(40))
def test_many_random_texts(seed):
    rng = random.Random(100 + seed)
    for _ in range(20_000):
        assert_paths_agree(draw(rng, rng.choice([20, 140, 400, 1500])))


def test_every_length_around_a_block():
    rng = random.Random(2)
    for size in [*range(1, 20), *range(60, 70), *range(124, 132), *range(252, 260)]:
        for _ in range(6):
            assert_paths_agree(draw(rng, size)[:size])


def test_every_length_at_the_end_of_a_page():
    """Behind the text there is no memory that may be read."""
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + page), page, 0) == 0
    try:
        rng = random.Random(3)
        for size in [*range(1, 20), *range(60, 70), *range(124, 132), *range(252, 260)]:
            text = draw(rng, size)[:size]
            ctypes.memmove(start + page - size, text, size)
            at = ffi.cast("uint8_t *", start + page - size)
            for pattern in PATTERNS:
                expected = pieces(pattern, lib.FE_PATH_SCALAR, text, size)
                for name, path in PATHS.items():
                    assert pieces(pattern, path, at, size) == expected, (pattern, name, text)
    finally:
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + page), page, 3) == 0


def test_runs_across_blocks():
    """Runs of every length from one place to another: digits, white space behind line ends, words, marks."""
    for run in (
        b"1",
        b" ",
        b"\n ",
        b" \n",
        b"\n\n ",
        b"/",
        b"\n/",
        "٣".encode(),
        "中".encode(),
        b"a",
        b"A",
        b"'s",
        b"!",
    ):
        for before in range(58, 68):
            for length in (1, 2, 3, 5, 7, 62, 63, 64, 65, 130):
                for after in (b"", b"x", b" x", b"\n", b"1", b".", b"'t"):
                    text = b"x" * before + b"." + (run * length)[: length * len(run)] + after
                    expected = {}
                    for pattern in (lib.FE_PATTERN_GPT2, lib.FE_PATTERN_CL100K, lib.FE_PATTERN_O200K):
                        expected[pattern] = pieces(pattern, lib.FE_PATH_SCALAR, text, len(text))
                        assert pieces(pattern, lib.FE_PATH_BEST, text, len(text)) == expected[pattern], (pattern, text)


def test_paths_by_environment(gpt2, monkeypatch, real_lines):
    for name, path in (("none", lib.FE_PATH_PLAIN), ("neon", lib.FE_PATH_NEON), ("avx2", lib.FE_PATH_AVX2)):
        monkeypatch.setenv("FASTEMB_SIMD", name)
        other = pickle.loads(pickle.dumps(gpt2))
        assert lib.fe_tokenizer_path(other._core.handle) <= path  # a processor may have less
        assert other.encode_batch(real_lines[:2000]).ids.tolist() == gpt2.encode_batch(real_lines[:2000]).ids.tolist()
    monkeypatch.setenv("FASTEMB_SIMD", "mmx")
    with pytest.raises(ValueError, match="FASTEMB_SIMD must be avx512, avx2, neon or none, got 'mmx'"):
        pickle.loads(pickle.dumps(gpt2))

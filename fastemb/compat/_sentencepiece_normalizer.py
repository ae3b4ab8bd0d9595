"""`sentencepiece.SentencePieceNormalizer`: what a model does to a text before it is cut, by itself."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from .._checks import as_flag
from .._text.sentencepiece_charsmap import Charsmap, write_charsmap
from .._text.sentencepiece_file import NORMALIZER, NormalizerSpec, read_normalizer
from .._text.sentencepiece_normal import Normalizer
from .._text.sentencepiece_write import as_bytes, write_normalizer
from .._words import shown
from ._sentencepiece_forms import normalized

_FLAGS = ("add_dummy_prefix", "escape_whitespaces", "remove_extra_whitespaces")

_data_dir: str | None = None


def set_data_dir(data_dir: str | os.PathLike[str]) -> None:
    """Say in which folder the tables of named rules are.

    Parameters
    ----------
    data_dir : path-like
        Of ``nmt_nfkc.bin`` and its like, as sentencepiece has them.
    """
    global _data_dir
    _data_dir = os.fspath(data_dir)


SetDataDir = set_data_dir


class SentencePieceNormalizer:
    """What is done to a text before it is cut.

    Parameters
    ----------
    model_file : path-like, optional
        A ``.model`` file; the first of these six that is given counts.
    model_proto : bytes, optional
        What such a file holds.
    normalizer_spec : bytes, optional
        The message that `serialized_normalizer_spec` returns.
    rule_tsv : path-like, optional
        A file of rules, a line each: code points in hexadecimal with spaces between, a tab, what they become.
    rule_name : str, optional
        "identity", or the name of a table: "nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf". Tables are read from the
        folder that `set_data_dir` names, else from the package sentencepiece, if it is installed; fastemb has none.
    norm_map : sequence of (str or bytes, str or bytes), optional
        Rules: what is replaced, the longest that stands there, and by what.
    add_dummy_prefix, escape_whitespaces, remove_extra_whitespaces : bool, optional
        Put a space in front, write spaces as U+2581, and take those at the ends and all but one of a run out. By
        default as the model says, else True.

    Raises
    ------
    ValueError
        Nothing was given, or rules that are empty, twice, no UTF-8, or change nothing.
    RuntimeError
        There is no such file or table, or it is damaged: what is wrong, and at which byte.
    TypeError
        A rule is no pair of texts, or a flag no bool.

    Notes
    -----
    Texts become what they become in sentencepiece 0.2.3, place by place; it is done in Python, as `Normalize` of a
    processor is, some tens of times as slow as sentencepiece. The result does not depend on threads.

    Examples
    --------
    >>> from fastemb.compat.sentencepiece import SentencePieceNormalizer
    >>> normalizer = SentencePieceNormalizer(norm_map=[("\u00e4", "ae")], add_dummy_prefix=False)
    >>> normalizer.normalize(" b\u00e4r  b")
    'baer\u2581b'
    >>> normalizer.normalize("\u00e4r", with_offsets=True)
    ('aer', [0, 0, 1, 2])
    """

    def __init__(
        self,
        model_file: str | os.PathLike[str] | None = None,
        model_proto: Any = None,
        normalizer_spec: Any = None,
        rule_tsv: str | os.PathLike[str] | None = None,
        rule_name: str | None = None,
        norm_map: Iterable[tuple[str | bytes, str | bytes]] | None = None,
        add_dummy_prefix: bool | None = None,
        escape_whitespaces: bool | None = None,
        remove_extra_whitespaces: bool | None = None,
    ) -> None:
        if model_file:
            spec = _read(_bytes_of(model_file), True)
        elif model_proto:
            spec = _read(model_proto, True)
        elif normalizer_spec:
            spec = _read(normalizer_spec, False)
        elif rule_tsv:
            spec = NormalizerSpec("user_defined", compiled(rules_of(rule_tsv)))
        elif rule_name:
            spec = rule_named(rule_name)
        elif norm_map:
            spec = NormalizerSpec(charsmap=compiled(norm_map))
        else:
            raise ValueError("no model is specified")
        flags = zip(_FLAGS, (add_dummy_prefix, escape_whitespaces, remove_extra_whitespaces), strict=True)
        given: dict[str, Any] = {name: as_flag(on, name) for name, on in flags if on is not None}
        self._take(replace(spec, **given))

    def _take(self, spec: NormalizerSpec) -> None:
        try:
            self._normalize, self._spec = Normalizer(spec), spec
        except ValueError as error:
            raise RuntimeError(f"INTERNAL: the model cannot be read: {error}") from None

    def Normalize(self, input: Any, with_offsets: bool | None = None) -> Any:
        """Return what becomes of a text, or of each text of a list; and where its parts come from."""
        return normalized(self._normalize, input, with_offsets)

    def Decompile(self) -> list[tuple[str, str]]:
        """Return the rules, in the order of their code points."""
        if not self._spec.charsmap:
            raise RuntimeError("INTERNAL: No precompiled charsmap found in model.")
        try:
            return [(key.decode(), text.decode()) for key, text in Charsmap(self._spec.charsmap).rules()]
        except ValueError as error:
            raise RuntimeError(f"INTERNAL: the rules cannot be read: {error}") from None

    def serialized_model_proto(self) -> bytes:
        """Return the bytes of a model that has nothing but this normalizer.

        Returns
        -------
        bytes
        """
        return as_bytes(NORMALIZER, write_normalizer(self._spec))

    def serialized_normalizer_spec(self) -> bytes:
        """Return the bytes of the message of this normalizer.

        Returns
        -------
        bytes
        """
        return write_normalizer(self._spec)

    def __getstate__(self) -> bytes:
        return self.serialized_model_proto()

    def __setstate__(self, serialized_model_proto: bytes) -> None:
        self._take(read_normalizer(serialized_model_proto, True))

    normalize, decompile = Normalize, Decompile


def rule_named(name: Any) -> NormalizerSpec:
    """Return the normalizer of a named rule.

    Raises
    ------
    RuntimeError
        There is no table of this name where tables are looked for.
    TypeError, ValueError
        It is no name.
    """
    if not isinstance(name, str):
        raise TypeError(f"rule_name must be a str, got {shown(name)}")
    if name == "identity":
        return NormalizerSpec(name)
    folder = _data_dir
    if folder is None:
        package = importlib.util.find_spec("sentencepiece")
        places = package.submodule_search_locations if package is not None else None
        folder = os.path.join(places[0], "package_data") if places else None
    if folder is None:
        raise RuntimeError(
            f"NOT_FOUND: there is no table of the rule {shown(name)}: fastemb has that of 'identity' alone, and takes "
            "others from the package sentencepiece, which is not installed, or a folder that set_data_dir names"
        )
    if not name.replace("_", "").replace("-", "").isalpha():
        raise ValueError(f"INVALID_ARGUMENT: {shown(name)} is no name of a rule")
    return NormalizerSpec(name, _bytes_of(os.path.join(folder, f"{name}.bin")))


def _bytes_of(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise RuntimeError(f'NOT_FOUND: "{os.fspath(path)}": {error.strerror}') from None


def _read(data: Any, in_model: bool) -> NormalizerSpec:
    found = data.SerializeToString() if hasattr(data, "SerializeToString") else bytes(data)
    try:
        return read_normalizer(found, in_model)
    except ValueError as error:
        raise RuntimeError(f"INTERNAL: the model cannot be read: {error}") from None


def rules_of(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """Return the rules of a file of lines; of two for the same the last counts."""
    rules: dict[str, str] = {}
    number = 0
    try:
        for line in _bytes_of(path).decode().removesuffix("\n").split("\n"):
            number += 1
            key, text = (_chars_of(field) for field in (line.removesuffix("\r") + "\t").split("\t")[:2])
            if not key:
                raise ValueError("nothing is to be replaced")
            rules[key] = text
    except (ValueError, OverflowError) as error:
        raise RuntimeError(f"INTERNAL: {os.fspath(path)}, line {number}: {error}") from None
    return list(rules.items())


def _chars_of(field: str) -> str:
    return "".join(chr(int(code.removeprefix("U+"), 16)) for code in field.split(" ") if code)


def compiled(rules: Any) -> bytes:
    """Return the charsmap of some rules, pairs of texts; TypeError or ValueError: one of them is none."""
    found: dict[bytes, bytes] = {}
    for rule in rules:
        if not isinstance(rule, tuple | list) or len(rule) != 2 or not all(isinstance(s, str | bytes) for s in rule):
            raise TypeError(f"a rule must be a pair of str or bytes, got {shown(rule)}")
        try:
            key, text = (side.encode() if isinstance(side, str) else side.decode().encode() for side in rule)
        except UnicodeError:
            raise ValueError(f"INVALID_ARGUMENT: a side of the rule {shown(rule)} is no UTF-8") from None
        if not key or key == text or key in found:
            why = "replaces nothing" if not key else "changes nothing" if key == text else "is the second of its text"
            raise ValueError(f"INVALID_ARGUMENT: the rule {shown(rule)} {why}")
        if b"\0" in key + text:
            raise ValueError(
                f"INVALID_ARGUMENT: a side of the rule {shown(rule)} has a NUL, which ends texts in a table"
            )
        found[key] = text
    return write_charsmap(found)

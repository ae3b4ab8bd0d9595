"""Reading BERT's `vocab.txt`, with the settings of the `tokenizer_config.json` that may lie beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .bpe_model import is_id, is_text
from .component_reader import shown
from .components import (
    BertNormalizer,
    BertPreTokenizer,
    TemplatePiece,
    TemplateProcessing,
    TokenizerFile,
    Truncation,
    WordPiece,
    WordPieceDecoder,
)
from .tokenizer_json import load_json
from .vocabulary import BOM, AddedToken, DamagedVocabularyError

PREFIX = "##"  # of tokens that go on with a word
MOST_CHARS = 100  # of a word; a longer one is unknown
SPECIAL = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")  # in the order in which they get ids
NO_LENGTH = 1 << 24  # transformers writes 10**30 where a model has no length
# White_Space of Unicode, which is dropped from the ends of lines; Python's own has U+001C to U+001F, too.
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
WHITE_SPACE += "\u2028\u2029\u202f\u205f\u3000"


def read_vocab_txt(path: Path) -> TokenizerFile:
    """Read the vocabulary at `path`: a token a line, whose number is its id, from 0.

    Of a token that stands there twice the last line counts. Without settings they are those of BERT without case.

    Raises
    ------
    ValueError
        The file is no UTF-8, or lacks the unknown token; or the settings beside it are damaged, or ask for something
        that is not supported.
    """
    try:
        lines = path.read_bytes().removeprefix(BOM).decode().split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8: {error}") from None
    if not lines[-1]:
        lines.pop()
    vocab = {line.rstrip(WHITE_SPACE): id for id, line in enumerate(lines)}
    settings = path.with_name("tokenizer_config.json")
    config = load_json(settings) if settings.is_file() else {}
    try:
        return _file(vocab, config, len(lines))
    except DamagedVocabularyError as error:
        where = settings if config else path
        raise ValueError(f"{where}: {error}") from None


def _file(vocab: dict[str, int], config: dict[str, Any], lines: int) -> TokenizerFile:
    names = {name: _content(config.get(name) or f"[{name[:-6].upper()}]", name) for name in SPECIAL}
    if names["unk_token"] not in vocab:
        raise DamagedVocabularyError(f"its vocabulary has no {names['unk_token']!r}, the unknown token")
    added = _added(vocab, config.get("added_tokens_decoder") or {}, names, lines)
    ids = {token.content: token.id for token in added}
    cls, sep = ids[names["cls_token"]], ids[names["sep_token"]]
    first = (TemplatePiece("", (cls,), 0), TemplatePiece("A", (), 0), TemplatePiece("", (sep,), 0))
    second = (TemplatePiece("B", (), 1), TemplatePiece("", (sep,), 1))
    length = config.get("model_max_length")
    return TokenizerFile(
        model=WordPiece(vocab, names["unk_token"], PREFIX, MOST_CHARS),
        normalizers=(
            BertNormalizer(
                clean_text=True,
                handle_chinese_chars=_flag(config, "tokenize_chinese_chars"),
                lowercase=_flag(config, "do_lower_case"),
                strip_accents=None if config.get("strip_accents") is None else _flag(config, "strip_accents"),
            ),
        ),
        pre_tokenizers=(BertPreTokenizer(),),
        post_processors=(TemplateProcessing(first, first + second),),
        decoders=(WordPieceDecoder(PREFIX, cleanup=True),),
        added=added,
        truncation=Truncation(length, "LongestFirst", 0) if type(length) is int and 0 < length < NO_LENGTH else None,
    )


def _added(vocab: dict[str, int], listed: Any, names: dict[str, str], lines: int) -> list[AddedToken]:
    """Return the added tokens: those that the settings list by their ids, and the special ones."""
    found: dict[str, AddedToken] = {}
    if not isinstance(listed, dict):
        raise DamagedVocabularyError(f"added_tokens_decoder is {shown(listed)}, no object")
    for key, node in listed.items():
        content = _content(node, "added_tokens_decoder")
        id = int(key) if key.isascii() and key.isdigit() and len(key) < 11 else -1
        if not is_id(id) or vocab.get(content, id) != id or any(other.id == id for other in found.values()):
            raise DamagedVocabularyError(f"added token {content!r} has the id {shown(key)}, which does not fit")
        flags = {name: _flag(node, name, False) for name in ("special", "lstrip", "rstrip", "single_word")}
        found[content] = AddedToken(content, id, late=_flag(node, "normalized", not flags["special"]), **flags)
    behind = max([lines, *(token.id + 1 for token in found.values())])
    for content in names.values():
        if content in found:
            continue
        found[content] = AddedToken(content, vocab.get(content, behind), special=True)
        behind += content not in vocab
    return sorted(found.values(), key=lambda token: token.id)


def _content(node: Any, name: str) -> str:
    """Return the text of a token, which may stand by itself or with settings."""
    content = node.get("content") if isinstance(node, dict) else node
    if not is_text(content) or not content:
        raise DamagedVocabularyError(f"{name} is {shown(node)}, no token")
    return str(content)


def _flag(node: dict[str, Any], name: str, default: bool = True) -> bool:
    value = node.get(name, default)
    if not isinstance(value, bool):
        raise DamagedVocabularyError(f"{name} is {shown(value)}, neither true nor false")
    return value

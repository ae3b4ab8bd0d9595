"""What an opened tokenizer is asked about its vocabulary and its file: names and ids of tokens, lengths, padding."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Self

from ._checks import as_integer
from ._text.calls import Calls, Padding, Truncation
from ._text.components import Bpe, TokenizerFile
from ._text.core import Core, aligned, lib
from ._text.regex_split import Splitter
from ._text.road import Road
from ._text.tables import Tables
from ._text.vocabulary import AddedToken
from ._tokens import Actions
from ._words import shown, type_name


class Opened:
    """The part of `Tokenizer` that looks things up, and all that an object does: it is copied, pickled and shown."""

    def __init__(self, core: Core) -> None:
        raise NotImplementedError

    _core: Core
    _file: TokenizerFile | None
    _added: list[AddedToken]
    _actions: Actions
    _tables: Tables
    _calls: Calls
    _splitter: Splitter | Road | None

    @cached_property
    def vocab_size(self) -> int:
        """One more than the highest id, added tokens included: the rows that an embedding table needs."""
        return max([self._core.highest_id(), *(token.id for token in self._added)]) + 1

    @property
    def vocab(self) -> dict[str, int]:
        """The names of all tokens, as the file writes them, and their ids; added tokens included (a new dict).

        Rank files hold bytes: here they are written as in GPT-2's files, where printable ASCII stands for itself.
        """
        return dict(self._tables.id_by_name)

    def id_to_token(self, id: int) -> str:
        """Return a token as `vocab` writes it.

        Parameters
        ----------
        id : int

        Returns
        -------
        str

        Raises
        ------
        TypeError
            `id` is no integer.
        IndexError
            No token has this id.
        """
        at = id if type(id) is int else as_integer(id, "id")
        try:
            return self._tables.name_by_id[at]
        except KeyError:
            raise IndexError(f"id {shown(at)} is no token of this vocabulary") from None

    def token_to_id(self, token: str | bytes) -> int:
        """Return the id of a token.

        Parameters
        ----------
        token : str or bytes
            The token as `vocab` writes it, or the bytes it stands for.

        Returns
        -------
        int

        Raises
        ------
        TypeError
            `token` is neither ``str`` nor ``bytes``.
        KeyError
            There is no such token.
        """
        if not isinstance(token, str | bytes):
            raise TypeError(f"token must be a str or bytes, got {type_name(token)}")
        tables = self._tables
        id = tables.id_by_name.get(token) if isinstance(token, str) else tables.id_of_bytes(token)
        if id is None:
            raise KeyError(f"{token!r} is no token of this vocabulary")
        return id

    @property
    def unk_id(self) -> int | None:
        """The id of the unknown token, None where the vocabulary has none."""
        unk = self._core.contents.unk
        return None if unk < 0 else int(self._core.contents.token_ids[unk])

    @property
    def max_length(self) -> int | None:
        """To how many ids ``max_tokens="model"`` cuts, None where the file does not say it."""
        return self._calls.truncation and self._calls.truncation.max_tokens

    @property
    def truncation(self) -> Truncation | None:
        """How ``max_tokens="model"`` cuts, None where the file does not say it."""
        return self._calls.truncation

    @property
    def padding(self) -> Padding | None:
        """How ``pad="model"`` fills rows up, None where the file does not say it."""
        return self._calls.padding

    @property
    def special_tokens(self) -> dict[str, int]:
        """The special tokens and their ids."""
        return dict(self._actions.special)

    def __repr__(self) -> str:
        contents = self._core.contents
        if contents.flags & lib.FE_RANKED:
            return f"<Tokenizer: BPE, ranks, {self.vocab_size} ids>"
        if self._file is not None and self._core.metadata.general_road:
            kind = "BPE" if isinstance(self._file.model, Bpe) else type(self._file.model).__name__
            return f"<Tokenizer: {kind}, {self.vocab_size} ids>"
        if contents.flags & (lib.FE_WORD_PIECES | lib.FE_WORD_LEVEL):
            kind = "WordLevel" if contents.flags & lib.FE_WORD_LEVEL else "WordPiece"
            return f"<Tokenizer: {kind}, {self.vocab_size} ids>"
        if contents.flags & lib.FE_UNIGRAM:
            return f"<Tokenizer: Unigram, {self.vocab_size} ids>"
        kind = "byte level" if contents.flags & lib.FE_BYTE_LEVEL else "characters"
        return f"<Tokenizer: BPE, {kind}, {self.vocab_size} ids, {contents.merges} merges>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Callable[[bytes], Self], tuple[bytes]]:
        """Pickle as what `save` writes."""
        return self._unpickle, (bytes(self._core.image()),)

    @classmethod
    def _unpickle(cls, image: bytes) -> Self:
        # Copied to an array: C needs the image at a multiple of 8, where bytes need not begin.
        return cls(Core(image=aligned(image)))

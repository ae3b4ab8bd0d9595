"""A `tokenizer.json` built: the tokenizer, and what encodings and decoding ask of it; it never changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt

from ..._text.batch import template_of
from ..._text.calls import Template
from ..._text.components import ByteFallback, ByteLevel, ByteLevelNormalizer, TokenizerFile, Unigram
from ..._text.core import Core
from ..._text.decoders import Decoders
from ..._text.encode import Options, encode_texts
from ..._text.place import place
from ..._text.plan import plan
from ..._text.road import Road
from ..._text.road_text import whole
from ..._text.texts import repaired
from ..._text.tokenizer_json import parse_tokenizer_json
from ..._text.vocabulary import with_own_text
from ..._tokens import SpecialMode
from ...tokenizer import Tokenizer
from .component import Json
from .places import Places

BAD = "\ufffd"


class Built:
    """A tokenizer of a document; `encode_special` makes special tokens in texts plain text."""

    def __init__(self, document: Json, encode_special: bool) -> None:
        """Read and build the document.

        Raises
        ------
        ValueError
            It is damaged, or asks for something that is not supported.
        """
        self.file: TokenizerFile = parse_tokenizer_json(document)
        self.core = Core(with_own_text(plan(self.file)))
        self.tokenizer = tokenizer = Tokenizer(self.core)
        special = tokenizer.special_tokens
        mode: SpecialMode = "all" if special and not encode_special else "none"
        self.special: Any = mode
        self.actions = tokenizer._actions.fixed[mode]
        way = tokenizer._short_way(mode)
        self.short = None if way is None else way[1]  # the actions by which C encodes a short text
        self.options = Options(self.core, self.actions, tokenizer._splitter)
        self.calls, self.placing = tokenizer._calls, tokenizer._placing
        trims = [trim.add_prefix_space for trim in self.calls.trims]
        self.places = Places(self.file, self.core, self.placing, trims, self.actions)
        #: The texts of single ids, without special ones or with them, as far as they were asked for.
        self.single: dict[bool, dict[int, str]] = {True: {}, False: {}}
        #: Whether the ids of a text alone say which sequence of it a token is of: no step behind the model says it.
        self.has_processor = bool(self.file.post_processors)

    def template(self, is_pair: bool, with_ids: bool = True) -> Template:
        """Return what stands around one text, or around two."""
        return template_of(self.calls, is_pair, with_ids)

    @cached_property
    def added(self) -> tuple[int, int]:
        """How many ids the template puts around one text, and around two."""
        single, pair = (sum(len(part.ids) for part in side) for side in (self.calls.single, self.calls.pair))
        return single, pair

    @cached_property
    def names(self) -> dict[int, str]:
        """The tokens of ids; of added tokens as the normalizers leave them, which is what texts decode to."""
        late = {token.id: self._normalized(token.content) for token in self.file.added if token.late}
        return self.given_names | late

    @property
    def given_names(self) -> dict[int, str]:
        """The tokens of ids, added ones as they were given."""
        return self.tokenizer._tables.name_by_id

    @cached_property
    def has_late(self) -> bool:
        """Whether some added token is otherwise behind the normalizers."""
        return any(self.names[token.id] != token.content for token in self.file.added)

    @cached_property
    def twofold(self) -> frozenset[int]:
        """Those of them that the model has, too: where it finds them, they are called as they were given."""
        own = {*self.core.ids()[: self.core.contents.vocab].tolist()}
        return frozenset(id for id in self._late & own if self.names[id] != self.given_names[id])

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """What is left out where special tokens are: as theirs, not those that normalizers make another text of."""
        special = {token.content for token in self.file.added if token.special}
        return frozenset(token.id for token in self.file.added if self.names[token.id] in special)

    def _normalized(self, content: str) -> str:
        return self.road._normalized(whole(content)).text if content else ""

    @cached_property
    def _late(self) -> frozenset[int]:
        return frozenset(token.id for token in self.file.added if token.late)

    @cached_property
    def road(self) -> Road:
        """The general road, which knows pieces."""
        return Road(self.file)

    @cached_property
    def by_place(self) -> frozenset[int]:
        """The ids whose tokens may be called otherwise from place to place in `Encoding.tokens`.

        Added tokens that take white space are called with it, the `twofold` by who found them, and Unigram's unknown
        one is called what stands for it.
        """
        unk = [] if self._unk_id is None else [self._unk_id]
        return self._takers | self.twofold | frozenset(unk)

    @cached_property
    def _takers(self) -> frozenset[int]:
        return frozenset(token.id for token in self.file.added if token.lstrip or token.rstrip)

    @cached_property
    def _unk_id(self) -> int | None:
        return self.file.model.unk_id if isinstance(self.file.model, Unigram) else None

    def called(self, text: str | Sequence[str]) -> list[str | None]:
        """Return what each token of a text, or of a list of words, is called there; None where its id says it."""
        if not isinstance(text, str):
            return [name for word in text for name in self.called(word)]
        by_model = {id: self.given_names[id] for id in self.twofold}
        return self.road.called(repaired(text), self.actions, self._takers, by_model, self._unk_id)

    def words(self, texts: Sequence[str], actions: bytes) -> npt.NDArray[np.int32]:
        """Return the number of the piece of each token of texts, one text after another."""
        texts = tuple(map(repaired, texts))
        if self.placing.in_c:
            ids, offsets = encode_texts(self.options._replace(actions=actions), texts, {})
            words = np.empty(ids.size, np.int32)
            if place(self.core, texts, actions, ids, offsets, np.empty((ids.size, 2), np.int32), words).all():
                return words
        return np.array([word for text in texts for word in self.road.words(text, actions)], np.int32)

    # ---------------------------------------------------------------- decoding

    def decode(self, ids: Sequence[int], skip_special: bool) -> str:
        """Return the text of ids; those that are no token are left out."""
        if skip_special and not self.special_ids.isdisjoint(ids):
            ids = [id for id in ids if id not in self.special_ids]
        if self._one_by_one is not None:
            return self._one_by_one(ids)
        if self._named and not self._named.isdisjoint(ids):
            return self._by_names(ids)
        data = self.tokenizer._decode_few(ids)
        # None: many ids, of another type, or one that is no token.
        text = self.tokenizer.decode(ids, unknown="ignore") if data is None else data.decode("utf-8", "replace")
        return self._by_names(ids) if self._by_bytes and BAD in text else text

    @cached_property
    def _one_by_one(self) -> Callable[[Sequence[int]], str] | None:
        """What decodes where a token becomes its text by itself, but for being the first; None where it does not."""
        decoders, names = self._decoders, self.names
        if decoders is None or not decoders.local or self.tokenizer._by_bytes:
            return None
        later: dict[int, str] = {}

        def text_of(id: int) -> str:
            found = later.get(id)
            if found is None:
                name = names.get(id)
                if name is None and not isinstance(id, int | np.integer):
                    raise TypeError(f"ids must be integers, got {type(id).__name__}")
                found = later[id] = "" if name is None else decoders.later(name)
            return found

        def decode(ids: Sequence[int]) -> str:
            first = next((at for at, id in enumerate(ids) if id in names), len(ids))
            if first == len(ids):
                return "".join(map(text_of, ids))  # nothing, or an error
            return decoders([names[ids[first]]]) + "".join(map(text_of, ids[first + 1 :]))

        return decode

    @cached_property
    def _by_bytes(self) -> bool:
        """Whether bytes are tokens by themselves, of which a damaged run is one U+FFFD a token."""
        return any(isinstance(step, ByteFallback) for step in self.file.decoders or ())

    @cached_property
    def _named(self) -> frozenset[int]:
        """The added tokens that do not decode to their own text: the engine takes their characters for bytes."""
        steps = self.file.decoders or ()
        spelled = any(isinstance(step, ByteLevel) for step in steps)
        changed = any(isinstance(step, ByteLevelNormalizer) for step in self.file.normalizers)
        late = {token.id for token in self.file.added if token.late and self.names[token.id] != token.content}
        odd = {token.id for token in self.file.added if spelled and (changed or not token.content.isascii())}
        return frozenset(late | odd)

    @cached_property
    def _decoders(self) -> Decoders | None:
        return None if self.file.decoders is None else Decoders(self.file.decoders)

    def _by_names(self, ids: Sequence[int]) -> str:
        """Return the text of ids by what the file says of their names, in Python."""
        names = [name for name in map(self.names.get, ids) if name is not None]
        return " ".join(names) if self._decoders is None else self._decoders(names)


def name_of(names: dict[int, str], id: int) -> str | None:
    """Return the name of an id, None where it has none; OverflowError where it is no number of 32 bits."""
    number = index(id)
    if not 0 <= number < 2**32:
        raise OverflowError(f"id must be from 0 to {2**32 - 1}, got {id}")
    return names.get(number)

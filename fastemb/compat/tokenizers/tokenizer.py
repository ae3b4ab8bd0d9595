"""`Tokenizer`: a document and what is built of it; texts → `Encoding`, ids → text."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..._text.files import replacing
from ..._text.rust_floats import read_float
from ..._text.texts import as_path
from ..._text.tokenizer_json import json_fault
from . import document as doc
from .added_token import AddedToken
from .built import Built, name_of
from .component import Component, Json, node_of
from .decoders import Decoder
from .encoding import Encoding
from .inputs import as_items, as_text, as_words
from .models import Model
from .normalizers import Normalizer
from .post_process import post_process
from .pre_tokenizers import PreTokenizer
from .processors import PostProcessor
from .shown import document as shown_document
from .source import Call, Source
from .trainers import texts_of, trainer_of
from .training import train


class Tokenizer:
    """A tokenizer of Hugging Face's format, whose parts may be changed.

    Parameters
    ----------
    model : Model
        A component of `fastemb.compat.tokenizers.models`, or of ``tokenizers``. More often one is made of a file:
        `from_file`, `from_str`, `from_buffer`, `from_pretrained`.

    Notes
    -----
    It is a ``tokenizer.json`` with the methods of ``tokenizers.Tokenizer`` 0.23; after a change it is built anew when
    it is next used. Any number of threads may encode and decode at once, but not while another one changes it.

    Examples
    --------
    >>> from fastemb.compat.tokenizers import Tokenizer
    >>> from fastemb.compat.tokenizers.models import BPE
    >>> tokenizer = Tokenizer(BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    >>> tokenizer.add_special_tokens(["<s>"])
    1
    >>> encoding = tokenizer.encode("<s>aab")
    >>> encoding.ids, encoding.tokens, encoding.offsets
    ([3, 0, 2], ['<s>', 'a', 'ab'], [(0, 3), (3, 4), (4, 6)])
    >>> tokenizer.decode(encoding.ids)
    'a ab'
    """

    def __init__(self, model: Any) -> None:
        self._start(doc.EMPTY | {"model": node_of(model, "model")})

    def _start(self, document: Json) -> None:
        self._document, self._encode_special = document, False
        self._ever_special = {node["content"] for node in document["added_tokens"] or () if node.get("special")}
        self._built: Built | None = None
        self._calls: dict[bool, Call] = {}  # by whether special tokens are put around texts
        self._ids: dict[str, int] | None = None  # of all tokens

    # ---------------------------------------------------------------- made of files

    @staticmethod
    def from_str(json: str) -> Tokenizer:
        """Return the tokenizer of a ``tokenizer.json`` as text; ValueError where it cannot be read.

        Parameters
        ----------
        json : str

        Returns
        -------
        Tokenizer
        """
        return _parsed(json)

    @staticmethod
    def from_buffer(buffer: bytes) -> Tokenizer:
        """Return the tokenizer of a ``tokenizer.json`` as bytes; ValueError where it cannot be read.

        Parameters
        ----------
        buffer : bytes

        Returns
        -------
        Tokenizer
        """
        return _parsed(buffer)

    @staticmethod
    def from_file(path: str) -> Tokenizer:
        """Return the tokenizer of a file.

        Parameters
        ----------
        path : path-like

        Returns
        -------
        Tokenizer

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            It is damaged, or asks for something that is not supported.
        """
        file = as_path(path)
        try:
            return _parsed(file.read_bytes())
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None

    @staticmethod
    def from_pretrained(identifier: str, revision: str = "main", token: str | None = None) -> Tokenizer:
        """Return the tokenizer of a folder that holds a ``tokenizer.json``; nothing is downloaded.

        Parameters
        ----------
        identifier : path-like
            The folder.
        revision : str
            Taken as theirs is; nothing depends on it.
        token : str, optional
            Taken as theirs is; nothing depends on it.

        Returns
        -------
        Tokenizer

        Raises
        ------
        FileNotFoundError
            There is no such folder, or no such file in it.
        ValueError
            As `from_file`.
        """
        file = as_path(identifier, "identifier") / "tokenizer.json"
        if not file.is_file():
            raise FileNotFoundError(
                f"{file} is not there, and fastemb downloads nothing: give a folder that holds a tokenizer.json"
            )
        return Tokenizer.from_file(str(file))

    def to_str(self, pretty: bool = False) -> str:
        """Return the tokenizer as a ``tokenizer.json``.

        Parameters
        ----------
        pretty : bool
            On many lines.

        Returns
        -------
        str
        """
        how: Any = {"indent": 2} if pretty else {"separators": (",", ":")}
        return json.dumps(self._document, ensure_ascii=False, **how)

    def save(self, path: str, pretty: bool = True) -> None:
        """Write the tokenizer as a ``tokenizer.json``; a file that exists is replaced in one step.

        Parameters
        ----------
        path : path-like
        pretty : bool
            On many lines.
        """
        content = self.to_str(pretty).encode()
        with replacing(Path(path)) as stream:
            stream.write(content)

    def __repr__(self) -> str:
        return shown_document(self._document)

    def __str__(self) -> str:
        return shown_document(self._document, 5)

    def __getstate__(self) -> Json:
        return {"document": self._document, "encode_special": self._encode_special}

    def __setstate__(self, state: Json) -> None:
        self._start(state["document"])
        self._encode_special = state["encode_special"]

    def __copy__(self) -> Tokenizer:
        made = type(self).__new__(type(self))
        made.__dict__ |= self.__dict__ | {"_calls": dict(self._calls), "_ever_special": set(self._ever_special)}
        made._document = dict(self._document)
        return made

    def __deepcopy__(self, memo: object) -> Tokenizer:
        return copy.copy(self)  # values of a document are replaced, and never changed

    def train(self, files: Iterable[str], trainer: Any = None) -> None:
        """Train the model on files, each line a text; as `train_from_iterator`.

        Parameters
        ----------
        files : list of path-like
        trainer : Trainer, optional
            As there.
        """
        if isinstance(files, str) or not isinstance(files, Iterable):
            raise TypeError(f"files must be a list of paths, got {type(files).__name__}")
        self._train([as_path(file) for file in files], trainer)

    def train_from_iterator(self, iterator: Iterable[Any], trainer: Any = None, length: int | None = None) -> None:
        """Train the model on texts: BPE and WordPiece.

        Parameters
        ----------
        iterator : iterable of str, or of lists of str
        trainer : Trainer, optional
            What is asked for, of `fastemb.compat.tokenizers.trainers` or of ``tokenizers``.
        length : int, optional
            Taken as theirs is; nothing depends on it.

        Raises
        ------
        NotImplementedError
            The trainer, or a setting of it, is not supported.
        TypeError
            A text is no ``str``.
        ValueError
            The trainer is one of another model, or there is nothing to train on.
        """
        self._train(texts_of(iterator), trainer)

    def _train(self, texts: Iterable[Any], trainer: Any) -> None:
        asked = trainer_of(trainer, type(self.model).__name__)
        self._change(model=train(self._document, asked, texts))
        self._add(asked.special_tokens, True)

    # ---------------------------------------------------------------- parts

    def _change(self, **values: Any) -> None:
        self._document = self._document | values
        self._calls = {}
        if not values.keys() <= {"truncation", "padding"}:
            self._built = self._ids = None

    def _component(self, kind: type[Component], slot: str) -> Any:
        node = self._document[slot]
        return None if node is None else kind.of(node, lambda changed: self._change(**{slot: changed}))

    @property
    def model(self) -> Model:
        """The model; so the four that follow may be set to components of ``tokenizers`` too, or to None."""
        found: Model = self._component(Model, "model")
        return found

    @model.setter
    def model(self, model: Any) -> None:
        if model is None:
            raise TypeError("model must be a component, got None")
        self._change(model=node_of(model, "model"))

    @property
    def normalizer(self) -> Normalizer | None:
        """What a text becomes first."""
        found: Normalizer | None = self._component(Normalizer, "normalizer")
        return found

    @normalizer.setter
    def normalizer(self, normalizer: Any) -> None:
        self._change(normalizer=node_of(normalizer, "normalizer"))

    @property
    def pre_tokenizer(self) -> PreTokenizer | None:
        """What cuts it into pieces."""
        found: PreTokenizer | None = self._component(PreTokenizer, "pre_tokenizer")
        return found

    @pre_tokenizer.setter
    def pre_tokenizer(self, pre_tokenizer: Any) -> None:
        self._change(pre_tokenizer=node_of(pre_tokenizer, "pre_tokenizer"))

    @property
    def post_processor(self) -> PostProcessor | None:
        """What puts ids around it."""
        found: PostProcessor | None = self._component(PostProcessor, "post_processor")
        return found

    @post_processor.setter
    def post_processor(self, processor: Any) -> None:
        self._change(post_processor=node_of(processor, "post_processor"))

    @property
    def decoder(self) -> Decoder | None:
        """What makes text of tokens."""
        found: Decoder | None = self._component(Decoder, "decoder")
        return found

    @decoder.setter
    def decoder(self, decoder: Any) -> None:
        self._change(decoder=node_of(decoder, "decoder"))

    @property
    def encode_special_tokens(self) -> bool:
        """Whether special tokens in a text are read as ordinary text."""
        return self._encode_special

    @encode_special_tokens.setter
    def encode_special_tokens(self, value: bool) -> None:
        if value != self._encode_special:
            self._encode_special, self._built, self._calls = bool(value), None, {}

    def num_special_tokens_to_add(self, is_pair: bool) -> int:
        """Return how many ids are put around one text, or around two.

        Parameters
        ----------
        is_pair : bool

        Returns
        -------
        int
        """
        processor = self.post_processor
        return 0 if processor is None else processor.num_special_tokens_to_add(is_pair)

    # ---------------------------------------------------------------- cutting and filling up

    def enable_truncation(
        self, max_length: int, stride: int = 0, strategy: str = "longest_first", direction: str = "right"
    ) -> None:
        """Cut texts to so many ids, those around them included.

        Parameters
        ----------
        max_length, stride : int
            What is cut off is in `Encoding.overflowing`, in windows that share `stride` ids.
        strategy : {"longest_first", "only_first", "only_second"}
        direction : {"right", "left"}

        Raises
        ------
        ValueError
            A word is none of these, or `stride` leaves no step.
        """
        node = doc.truncation_node(max_length, stride, strategy, direction)
        room = max_length - self.num_special_tokens_to_add(False)
        if 0 <= room < stride:
            raise ValueError(
                f"stride must be at most {room}, what max_length={max_length} leaves of a text, got {stride}"
            )
        self._change(truncation=node)

    def no_truncation(self) -> None:
        """Cut no text."""
        self._change(truncation=None)

    @property
    def truncation(self) -> Json | None:
        """How texts are cut, as the arguments of `enable_truncation`; None where they are not."""
        return doc.truncation_options(self._document["truncation"])

    def enable_padding(
        self,
        direction: str = "right",
        pad_id: int = 0,
        pad_type_id: int = 0,
        pad_token: str = "[PAD]",
        length: int | None = None,
        pad_to_multiple_of: int | None = None,
    ) -> None:
        """Fill rows up: to `length`, or to the longest row of a batch.

        Parameters
        ----------
        direction : {"right", "left"}
        pad_id : int
            The id to fill up with.
        pad_type_id : int
            Its token type id.
        pad_token : str
            Its token.
        length : int, optional
            None: as many ids as the longest row has.
        pad_to_multiple_of : int, optional
            Raise the length to a multiple of this.

        Raises
        ------
        ValueError
            `direction` is neither "right" nor "left".
        """
        self._change(padding=doc.padding_node(direction, pad_id, pad_type_id, pad_token, length, pad_to_multiple_of))

    def no_padding(self) -> None:
        """Fill no row up."""
        self._change(padding=None)

    @property
    def padding(self) -> Json | None:
        """How rows are filled up, as the arguments of `enable_padding`; None where they are not."""
        return doc.padding_options(self._document["padding"])

    # ---------------------------------------------------------------- tokens

    def get_vocab(self, with_added_tokens: bool = True) -> dict[str, int]:
        """Return all tokens and their ids (a new dict).

        Parameters
        ----------
        with_added_tokens : bool
            Count the added tokens, too.

        Returns
        -------
        dict of str to int
        """
        return doc.all_ids(self._document) if with_added_tokens else dict(self.model.vocabulary())

    def get_vocab_size(self, with_added_tokens: bool = True) -> int:
        """Return how many tokens there are.

        Parameters
        ----------
        with_added_tokens : bool
            Count the added tokens, too.

        Returns
        -------
        int
        """
        vocab = self.model.vocabulary()
        more = doc.added_vocab(self._document).keys() - vocab.keys() if with_added_tokens else ()
        return len(vocab) + len(more)

    def token_to_id(self, token: str) -> int | None:
        """Return the id of a token; None where there is none.

        Parameters
        ----------
        token : str

        Returns
        -------
        int or None
        """
        if self._ids is None:
            self._ids = doc.all_ids(self._document)
        return self._ids.get(token)

    def id_to_token(self, id: int) -> str | None:
        """Return the token of an id, an added one as the normalizer leaves it; None where there is none.

        Parameters
        ----------
        id : int

        Returns
        -------
        str or None
        """
        built = self._built or self._build()
        names = {} if built is None else built.names
        return (names.get(id) if type(id) is int else None) or name_of(names, id)

    def add_tokens(self, tokens: Iterable[Any]) -> int:
        """Add tokens, as str or AddedToken, and return how many of them are new or were changed.

        Parameters
        ----------
        tokens : list of str or AddedToken

        Returns
        -------
        int
        """
        return self._add(tokens, False)

    def add_special_tokens(self, tokens: Iterable[Any]) -> int:
        """Add special tokens, as str or AddedToken, and return how many of them are new or were changed.

        Parameters
        ----------
        tokens : list of str or AddedToken

        Returns
        -------
        int
        """
        return self._add(tokens, True)

    def _add(self, tokens: Iterable[Any], special: bool) -> int:
        if isinstance(tokens, str) or not isinstance(tokens, Iterable):
            raise TypeError(f"tokens must be a list of str or AddedToken, got {type(tokens).__name__}")
        given = [AddedToken.of(token, special) for token in tokens]
        nodes, count = doc.with_added(self._document, given)
        if count:
            self._ever_special |= {token.content for token in given if token.special}
            self._change(added_tokens=nodes)
        return count

    def get_added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Return the added tokens by their ids.

        Returns
        -------
        dict of int to AddedToken
        """
        return doc.added_decoder(self._document)

    # ---------------------------------------------------------------- encoding

    def _build(self) -> Built | None:
        """Return what is built of the document; None where it has no token at all."""
        if self._built is None:
            document = self._document | {"truncation": None, "padding": None}
            if not document["added_tokens"] and not self.model.vocabulary():
                return None
            # One that was special once stays so, whatever it was added as since.
            document["added_tokens"] = [
                node | {"special": node["content"] in self._ever_special} for node in document["added_tokens"] or ()
            ]
            self._built = Built(document, self._encode_special)
        return self._built

    def _call(self, special: bool) -> Call | None:
        call = self._calls.get(special)
        if call is None:
            built, padding = self._build(), self._document["padding"]
            if built is None:
                return None
            cut, fill = doc.truncation_of(self._document["truncation"]), doc.padding_of(padding)
            call = self._calls[special] = Call(built, special, cut, fill, padding["pad_token"] if padding else "")
        return call

    def encode(
        self, sequence: Any, pair: Any = None, is_pretokenized: bool = False, add_special_tokens: bool = True
    ) -> Encoding:
        """Return the encoding of a text, or of two.

        Parameters
        ----------
        sequence, pair : str, or sequence of str with `is_pretokenized`
        is_pretokenized : bool
            Texts are lists of words.
        add_special_tokens : bool
            Put ids around them as the post-processor says.

        Returns
        -------
        Encoding

        Raises
        ------
        TypeError
            A text is no ``str``, or no list of words.
        """
        read: Any = as_words if is_pretokenized else as_text
        text, second = read(sequence), None if pair is None else read(pair)
        call = self._call(add_special_tokens)
        if call is None:
            return Encoding()
        if second is None and not is_pretokenized:
            return Encoding._of(call.plain_row(text) or call.of_texts([text]), 0)
        call = call.with_words() if is_pretokenized else call
        return Encoding._of(Source(call, (text,), None if second is None else (second,)).made(), 0)

    def encode_batch(
        self, input: Iterable[Any], is_pretokenized: bool = False, add_special_tokens: bool = True
    ) -> list[Encoding]:
        """Return the encodings of texts, and of pairs of texts, on all threads.

        Parameters
        ----------
        input : iterable of str, or of (str, str)
            With `is_pretokenized` of lists of words, or pairs of them.
        is_pretokenized, add_special_tokens
            As in `encode`.

        Returns
        -------
        list of Encoding

        Raises
        ------
        TypeError
            As in `encode`.
        """
        items = as_items(input, is_pretokenized)
        call = self._call(add_special_tokens)
        if call is None:
            return [Encoding() for _ in range(items.size)]
        sources = call.sources(items, is_pretokenized)
        if items.order is None:
            return [one for source, count in sources for one in Encoding._rows(source, count)]
        rows = [iter(Encoding._rows(source, count)) for source, count in sources]
        return [next(rows[is_pair]) for is_pair in items.order]

    def encode_batch_fast(
        self, input: Iterable[Any], is_pretokenized: bool = False, add_special_tokens: bool = True
    ) -> list[Encoding]:
        """Return what `encode_batch` does: offsets are made when they are asked for, so they cost nothing here.

        Parameters
        ----------
        input : iterable
        is_pretokenized : bool
        add_special_tokens : bool
            Put ids around them.

        Returns
        -------
        list of Encoding
        """
        return self.encode_batch(input, is_pretokenized, add_special_tokens)

    def post_process(
        self, encoding: Encoding, pair: Encoding | None = None, add_special_tokens: bool = True
    ) -> Encoding:
        """Return an encoding cut, with ids around it, and filled up, as texts are.

        Parameters
        ----------
        encoding : Encoding
        pair : Encoding, optional
            A second one.
        add_special_tokens : bool
            Put ids around them.

        Returns
        -------
        Encoding
        """
        call = self._call(add_special_tokens)
        return encoding if call is None else post_process(call, encoding, pair)

    async def async_encode(self, *arguments: Any, **options: Any) -> Encoding:
        """Return what `encode` does, in another thread.

        Parameters
        ----------
        *arguments : object
            As there.
        **options : object
            As there.

        Returns
        -------
        Encoding
        """
        return await asyncio.to_thread(self.encode, *arguments, **options)

    async def async_encode_batch(self, *arguments: Any, **options: Any) -> list[Encoding]:
        """Return what `encode_batch` does, in another thread.

        Parameters
        ----------
        *arguments : object
            As there.
        **options : object
            As there.

        Returns
        -------
        list of Encoding
        """
        return await asyncio.to_thread(self.encode_batch, *arguments, **options)

    async def async_encode_batch_fast(self, *arguments: Any, **options: Any) -> list[Encoding]:
        """Return what `encode_batch_fast` does, in another thread.

        Parameters
        ----------
        *arguments : object
            As there.
        **options : object
            As there.

        Returns
        -------
        list of Encoding
        """
        return await asyncio.to_thread(self.encode_batch, *arguments, **options)

    # ---------------------------------------------------------------- decoding

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """Return the text of ids; ids that are no token are left out, and special ones unless they are wanted.

        Parameters
        ----------
        ids : sequence of int
        skip_special_tokens : bool
            Leave out special tokens.

        Returns
        -------
        str
        """
        built = self._built or self._build()
        return "" if built is None else built.decode(ids, skip_special_tokens)

    def _decode_one(self, id: int, skip_special_tokens: bool) -> str:
        built = self._built or self._build()
        if built is None:
            return ""
        text = built.single[skip_special_tokens].get(id)
        if text is None:
            text = built.decode([id], skip_special_tokens)
            if id in built.names:  # of others there is no end
                built.single[skip_special_tokens][id] = text
        return text

    def decode_batch(self, sequences: Iterable[Sequence[int]], skip_special_tokens: bool = True) -> list[str]:
        """Return the text of each row of ids.

        Parameters
        ----------
        sequences : iterable of sequence of int
        skip_special_tokens : bool
            Leave out special tokens.

        Returns
        -------
        list of str
        """
        built = self._build()
        return ["" if built is None else built.decode(ids, skip_special_tokens) for ids in sequences]

    async def async_decode_batch(self, *arguments: Any, **options: Any) -> list[str]:
        """Return what `decode_batch` does, in another thread.

        Parameters
        ----------
        *arguments : object
            As there.
        **options : object
            As there.

        Returns
        -------
        list of str
        """
        return await asyncio.to_thread(self.decode_batch, *arguments, **options)


def _parsed(text: str | bytes) -> Tokenizer:
    """Return the tokenizer of a document, built: what is wrong with it is said now."""
    if not isinstance(text, str | bytes):
        raise TypeError(f"a tokenizer.json must be given as str or bytes, got {type(text).__name__}")
    try:
        document = json.loads(text, parse_float=read_float)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not valid JSON: {json_fault(error)}") from None
    if not isinstance(document, dict):
        raise ValueError(f"a tokenizer.json is a JSON object, got {type(document).__name__}")
    if not isinstance(document.get("model"), dict):
        raise ValueError("damaged tokenizer file: it has no 'model'")
    made = Tokenizer.__new__(Tokenizer)
    made._start(doc.EMPTY | document)
    made._build()
    return made

"""What `Tokenizer.encode_batch` returns where more than ids is asked for, and how rows are cut and padded."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ._text.assemble import Rows
from ._text.calls import Padding as Padding
from ._text.calls import Side as Side
from ._text.calls import Strategy as Strategy
from ._text.calls import Truncation as Truncation
from .ragged import Ragged

__all__ = ["Encoded", "Padding", "Truncation"]


class Encoded(NamedTuple):
    """Rows of token ids, padding among them if it was asked for, and what is said of each id.

    Attributes
    ----------
    ids : Ragged
        R rows of N ids in all: a text each, or a window of one.
    offsets : ndarray of int32, shape (N, 2), or None
        Where each token begins and ends in its text, in characters or bytes; 0, 0 of ids that are of no text. None
        where they were not asked for.
    type_ids : ndarray of int32, shape (N,)
        The template's token type ids; without a template 0 in a text and 1 in its pair.
    attention_mask : ndarray of bool, shape (N,)
        False where an id is padding.
    special_tokens_mask : ndarray of bool, shape (N,)
        True where an id is of the template or padding. (Special tokens that stand in a text are of the text.)
    sequence_ids : ndarray of int8, shape (N,)
        0 in a text, 1 in its pair, -1 where an id is of neither.
    word_ids : ndarray of int32, shape (N,), or None
        With ``pretokenized=True`` the number of the word, -1 where an id is of none.
    text_ids : ndarray of int64, shape (R,)
        The number of the text of each row; windows of one text follow one another.
    """

    ids: Ragged
    offsets: npt.NDArray[np.int32] | None
    type_ids: npt.NDArray[np.int32]
    attention_mask: npt.NDArray[np.bool_]
    special_tokens_mask: npt.NDArray[np.bool_]
    sequence_ids: npt.NDArray[np.int8]
    word_ids: npt.NDArray[np.int32] | None
    text_ids: npt.NDArray[np.int64]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        r"""Return rows of one length as models take them.

        Returns
        -------
        dict of str to ndarray, shape (R, T)
            ``input_ids`` (int64), ``attention_mask`` (int64) and ``token_type_ids`` (int64).

        Raises
        ------
        ValueError
            The rows are not of one length.

        Examples
        --------
        >>> import base64, pathlib, tempfile, fastemb
        >>> file = pathlib.Path(tempfile.mkdtemp(), "bytes.tiktoken")
        >>> _ = file.write_bytes(b"".join(base64.b64encode(bytes([i])) + b" %d\n" % i for i in range(256)))
        >>> tokenizer = fastemb.Tokenizer.load(file, "gpt2")
        >>> tokenizer.encode_batch(["ab", "c"], pad="longest").arrays()["attention_mask"]
        array([[1, 1],
               [1, 0]])
        """
        lengths = self.ids.lengths
        R, T = lengths.size, int(lengths.max(initial=0))
        if (lengths != T).any():
            raise ValueError(
                f"rows must be of one length for arrays, got lengths from {lengths.min()} to {T}; pad='longest' or "
                "max_tokens makes them so"
            )
        flat = {"input_ids": self.ids.ids, "attention_mask": self.attention_mask, "token_type_ids": self.type_ids}
        return {name: values.astype(np.int64).reshape(R, T) for name, values in flat.items()}


def encoded_of(rows: Rows) -> Encoded:
    """Return rows as callers see them."""
    ids = Ragged._trusted(rows.ids, rows.offsets)
    said = rows.type_ids, rows.attention, rows.special, rows.sequences, rows.words, rows.texts
    return Encoded(ids, rows.spans, *said)

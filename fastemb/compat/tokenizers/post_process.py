"""What `Tokenizer.post_process` does with encodings that are there: cut, surround, fill up."""

from __future__ import annotations

import numpy as np

from ..._text.windows import shares
from .encoding import Columns, Encoding
from .source import Call


def post_process(call: Call, first: Encoding, second: Encoding | None) -> Encoding:
    """Return an encoding of one or two, by the rules for texts."""
    is_pair = second is not None
    sides = [Encoding._with(one._columns().copy()) for one in (first, second) if one is not None]
    with_ids, how = call.of(is_pair)
    if how is not None:
        room = how.max_tokens - (call.built.added[is_pair] if with_ids else 0)
        lengths = [np.array([len(side)]) for side in sides]
        kept = shares(lengths[0], lengths[1] if is_pair else None, room, how)
        for side, share in zip(sides, kept, strict=False):
            side.truncate(int(share[0]), how.stride, how.side)
    parts, names = [], call.built.given_names
    for part in call.built.template(is_pair, with_ids):
        if part.text:
            side = sides[part.text == "B"]
            for one in (side, *side._columns().overflowing):
                own = one._columns()
                own.type_ids = [part.type_id] * len(own.ids)
                if call.built.has_processor or is_pair:
                    own.ranges = {int(part.text == "B"): (0, len(own.ids))}
            parts.append(side)
        else:
            size = len(part.ids)
            tokens = [names.get(id, "") for id in part.ids]
            around = Columns([*part.ids], [part.type_id] * size, tokens, [None] * size, [(0, 0)] * size)
            around.special_tokens_mask, around.attention_mask = [1] * size, [1] * size
            parts.append(Encoding._with(around))
    whole = Encoding.merge(parts, growing_offsets=False)
    if call.padding is not None:
        fill = call.padding
        whole.pad(call.padded(len(whole)), fill.side, fill.pad_id, fill.type_id, call.pad_token)
    return whole

from entry import Entry

from fastemb._cuda.kernels.convert import make_zeros
from fastemb._cuda.kernels.embedding import Parts, make_embed, make_embed_long
from fastemb._cuda.kernels.embedding_backward import (
    make_add_pieces,
    make_norm_rows,
    make_norm_rows_long,
    make_norm_sums,
    make_scale,
)
from fastemb._cuda.kernels.slots import make_count, make_kept_ids, make_place_ids, make_rank, make_slots

BERT = Parts(  # 768 columns of float32: positions 0, 1, …, segments, LayerNorm
    ids="int64", tag="float32", positions="counted", segments="int64", addend="float32", scaled=False,
    masked=False, wide=False, norm="layer", weight="float32", biased=True, other="float32", columns=4, K=6, threads=32,
)  # fmt: skip
LLAMA = BERT._replace(positions="", segments="", norm="", biased=False)
EVERY = {"scaled": True, "masked": True, "positions": "ranked"}


def of(tag: str, parts: Parts = BERT, **more: object) -> Parts:
    """Return the parts of a call in which all arrays are of one type."""
    columns = {"float64": 2, "float32": 4}.get(tag, 8)
    return parts._replace(tag=tag, addend=tag, weight=tag, other=tag, columns=columns, **more)


def sums(parts: Parts) -> Parts:
    """Return what is told of a call to the kernel that adds the gradients of its norm."""
    positions, segments = ("noted" if one else "" for one in (parts.positions, parts.segments))
    told = {"ids": "", "wide": False, "norm": "", "weight": parts.acc, "biased": False, "K": 1, "threads": 32}
    return parts._replace(positions=positions, segments=segments, **told)


NORM = {"registers": 96}
BACK = NORM | {"besides": ("st.u64", "st.u32")}  # the notes on a row
ENTRIES = [
    # Forward: K loads in flight, and as many of each addend.
    Entry(make_embed, (BERT,), **NORM, in_flight=6),
    Entry(make_embed, (BERT._replace(ids="int32", K=8),), **NORM, in_flight=8),
    Entry(make_embed, (BERT._replace(K=4, threads=8, norm="rms", **EVERY),), **NORM),
    *(Entry(make_embed, (of(tag, K=3),), **NORM, in_flight=3) for tag in ("float16", "bfloat16")),
    Entry(make_embed, (of("float16", K=4, threads=160),), **NORM),
    Entry(make_embed, (of("float64", K=8),), **NORM, in_flight=8),
    Entry(make_embed, (LLAMA,), in_flight=6),
    Entry(make_embed, (of("bfloat16", LLAMA, K=4, threads=128, scaled=True, positions="int32"),)),
    Entry(make_embed, (of("float16", K=3)._replace(addend="float32", weight="float32"),), **NORM),
    Entry(make_embed, (BERT._replace(columns=1, K=8, threads=96, wide=True),), **NORM, in_flight=0),
    *(Entry(make_embed, (BERT._replace(tag=tag, scaled=True),), **NORM, in_flight=0) for tag in ("code8", "code4")),
    Entry(make_embed_long, (BERT._replace(K=1, threads=256),), in_flight=1),
    Entry(make_embed_long, (BERT._replace(tag="code4", columns=1, K=1, threads=256, norm="rms"),), in_flight=0),
    # Backward: rows and their gradients in registers; then sums over rows, by many threads with few loads each.
    Entry(make_norm_rows, (BERT,), **BACK, in_flight=6),
    Entry(make_norm_rows, (BERT._replace(K=6, threads=96, norm="rms", **EVERY),), **BACK, in_flight=6),
    *(Entry(make_norm_rows, (of(tag, K=3),), **BACK, in_flight=3) for tag in ("float16", "bfloat16")),
    Entry(make_norm_rows, (of("float64", K=6),), registers=96, in_flight=6, besides=("st.u64", "st.v2.u32")),
    Entry(make_norm_rows, (BERT._replace(tag="code8"),), **BACK, in_flight=0),
    Entry(make_norm_rows_long, (BERT._replace(K=1, threads=256),), in_flight=1, besides=("st.u64", "st.u32"), kib=16),
    Entry(make_norm_sums, (sums(BERT), 256, 8), in_flight=2),
    Entry(make_norm_sums, (sums(LLAMA._replace(masked=True)), 256, 8), in_flight=2),
    Entry(make_norm_sums, (sums(of("bfloat16")), 256, 8), in_flight=2),
    Entry(make_norm_sums, (sums(of("float64")), 256, 8), in_flight=2),
    Entry(make_norm_sums, (sums(BERT._replace(tag="code4", scaled=True)), 256, 8), in_flight=0),
    *(Entry(make_add_pieces, (acc,), in_flight=0) for acc in ("float32", "float64")),
    *(Entry(make_scale, (acc, 16), in_flight=1) for acc in ("float32", "float64")),
    # Ids.
    Entry(make_count, (), in_flight=0),
    Entry(make_rank, (), in_flight=0),
    *(Entry(make_slots, (index,), in_flight=0) for index in ("int32", "int64")),
    *(Entry(make_place_ids, (kind, False, True, "int32"), in_flight=0) for kind in ("counted", "ranked", "int64")),
    *(Entry(make_kept_ids, ("int64", mode, True, "int32"), in_flight=0) for mode in ("raise", "clip", "wrap")),
    Entry(make_zeros, ("float32", 16), in_flight=0),
]

from entry import Entry

from fastemb._cuda.kernels.quantized import (
    ALL,
    make_find_infinite,
    make_quantize,
    make_quantize_pairs,
    make_widen,
    make_widen_single,
)  # fmt: skip

#: Codes are fewer bytes than numbers; a scale and an offset are one number each.
ENTRIES = [
    Entry(make_quantize, ("float64", 16, 8), besides=("st.u16", "st.u32")),
    Entry(make_quantize, ("float32", 16, 8), besides=("st.u32",)),
    Entry(make_quantize, ("float32", 16, 4), besides=("st.u16", "st.u32")),
    # Eight columns a word, their least and their greatest: as many registers as bags of codes.
    Entry(make_quantize, ("float16", 16, 8), besides=("st.v2.u32", "st.u32")),
    Entry(make_quantize, ("bfloat16", 16, 8), besides=("st.v2.u32", "st.u32")),
    Entry(make_quantize, ("float16", 4, 4), in_flight=0),
    Entry(make_quantize_pairs, ("float16",), in_flight=0),
    Entry(make_find_infinite, (), in_flight=0),
    # Four codes are no 16 bytes: what counts here are the numbers, of which a thread writes 16 bytes at a time.
    Entry(make_widen, ("int64", "code8", 4), in_flight=0),
    Entry(make_widen, ("int32", "code4", 2, "clip"), in_flight=0),
    Entry(make_widen, ("int64", "code8", 1, "wrap"), in_flight=0),
    Entry(make_widen, (ALL, "code8", 4), in_flight=0),
    Entry(make_widen_single, ("int64", "code4"), in_flight=0),
]

from entry import Entry

from fastemb._cuda.kernels.position import COUNT, make_angles, make_rope

ENTRIES = [
    Entry(make_angles, (COUNT, "float64", "float32"), in_flight=0),
    Entry(make_angles, ("int64", "float32", "float64"), in_flight=0),
    Entry(make_angles, ("float32", "float64", "float32"), in_flight=0),
    Entry(make_rope, ("float32", "float32", 16, False)),
    Entry(make_rope, ("float32", "bfloat16", 16, False), besides=("st.v2.u32",)),
    Entry(make_rope, ("float64", "float64", 16, False)),
    Entry(make_rope, ("float16", "float16", 16, False)),
    # A word of whole pairs meets half as many cosines and sines.
    Entry(make_rope, ("float32", "float32", 16, True), in_flight=2, besides=("ld.v2.u32",)),
    Entry(make_rope, ("float64", "float64", 16, True), in_flight=1, kib=20, besides=("ld.v2.u32",)),
    Entry(make_rope, ("float16", "float16", 16, True), in_flight=3),
    Entry(make_rope, ("bfloat16", "float32", 4, True), in_flight=0),
    Entry(make_rope, ("float16", "float16", 2, True), in_flight=0),
]

"""What lies in memory, by name: sizes in bits, and the types that are computed with. Knows no compiler."""

#: The size of a number in bits. Codes of a quantised table are "code8" and "code4", of which two are a byte, low first.
SIZES = {"float64": 64, "float32": 32, "float16": 16, "bfloat16": 16, "code8": 8, "code4": 4}
#: How many of them a register of 32 bits holds.
LANES_A_WORD = {tag: max(1, 32 // size) for tag, size in SIZES.items()}
#: The size of integers in bytes.
INTEGERS = {"bool": 1, "uint8": 1, "int8": 1, "uint16": 2, "int16": 2, "uint32": 4, "int32": 4, "uint64": 8, "int64": 8}


def acc_of(tag: str) -> str:
    """Return the type in which numbers of a type are computed with: float64 for float64, else float32."""
    return "float64" if tag == "float64" else "float32"


def words_of(width: int) -> int:
    """Return how many registers of 32 bits hold so many bytes."""
    return max(1, width // 4)

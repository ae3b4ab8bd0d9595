"""Arrays of any strides as contiguous ones of another dtype, number by number: what kernels cannot read as it is."""

from typing import Any

from .dtypes import SIZES
from .lookup import CLIP
from .words import (
    block_x, device, make_constant, make_numbers, make_store, make_words, report, thread_x, threads_x,
)  # fmt: skip


@device
def place_of(
    i: int, n1: int, n2: int, n3: int, s0: int, s1: int, s2: int, s3: int
) -> int:  # fmt: skip
    """Return how far from the first number the i-th lies, in the order of C over four axes."""
    rest, k3 = i // n3, i % n3
    rest, k2 = rest // n2, rest % n2
    k0, k1 = rest // n1, rest % n1
    return k0 * s0 + k1 * s1 + k2 * s2 + k3 * s3


def make_copy(width: int, back: bool) -> Any:
    """Four axes of words of ``width`` bytes, as they are, to a flat array or ``back`` from one; one word a thread."""
    load, _, store, _ = make_words(width)

    def copy(
        apart: int, n1: int, n2: int, n3: int, s0: int, s1: int, s2: int, s3: int, flat: int, N: int
    ) -> None:  # fmt: skip
        i = block_x() * threads_x() + thread_x()
        if i < N:
            at = apart + place_of(i, n1, n2, n3, s0, s1, s2, s3)
            if back:
                store(at, load(flat + i * width))
            else:
                store(flat + i * width, load(at))

    return copy


def make_convert(tag: str, to: str) -> Any:
    """Four axes; those of length 1 in front are free. One number a thread; ``to`` "bool" asks whether it is not 0."""
    get, _ = make_numbers(tag)
    _, put = make_numbers("uint8" if to == "bool" else to)
    is_mask = to == "bool"

    def convert(
        source: int, n1: int, n2: int, n3: int, s0: int, s1: int, s2: int, s3: int, out: int, N: int
    ) -> None:  # fmt: skip
        i = block_x() * threads_x() + thread_x()
        if i < N:
            x = get(source + place_of(i, n1, n2, n3, s0, s1, s2, s3), 0)
            put(out, i, x != 0 if is_mask else x)

    return convert


def make_from_unsigned(mode: str) -> Any:
    """The rows that ids of 64 bits without a sign mean where they are beyond int64, and so negative; one a thread.

    ``rest`` is 2**64 modulo V.
    """
    get, put = make_numbers("int64")
    clips = mode == CLIP

    def from_unsigned(ids: int, out: int, N: int, V: int, rest: int) -> None:
        i = block_x() * threads_x() + thread_x()
        if i < N:
            one = get(ids, i)
            if one < 0:
                one = V - 1 if clips else (one % V + rest) % V
            put(out, i, one)

    return from_unsigned


def make_zeros(tag: str, width: int) -> Any:
    """Zeros, ``width`` bytes a thread."""
    zeros, (store, _) = make_constant(tag, 8 * width // SIZES[tag], 0.0), make_store(tag, width)

    def put_zeros(out: int, N: int) -> None:
        i = block_x() * threads_x() + thread_x()
        if i < N:
            store(out + i * width, zeros())

    return put_zeros


def make_find_bad(index: str) -> Any:
    """Report the least place of an id that is not in [0, V): before anything is written, where that is asked for."""
    get, _ = make_numbers(index)

    def find_bad(ids: int, N: int, V: int, status: int, mark: int) -> None:
        i = block_x() * threads_x() + thread_x()
        if i < N:
            one = get(ids, i)
            if one < 0 or one >= V:
                report(status, mark + i)

    return find_bad

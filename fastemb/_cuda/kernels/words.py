"""All that kernels may do with memory, with registers and with each other: some fifty words, each with a plain twin.

A kernel is plain Python: it takes addresses and counts (int64) and numbers, and uses these words. On a device each word
is an intrinsic of a few instructions (`words_device`, `numbers_device`); in the simulator, ``NUMBA_ENABLE_CUDASIM=1``,
it is Python that checks every address (`words_simulated`, `numbers_simulated`). A change of compiler rewrites the
former.

Words whose code depends on the dtype in memory or on sizes are *made*, when a kernel is made:

=========================================== ========================================================================
``make_words(width)``                       ``load(a)``, ``load4(a, b, c, d)``, ``store(a, w)``, ``store_if(a, w, so)``
                                            of 16, 8, 4, 2 or 1 bytes as they are; loads of four stay together
``make_columns(tag, width)``                ``load(a)``, ``load4``, ``load_if(a, so)`` (unless so: zeros) of numbers in
                                            ``width`` bytes, widened to float32 (float64: float64), and their count
``make_load_all(tag, width)``               ``load_all(a, b, c, d)``: as ``load4``, but no number is used before all
                                            four loads are on their way
``make_piece(tag, width, K, count)``        ``load_piece(a, step, last)``, ``store_piece(a, step, last, x)``: K times
                                            ``count`` columns (by default what ``width`` bytes hold, by which they move)
                                            ``step`` bytes apart, the last under a predicate (not read: zeros)
``make_store(tag, width)``                  ``store(a, x)``, ``store_if(a, x, so)`` of columns as ``tag``, rounded once
                                            (codes: within their bits, of NaN 0), ``width`` bytes at a time
``make_moves(width, K)``                    ``load(a, step, last)``, ``store(a, step, last, w)`` of such a piece as is
``make_keep(K)``                            ``keep(last, x)``: such a piece with zeros for its last word unless last
``make_constant(acc, count, value)``        ``constant()``: columns that are all one number
``make_numbers(tag)``                       ``get(a, i)``, ``put(a, i, x)`` of the i-th number at an address: integers
                                            as int64, floats as float32 (float64: float64); written by nobody else
``make_lanes_sum(lanes)``                   ``lanes_sum(w)`` over 2, 4 … 32 neighbouring threads, as ``warp_sum``
``make_number(acc)``                        ``number(x)``: an integer or a float as one of the type computed in
``make_shared(size)``                       ``shared()``: the address of bytes that the threads of a block share; called
                                            once, in the kernel itself
``make_shared_columns(acc, count)``         ``load(a)``, ``store(a, x)`` of columns there
``make_shared_numbers(tag)``                ``get(a, i)``, ``put(a, i, x)`` there: int32, int64, float32, float64
``make_constants(values)``                  ``constant(i)``: the i-th of a few float64, known when a kernel is made
=========================================== ========================================================================

The others work on columns (``x``, ``y``: of one type and count) and on numbers (``w``, ``n``) of the same type:

=================================== ================================================================================
``add`` ``less`` ``times_each``     x + y, x - y, x * y by columns; every operation is rounded by itself
``minus`` ``times`` ``over``        x - n, x * n, x / n
``roots(x)`` ``over_each(x, y)``    √x, x / y by columns, rounded to nearest
``fused(x, y, z)``                  x * y + z, rounded once
``greater(x, y)``                   y where it is greater than x or a NaN, else x
``take(so, x, y)``                  x if so, else y
``pick_equal(x, y, p, q)``          columns of p where x equals y, as NaN equals NaN here, else of q
``doubled(x)`` ``singled(x)``       x as float64, as float32
``total`` ``squares`` ``dot``       the sum of the columns, of their squares, of x * y, by halving
``most(x)`` ``highest(x)``          the largest magnitude, a NaN counts as nothing; the greatest column, or NaN
``evens`` ``odds`` ``pairs(x, y)``  every second column from the first, from the second; those of two in turns
``root(w)`` ``inverse_root(w)``     √w rounded to nearest; 1/√w, of float32 to about 2 units in the last place
``divide(w, n)`` ``product(w, n)``  rounded to nearest, fused with nothing
``fuse(w, n, m)``                   w * n + m, rounded once
``bits_of(w)`` ``of_bits(n)``       the bits of a float32 as a signed integer, and back
``warp_sum(w)`` ``warp_most(w)``    over the 32 threads of a warp, which all come there; so in all of them
``warp_votes(so)``                  how many threads of the warp before this one say so, how many in all, the first and
                                    the last that do, 32 and -1 where none does
``load32`` ``store32_if``           four words of 32 bytes, one of them (sm_100)
``bulk_load`` … ``barrier_init``    bytes to and from shared memory by the copy engine (sm_90); see `bulk`
``meet()``                          all threads of a block wait for each other
``remainder(i, n)``                 i % n of integers of 32 bits without a sign: a tenth of the instructions of 64
``report(status, position)``        a value at a position is wrong: keep the least, raise the host's flag
``device(f)``                       makes f a function that kernels call
``thread_x()`` … ``blocks_y()``     place in the block, size of the block, number of the block, size of the grid
=================================== ================================================================================
"""

from numba.cuda.core import config

from .dtypes import acc_of

SIMULATED = bool(config.ENABLE_CUDASIM)

if SIMULATED:
    from .numbers_simulated import (
        add, divide, dot, doubled, fused, greater, inverse_root, less, make_lanes_sum, make_number, minus, most, over,
        over_each, pick_equal, product, remainder, report, root, roots, singled, squares, take, times, times_each,
        total, warp_most, warp_sum, warp_votes,
    )  # fmt: skip
    from .scalars_simulated import make_numbers, make_shared, make_shared_columns, make_shared_numbers
    from .special_simulated import (
        barrier_init, bits_of, bulk_done, bulk_load, bulk_read, bulk_store, bulk_wait, evens, fuse, highest, load32,
        make_constants, make_moves, odds, of_bits, pairs, store32_if,
    )  # fmt: skip
    from .words_simulated import (
        block_x, block_y, blocks_x, blocks_y, device, make_columns, make_constant, make_keep, make_load_all, make_piece,
        make_store, make_words, meet, thread_x, thread_y, threads_x, threads_y,
    )  # fmt: skip
else:
    from .numbers_device import (
        add, divide, dot, doubled, fused, greater, inverse_root, less, make_lanes_sum, make_number, minus, most, over,
        over_each, pick_equal, product, remainder, report, root, roots, singled, squares, take, times, times_each,
        total, warp_most, warp_sum, warp_votes,
    )  # fmt: skip
    from .scalars_device import make_numbers, make_shared, make_shared_columns, make_shared_numbers
    from .special_device import (
        barrier_init, bits_of, bulk_done, bulk_load, bulk_read, bulk_store, bulk_wait, evens, fuse, highest, load32,
        make_constants, make_moves, odds, of_bits, pairs, store32_if,
    )  # fmt: skip
    from .words_device import (
        block_x, block_y, blocks_x, blocks_y, device, make_columns, make_constant, make_keep, make_load_all, make_piece,
        make_store, make_words, meet, thread_x, thread_y, threads_x, threads_y,
    )  # fmt: skip

__all__ = [
    "SIMULATED", "acc_of", "add", "barrier_init", "bits_of", "block_x", "block_y", "blocks_x", "blocks_y", "bulk_done",
    "bulk_load", "bulk_read", "bulk_store", "bulk_wait", "device", "divide", "dot", "doubled", "evens", "fuse",
    "fused", "greater", "highest", "inverse_root", "less", "load32", "make_columns", "make_constant",
    "make_constants", "make_keep", "make_lanes_sum", "make_load_all", "make_moves", "make_number", "make_numbers",
    "make_piece", "make_shared", "make_shared_columns", "make_shared_numbers", "make_store", "make_words", "meet",
    "minus", "most", "odds", "of_bits", "over", "over_each", "pairs", "pick_equal", "product", "remainder", "report",
    "root", "roots", "singled", "squares", "store32_if", "take", "thread_x", "thread_y", "threads_x", "threads_y",
    "times", "times_each", "total", "warp_most", "warp_sum", "warp_votes",
]  # fmt: skip

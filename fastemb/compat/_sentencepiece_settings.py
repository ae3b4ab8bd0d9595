"""What is set for all SentencePiece processors of the process."""

from __future__ import annotations

from math import inf

import numpy as np

generator = np.random.default_rng()
nbest_seconds = inf


def set_random_generator_seed(seed: int) -> None:
    """Start the samples of all processors anew: what follows is the same each time.

    Parameters
    ----------
    seed : int
        At least 0.
    """
    global generator
    generator = np.random.default_rng(seed)


SetRandomGeneratorSeed = set_random_generator_seed


def set_nbest_timeout(timeout_ms: int) -> None:
    """Give `NBestEncode` so much time for a text; past it there is the best way alone.

    Parameters
    ----------
    timeout_ms : int
        In milliseconds; 0 or less: all it takes.
    """
    global nbest_seconds
    nbest_seconds = timeout_ms / 1000 if timeout_ms > 0 else inf


SetNBestTimeout = set_nbest_timeout


def set_min_log_level(level: int) -> None:
    """Do nothing: there is no log.

    Parameters
    ----------
    level : int
    """


SetMinLogLevel = set_min_log_level


class ThreadPool:
    """Taken where sentencepiece takes one; the threads are those of `fastemb.set_num_threads`."""

    def __init__(self, num_threads: int = -1) -> None:
        self._num_threads = num_threads

    def num_threads(self) -> int:
        """Return the number that was given."""
        return self._num_threads

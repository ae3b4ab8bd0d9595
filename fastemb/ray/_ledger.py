"""Who works on what, so that a block that ends its workers is found, and named, after so many tries.

Ray starts a worker anew when it dies, and gives it again what it was at, without end and without saying why. Every
worker therefore tells one `Ledger` what it begins and ends. A worker that begins something while the ledger still has
something open of an earlier life of the same actor has died of that, or by chance: the next life does it in smaller
steps, so that after some deaths the rows are known that bring them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

STEPS = 64  # parts that the rows are cut into in which a worker died: three deaths find one row of 64³


class BlockError(ValueError):
    """Rows that cannot be worked on; the error names their block and, where the dataset has it, their file."""


class Deaths(NamedTuple):
    """How often workers died of a block, and the rows that the last one was at."""

    times: int = 0
    first: int = 0
    end: int = 0


class Ledger:
    """What all workers of one dataset are at; in a cluster it is an actor.

    An actor is named by its id, which stays when it is started again, and a life of it by a name that is new each time.
    """

    def __init__(self) -> None:
        self._open: dict[str, tuple[str, str, int, int]] = {}  # actor → its life, block, rows
        self._deaths: dict[str, Deaths] = {}  # block → of what is not done yet
        self._why = ""

    def begin(self, actor: str, life: str, block: str, first: int, end: int) -> Deaths:
        """Note what a worker begins, and return how that has ended before."""
        if actor in self._open and self._open[actor][0] != life:
            _, died_of, *rows = self._open[actor]
            self._deaths[died_of] = Deaths(self._deaths.get(died_of, Deaths()).times + 1, *rows)
        self._open[actor] = life, block, first, end
        return self._deaths.get(block, Deaths())

    def end(self, actor: str) -> None:
        """Note that a worker has done what it began last.

        A ledger that was started again, as its machine went away, does not know of it.
        """
        if actor in self._open:
            self._deaths.pop(self._open.pop(actor)[1], None)

    def fail(self, why: str) -> None:
        """Keep the first error for whoever asks: what Ray makes of it is long, and its type is Ray's."""
        self._why = self._why or why

    def why(self) -> str:
        """Return the first error, or nothing."""
        return self._why


def make_ledger(ray: Any) -> Any:
    """Return the handle of a ledger, near the program that asks for it: it lives as long as that handle."""
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), True)
    actor = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Ledger)
    return actor.options(scheduling_strategy=here).remote()


def steps(rows: int, deaths: Deaths) -> list[tuple[int, int]]:
    """Cut the rows of a block as finely as its deaths ask for."""
    if not deaths.times or deaths.end <= deaths.first:
        return [(0, rows)]
    size = -(-(deaths.end - deaths.first) // STEPS)
    return list(pairwise(sorted({0, rows, deaths.end, *range(deaths.first, deaths.end, size)})))

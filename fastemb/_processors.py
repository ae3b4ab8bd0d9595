"""How many processors this process may use: its affinity, and the quota of its control group (a container's limit)."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

_OWN, _ROOT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def count() -> int:
    """Return the number of processors, at least 1."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Threads beyond a quota are stopped until the next period, all of them: slower than fewer threads.
    return max(1, math.ceil(min(cpus, quota(_OWN, _ROOT))))


def quota(own: Path, root: Path) -> float:
    """Return how many processors' time the control groups of a process allow it; infinity where nothing limits it.

    ``own`` is the file that names its groups, ``root`` where their files are mounted. In a container the mount may be
    that of its own group, under which the path in ``own`` does not exist; then the mount's own files count.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:  # not Linux
        return math.inf
    limits = [math.inf]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            limits += (_share(folder, "cpu.max") for folder in _upwards(root, path))
        elif "cpu" in controllers.split(","):
            for mount in (root / controllers, root / "cpu"):
                limits += (_share(folder, "cpu.cfs_quota_us", "cpu.cfs_period_us") for folder in _upwards(mount, path))
    return min(limits)


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """Yield the folder of a group and of all groups that it lies in: each may have a limit."""
    folder = mount / path.lstrip("/")
    yield folder
    while folder != mount and mount in folder.parents:
        folder = folder.parent
        yield folder


def _share(folder: Path, *names: str) -> float:
    """Return quota over period, by the numbers in these files; infinity where there is none."""
    try:
        first, second = " ".join((folder / name).read_text().strip() for name in names).split()
        allowed, period = float(first), float(second)
    except (OSError, ValueError):  # no such file, or "max"
        return math.inf
    return allowed / period if allowed > 0 and period > 0 else math.inf  # version 1 says -1 for no limit

"""Tests of the CUDA rooms, in four tiers: simulator (meaning), static (machine code), host (launches), device."""

import os
from importlib.util import find_spec

# The simulator is another numba.cuda, chosen before that is imported: so these tests have a process of their own.
#     NUMBA_ENABLE_CUDASIM=1 pytest tests/cuda/simulator
if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
    collect_ignore_glob = ["static/*", "device/*", "test_*.py"]
else:
    collect_ignore_glob = ["simulator/*"]
if find_spec("numba_cuda") is None:
    collect_ignore_glob += ["simulator/*", "static/*"]

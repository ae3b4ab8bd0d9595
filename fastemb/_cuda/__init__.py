"""The room of CUDA devices, the twins of `fastemb._cpu` for arrays there. Needs the extra cuda12 or cuda13."""

from importlib.util import find_spec

if find_spec("numba_cuda") is None:
    raise ImportError(
        "arrays on CUDA devices need the package numba-cuda: pip install 'fastemb[cuda13]', or 'fastemb[cuda12]' for "
        "drivers of CUDA 12"
    )

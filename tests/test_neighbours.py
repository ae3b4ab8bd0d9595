"""What the files for neighbours share, and what they say where a neighbour is missing; none is needed here."""

import copy
import importlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
from neighbour_cases import WORDS, make_folder, make_model, make_tokenizer

import fastemb
from fastemb import _neighbours

#: Of each file: the package that it is for, by its module, and the extra that installs it.
NEIGHBOURS = {
    "sklearn": ("sklearn", "sklearn"),
    "mteb": ("mteb", "mteb"),
    "langchain": ("langchain_core", "langchain"),
    "llama_index": ("llama_index", "llama-index"),
}


@pytest.fixture(scope="module")
def model():
    return make_model()


def forget(monkeypatch, name, package):
    """Let a file and the package that it is for be imported anew."""
    for module in [module for module in sys.modules if module.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, f"fastemb.{name}", raising=False)


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_a_missing_neighbour_is_named_with_its_extra(name, monkeypatch):
    package, extra = NEIGHBOURS[name]
    forget(monkeypatch, name, package)
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module(f"fastemb.{name}")
    words = f"fastemb.{name} needs the package {package}, which is not installed: pip install 'fastemb[{extra}]'"
    assert (str(caught.value), caught.value.name) == (words, package)


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_a_broken_neighbour_speaks_for_itself(name, tmp_path, monkeypatch):
    """What an installed package misses is not what we ask to be installed."""
    package, _ = NEIGHBOURS[name]
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("import nothing_of_that_name")
    forget(monkeypatch, name, package)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'nothing_of_that_name'$"):
        importlib.import_module(f"fastemb.{name}")


def test_models_are_given_in_three_ways(model, tmp_path):
    folder = make_folder(tmp_path)
    for given in (folder, str(folder), (model.tokenizer, model.table)):
        np.testing.assert_array_equal(_neighbours.as_model(given).encode(WORDS), model.encode(WORDS))
    assert _neighbours.as_model(model) is model
    first = _neighbours.as_model(model, 3)
    np.testing.assert_array_equal(first.encode(WORDS), model.encode(WORDS)[:, :3])
    assert model.table.shape[1] == 8
    assert np.shares_memory(first.table, model.table)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (5, TypeError, "path must be a str or an os.PathLike, got int"),
        ((1, 2), TypeError, r"a path, a StaticModel or \(Tokenizer, table\), got a tuple of int, int"),
        ((make_tokenizer(), "table"), TypeError, "table must be a numpy.ndarray, got str"),
        ("/nowhere", FileNotFoundError, "no model at /nowhere"),
        ("StaticModel sha256:ab", ValueError, "is how a model without a path is written down"),
    ],
)
def test_what_is_no_model(given, error, words):
    with pytest.raises(error, match=words):
        _neighbours.as_model(given)


def test_models_are_written_down_by_what_their_vectors_come_from(model):
    """The same contents, the same text, in any process; another number, prompt or option, another text."""
    written = _neighbours.written_down
    assert [written(one) for one in (None, "folder")] == [None, "folder"]
    digest = written(model)
    assert digest.startswith("StaticModel sha256:")
    assert written(make_model()) == written(copy.deepcopy(model)) == written((model.tokenizer, model.table)) == digest
    model.encode(WORDS)  # what is looked up for small calls is no content
    assert written(model) == written(pickle.loads(pickle.dumps(model))) == digest
    code = (
        "from neighbour_cases import *; from fastemb import _neighbours; print(_neighbours.written_down(make_model()))"
    )
    for seed in ("1", "2"):
        ended = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed},
        )  # fmt: skip
        assert ended.stdout.strip() == digest
    others = [make_model(seed=1), make_model(normalize=True), make_model(max_length=3), _neighbours.as_model(model, 7)]
    others.append(make_model())
    others[-1].prompts = {"query": "find: "}
    assert len({digest, *map(written, others)}) == 6


def test_prompts_are_found_by_their_use(tmp_path):
    model = fastemb.StaticModel.load(make_folder(tmp_path))  # with "query" and "passage"
    texts = ["a text", "another"]
    for names, prompt in ((_neighbours.QUERY, "find: "), (_neighbours.DOCUMENT, "text: "), (("neither",), "")):
        options = _neighbours.options_of(model, names, None, None)
        np.testing.assert_array_equal(model.encode(texts, **options), model.encode([prompt + text for text in texts]))
        for given in ("other: ", ""):
            options = _neighbours.options_of(model, names, given, True)
            vectors = model.encode([given + text for text in texts], normalize=True)
            np.testing.assert_array_equal(model.encode(texts, **options), vectors)
    both = {"corpus": "c", "document": "d"}
    model.prompts = both
    assert _neighbours.options_of(model, _neighbours.DOCUMENT, None, None) == {
        "normalize": None,
        "prompt_name": "document",
    }

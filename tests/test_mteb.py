"""`fastemb.mteb.StaticModelEncoder`: MTEB's own protocol, and its tasks over data of these tests, without a network."""

import warnings

import numpy as np
import pytest

mteb = pytest.importorskip("mteb", reason="mteb, of the extra mteb, is not installed")
datasets = pytest.importorskip("datasets", reason="datasets, which mteb needs, is not installed")
torch_data = pytest.importorskip("torch.utils.data", reason="torch, which mteb's loaders need, is not installed")

from mteb.abstasks import AbsTaskRetrieval  # noqa: E402
from mteb.abstasks.sts import AbsTaskSTS  # noqa: E402
from mteb.abstasks.task_metadata import TaskMetadata  # noqa: E402
from mteb.cache import ResultCache  # noqa: E402
from mteb.models import EncoderProtocol  # noqa: E402
from mteb.types import PromptType  # noqa: E402
from neighbour_cases import WORDS, make_folder, make_model  # noqa: E402

import fastemb  # noqa: E402
from fastemb.mteb import StaticModelEncoder, texts_of  # noqa: E402

MODEL = make_model()
PAIRS = {
    "sentence1": ["a warm loaf of bread", "two cups of flour", "the engine stalled", "brakes and tires"],
    "sentence2": ["a warm loaf of breads", "two cups of flowers", "a day at the sea", "brakes"],
    "score": [4.8, 3.0, 0.0, 2.0],
}


def about(name, kind):
    """Return what MTEB knows of a task."""
    return TaskMetadata(
        name=name, description="Of these tests.", dataset={"path": "local", "revision": "1"}, type=kind,
        eval_langs=["eng-Latn"], main_score="ndcg_at_10" if kind == "Retrieval" else "cosine_spearman",
    )  # fmt: skip


class Likeness(AbsTaskSTS):
    """Four pairs of texts, and how like they are."""

    metadata = about("Likeness", "STS")

    def load_data(self, **kwargs):
        self.dataset = {"default": {"test": datasets.Dataset.from_dict(PAIRS)}}
        self.data_loaded = True


class Finding(AbsTaskRetrieval):
    """Texts that are found by themselves, but for what their prompts add."""

    metadata = about("Finding", "Retrieval")

    def load_data(self, **kwargs):
        ids = [f"d{i}" for i in range(len(WORDS))]
        split = {
            "corpus": datasets.Dataset.from_dict({"id": ids, "title": [""] * len(ids), "text": WORDS}),
            "queries": datasets.Dataset.from_dict({"id": ["q0", "q3"], "text": [WORDS[0], WORDS[3]]}),
            "relevant_docs": {"q0": {"d0": 1}, "q3": {"d3": 1}},
            "top_ranked": None,
        }
        self.dataset = {"default": {"test": split}}
        self.data_loaded = True


def evaluate(encoder, task, folder):
    return mteb.evaluate(encoder, task, cache=ResultCache(folder), show_progress_bar=False).task_results[0]


def loader(texts, **options):
    return torch_data.DataLoader(datasets.Dataset.from_dict({"text": texts}), **{"batch_size": 3, **options})


def encode(encoder, inputs, task=Likeness, prompt_type=None):
    return encoder.encode(
        inputs, task_metadata=task.metadata, hf_split="test", hf_subset="default", prompt_type=prompt_type
    )


def test_a_task_of_similarity(tmp_path):
    """The score is the rank correlation of cosines of the very vectors, and is filed under the model's contents."""
    from scipy.stats import spearmanr

    encoder = StaticModelEncoder(MODEL, name="me/mine")
    assert isinstance(encoder, EncoderProtocol)
    first, second = (fastemb.normalize(MODEL.encode(PAIRS[f"sentence{i}"])) for i in (1, 2))
    expected = spearmanr((first * second).sum(axis=1), PAIRS["score"]).statistic
    assert evaluate(encoder, Likeness(), tmp_path).get_score() == pytest.approx(expected)
    revision = encoder.mteb_model_meta.revision
    assert len(list(tmp_path.glob(f"results/me__mine/{revision}/Likeness.json"))) == 1
    assert StaticModelEncoder(make_model(), name="me/mine").mteb_model_meta.revision == revision
    assert StaticModelEncoder(make_model(seed=1), name="me/mine").mteb_model_meta.revision != revision


def test_a_task_of_retrieval(tmp_path, monkeypatch):
    """Queries and documents each have their prompt, though the model has another word for the second."""
    folder = tmp_path / "model"
    folder.mkdir()
    seen = []
    encoder = StaticModelEncoder(make_folder(folder))  # with prompts "query" and "passage"
    given = fastemb.StaticModel.encode

    def noting(model, texts, **options):
        seen.append((list(texts), options["prompt"]))
        return given(model, texts, **options)

    with monkeypatch.context() as patched:
        patched.setattr(fastemb.StaticModel, "encode", noting)
        result = evaluate(encoder, Finding(), tmp_path)
    assert sorted(seen) == sorted([([WORDS[0], WORDS[3]], "find: "), (WORDS, "text: ")])
    queries, documents = (
        fastemb.normalize(MODEL.encode([prompt + text for text in texts]))
        for prompt, texts in (("find: ", [WORDS[0], WORDS[3]]), ("text: ", WORDS))
    )
    ranks = (-queries @ documents.T).argsort(axis=1).argsort(axis=1)[[0, 1], [0, 3]]
    assert result.get_score() == pytest.approx(np.mean(1 / np.log2(ranks + 2)), abs=1e-4)


def test_vectors_are_those_of_encode(tmp_path):
    encoder = StaticModelEncoder(MODEL, normalize=True)
    vectors = encode(encoder, loader(WORDS))
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, MODEL.encode(WORDS, normalize=True))
    np.testing.assert_array_equal(encode(StaticModelEncoder(MODEL, dim=3), loader(WORDS)), MODEL.encode(WORDS)[:, :3])


def test_loaders_of_every_kind():
    """From the dataset where that is the loader's order, else batch by batch."""
    texts = [f"{word} {i}" for i in range(5) for word in WORDS]
    assert texts_of(loader(texts)) == texts
    assert texts_of(loader(texts, sampler=range(4))) == texts[:4]
    assert texts_of(loader(texts, sampler=[3, 1])) == [texts[3], texts[1]]
    assert texts_of(loader(texts, batch_size=7, drop_last=True)) == texts[:28]
    backwards = {"batch_size": 1, "batch_sampler": [[4, 3], [2, 0]]}
    assert texts_of(loader(texts, **backwards)) == [texts[i] for i in (4, 3, 2, 0)]
    assert texts_of(loader(texts, sampler=[3, 1], batch_size=None)) == [texts[3], texts[1]]
    assert sorted(texts_of(loader(texts, shuffle=True))) == sorted(texts)
    upper = loader(texts, collate_fn=lambda rows: {"text": [row["text"].upper() for row in rows]})
    assert texts_of(upper) == [text.upper() for text in texts]
    assert texts_of([{"text": ["a", "b"]}, {"text": ["c"]}]) == ["a", "b", "c"]
    assert texts_of([{"text": np.array(["a", "b"])}, {"text": []}]) == ["a", "b"]
    with pytest.raises(ValueError, match="encodes texts, got a batch of image"):
        texts_of([{"image": [0]}])
    for wrong, said in (
        ([{"text": None}], "a batch must have a list of texts, got None"),
        ([{"text": b"a"}], "a batch must have a list of texts, got bytes"),
        (["a"], "a batch must be a dict with a list of texts, got str"),
    ):
        with pytest.raises(TypeError, match=said):
            texts_of(wrong)


def test_names_are_checked_before_anything_is_read():
    for given in ("name", "revision"):
        with pytest.raises(TypeError, match=f"{given} must be a str or None, got int"):
            StaticModelEncoder("/nowhere", **{given: 5})
        with pytest.raises(ValueError, match=f"{given} is empty; give None"):
            StaticModelEncoder("/nowhere", **{given: ""})


@pytest.mark.filterwarnings("ignore:prompts. MTEB has no task:UserWarning")  # but that of these tests
def test_prompts_by_task_type_and_use():
    """As MTEB looks them up: the task with the use, the task, the type, the use; else what the model puts there."""
    prompts = {"Likeness": "l: ", "Finding-query": "fq: ", "Retrieval": "r: ", "document": "d: "}
    encoder = StaticModelEncoder(MODEL, prompts=prompts)
    for task, use, prompt in (
        (Likeness, None, "l: "), (Likeness, PromptType.query, "l: "), (Finding, PromptType.query, "fq: "),
        (Finding, PromptType.document, "r: "), (Finding, None, "r: "),
    ):  # fmt: skip
        expected = MODEL.encode([prompt + text for text in WORDS])
        np.testing.assert_array_equal(encode(encoder, loader(WORDS), task, use), expected)
    bare = StaticModelEncoder(MODEL)
    np.testing.assert_array_equal(encode(bare, loader(WORDS), Finding, PromptType.query), MODEL.encode(WORDS))


def test_names_of_prompts_that_mteb_does_not_ask_for():
    """Those of Sentence Transformers are taken for its own; a warning names all others."""
    with pytest.warns(UserWarning, match=r"no task, type of tasks or use called 'Bankng77', 'quary'; such a prompt"):
        StaticModelEncoder(MODEL, prompts={"quary": "q: ", "Bankng77": "b: ", "query": "q: "})
    known = {"Banking77Classification": "b: ", "STS": "s: ", "Retrieval-query": "r: ", "passage": "p: "}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder = StaticModelEncoder(MODEL, prompts=known)
    expected = MODEL.encode(["p: " + text for text in WORDS])
    np.testing.assert_array_equal(encode(encoder, loader(WORDS), Finding, PromptType.document), expected)


def test_what_is_written_beside_results(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    meta = StaticModelEncoder(make_folder(folder)).mteb_model_meta
    assert (meta.name, meta.embed_dim, meta.n_parameters) == ("fastemb/model", 8, 280 * 8)
    assert meta.memory_usage_mb == 280 * 8 * 4 / 2**20
    assert (meta.use_instructions, meta.experiment_kwargs) == (True, None)
    changed = StaticModelEncoder(MODEL, "7", normalize=True, prompts={"query": "q: "}).mteb_model_meta
    assert (changed.name, changed.revision, changed.use_instructions) == ("fastemb/StaticModel", "7", True)
    assert changed.experiment_kwargs == {"normalize": True, "prompts": {"query": "q: "}}
    assert StaticModelEncoder(MODEL, "7", dim=3).mteb_model_meta.experiment_kwargs == {"dim": 3}
    table = fastemb.quantize(MODEL.table)
    meta = StaticModelEncoder((MODEL.tokenizer, table)).mteb_model_meta
    assert (meta.embed_dim, meta.memory_usage_mb) == (8, 280 * 8 / 2**20)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"model": "/nowhere"}, FileNotFoundError, "no model at /nowhere"),
        ({"device": "cuda"}, ValueError, "device must be None or 'cpu', got 'cuda'"),
        ({"prompts": {"query": 5}}, TypeError, "prompts must be a dict of str to str"),
        ({"prompts": "query"}, TypeError, "prompts must be a dict of str to str"),
        ({"normalize": "no"}, TypeError, "normalize must be a bool or None"),
        ({"dim": 9}, ValueError, "dim must be from 1 to 8"),
    ],
)
def test_parameters_are_checked(options, error, words):
    with pytest.raises(error, match=words):
        StaticModelEncoder(**{"model": MODEL, **options})

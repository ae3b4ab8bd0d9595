"""Folders of static models whose tokenizers are of words: model2vec's, and Sentence Transformers' as it reads them."""

import json

import numpy as np
import pytest
import safetensors.numpy
import tokenizers
from word_cases import VOCAB, document

import fastemb

TEXTS = [
    "Hello World, unaffable!",
    "",
    "qqq the zzz",
    "the " * 60,
    "[MASK] İ 中文 a-b",
    "worlds aff able " * 9,
]
STATIC = "sentence_transformers.sentence_transformer.modules.static_embedding.StaticEmbedding"
NORMALIZE, DENSE = "sentence_transformers.models.Normalize", "sentence_transformers.base.modules.dense.Dense"


LAYERED = 5e-6  # a layer multiplies what its input lacks, and adds what float32 loses in its own sums


def assert_close_rows(ours, theirs, tolerance=1e-6):
    """For each row, max|a - b| <= tolerance * max|b|."""
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    assert np.all(np.abs(ours - theirs).max(axis=1) <= tolerance * np.abs(theirs).max(axis=1))


def words(**changes):
    return json.dumps(document() | changes)


@pytest.fixture
def table():
    return np.random.default_rng(5).standard_normal((len(VOCAB), 8)).astype(np.float32)


@pytest.mark.parametrize(
    "config", [{}, {"normalize": True}, {"max_length": 7}, {"max_length": None, "normalize": False}]
)
def test_equal_to_model2vec(tmp_path, table, config):
    from model2vec import StaticModel

    (tmp_path / "tokenizer.json").write_text(words(padding=None, truncation=None))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "model2vec"} | config))
    safetensors.numpy.save_file({"embeddings": table}, tmp_path / "model.safetensors")
    theirs, ours = StaticModel.from_pretrained(str(tmp_path)), fastemb.StaticModel.load(tmp_path)
    limit = {} if "max_length" not in config else {"max_length": config["max_length"]}
    assert_close_rows(ours.encode(TEXTS), theirs.encode(TEXTS, **limit, use_multiprocessing=False))
    modules = [{"type": STATIC, "path": "."}, {"type": NORMALIZE, "path": "1_Normalize"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))  # as its maker writes it beside its own config
    assert np.array_equal(fastemb.StaticModel.load(tmp_path).encode(TEXTS), ours.encode(TEXTS))


# ---------------------------------------------------------------- Sentence Transformers


def write_modules(folder, table, kinds, tokenizer=None, config=None, activation="torch.nn.modules.activation.Tanh"):
    """Write a folder of modules "S", "N" and "D", and return the weights and biases of the latter."""
    modules, layers, width = [], [], table.shape[1]
    rng = np.random.default_rng(6)
    for place, kind in enumerate(kinds):
        home = folder / f"{place}_{kind}"
        home.mkdir()
        modules.append({"idx": place, "name": str(place), "path": home.name})
        modules[-1]["type"] = {"S": STATIC, "N": NORMALIZE, "D": DENSE}.get(kind, kind)
        if kind == "S":
            (home / "tokenizer.json").write_text(words() if tokenizer is None else tokenizer)
            safetensors.numpy.save_file({"embedding.weight": table}, home / "model.safetensors")
        if kind == "D":
            weight, bias = rng.standard_normal((width - 2, width)), rng.standard_normal(width - 2)
            layers.append((weight.astype(np.float32), bias.astype(np.float32)))
            (home / "config.json").write_text(json.dumps({"activation_function": activation}))
            tensors = dict(zip(("linear.weight", "linear.bias"), layers[-1], strict=True))
            safetensors.numpy.save_file(tensors, home / "model.safetensors")
            width -= 2
    (folder / "modules.json").write_text(json.dumps(modules))
    if config is not None:
        (folder / "config_sentence_transformers.json").write_text(json.dumps(config))
    return layers


def expected(table, layers, texts, length=None, normalize=False, activation=np.tanh):
    """What the modules make of texts, in float64; unknown words count."""
    rival = tokenizers.Tokenizer.from_str(words())
    vectors = []
    for text in texts:
        ids = rival.encode(text, add_special_tokens=False).ids[:length]
        vector = table[ids].astype(np.float64).sum(axis=0) / max(len(ids), 1)
        for weight, bias in layers:
            vector = activation(weight @ vector + bias)
        vectors.append(vector / (np.linalg.norm(vector) or 1) if normalize else vector)
    return np.array(vectors, np.float32)


@pytest.mark.parametrize("kinds", ["S", "SN", "SD", "SDN", "SDDN"])
@pytest.mark.parametrize("length", [None, 5])
def test_modules(tmp_path, table, kinds, length):
    padding = {"strategy": {"Fixed": 64}, "direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
    padding["pad_to_multiple_of"] = None
    cut = {"direction": "Right", "max_length": length, "strategy": "LongestFirst", "stride": 0}
    layers = write_modules(tmp_path, table, kinds, words(padding=padding, truncation=cut if length else None))
    model = fastemb.StaticModel.load(tmp_path)
    close = LAYERED if layers else 1e-6
    right = expected(table, layers, TEXTS, length, kinds[-1] == "N")
    assert_close_rows(model.encode(TEXTS), right, close)
    assert_close_rows(np.stack([model.encode(text) for text in TEXTS]), right, close)
    out = np.full(right.shape, np.nan, np.float32)
    assert model.encode(TEXTS, out=out) is out
    assert_close_rows(out, right, close)
    assert_close_rows(model.encode(TEXTS, normalize=False), expected(table, layers, TEXTS, length), close)
    assert_close_rows(model.encode(TEXTS, max_length=2), expected(table, layers, TEXTS, 2, kinds[-1] == "N"), close)
    few = fastemb.StaticModel.load(tmp_path, dim=2)
    assert_close_rows(few.encode(TEXTS, normalize=False), expected(table, layers, TEXTS, length)[:, :2], close)
    with pytest.raises(ValueError, match=rf"dim must be from 1 to {right.shape[1]}, got 9"):
        fastemb.StaticModel.load(tmp_path, dim=9)
    with pytest.raises(ValueError, match="out"):
        model.encode(TEXTS, out=np.empty((1, 1), np.float32))


@pytest.mark.parametrize(
    ("name", "function"), [("linear.Identity", lambda x: x), ("activation.ReLU", lambda x: x.clip(0))]
)
def test_activations(tmp_path, table, name, function):
    layers = write_modules(tmp_path, table, "SD", activation=f"torch.nn.modules.{name}")
    right = expected(table, layers, TEXTS, activation=function)
    ours = fastemb.StaticModel.load(tmp_path).encode(TEXTS)
    assert np.abs(ours - right).max() <= 1e-6 * np.abs(right).max()


def test_prompts(tmp_path, table):
    config = {"prompts": {"query": "the hello ", "document": "", "none": None}, "default_prompt_name": "query"}
    write_modules(tmp_path, table, "SN", config=config)
    model = fastemb.StaticModel.load(tmp_path)
    assert model.prompts == {"query": "the hello ", "document": "", "none": ""}

    def with_front(front):
        return expected(table, [], [front + text for text in TEXTS], normalize=True)

    assert_close_rows(model.encode(TEXTS), with_front("the hello "))
    assert_close_rows(model.encode(TEXTS, prompt_name="query"), with_front("the hello "))
    assert_close_rows(model.encode(TEXTS, prompt_name="document"), with_front(""))
    assert_close_rows(model.encode(tuple(TEXTS), prompt="a b: "), with_front("a b: "))
    assert_close_rows(model.encode(TEXTS[0], prompt="un")[np.newaxis], with_front("un")[:1])
    with pytest.raises(ValueError, match="prompt_name must be one of query, document, none, got 'other'"):
        model.encode(TEXTS, prompt_name="other")
    with pytest.raises(ValueError, match="prompt and prompt_name are given"):
        model.encode(TEXTS, prompt="a", prompt_name="query")
    with pytest.raises(TypeError, match="prompt must be a str or None, got int"):
        model.encode(TEXTS, prompt=3)
    with pytest.raises(TypeError, match="got int at position 1"):
        model.encode(["a", 1])


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("modules.json", "{}", "modules.json: expected a JSON list, got dict"),
        ("modules.json", "[]", "modules.json: it lists no module"),
        ("modules.json", "[3]", "a module is 3, not an object with a type and a path below the folder"),
        (
            "modules.json",
            '[{"type": "a.StaticEmbedding", "path": "../x"}]',
            "not an object with a type and a path below",
        ),
        (
            "modules.json",
            '[{"type": "a.b.Transformer", "path": ""}]',
            "its first module is Transformer, and only Static",
        ),
        (
            "modules.json",
            '[{"type": "StaticEmbedding", "path": "0_S"}, {"type": "m.WeightedLayerPooling", "path": ""}]',
            "not supported: the module WeightedLayerPooling",
        ),
        (
            "1_D/config.json",
            '{"activation_function": "torch.nn.modules.activation.GELU"}',
            "activation_function 'GELU'",
        ),
        ("1_D/config.json", '{"use_residual": true}', "not supported: use_residual = True of a Dense module"),
        ("config_sentence_transformers.json", '{"prompts": {"a": 3}}', "prompts must be texts by their names"),
        (
            "config_sentence_transformers.json",
            '{"prompts": {"a": ""}, "default_prompt_name": "b"}',
            r"default_prompt_name is 'b'; its prompts are \['a'\]",
        ),
        (
            "config_sentence_transformers.json",
            '{"truncate_dim": "3"}',
            "json: truncate_dim must be an integer of at least 1, got '3'",
        ),
        ("0_S/tokenizer.json", words(truncation={"max_length": 0}), "which has no max_length of at least 1"),
        (
            "0_S/tokenizer.json",
            words(truncation={"max_length": 3, "direction": "Left"}),
            "not supported: truncation with direction 'Left'",
        ),
    ],
)
def test_what_is_not_supported(tmp_path, table, file, content, message):
    write_modules(tmp_path, table, "SDN")
    (tmp_path / file).write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        fastemb.StaticModel.load(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_layers_that_do_not_fit(tmp_path, table):
    write_modules(tmp_path, table, "SD")
    safetensors.numpy.save_file({"linear.weight": np.zeros((3, 5), np.float32)}, tmp_path / "1_D/model.safetensors")
    with pytest.raises(ValueError, match="a Dense module takes 5 columns, and gets 8"):
        fastemb.StaticModel.load(tmp_path)
    safetensors.numpy.save_file({"other": np.zeros((3, 5), np.float32)}, tmp_path / "1_D/model.safetensors")
    with pytest.raises(ValueError, match=r"expected linear\.weight of two axes .* it holds \['other'\]"):
        fastemb.StaticModel.load(tmp_path)
    (tmp_path / "0_S/tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no tokenizer\.json"):
        fastemb.StaticModel.load(tmp_path)


@pytest.mark.parametrize("kinds", ["S", "SN", "SD", "SDN"])
@pytest.mark.parametrize("columns", [1, 3, 100])
def test_truncate_dim_cuts_behind_all_modules(tmp_path, table, kinds, columns):
    write_modules(tmp_path, table, kinds)
    whole = fastemb.StaticModel.load(tmp_path).encode(TEXTS)
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps({"truncate_dim": columns}))
    model = fastemb.StaticModel.load(tmp_path)
    assert_close_rows(model.encode(TEXTS), whole[:, :columns])
    assert_close_rows(model.encode(TEXTS[1])[np.newaxis], whole[1:2, :columns])
    assert_close_rows(model.encode(TEXTS, normalize=True), fastemb.normalize(np.ascontiguousarray(whole[:, :columns])))
    out = np.full_like(whole[:, :columns], np.nan)
    assert model.encode(TEXTS, out=out) is out
    assert_close_rows(out, whole[:, :columns])
    assert fastemb.StaticModel.load(tmp_path, dim=2).encode(TEXTS).shape == (len(TEXTS), 2)


@pytest.mark.parametrize("kinds", ["S", "SDN"])
def test_equal_to_sentence_transformers(tmp_path, table, kinds):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    config = {"prompts": {"query": "the "}, "default_prompt_name": "query"}
    write_modules(tmp_path, table, kinds, config=config)
    if "D" in kinds:
        (tmp_path / "1_D/config.json").write_text('{"in_features": 8, "out_features": 6}')
    theirs, ours = sentence_transformers.SentenceTransformer(str(tmp_path)), fastemb.StaticModel.load(tmp_path)
    assert_close_rows(ours.encode(TEXTS), theirs.encode(TEXTS), LAYERED)

"""TokenPositionEmbedding.from_bert of models in models, of kinds that are not BERT's, and of other libraries'."""

import types

import pytest

torch = pytest.importorskip("torch", reason="the package torch is not installed")

from fastemb.torch import TokenPositionEmbedding  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers
V, D = 40, 16
SIZES = {
    "vocab_size": V, "hidden_size": D, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8,
    "max_position_embeddings": 30, "pad_token_id": 1, "type_vocab_size": 2, "layer_norm_eps": 1e-3,
    "hidden_dropout_prob": 0.3,
}  # fmt: skip
IDS = torch.tensor([[1, 1, 7, 4, 5], [6, 4, 5, 1, 1]])
loaded = TokenPositionEmbedding.from_bert


def told(layer):
    return layer.numbering, layer.word_embeddings.padding_idx, layer.LayerNorm.eps, layer.dropout.p


@pytest.fixture
def transformers():
    return pytest.importorskip("transformers", reason="transformers is not installed")


def test_a_part_of_a_model_is_read_as_its_own_configuration_says(transformers):
    inner = transformers.RobertaModel(transformers.RobertaConfig(**SIZES))
    assert told(loaded(inner)) == told(loaded(inner.embeddings)) == ("roberta", 1, 1e-3, 0.3)
    assert told(loaded(torch.nn.ModuleDict({"encoder": inner}))) == ("roberta", 1, 1e-3, 0.3)
    assert told(loaded(torch.nn.ModuleDict({"embeddings": inner.embeddings}))) == ("roberta", 1, 1e-3, 0.3)
    both = transformers.EncoderDecoderModel(encoder=inner, decoder=transformers.BertLMHeadModel(
        transformers.BertConfig(**SIZES, is_decoder=True, add_cross_attention=True)))  # fmt: skip
    assert told(loaded(both, prefix="encoder.embeddings.")) == ("roberta", 1, 1e-3, 0.3)
    assert told(loaded(both, prefix="decoder.bert.embeddings."))[0] == "bert"


def test_a_model_that_is_evaluated_goes_on_being_evaluated(transformers):
    model = transformers.BertModel(transformers.BertConfig(**SIZES)).eval()
    assert not loaded(model.embeddings).training
    assert not loaded(model).dropout.training
    assert loaded(model.train()).training
    assert loaded(dict(model.state_dict())).training


@pytest.mark.parametrize("kind", ["luke", "big_bird", "rembert", "megatron-bert", "xlm-roberta"])
def test_other_kinds_of_models(transformers, kind):
    model = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(kind, **SIZES)).eval()
    for one in model.parameters():
        torch.nn.init.normal_(one, std=0.3)
    mask = torch.ones_like(IDS)
    expected = model(input_ids=IDS, attention_mask=mask).last_hidden_state
    model.embeddings = loaded(model)
    found = model(input_ids=IDS, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=3e-6)


@pytest.mark.parametrize("kind", ["nystromformer", "mra", "yoso"])
def test_positions_of_a_third_kind_are_refused(transformers, kind):
    model = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(kind, **SIZES))
    with pytest.raises(ValueError, match=f"does not know how {kind} numbers positions"):
        loaded(model)


@pytest.mark.parametrize("prefix", ["", "embeddings.", "model.embeddings."])
def test_tables_that_would_be_left_out_are_refused(prefix):
    state = {f"{prefix}{name}.weight": torch.ones(3, 2) for name in ("word_embeddings", "task_type_embeddings")}
    with pytest.raises(ValueError, match=f"no use for {prefix}task_type_embeddings.weight"):
        loaded(state)


def test_gpts_of_others(transformers):
    """nanoGPT's configuration is an object of its own; GPT-Neo's has another name for the dropout."""
    plain = torch.nn.ModuleDict({"wte": torch.nn.Embedding(5, 2), "wpe": torch.nn.Embedding(3, 2)})
    plain.config = types.SimpleNamespace(n_embd=2)
    assert loaded(plain).word_embeddings.weight is plain.wte.weight
    config = transformers.GPTNeoConfig(
        vocab_size=V, hidden_size=D, num_heads=2, num_layers=1, attention_types=[[["global"], 1]], embed_dropout=0.25
    )
    assert loaded(transformers.GPTNeoModel(config)).dropout.p == 0.25

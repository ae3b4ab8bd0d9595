"""What the tests of neighbours share: a small model, as an object and as a folder, and texts."""

import json

import numpy as np
from hypothesis import strategies as st

import fastemb

PROMPTS = {"query": "find: ", "passage": "text: "}  # a model's, in Sentence Transformers' words
WORDS = ["a warm loaf of bread", "the engine stalled", "", "two cups of flour", "naïve café 東京", "a" * 300]
TEXTS = st.lists(st.text(max_size=40), max_size=30)


def make_tokenizer():
    """Return a tokenizer of bytes and some merges."""
    return fastemb.Tokenizer.train(WORDS * 3, "bpe", 280)


def make_model(seed=0, **options):
    """Return a model of eight columns."""
    tokenizer = make_tokenizer()
    table = np.random.default_rng(seed).standard_normal((tokenizer.vocab_size, 8)).astype("f4")
    return fastemb.StaticModel(tokenizer, table, **options)


def make_folder(folder, prompts=PROMPTS):
    """Write a model as Sentence Transformers does, and return its folder."""
    from safetensors.numpy import save_file

    model = make_model()
    model.tokenizer.save(folder / "tokenizer.json", "tokenizer.json")
    save_file({"embedding.weight": model.table}, folder / "model.safetensors")
    kind = "sentence_transformers.models.StaticEmbedding"
    (folder / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": kind}]))
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))
    return folder

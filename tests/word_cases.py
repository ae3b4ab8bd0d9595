"""A small vocabulary of words in the form of a tokenizer.json."""

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ENGLISH = [
    "un",
    "##aff",
    "##able",
    "aff",
    "able",
    "hello",
    "world",
    "the",
    "##s",
    "i",
    "##i",
    "s",
    "a",
    "##a",
    "b",
    "##b",
]
CHARS = [*"abcxyzäéßσςαıå-.,=<", *"##", "中", "豈", "ᄀ", "##ᅡ", "##中", "가", "\u0903", "##\u0903", "ǆ", "##\u0307"]
VOCAB = dict.fromkeys([*SPECIAL, *ENGLISH, *CHARS, *(f"##{char}" for char in CHARS)])
BERT = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None}
UNCASED, CASED = BERT | {"lowercase": True}, BERT | {"lowercase": False}


def document(vocab=VOCAB, normalizer=UNCASED, added=SPECIAL, **model):
    """A tokenizer.json as BERT's, with some of it changed."""
    ids = {token: id for id, token in enumerate(vocab)}
    fields = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##"}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    model = fields | {"max_input_chars_per_word": 100, "vocab": ids} | model
    if model["type"] == "WordLevel":
        del model["continuing_subword_prefix"], model["max_input_chars_per_word"]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": ids[token], "content": token} | flags for token in added],
        "normalizer": normalizer,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", ids["[SEP]"]], "cls": ["[CLS]", ids["[CLS]"]]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": model,
    }

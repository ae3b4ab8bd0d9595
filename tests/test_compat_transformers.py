"""transformers over the drop-in for tokenizers: the same answers as over the package itself."""

import copy
import json
import pickle

import pytest
import tokenizers as theirs
import word_cases

from fastemb.compat import tokenizers as ours

pytest.importorskip("transformers", reason="transformers is not installed")
TEXT = "hello unaffable world, a b"


def made_of(folder):
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(folder)


CALLS = {
    "one text": lambda one, _: dict(one(TEXT)),
    "a batch": lambda one, _: dict(one([TEXT, "a b"], padding=True, truncation=True, max_length=5)),
    "a pair": lambda one, _: dict(one(TEXT, "a", return_offsets_mapping=True, return_special_tokens_mask=True)),
    "windows": lambda one, _: dict(one(TEXT, max_length=5, truncation=True, stride=1, return_overflowing_tokens=True)),
    "words": lambda one, _: one(TEXT).word_ids(),
    "split into words": lambda one, _: dict(one(["hello", "unaffable"], is_split_into_words=True)),
    "places": lambda one, _: (one([TEXT]).tokens(0), one([TEXT]).char_to_token(0, 7)),
    "tokens": lambda one, _: (one.tokenize(TEXT), one.convert_tokens_to_string(one.tokenize(TEXT))),
    "ids": lambda one, _: (
        one.convert_ids_to_tokens([7, 8]),
        one.convert_tokens_to_ids(["a"]),
        len(one),
        one.vocab_size,
    ),
    "decode": lambda one, _: [one.decode(one(TEXT).input_ids, skip_special_tokens=skip) for skip in (True, False)],
    "added": lambda one, _: (one.add_tokens(["newtok"]), one("a newtok [MASK]").input_ids),
    "special ones split": lambda one, _: one("a [MASK]", split_special_tokens=True).input_ids,
    "copies": lambda one, _: [
        each("a newtok").input_ids for each in (copy.deepcopy(one), pickle.loads(pickle.dumps(one)))
    ],
    "counts": lambda one, _: (one.num_special_tokens_to_add(), one.num_special_tokens_to_add(True)),
    "saved": lambda one, folder: (
        one.save_pretrained(folder),
        made_of(folder)("hello a").input_ids,
    )[1],
}


@pytest.mark.filterwarnings("ignore")  # of transformers' own import and of its older calls
def test_the_same_over_both(tmp_path):
    from transformers import PreTrainedTokenizerFast

    found = []
    for module in (theirs, ours):
        made = module.Tokenizer.from_str(json.dumps(word_cases.document()))
        one = PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]")
        assert type(one.backend_tokenizer) is module.Tokenizer
        found.append({name: call(one, tmp_path / module.__name__) for name, call in CALLS.items()})
    assert found[1] == found[0]

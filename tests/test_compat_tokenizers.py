"""fastemb.compat.tokenizers against tokenizers: encodings, decoding, parts and changes, of drawn files and of real ones;
what the owners' own tests ask for is among it, in other words."""

import json
from functools import cache

import pytest
import tokenizers as theirs
import word_cases
from component_files import TEXTS, engine, files
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from vocabularies import gpt2_folder, package_file

from fastemb.compat import tokenizers as ours

FIELDS = (
    "ids",
    "type_ids",
    "tokens",
    "offsets",
    "attention_mask",
    "special_tokens_mask",
    "word_ids",
    "sequence_ids",
    "n_sequences",
)
SAMPLES = [
    "",
    "hello world",
    "The quick brown fox, don't!",
    "  double  spaces ",
    "h\u00e9llo w\u00f6rld \u65e5\u672c\u8a9e 12345",
    "a</s>b <s> [SEP] x<|endoftext|>",
    "\n\ttabs\n",
    "unaffable \u2603 \U0001f600",
    "\u2581a b",
]


def gpt2_document():
    """GPT-2's files as a tokenizer.json, with trimmed offsets."""
    merges = (gpt2_folder() / "vocab.bpe").read_text("utf-8").split("\n")[1:]
    vocab = json.loads((gpt2_folder() / "encoder.json").read_bytes())
    made = theirs.Tokenizer(theirs.models.BPE(vocab, [tuple(line.split(" ")) for line in merges if line]))
    made.pre_tokenizer = theirs.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.post_processor = theirs.processors.ByteLevel(trim_offsets=True)
    made.decoder = theirs.decoders.ByteLevel()
    made.add_special_tokens(["<|endoftext|>"])
    return made.to_str()


def llama_document():
    return package_file("wordllama", "tokenizers", "l2_supercat_tokenizer_config.json").read_text("utf-8")


MAKERS = {"gpt2": gpt2_document, "llama2": llama_document, "bert": lambda: json.dumps(word_cases.document())}


@cache
def text_of(name):
    return MAKERS[name]()


@cache
def kept(name):
    return theirs.Tokenizer.from_str(text_of(name)), ours.Tokenizer.from_str(text_of(name))


def pair(name):
    """Both libraries' tokenizers of a file, with nothing set."""
    for one in kept(name):
        one.no_padding()
        one.no_truncation()
    return kept(name)


def seen(encoding, deep=True):
    """All that an encoding says, as far as the windows behind it."""
    found = {name: getattr(encoding, name) for name in FIELDS} | {"length": len(encoding)}
    tokens, chars, sides = range(len(encoding) + 2), range(12), (0, 1)
    for name in ("token_to_sequence", "token_to_chars", "token_to_word"):
        found[name] = [getattr(encoding, name)(at) for at in tokens]
    for name in ("char_to_token", "char_to_word", "word_to_tokens", "word_to_chars"):
        found[name] = [getattr(encoding, name)(at, side) for at in chars for side in sides]
    if deep:
        found["overflowing"] = [seen(one, False) for one in encoding.overflowing]
    return found


def outcome(function, *arguments, **options):
    """What a call returns, or None where it raises or panics."""
    try:
        return function(*arguments, **options)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return None


# Encoding --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("special", [True, False])
def test_samples(name, special):
    them, us = pair(name)
    expected = them.encode_batch(SAMPLES, add_special_tokens=special)
    for batch in (us.encode_batch, us.encode_batch_fast):
        for one, other in zip(batch(SAMPLES, add_special_tokens=special), expected, strict=True):
            assert seen(one) == seen(other)
    for text, other in zip(SAMPLES, expected, strict=True):
        one = us.encode(text, add_special_tokens=special)
        assert seen(one) == seen(other)
        assert repr(one) == repr(other)
        assert us.decode(one.ids) == them.decode(other.ids)
        assert us.decode(one.ids, skip_special_tokens=False) == them.decode(other.ids, skip_special_tokens=False)
    rows = [one.ids for one in expected]
    assert us.decode_batch(rows) == them.decode_batch(rows)


SIDES = st.sampled_from(["right", "left"])
CUTS = st.fixed_dictionaries(
    {
        "max_length": st.sampled_from([0, 1, 2, 3, 4, 5, 8, 12]),
        "stride": st.integers(0, 1),
        "strategy": st.sampled_from(["longest_first", "only_first", "only_second"]),
        "direction": SIDES,
    }
)
FILLS = st.fixed_dictionaries(
    {
        "direction": SIDES,
        "pad_id": st.sampled_from([0, 7]),
        "pad_type_id": st.sampled_from([0, 3]),
        "pad_token": st.just("[PD]"),
        "length": st.sampled_from([None, 4, 10]),
        "pad_to_multiple_of": st.sampled_from([None, 4]),
    }
)


@pytest.mark.parametrize("name", MAKERS)
@settings(deadline=None, max_examples=40)
@given(data=st.data(), cut=st.none() | CUTS, fill=st.none() | FILLS, special=st.booleans(), words=st.booleans())
def test_cut_and_filled_up(name, data, cut, fill, special, words):
    them, us = pair(name)
    one = st.sampled_from(SAMPLES).map(lambda text: text.split(" ") if words else text)
    batch = data.draw(st.lists(one | st.tuples(one, one), min_size=1, max_size=4))
    if cut is not None:
        set_by = [outcome(lambda tokenizer=tokenizer: [tokenizer.enable_truncation(**cut)]) for tokenizer in (them, us)]
        assert set_by[0] == set_by[1]
        assert us.truncation == them.truncation
    if fill is not None:
        them.enable_padding(**fill)
        us.enable_padding(**fill)
        assert us.padding == them.padding
    how = {"is_pretokenized": words, "add_special_tokens": special}
    expected, found = outcome(them.encode_batch, batch, **how), outcome(us.encode_batch, batch, **how)
    if expected is None:  # refused, or a panic, of strides that leave no step: ours comes where windows are asked for
        assert found is None or (cut is not None and cut["stride"])
        return
    # Of a pair one text of which has no room for an id, what was cut off is all of it, once.
    added = us.num_special_tokens_to_add(True) if special else 0
    tight = cut is not None and cut["max_length"] - added < 2
    for given_text, mine, other in zip(batch, found, expected, strict=True):
        deep = not (tight and isinstance(given_text, tuple))
        assert seen(mine, deep) == seen(other, deep)
    single = batch[0] if isinstance(batch[0], tuple) else (batch[0],)
    mine, other = (outcome(tokenizer.encode, *single, **how) for tokenizer in (us, them))
    assert other is None or seen(mine, not tight) == seen(other, not tight)


@settings(deadline=None, max_examples=40)
@given(document=files(), texts=st.lists(TEXTS, min_size=1, max_size=4), special=st.booleans(), plain=st.booleans())
def test_drawn_files(document, texts, special, plain):
    them = engine(document)
    us = outcome(ours.Tokenizer.from_str, json.dumps(document))
    assume(them is not None and us is not None)
    them.encode_special_tokens = us.encode_special_tokens = plain
    expected = outcome(them.encode_batch, texts, add_special_tokens=special)
    assume(expected is not None)
    for one, other in zip(us.encode_batch(texts, add_special_tokens=special), expected, strict=True):
        for name in ("ids", "offsets", "word_ids", "tokens"):
            assert getattr(one, name) == getattr(other, name), name
        for skip in (True, False):
            text = outcome(them.decode, other.ids, skip_special_tokens=skip)
            assert text is None or us.decode(one.ids, skip_special_tokens=skip) == text

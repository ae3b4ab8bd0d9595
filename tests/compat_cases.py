"""Real files in both libraries' tokenizers, and all that an encoding says."""

import json
from functools import cache

import tokenizers as theirs
import word_cases
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
    "\U0001f44d\u65e5 ab",
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

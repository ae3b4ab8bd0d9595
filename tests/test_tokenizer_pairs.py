"""A vocab.json with its merges.txt, and the settings of transformers beside them."""

import gzip
import json
import re
import shutil

import pytest
import tokenizers
import vocabularies
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

import fastemb
from fastemb._text import pair_files
from fastemb._text.bpe_model import check_vocab
from fastemb._text.pair_families import FAMILIES

LETTERS = [vocabularies.spelled(bytes([byte])) for byte in range(256)]
MERGES = [("h", "e"), ("l", "l"), ("he", "ll"), ("\u0120", "w"), ("\u00c3", "\u00a9")]
TEXTS = [
    "hello world <s>x</s> [SEP]",
    " hello  hello",
    "caf\u00e9 12345 <mask> it's",
    "<|endoftext|>he<|startoftranscript|>",
    "<x><y> <|im_start|>hell",
    "",
]
QWEN2 = vocabularies.PATTERNS["qwen2"]
CLIP = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def small_vocab(*more, suffix=""):
    """Bytes, the merges, and `more`; with a suffix also what ends words."""
    merges = [*MERGES, ("hell", "o" + suffix)]
    ends = [letter + suffix for letter in LETTERS if suffix]
    names = [*LETTERS, *ends, *more, *(left + right for left, right in merges)]
    return {name: id for id, name in enumerate(dict.fromkeys(names))}, merges


def write_pair(folder, vocab, merges, *, head="#version: 0.2\n", **files):
    folder.mkdir(exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocab), "utf-8")
    (folder / "merges.txt").write_text(head + "".join(f"{left} {right}\n" for left, right in merges), "utf-8")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), "utf-8")
    return folder


# ---------------------------------------------------------------- each class, as its maker builds it


def engine(vocab, merges, *, pre_tokenizer=None, normalizer=None, post=None, decoder=None, **settings):
    one = tokenizers.Tokenizer(models.BPE(vocab, merges, **settings))
    one.pre_tokenizer = pre_tokenizer or pre_tokenizers.ByteLevel(add_prefix_space=False)
    one.decoder = decoder or decoders.ByteLevel()
    if normalizer is not None:
        one.normalizer = normalizer
    return one


def add(one, *contents):
    one.add_special_tokens([AddedToken(content, normalized=False, special=True) for content in contents])
    return one


def roberta(vocab, merges):
    one = add(engine(vocab, merges), "<s>", "</s>", "<unk>", "<pad>", "<mask>")
    ends = [(content, one.token_to_id(content)) for content in ("</s>", "<s>")]
    one.post_processor = processors.RobertaProcessing(*ends, trim_offsets=True, add_prefix_space=False)
    return one


def codegen(vocab, merges):
    one = add(engine(vocab, merges), "<|endoftext|>")
    one.post_processor = processors.ByteLevel(add_prefix_space=True, trim_offsets=False)
    return one


def deberta(vocab, merges):
    one = add(engine(vocab, merges), "[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]")
    one.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A:0 [SEP] [SEP] $B:0 [SEP]",
        special_tokens=[(content, one.token_to_id(content)) for content in ("[CLS]", "[SEP]")],
    )
    return one


def whisper(vocab, merges):
    one = add(engine(vocab, merges), "<|endoftext|>")
    names = ("<|startoftranscript|>", "<|notimestamps|>", "<|endoftext|>")
    one.post_processor = processors.TemplateProcessing(
        single=f"{names[0]} {names[1]} $A {names[2]}",
        pair=f"{names[0]} {names[1]} $A $B:1 {names[2]}:1",
        special_tokens=[(content, one.token_to_id(content)) for content in names],
    )
    return one


def qwen2(vocab, merges):
    steps = [
        pre_tokenizers.Split(Regex(QWEN2), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
    one = engine(vocab, merges, normalizer=normalizers.NFC(), pre_tokenizer=pre_tokenizers.Sequence(steps))
    return add(one, "<|endoftext|>")


def neox(vocab, merges):
    return add(engine(vocab, merges, normalizer=normalizers.NFC()), "<|endoftext|>", "<|padding|>")


def cohere(vocab, merges):
    steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    one = engine(vocab, merges, normalizer=normalizers.NFC(), pre_tokenizer=pre_tokenizers.Sequence(steps))
    names = ["<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<UNK>", "<SEP>", "<PAD>", "<CLS>", "<MASK_TOKEN>"]
    return add(one, *names)


def clip(vocab, merges):
    steps = [
        pre_tokenizers.Split(Regex(CLIP), "removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ]
    cleaned = [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    settings = {"unk_token": "<|endoftext|>", "end_of_word_suffix": "</w>"}
    one = engine(
        vocab,
        merges,
        normalizer=normalizers.Sequence(cleaned),
        pre_tokenizer=pre_tokenizers.Sequence(steps),
        **settings,
    )
    add(one, "<|startoftext|>", "<|endoftext|>")
    ends = [(content, one.token_to_id(content)) for content in ("<|endoftext|>", "<|startoftext|>")]
    one.post_processor = processors.RobertaProcessing(*ends, trim_offsets=False, add_prefix_space=False)
    return one


def of_words(lowercase, strip_accents):
    def build(vocab, merges):
        return engine(
            vocab,
            merges,
            normalizer=normalizers.BertNormalizer(lowercase=lowercase, strip_accents=strip_accents),
            pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
            decoder=decoders.BPEDecoder(suffix="</w>"),
            unk_token="<unk>",
            end_of_word_suffix="</w>",
        )

    return build


def openai_gpt(vocab, merges):
    return add(of_words(True, None)(vocab, merges), "<unk>")


def herbert(vocab, merges):
    one = add(of_words(False, False)(vocab, merges), "<unk>", "</s>", "<pad>", "<s>", "<mask>")
    one.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 0))
    return one


ENDS = ("<|startoftranscript|>", "<|notimestamps|>")
CLASSES = {  # how it is built, tokens that its vocabulary has, and the suffix of words
    "GPT2Tokenizer": (lambda vocab, merges: add(engine(vocab, merges), "<|endoftext|>"), (), ""),
    "RobertaTokenizer": (roberta, (), ""),
    "BartTokenizer": (roberta, ("<mask>", "</s>", "<s>"), ""),
    "LongformerTokenizer": (roberta, (), ""),
    "LEDTokenizer": (roberta, (), ""),
    "MvpTokenizer": (roberta, (), ""),
    "CodeGenTokenizer": (codegen, ("<|endoftext|>",), ""),
    "DebertaTokenizer": (deberta, (), ""),
    "WhisperTokenizer": (whisper, (*ENDS, "<|endoftext|>"), ""),
    "Qwen2Tokenizer": (qwen2, (), ""),
    "GPTNeoXTokenizer": (neox, (), ""),
    "CohereTokenizer": (cohere, (), ""),
    "CLIPTokenizer": (clip, ("<|startoftext|>", "<|endoftext|>"), "</w>"),
    "OpenAIGPTTokenizer": (openai_gpt, ("<unk>",), "</w>"),
    "HerbertTokenizer": (herbert, ("<unk>", "</s>", "<s>"), "</w>"),
}


def test_all_classes_are_tried():
    assert CLASSES.keys() == FAMILIES.keys()


def components(text):
    """The parts of a file that say what it does, without what both leave open."""
    data = json.loads(text)
    data["model"] = {name: value or None for name, value in data["model"].items()}
    data["added_tokens"].sort(key=lambda token: token["id"])
    if (post := data["post_processor"]) and post["type"] == "TemplateProcessing":
        post["special_tokens"] = dict(sorted(post["special_tokens"].items()))
    return {name: value for name, value in data.items() if name not in ("truncation", "padding")}


def as_file(folder, name, merges):
    """The tokenizer.json that a folder stands for, as `tokenizers` reads it."""
    vocab = check_vocab(json.loads((folder / "vocab.json").read_text("utf-8")))
    data = pair_files.document(name, vocab, *pair_files.read_settings(folder))
    data["model"]["merges"] = [list(merge) for merge in merges]
    return tokenizers.Tokenizer.from_str(json.dumps(data))


@pytest.mark.parametrize("name", CLASSES)
def test_components(name, tmp_path):
    build, more, suffix = CLASSES[name]
    vocab, merges = small_vocab(*more, suffix=suffix)
    folder = write_pair(tmp_path / name, vocab, merges, tokenizer_config={"tokenizer_class": name + "Fast"})
    assert pair_files.named_class(folder) == name
    expected = build(vocab, merges)
    assert components(as_file(folder, name, merges).to_str()) == components(expected.to_str())


@pytest.mark.parametrize("name", CLASSES)
def test_ids(name, tmp_path):
    build, more, suffix = CLASSES[name]
    vocab, merges = small_vocab(*more, suffix=suffix)
    folder = write_pair(tmp_path / name, vocab, merges, tokenizer_config={"tokenizer_class": name})
    hf, ours = build(vocab, merges), fastemb.Tokenizer.load(folder)
    for text in TEXTS:
        expected, plain = hf.encode(text).ids, hf.encode(text, add_special_tokens=False).ids
        if expected != plain:
            assert ours.encode(text, special="all", template=True).tolist() == expected
        assert ours.encode(text, special="all").tolist() == plain
        assert ours.decode(plain) == hf.decode(plain, skip_special_tokens=False)
    ours.save(folder / "saved")
    again = fastemb.Tokenizer.load(folder / "saved")
    assert again.encode(TEXTS[0], special="all").tolist() == ours.encode(TEXTS[0], special="all").tolist()


# ---------------------------------------------------------------- settings


def loaded(tmp_path, more=(), **files):
    vocab, merges = small_vocab(*more)
    folder = write_pair(tmp_path / "pair", vocab, merges, **files)
    return fastemb.Tokenizer.load(folder), vocab


def gpt2_config(**settings):
    return {"tokenizer_class": "GPT2Tokenizer"} | settings


def test_bos_and_eos(tmp_path):
    ours, vocab = loaded(tmp_path, tokenizer_config=gpt2_config(add_bos_token=True, add_eos_token=True))
    end = len(vocab)
    assert ours.special_tokens == {"<|endoftext|>": end}
    assert ours.encode("he", template=True).tolist() == [end, vocab["he"], end]
    assert ours.encode("he").tolist() == [vocab["he"]]
    ours, _ = loaded(tmp_path, tokenizer_config=gpt2_config(add_bos_token=True, bos_token=None))
    with pytest.raises(ValueError, match="template"):
        ours.encode("he", template=True)


def test_space_in_front(tmp_path):
    ours, vocab = loaded(tmp_path, tokenizer_config=gpt2_config(add_prefix_space=True))
    assert ours.encode("w").tolist() == [vocab["\u0120w"]]


def test_tokens_of_the_settings(tmp_path):
    token = {"__type": "AddedToken", "content": "<x>", "lstrip": False, "normalized": False, "rstrip": False}
    config = gpt2_config(
        unk_token="<u>",
        eos_token=token,
        bos_token=None,
        pad_token=None,
        additional_special_tokens=["<y>", "<x>"],
        image_token="<img>",
    )
    ours, vocab = loaded(tmp_path, tokenizer_config=config)
    size = len(vocab)
    assert ours.special_tokens == {"<x>": size, "<u>": size + 1, "<img>": size + 2, "<y>": size + 3}


def test_ids_of_the_settings(tmp_path):
    """They are kept, gaps and all; those without one come behind the last."""
    flags = dict.fromkeys(("lstrip", "rstrip", "single_word"), False)
    decoder = {
        "300": {"content": "<x>", "special": True, "normalized": False} | flags,
        "1000": {"content": "<plain>", "special": False, "normalized": True} | flags,
    }
    config = gpt2_config(added_tokens_decoder=decoder, extra_special_tokens={"one": "<one>"})
    ours, vocab = loaded(tmp_path, tokenizer_config=config)
    assert ours.special_tokens == {"<x>": 300, "<|endoftext|>": 1001, "<one>": 1002}
    assert ours.encode("<plain>he<x>").tolist() == [1000, vocab["he"], *map(vocab.get, "<x>")]


def test_older_files(tmp_path):
    """Special tokens and the ids of added ones were files by themselves."""
    ours, _ = loaded(
        tmp_path,
        tokenizer_config=gpt2_config(eos_token="<other>", bos_token=None, unk_token=None),
        special_tokens_map={"eos_token": "<end>", "additional_special_tokens": ["<x>"]},
        added_tokens={"<x>": 400, "word": 401, "<end>": 402},
    )
    assert ours.special_tokens == {"<x>": 400, "<end>": 402}
    assert ours.encode("word<x>", special="all").tolist() == [401, 400]


def test_a_given_pattern_comes_first(tmp_path):
    vocab, merges = small_vocab()
    folder = write_pair(tmp_path / "pair", vocab, merges, tokenizer_config={"tokenizer_class": "Unheard"})
    assert fastemb.Tokenizer.load(folder, "gpt2").encode("hell").tolist() == [vocab["hell"]]
    with pytest.raises(
        ValueError, match=r"tokenizer_config\.json: the tokenizer_class 'Unheard' is not known, .*GPT2Tok"
    ):
        fastemb.Tokenizer.load(folder)
    (folder / "tokenizer_config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"vocab\.json and merges\.txt do not say how text is cut"):
        fastemb.Tokenizer.load(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps(gpt2_config()))
    with pytest.raises(ValueError, match="brings its own special tokens"):
        fastemb.Tokenizer.load(folder, special_tokens={"<x>": 999})


def test_merges_without_a_version(tmp_path):
    vocab, merges = small_vocab()
    folder = write_pair(tmp_path / "pair", vocab, merges, head="", tokenizer_config=gpt2_config())
    assert fastemb.Tokenizer.load(folder).encode("hell").tolist() == [vocab["hell"]]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"tokenizer_config": gpt2_config(eos_token=7)}, "tokenizer_config.json: as GPT2Tokenizer: eos_token is '7'"),
        ({"tokenizer_config": gpt2_config(eos_token={"content": ""})}, "as GPT2Tokenizer: eos_token is "),
        ({"tokenizer_config": gpt2_config(additional_special_tokens=[3])}, "a special token is '3', no token"),
        ({"tokenizer_config": gpt2_config(added_tokens_decoder={"-1": {"content": "x"}})}, "has the id '-1'"),
        ({"tokenizer_config": gpt2_config(added_tokens_decoder={"1": {"content": "<x>"}})}, "<x>' has the id 1, which"),
        ({"tokenizer_config": {"tokenizer_class": "WhisperTokenizer"}}, "needs the token '<|startoftranscript|>'"),
        (
            {"tokenizer_config": {"tokenizer_class": "WhisperTokenizer", "language": "de"}},
            "not supported yet: Whisper's language 'de' in tokenizer_config.json",
        ),
        ({"tokenizer_config": {"tokenizer_class": "RobertaTokenizer", "cls_token": None}}, "it needs a cls_token"),
        (
            {"tokenizer_config": gpt2_config(), "special_tokens_map": [1]},
            "special_tokens_map.json: expected a JSON obj",
        ),
        ({"tokenizer_config": gpt2_config(), "added_tokens": {"x": "y"}}, "an added token has the id 'y'"),
    ],
)
def test_damaged_settings(files, message, tmp_path):
    vocab, merges = small_vocab()
    folder = write_pair(tmp_path / "pair", vocab, merges, **files)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        fastemb.Tokenizer.load(folder)
    assert str(caught.value).startswith(str(folder))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("merges.txt", "h e l\n", r"merges\.txt: damaged merge list: merge 0, 'h e l', is not a pair"),
        ("merges.txt", "h q\nx\n", r"merges\.txt: damaged merge list: merge 1, 'x', is not a pair"),
        ("merges.txt", "h q\n", r"merges\.txt: damaged merge list: merge 0, 'h q', needs 'hq', which is not in"),
        ("vocab.json", "[]", r"vocab\.json: expected a JSON object"),
        ("vocab.json", '{"a": -1}', r"vocab\.json: damaged vocabulary: token 'a' has the id -1"),
        ("tokenizer_config.json", "{", r"tokenizer_config\.json: not valid JSON"),
    ],
)
def test_damaged_pairs(file, content, message, tmp_path):
    vocab, merges = small_vocab()
    folder = write_pair(tmp_path / "pair", vocab, merges, tokenizer_config=gpt2_config())
    (folder / file).write_text(content)
    with pytest.raises(ValueError, match=message):
        fastemb.Tokenizer.load(folder)


# ---------------------------------------------------------------- real ones


def test_gpt2(tmp_path, gpt2_folder):
    """The pair is GPT-2's own two files under other names."""
    for name, source in (("vocab.json", "encoder.json"), ("merges.txt", "vocab.bpe")):
        shutil.copy(gpt2_folder / source, tmp_path / name)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(gpt2_config(model_max_length=1024)))
    ours, own = fastemb.Tokenizer.load(tmp_path), fastemb.Tokenizer.load(gpt2_folder)
    for text in TEXTS:
        assert ours.encode(text, special="all").tolist() == own.encode(text, special="all").tolist()
    assert ours.special_tokens == own.special_tokens


# ---------------------------------------------------------------- CLIP's own list

FIRST = '"bpe_simple_vocab_16e6.txt#version: 0.2'


def clip_engine(merges):
    letters = sorted(LETTERS)
    made = [left + right for left, right in merges]
    names = [*letters, *(letter + "</w>" for letter in letters), *made, "<|startoftext|>", "<|endoftext|>"]
    return clip({name: id for id, name in enumerate(names)}, merges)


@pytest.mark.parametrize("name", ["bpe_simple_vocab_16e6.txt.gz", "list.txt"])
def test_clip_list(name, tmp_path):
    merges = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o</w>"), ("\u00c3", "\u00a9</w>")]
    text = "\n".join([FIRST, *(" ".join(merge) for merge in merges), ""])
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    ours, hf = fastemb.Tokenizer.load(tmp_path / name), clip_engine(merges)
    assert ours.special_tokens == {"<|startoftext|>": 517, "<|endoftext|>": 518}
    for text in TEXTS:
        assert ours.encode(text, special="all", template=True).tolist() == hf.encode(text).ids
    assert ours.encode("Hello  CAF\u00c9").tolist() == [515, *hf.encode("caf\u00e9", add_special_tokens=False).ids]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["h e l"], "damaged merge list: merge 0, 'h e l', is not a pair"),
        (["h e", "h e"], "damaged merge list: two of its merges make the same token"),
        (["h e", "q hh"], "damaged merge list: merge 1, 'q hh', needs 'hh', which is not in the vocabulary"),
    ],
)
def test_damaged_clip_lists(lines, message, tmp_path):
    file = tmp_path / "list.txt.gz"
    file.write_bytes(gzip.compress("\n".join([FIRST, *lines]).encode()))
    with pytest.raises(ValueError, match=message) as caught:
        fastemb.Tokenizer.load(file)
    assert str(caught.value).startswith(str(file))
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ValueError, match=f"{file}: damaged merge list: "):
        fastemb.Tokenizer.load(file)
    with pytest.raises(ValueError, match="CLIP's merge list brings its own pattern"):
        fastemb.Tokenizer.load(file, "gpt2")


def test_real_clip_list():
    """The published list, against `tokenizers` with the same merges."""
    try:
        file = vocabularies.package_file("open_clip", "bpe_simple_vocab_16e6.txt.gz")
    except vocabularies.MissingVocabularyError as error:
        pytest.skip(str(error))
    lines = gzip.decompress(file.read_bytes()).decode().split("\n")[1:48_895]
    ours, hf = fastemb.Tokenizer.load(file), clip_engine([tuple(line.split(" ")) for line in lines])
    assert ours.special_tokens == {"<|startoftext|>": 49_406, "<|endoftext|>": 49_407}
    for text in [*TEXTS, "A photo of a cat, 2 dogs & the Eiffel\u00a0Tower!\n"]:
        assert ours.encode(text, special="all", template=True).tolist() == hf.encode(text).ids

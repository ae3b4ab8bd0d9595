"""What docstrings say under Raises: each promise is kept by a call, and what calls raise is promised."""

import base64
import inspect
import json
import re

import numpy as np
import pytest
from arrays import codes_of

import fastemb
from fastemb import QuantizedTable, Ragged, _threads

TABLE, X, IDS = np.ones((5, 4), "f4"), np.ones((2, 3, 4), "f4"), [[0, 1, 2], [3, 4, 0]]
GRAD, CODES, RAGGED = np.ones((2, 4), "f4"), codes_of(TABLE), Ragged([0, 1], [0, 2])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder, a tokenizer of all bytes, and a model over it."""
    folder = tmp_path_factory.mktemp("raises")
    lines = [b"%s %d\n" % (base64.b64encode(bytes([byte])), byte) for byte in range(256)]
    (folder / "ranks").write_bytes(b"".join(lines))
    (folder / "model").mkdir()
    (folder / "latin").write_bytes(b"\xe9")
    (folder / "broken.json").write_text(json.dumps({"model": {"type": "BPE"}}))
    tokens = fastemb.Tokenizer.load(folder / "ranks", "gpt2", special_tokens={"<s>": 256})
    return folder, tokens, fastemb.StaticModel(tokens, np.ones((257, 2), "f4"))


def word_file(folder):
    """Write two words and their vectors."""
    (folder / "words.txt").write_text("2 2\none 1 0\ntwo 0 1\n")
    return folder / "words.txt"


#: Of each public function: what it raises, and calls that make it, given a world.
PROMISES = {
    "SGD": {
        TypeError: [lambda w: fastemb.SGD("fast")],
        ValueError: [lambda w: fastemb.SGD(-1.0), lambda w: fastemb.SGD(nesterov=True)],
    },
    "Adagrad": {
        TypeError: [lambda w: fastemb.Adagrad(row_wise="no")],
        ValueError: [lambda w: fastemb.Adagrad(lr_decay=-1.0)],
    },
    "Adam": {
        TypeError: [lambda w: fastemb.Adam(betas=0.9)],
        ValueError: [lambda w: fastemb.Adam(betas=(0.9, 1.0)), lambda w: fastemb.Adam(eps=-1.0)],
    },
    "AdamW": {
        TypeError: [lambda w: fastemb.AdamW(weight_decay="no")],
        ValueError: [lambda w: fastemb.AdamW(weight_decay=-1.0)],
    },
    "gather": {
        IndexError: [lambda w: fastemb.gather(TABLE, [5]), lambda w: fastemb.gather(TABLE[:0], [0], mode="clip")],
        TypeError: [lambda w: fastemb.gather(TABLE, [0.5]), lambda w: fastemb.gather(TABLE, RAGGED)],
        ValueError: [lambda w: fastemb.gather(TABLE, [0], mode="up"), lambda w: fastemb.gather(TABLE, [[0], [1, 2]])],
    },
    "embed": {
        IndexError: [
            lambda w: fastemb.embed(TABLE, [5]),
            lambda w: fastemb.embed(TABLE, [0], segments=TABLE, segment_ids=[5], mode="clip"),
        ],
        TypeError: [lambda w: fastemb.embed(TABLE, [0], norm=0.5), lambda w: fastemb.embed(TABLE, IDS, mask=X[..., 0])],
        ValueError: [
            lambda w: fastemb.embed(TABLE, IDS, positions=TABLE[:2]),
            lambda w: fastemb.embed(TABLE, RAGGED, mask=[1, 1]),
            lambda w: fastemb.embed(TABLE, [0], norm=fastemb.RMSNorm(TABLE[0], -1.0)),
        ],
    },
    "embed_backward": {
        IndexError: [lambda w: fastemb.embed_backward(X, TABLE[:2], IDS)],
        TypeError: [
            lambda w: fastemb.embed_backward(None, TABLE, IDS),
            lambda w: fastemb.embed_backward(X, TABLE, IDS, padding_idx=0.5),
            lambda w: fastemb.embed_backward(X, TABLE, IDS, scale_grad_by_freq="no"),
        ],
        ValueError: [lambda w: fastemb.embed_backward(GRAD, TABLE, IDS)],
    },
    "row_grad": {
        IndexError: [lambda w: fastemb.row_grad([0, -1], GRAD), lambda w: fastemb.row_grad([0, 2**63], GRAD)],
        TypeError: [
            lambda w: fastemb.row_grad([0, 1], GRAD, padding_idx="0"),
            lambda w: fastemb.row_grad([0, 1], GRAD, scale_grad_by_freq="no"),
        ],
        ValueError: [lambda w: fastemb.row_grad([0], GRAD), lambda w: fastemb.row_grad([[0], [1, 2]], GRAD)],
    },
    "scatter_add": {
        IndexError: [lambda w: fastemb.scatter_add(TABLE, [5, 0], GRAD)],
        TypeError: [lambda w: fastemb.scatter_add(CODES, [0, 1], GRAD)],
        ValueError: [
            lambda w: fastemb.scatter_add(TABLE, [0], GRAD),
            lambda w: fastemb.scatter_add(TABLE, [0, 1], GRAD, alpha=10**400),
        ],
    },
    "embedding_bag": {
        IndexError: [lambda w: fastemb.embedding_bag(TABLE, [[5]])],
        TypeError: [
            lambda w: fastemb.embedding_bag(TABLE, IDS, padding_idx=True),
            lambda w: fastemb.embedding_bag(TABLE, IDS, weights=[["a"] * 3] * 2),
            lambda w: fastemb.embedding_bag(TABLE, IDS, normalize="no"),
        ],
        ValueError: [
            lambda w: fastemb.embedding_bag(TABLE, [0, 1]), lambda w: fastemb.embedding_bag(TABLE, [0, 1], [0, 1]),
            lambda w: fastemb.embedding_bag(TABLE, RAGGED, [0, 2]),
            lambda w: fastemb.embedding_bag(TABLE, IDS, mode="max", weights=np.ones((2, 3))),
        ],
    },
    "embedding_bag_backward": {
        IndexError: [lambda w: fastemb.embedding_bag_backward(GRAD, TABLE[:2], IDS)],
        TypeError: [
            lambda w: fastemb.embedding_bag_backward(None, TABLE, IDS),
            lambda w: fastemb.embedding_bag_backward(GRAD, TABLE, IDS, scale_grad_by_freq="no"),
        ],
        ValueError: [lambda w: fastemb.embedding_bag_backward(X, TABLE, IDS)],
    },
    "pool": {
        TypeError: [lambda w: fastemb.pool(X.astype(int)), lambda w: fastemb.pool(X, lengths=[0.5, 1])],
        ValueError: [
            lambda w: fastemb.pool(X, [[1] * 3] * 2, lengths=[1, 1]), lambda w: fastemb.pool(X, lengths=[4, 0]),
            lambda w: fastemb.pool(TABLE),
        ],
    },
    "pool_backward": {
        TypeError: [lambda w: fastemb.pool_backward(None, X)],
        ValueError: [lambda w: fastemb.pool_backward(X, X)],
    },
    "prefetch": {
        IndexError: [lambda w: fastemb.prefetch(TABLE, [5])],
        TypeError: [lambda w: fastemb.prefetch(TABLE, [0.5]), lambda w: fastemb.prefetch([[1.0]], [0])],
        ValueError: [lambda w: fastemb.prefetch(TABLE, [[0], [1, 2]]), lambda w: fastemb.prefetch(TABLE[0, 0, ...], 0)],
    },
    "normalize": {
        TypeError: [lambda w: fastemb.normalize([1.0]), lambda w: fastemb.normalize(np.ma.ones(3))],
        ValueError: [lambda w: fastemb.normalize(np.array(1.0)), lambda w: fastemb.normalize(TABLE, out=TABLE[::-1])],
    },
    "rope": {
        TypeError: [lambda w: fastemb.rope(X, base="1"), lambda w: fastemb.rope(X, inverse="no")],
        ValueError: [
            lambda w: fastemb.rope(X[..., :3]), lambda w: fastemb.rope(X, base=10**400),
            lambda w: fastemb.rope(X, inv_freq=[1.0]), lambda w: fastemb.rope(X, inv_freq=[1.0, np.inf]),
            lambda w: fastemb.rope(X, scale=np.inf), lambda w: fastemb.rope(X[0, 0]),
        ],
    },
    "rope_frequencies": {
        TypeError: [
            lambda w: fastemb.rope_frequencies(4.0), lambda w: fastemb.rope_frequencies(4, scaling=[]),
            lambda w: fastemb.rope_frequencies(4, scaling={"type": "linear", "factor": "2"}),
        ],
        ValueError: [
            lambda w: fastemb.rope_frequencies(3), lambda w: fastemb.rope_frequencies(2**70),
            lambda w: fastemb.rope_frequencies(4, scaling={"type": "linear"}),
            lambda w: fastemb.rope_frequencies(4, scaling={"type": "linear", "factor": 10**400}),
        ],
    },
    "sinusoidal": {
        TypeError: [lambda w: fastemb.sinusoidal(1.0, 2)],
        ValueError: [lambda w: fastemb.sinusoidal(1, -2), lambda w: fastemb.sinusoidal(2**70, 2)],
    },
    "alibi": {
        TypeError: [lambda w: fastemb.alibi(True, 2)],
        ValueError: [lambda w: fastemb.alibi(-1, 2), lambda w: fastemb.alibi(2, 2**70)],
    },
    "quantize": {
        TypeError: [lambda w: fastemb.quantize([[1.0]]), lambda w: fastemb.quantize(np.ma.ones((2, 2)))],
        ValueError: [
            lambda w: fastemb.quantize(TABLE[0]), lambda w: fastemb.quantize(TABLE, 5),
            lambda w: fastemb.quantize(np.array([[np.inf]])),
        ],
    },
    "QuantizedTable": {
        TypeError: [
            lambda w: QuantizedTable(TABLE, CODES.scale, CODES.offset, (5, 4)),
            lambda w: QuantizedTable(CODES.codes, CODES.scale, CODES.offset, (5, 4.0)),
        ],
        ValueError: [
            lambda w: QuantizedTable(CODES.codes, CODES.scale, CODES.offset, (5, 3)),
            lambda w: QuantizedTable(CODES.codes, CODES.scale, CODES.offset, (5, 4), 5),
            lambda w: QuantizedTable(CODES.codes, CODES.scale * np.float32("nan"), CODES.offset, (5, 4)),
        ],
    },
    "topk": {
        TypeError: [lambda w: fastemb.topk(TABLE, TABLE, 1.0), lambda w: fastemb.topk([1.0], TABLE, 1)],
        ValueError: [
            lambda w: fastemb.topk(TABLE, TABLE, 6), lambda w: fastemb.topk(TABLE, TABLE[:0], 1),
            lambda w: fastemb.topk(TABLE, TABLE, 1, metric="l1"), lambda w: fastemb.topk(TABLE[:, :2], TABLE, 1),
        ],
    },
    "Ragged": {
        TypeError: [lambda w: Ragged([0.5], [0, 1])],
        ValueError: [lambda w: Ragged([2**31], [0, 1]), lambda w: Ragged([0], [0, 2]), lambda w: Ragged([[0]], [0, 1])],
    },
    "Ragged.from_lists": {
        TypeError: [
            lambda w: Ragged.from_lists(5), lambda w: Ragged.from_lists("ab"), lambda w: Ragged.from_lists([["a"]])
        ],
        ValueError: [
            lambda w: Ragged.from_lists([[[0]]]), lambda w: Ragged.from_lists([0]),
            lambda w: Ragged.from_lists([[2**70]]),
        ],
    },
    "Ragged.pad": {
        TypeError: [lambda w: RAGGED.pad(2.5), lambda w: RAGGED.pad(pad_id=None), lambda w: RAGGED.pad(True)],
        ValueError: [lambda w: RAGGED.pad(1), lambda w: RAGGED.pad(side="up"), lambda w: RAGGED.pad(pad_id=2**31)],
    },
    "Tokenizer.load": {
        FileNotFoundError: [lambda w: fastemb.Tokenizer.load(w[0] / "none")],
        TypeError: [
            lambda w: fastemb.Tokenizer.load(5), lambda w: fastemb.Tokenizer.load(w[0] / "ranks", 5),
            lambda w: fastemb.Tokenizer.load(w[0] / "ranks", "gpt2", special_tokens=["<s>"]),
        ],
        ValueError: [
            lambda w: fastemb.Tokenizer.load(w[0] / "ranks"), lambda w: fastemb.Tokenizer.load(w[0] / "broken.json")
        ],
    },
    "Tokenizer.train": {
        TypeError: [lambda w: fastemb.Tokenizer.train("text"), lambda w: fastemb.Tokenizer.train([1])],
        ValueError: [
            lambda w: fastemb.Tokenizer.train([]), lambda w: fastemb.Tokenizer.train(["a"], vocab_size=255),
            lambda w: fastemb.Tokenizer.train([b"\xff"]), lambda w: fastemb.Tokenizer.train(["a"], lowercase=True),
        ],
        FileNotFoundError: [lambda w: fastemb.Tokenizer.train(w[0] / "none")],
    },
    "Tokenizer.save": {
        TypeError: [lambda w: w[1].save(None)],
        ValueError: [lambda w: w[1].save(w[0] / "x", "json"), lambda w: w[1].save(w[0] / "x", "vocab.txt")],
        FileNotFoundError: [lambda w: w[1].save(w[0] / "none" / "file")],
        IsADirectoryError: [lambda w: w[1].save(w[0])],
    },
    "Tokenizer.encode": {
        TypeError: [
            lambda w: w[1].encode(["a"]), lambda w: w[1].encode("a", special=5),
            lambda w: w[1].encode("a", max_tokens="1"), lambda w: w[1].encode("a", pair=5),
        ],
        ValueError: [
            lambda w: w[1].encode("<s>", special="raise"), lambda w: w[1].encode("a", special="some"),
            lambda w: w[1].encode("a", special={"<e>"}), lambda w: w[1].encode("a", max_tokens=-1),
            lambda w: w[1].encode("<s>", special=[], rest="raise"), lambda w: w[1].encode("a", rest="raise"),
            lambda w: w[1].encode("a", special=[], rest="some"), lambda w: w[1].encode("a", template=True),
            lambda w: fastemb.Tokenizer.load(w[0] / "ranks", "gpt2").encode("a", special="all"),
            lambda w: w[1].encode(b"\xff", offsets=True),
        ],
    },
    "Tokenizer.encode_batch": {
        TypeError: [lambda w: w[1].encode_batch("a"), lambda w: w[1].encode_batch([5])],
        ValueError: [
            lambda w: w[1].encode_batch(["<s>"], special="raise"), lambda w: w[1].encode_batch(["a"], pairs=[]),
            lambda w: w[1].encode_batch(["a"], max_tokens=1, stride=1), lambda w: w[1].encode_batch(["a"], stride=1),
            lambda w: w[1].encode_batch(["ab"], max_tokens=1, strategy="only_second"),
            lambda w: w[1].encode_batch(["a"], pad="all"),
        ],
    },
    "Tokenizer.encode_file": {
        TypeError: [lambda w: w[1].encode_file(5), lambda w: w[1].encode_file(w[0] / "ranks", 5)],
        FileNotFoundError: [
            lambda w: w[1].encode_file(w[0] / "none"), lambda w: w[1].encode_file(w[0] / "ranks", w[0] / "none/ids"),
        ],
        IsADirectoryError: [
            lambda w: w[1].encode_file(w[0]), lambda w: w[1].encode_file(w[0] / "ranks", w[0]),
        ],
        ValueError: [lambda w: w[1].encode_file(w[0] / "latin"), lambda w: w[1].encode_file(w[0] / "ranks", rest="x")],
    },
    "Encoded.arrays": {
        ValueError: [lambda w: w[1].encode_batch(["a", "ab"], details=True).arrays()],
    },
    "Tokenizer.count": {
        TypeError: [lambda w: w[1].count(["a"]), lambda w: w[1].count("a", special=5)],
        ValueError: [lambda w: w[1].count("<s>", special="raise")],
    },
    "Tokenizer.count_batch": {
        TypeError: [lambda w: w[1].count_batch("a")],
        ValueError: [lambda w: w[1].count_batch(["<s>"], special="raise")],
    },
    "Tokenizer.truncate": {
        TypeError: [lambda w: w[1].truncate(b"a", 1), lambda w: w[1].truncate("a", None)],
        ValueError: [lambda w: w[1].truncate("a", -1), lambda w: w[1].truncate("<s>", 1, special="raise")],
    },
    "Tokenizer.chunks": {
        TypeError: [
            lambda w: w[1].chunks(b"a", 1), lambda w: w[1].chunks("a", 1.5), lambda w: w[1].chunks("a", 2, True),
            lambda w: w[1].chunks("a", 2, special=5),
        ],
        ValueError: [
            lambda w: w[1].chunks("a", 0), lambda w: w[1].chunks("a", 2, 2), lambda w: w[1].chunks("a", 2, -1),
            lambda w: w[1].chunks("\u20ac", 2), lambda w: w[1].chunks("<s>", 2, special="raise"),
        ],
    },
    "Tokenizer.decode": {
        TypeError: [
            lambda w: w[1].decode([0.5]), lambda w: w[1].decode("ab"), lambda w: w[1].decode([1], errors=None),
            lambda w: w[1].decode([1], skip_special="no"),
        ],
        ValueError: [
            lambda w: w[1].decode([[1]]), lambda w: w[1].decode(1), lambda w: w[1].decode([[1], [2, 3]]),
            lambda w: w[1].decode([1], unknown="skip"),
        ],
        IndexError: [lambda w: w[1].decode([257]), lambda w: w[1].decode([2**70]), lambda w: w[1].decode([-1])],
        UnicodeDecodeError: [lambda w: w[1].decode([255], errors="strict")],
        LookupError: [lambda w: w[1].decode([255], errors="nothing")],
    },
    "Tokenizer.decode_bytes": {
        TypeError: [lambda w: w[1].decode_bytes([0.5]), lambda w: w[1].decode_bytes([1], skip_special="no")],
        ValueError: [lambda w: w[1].decode_bytes([[1]]), lambda w: w[1].decode_bytes([1], unknown="skip")],
        IndexError: [lambda w: w[1].decode_bytes([257]), lambda w: w[1].decode_bytes([257], skip_special=True)],
    },
    "Tokenizer.decode_batch": {
        TypeError: [
            lambda w: w[1].decode_batch(5), lambda w: w[1].decode_batch(["a"]),
            lambda w: w[1].decode_batch([[1]], skip_special="no"),
        ],
        ValueError: [lambda w: w[1].decode_batch([1]), lambda w: w[1].decode_batch([[1]], unknown="skip")],
        IndexError: [lambda w: w[1].decode_batch([[1], [257]]), lambda w: w[1].decode_batch([[1], [2**70]])],
        UnicodeDecodeError: [lambda w: w[1].decode_batch([[255]], errors="strict")],
        LookupError: [lambda w: w[1].decode_batch([[255]], errors="nothing")],
    },
    "Tokenizer.decoder": {
        TypeError: [lambda w: w[1].decoder(errors=None), lambda w: w[1].decoder(skip_special="no")],
        ValueError: [lambda w: w[1].decoder(unknown="skip")],
        LookupError: [lambda w: w[1].decoder(errors="nothing")],
    },
    "Tokenizer.id_to_token": {
        TypeError: [lambda w: w[1].id_to_token("1"), lambda w: w[1].id_to_token(None)],
        IndexError: [lambda w: w[1].id_to_token(257), lambda w: w[1].id_to_token(2**70)],
    },
    "Tokenizer.token_to_id": {
        TypeError: [lambda w: w[1].token_to_id(5)],
        KeyError: [lambda w: w[1].token_to_id("nothing"), lambda w: w[1].token_to_id(b"nothing")],
    },
    "StaticModel.load": {
        TypeError: [lambda w: fastemb.StaticModel.load(5), lambda w: fastemb.StaticModel.load(dim="2")],
        FileNotFoundError: [
            lambda w: fastemb.StaticModel.load(w[0] / "none"), lambda w: fastemb.StaticModel.load(w[0] / "model")
        ],
        ValueError: [lambda w: fastemb.StaticModel.load(dim=0), lambda w: fastemb.StaticModel.load(dim=257)],
    },
    "StaticModel.similarity": {
        TypeError: [lambda w: w[2].similarity(5)],
        ValueError: [lambda w: w[2].similarity(np.ones((2, 3), "f4"), ["a"])],
    },
    "StaticModel.most_similar": {
        KeyError: [lambda w: w[2].most_similar("")],
        TypeError: [lambda w: w[2].most_similar(5), lambda w: w[2].most_similar("a", k="2")],
        ValueError: [lambda w: w[2].most_similar("a", k=0), lambda w: w[2].most_similar(np.ones(3, "f4"))],
    },
    "StaticModel.analogy": {
        KeyError: [lambda w: w[2].analogy([""])],
        TypeError: [lambda w: w[2].analogy([5]), lambda w: w[2].analogy(["a"], k="2")],
        ValueError: [lambda w: w[2].analogy([]), lambda w: w[2].analogy(["a"], k=0)],
    },
    "StaticModel.encode_iter": {
        TypeError: [lambda w: w[2].encode_iter("a"), lambda w: w[2].encode_iter(["a"], batch="2")],
        ValueError: [lambda w: w[2].encode_iter(["a"], batch=0), lambda w: w[2].encode_iter(["a"], join=None)],
    },
    "StaticModel.save_word2vec": {
        FileNotFoundError: [
            lambda w: fastemb.StaticModel.load(word_file(w[0])).save_word2vec(w[0] / "nothing" / "vectors")
        ],
        TypeError: [lambda w: w[2].save_word2vec(5), lambda w: w[2].save_word2vec(w[0] / "vectors", binary="no")],
        ValueError: [lambda w: w[2].save_word2vec("")],
    },
    "StaticModel.encode": {
        TypeError: [
            lambda w: w[2].encode(["a", 1]), lambda w: w[2].encode("a", max_length="most"),
            lambda w: w[2].encode("a", max_length=np.array([1, 2])), lambda w: w[2].encode("a", normalize="no"),
            lambda w: w[2].encode("a", out=np.ones(2, int)),
        ],
        ValueError: [
            lambda w: w[2].encode("a", max_length=0), lambda w: w[2].encode(["a"], out=np.ones((2, 2))),
            lambda w: w[2].encode(["a"], out=w[2].table[:1]),
        ],
    },
    "train_vectors": {
        FileNotFoundError: [lambda w: fastemb.train_vectors(w[0] / "nothing")],
        TypeError: [
            lambda w: fastemb.train_vectors("a text"), lambda w: fastemb.train_vectors(["a", 5]),
            lambda w: fastemb.train_vectors(["a b"], dim="2"), lambda w: fastemb.train_vectors(["a b"], sample="no"),
            lambda w: fastemb.train_vectors(["a b"], shared_negatives="no"),
        ],
        ValueError: [
            lambda w: fastemb.train_vectors([]), lambda w: fastemb.train_vectors(["a a a a a a"]),
            lambda w: fastemb.train_vectors(w[0] / "latin"), lambda w: fastemb.train_vectors(["a b"], dim=0),
            lambda w: fastemb.train_vectors(["a b"], learning_rate=float("nan")),
            lambda w: fastemb.train_vectors(["a b"], "glove", negatives=5),
            lambda w: fastemb.train_vectors(["a b"] * 99, dim=2, min_count=1, sample=0, learning_rate=1e38),
        ],
    },
    "evaluate": {
        FileNotFoundError: [lambda w: fastemb.evaluate(w[2], analogies=w[0] / "nothing")],
        TypeError: [
            lambda w: fastemb.evaluate("a model"), lambda w: fastemb.evaluate(w[2], 5),
            lambda w: fastemb.evaluate(w[2], "a", k="2"), lambda w: fastemb.evaluate(w[2], analogies="a b c d"),
            lambda w: fastemb.evaluate(w[2], [5]),
        ],
        ValueError: [
            lambda w: fastemb.evaluate(w[2], "a", k=0), lambda w: fastemb.evaluate(w[2], analogies=[("a", "b")]),
            lambda w: fastemb.evaluate(w[2], pairs=[("a", "b", float("nan"))]),
        ],
    },
    "set_num_threads": {
        TypeError: [lambda w: fastemb.set_num_threads("2"), lambda w: fastemb.set_num_threads(True)],
        ValueError: [lambda w: fastemb.set_num_threads(0)],
    },
    "num_threads": {
        TypeError: [lambda w: fastemb.num_threads(None)],
        ValueError: [lambda w: fastemb.num_threads(0)],
    },
    "get_num_threads": {ValueError: [lambda w: _threads._from_environment()]},
    "warmup": {
        TypeError: [lambda w: fastemb.warmup("gather", dtypes="i4"), lambda w: fastemb.warmup(dtypes=None)],
        ValueError: [lambda w: fastemb.warmup("nothing"), lambda w: fastemb.warmup([])],
    },
    "show_config": {ValueError: [lambda w: fastemb.show_config("json")]},
    "set_cuda_check": {ValueError: [lambda w: fastemb.set_cuda_check("often")]},
}  # fmt: skip
#: What is promised and cannot be made to happen here: without a package, without a device.
ELSEWHERE = {
    "train_vectors": {"OSError"},
    "Tokenizer.load": {"ImportError"}, "Tokenizer.train": {"ImportError", "OSError"}, "Tokenizer.save": {"OSError"},
    "StaticModel.load": {"ModuleNotFoundError"},
    "cuda_check": {"IndexError", "ValueError"},
}  # fmt: skip
#: The same of what all optimizers have.
for _kind in (fastemb.SGD, fastemb.Adagrad, fastemb.Adam, fastemb.AdamW):
    PROMISES |= {
        f"{_kind.__name__}.step": {
            IndexError: [lambda w, k=_kind: k().step(TABLE, ([0, 5], GRAD))],
            TypeError: [lambda w, k=_kind: k().step(TABLE, GRAD), lambda w, k=_kind: k().step(CODES, ([0], GRAD[:1]))],
            ValueError: [
                lambda w, k=_kind: k().step(TABLE, ([1, 0], GRAD)),
                lambda w, k=_kind: k().step(TABLE, ([1], GRAD)),
                lambda w, k=_kind: k().step(TABLE, ([1], np.full((1, 4), np.nan)), check_finite=True),
            ],
        },
        f"{_kind.__name__}.step_from": {
            IndexError: [lambda w, k=_kind: k().step_from(TABLE, [0, 5], GRAD)],
            TypeError: [lambda w, k=_kind: k().step_from(TABLE, [0, 1], GRAD, padding_idx="0")],
            ValueError: [lambda w, k=_kind: k().step_from(TABLE, [0], GRAD)],
        },
        f"{_kind.__name__}.load_state_dict": {
            TypeError: [lambda w, k=_kind: k().load_state_dict([])],
            ValueError: [lambda w, k=_kind: k().load_state_dict({})],
        },
        f"{_kind.__name__}.load": {
            FileNotFoundError: [lambda w, k=_kind: k.load(w[0] / "nothing")],
            ValueError: [lambda w, k=_kind: k.load(w[0] / "ranks")],
        },
    }
    ELSEWHERE |= {
        f"{_kind.__name__}.load": {"ModuleNotFoundError"},
        f"{_kind.__name__}.save": {"ModuleNotFoundError", "TypeError"},  # of a state on a device
    }


def documented():
    """The docstrings of public functions, classes and their methods, by name."""
    for name in fastemb.__all__:
        value = getattr(fastemb, name)
        if callable(value):
            yield name, value.__doc__
        if inspect.isclass(value):
            kinds = [kind for kind in reversed(value.__mro__) if kind.__module__.startswith("fastemb")]
            for method, made in (item for kind in kinds for item in vars(kind).items()):
                made = getattr(made, "__func__", made)
                if inspect.isfunction(made) and not method.startswith("_"):
                    yield f"{name}.{method}", made.__doc__


def promised(docstring):
    """The types under Raises."""
    section = re.search(r"Raises\n *-+\n(.*?)(?:\n\n|\Z)", inspect.cleandoc(docstring or ""), re.DOTALL)
    return set() if section is None else {*re.findall(r"^(\w+)$", section[1], re.MULTILINE)}


DOCSTRINGS = dict(documented())


def test_every_promise_is_in_the_list():
    for name, docstring in DOCSTRINGS.items():
        kept = {error.__name__ for error in PROMISES.get(name, {})} | ELSEWHERE.get(name, set())
        assert promised(docstring) == kept, name
        assert "Raises" not in docstring or kept, f"{name}: types in one line each"


@pytest.mark.parametrize("name", PROMISES)
def test_promises_are_kept(name, world, monkeypatch):
    monkeypatch.setenv("FASTEMB_NUM_THREADS", "many")
    if name != "get_num_threads":
        monkeypatch.delenv("FASTEMB_NUM_THREADS")
    for error, calls in PROMISES[name].items():
        for call in calls:
            with pytest.raises(error) as caught:
                call(world)
            assert type(caught.value) is error
            assert str(caught.value)
    assert (TABLE == 1).all()
    assert (X == 1).all()

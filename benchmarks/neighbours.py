"""What the interfaces of neighbours cost, and what their own ways with texts take: processor time, one thread each.

    pip install '.[neighbours]' wordllama torch sentence-transformers
    python -m benchmarks.neighbours            # all of it; or: sklearn, langchain, llama_index, mteb

Each row is a call on short English lines or on one query, by WordLlama's table of 32,000 x 256 float16, beside the same
vectors by `StaticModel.encode` alone, in the form that the interface asks for: arrays, or lists of Python's floats. The
calls of a group take turns; what is printed is the least and the median of the rounds, and the ratio of the least ones
to the first row of the group. The vectors of a group are compared before it is timed.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # one thread for rivals, too

import numpy as np

import fastemb

from .corpora import english_lines

Calls = dict[str, Callable[[], Any]]
QUERY = "how do I change the oil of a car"
ROUNDS, SMALL_CALLS = 7, 200


def word_llama() -> tuple[Path, Any]:
    """Return the tokenizer's file and the table inside the package wordllama."""
    from safetensors.numpy import load_file

    found = importlib.util.find_spec("wordllama")
    assert found is not None, "wordllama is not installed: pip install wordllama"
    assert found.origin is not None
    folder = Path(found.origin).parent
    (table,) = load_file(folder / "weights/l2_supercat_256.safetensors").values()
    return folder / "tokenizers/l2_supercat_tokenizer_config.json", table


def measure(title: str, calls: Calls, times: int = 1, rounds: int = ROUNDS) -> None:
    """Print the processor time of each call, in turns."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.process_time()
            for _ in range(times):
                call()
            taken[name].append((time.process_time() - start) / times)
    first = min(next(iter(taken.values())))
    unit, scale = ("µs", 1e6) if times > 1 else ("ms", 1e3)
    print(f"\n{title}", flush=True)
    for name, seconds in taken.items():
        least, median = min(seconds) * scale, statistics.median(seconds) * scale
        print(f"  {name:58} {least:9.1f} {unit} (median {median:9.1f})  {min(seconds) / first:7.2f}", flush=True)


def same(calls: Calls, tolerance: float = 0) -> None:
    """All calls give the same numbers; rivals that add in another order to a tolerance."""
    first, *others = (np.asarray(call(), np.float32) for call in calls.values())
    for other in others:
        np.testing.assert_allclose(other, first, rtol=0, atol=tolerance)


def sklearn(model: fastemb.StaticModel, texts: list[str]) -> None:
    """Measure `TextEmbedder`, and scikit-learn's own ways from texts to rows of numbers."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
    from sklearn.pipeline import make_pipeline

    from fastemb.sklearn import TextEmbedder

    embedder = TextEmbedder(model).fit(texts)
    calls: Calls = {
        "StaticModel.encode": lambda: model.encode(texts),
        "TextEmbedder.transform": lambda: embedder.transform(texts),
    }
    same(calls)
    hashing, tfidf = HashingVectorizer(), TfidfVectorizer().fit(texts)
    reduced = make_pipeline(TfidfVectorizer(), TruncatedSVD(256, random_state=0)).fit(texts)
    calls |= {
        "HashingVectorizer.transform (sparse, 2^20 columns)": lambda: hashing.transform(texts),
        "TfidfVectorizer.transform (sparse)": lambda: tfidf.transform(texts),
        "TfidfVectorizer, TruncatedSVD(256).transform (float64)": lambda: reduced.transform(texts),
    }
    measure(f"scikit-learn, {len(texts):,} lines", calls, rounds=5)
    try:
        import pandas as pd
    except ModuleNotFoundError:
        return
    column = pd.Series(texts)
    calls = {
        "StaticModel.encode(list(column))": lambda: model.encode(list(column)),
        "TextEmbedder.transform(column)": lambda: embedder.transform(column),
    }
    same(calls)
    measure("scikit-learn, a column of pandas", calls)
    calls = {
        "StaticModel.encode": lambda: model.encode([QUERY]),
        "TextEmbedder.transform": lambda: embedder.transform([QUERY]),
    }
    same(calls)
    measure("scikit-learn, one text", calls, SMALL_CALLS)


def langchain(model: fastemb.StaticModel, texts: list[str]) -> None:
    """Measure LangChain's interface, and the same model by sentence-transformers behind it."""
    from fastemb.langchain import StaticModelEmbeddings

    embeddings = StaticModelEmbeddings(model)
    calls: Calls = {
        "StaticModel.encode, tolist": lambda: model.encode(texts).tolist(),
        "embed_documents": lambda: embeddings.embed_documents(texts),
        "StaticModel.encode alone, an array": lambda: model.encode(texts),
    }
    query: Calls = {
        "StaticModel.encode, tolist": lambda: model.encode(QUERY).tolist(),
        "embed_query": lambda: embeddings.embed_query(QUERY),
    }
    if rival := static_embedding():
        calls["sentence-transformers' StaticEmbedding, embed_documents"] = lambda: rival.embed_documents(texts)
        query["sentence-transformers' StaticEmbedding, embed_query"] = lambda: rival.embed_query(QUERY)
    same(calls, 2e-5)
    same(query, 2e-5)
    measure(f"LangChain, {len(texts):,} lines", calls, rounds=5)
    measure("LangChain, one query", query, SMALL_CALLS)

    async def several() -> None:
        for _ in range(SMALL_CALLS):
            await embeddings.aembed_query(QUERY)

    def directly() -> None:
        for _ in range(SMALL_CALLS):
            embeddings.embed_query(QUERY)

    measure(
        f"LangChain, {SMALL_CALLS} queries", {"embed_query": directly, "aembed_query": lambda: asyncio.run(several())}
    )


def static_embedding() -> Any:
    """Return the same model by sentence-transformers as LangChain's embeddings; None where that is not installed."""
    try:
        import torch
        from langchain_core.embeddings import Embeddings
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding
        from tokenizers import Tokenizer
    except ModuleNotFoundError as error:
        print(f"(without sentence-transformers: {error})")
        return None
    torch.set_num_threads(1)
    tokenizer, table = word_llama()
    module = StaticEmbedding(Tokenizer.from_file(str(tokenizer)), embedding_weights=table.astype(np.float32))
    transformer = SentenceTransformer(modules=[module], device="cpu")

    class Rival(Embeddings):
        """What LangChain's own class for these models does: all texts in one call, the array as lists."""

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return transformer.encode(texts, batch_size=1024, show_progress_bar=False).tolist()  # type: ignore[no-any-return]

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    return Rival()


def llama_index(model: fastemb.StaticModel, texts: list[str]) -> None:
    """Measure LlamaIndex's interface: its base class cuts batches and says what happens to those who listen."""
    from fastemb.llama_index import StaticModelEmbedding

    embedding = StaticModelEmbedding(model)
    calls: Calls = {
        "StaticModel.encode, tolist": lambda: model.encode(texts).tolist(),
        "what is ours of get_text_embedding_batch": lambda: embedding._sides.documents(texts),
        "get_text_embedding_batch": lambda: embedding.get_text_embedding_batch(texts),
    }
    same(calls)
    measure(f"LlamaIndex, {len(texts):,} lines", calls)
    query: Calls = {
        "StaticModel.encode, tolist": lambda: model.encode(QUERY).tolist(),
        "what is ours of get_query_embedding": lambda: embedding._sides.query(QUERY),
        "get_query_embedding: events, spans and a cache around it": lambda: embedding.get_query_embedding(QUERY),
    }
    same(query)
    measure("LlamaIndex, one query", query, SMALL_CALLS)


def mteb(model: fastemb.StaticModel, texts: list[str]) -> None:
    """Measure MTEB's encoder on a loader as MTEB makes it, beside reading that loader batch by batch."""
    from mteb._create_dataloaders import _create_dataloader_from_texts

    from fastemb.mteb import StaticModelEncoder, texts_of

    encoder, loader = StaticModelEncoder(model), _create_dataloader_from_texts(texts)
    task = argparse.Namespace(name="none", type="none")
    encode = {"task_metadata": task, "hf_split": "test", "hf_subset": "default"}
    calls: Calls = {
        "StaticModel.encode of a list": lambda: model.encode(texts),
        "StaticModel.encode of the loader's dataset": lambda: model.encode(loader.dataset["text"][:]),
        "StaticModelEncoder.encode of a loader": lambda: encoder.encode(loader, **encode),
    }
    same(calls)
    calls["the loader read batch by batch, nothing encoded"] = lambda: texts_of(iter(loader))
    measure(f"MTEB, {len(texts):,} lines", calls)


GROUPS = {"sklearn": sklearn, "langchain": langchain, "llama_index": llama_index, "mteb": mteb}


def main() -> None:
    """Measure the groups that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", help=f"of {', '.join(GROUPS)}")
    asked = parser.parse_args().groups or list(GROUPS)
    if unknown := set(asked) - set(GROUPS):
        parser.error(f"groups must be of {', '.join(GROUPS)}, got {', '.join(sorted(unknown))}")
    tokenizer, table = word_llama()
    model, texts = fastemb.StaticModel(fastemb.Tokenizer.load(tokenizer), table), english_lines().texts
    with fastemb.num_threads(1):
        for group in asked:
            GROUPS[group](model, texts if group in ("sklearn", "mteb") else texts[:10_000])  # lists of floats are large


if __name__ == "__main__":
    main()

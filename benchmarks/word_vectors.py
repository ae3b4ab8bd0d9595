"""Vectors of the words of two dictionaries: words a second against gensim, and the neighbours of thirty probe words.

    python benchmarks/word_vectors.py [--kinds skipgram cbow glove] [--rivals] [--rounds 3] [--part 0.1]
    python benchmarks/word_vectors.py [--kinds skipgram cbow glove] --threads 1 2 [--rounds 3] [--part 0.1]

The texts are those of Debian's packages ``wordnet-base`` and ``dict-gcide``: of WordNet's ``data`` files the words and
the gloss of each synset, of the Collaborative International Dictionary of English its paragraphs, without
pronunciations and the names of sources. Words are letters that stand together, in lower case. What a probe's hit is, is
said in ``probe_words.txt``, which is older than any vector. Rates are raw words (before any is left out by chance) over
the processor time of training, without reading and counting, of all epochs; rivals take turns with one thread each.
With ``--threads`` each kind is trained with each of these numbers of threads, vectors must be the same to the byte, and
rates are over the time that passed. ``--part`` takes that part of the paragraphs, for a quick look.
"""

from __future__ import annotations

import argparse
import gzip
import re
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import fastemb
from fastemb._word_vectors import sampling
from fastemb._word_vectors.corpus import Corpus, words_of
from fastemb._word_vectors.options import as_training

WORDNET, GCIDE = Path("/usr/share/wordnet"), Path("/usr/share/dictd/gcide.dict.dz")
PROBES = Path(__file__).with_name("probe_words.txt")
PARTS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
ASKED, NEAREST = 24, 5


# Texts and relations ------------------------------------------------------------------------------------------------


def synsets() -> Iterator[tuple[tuple[str, str], list[str], list[tuple[str, str]], str]]:
    """Yield each synset: part and offset, its words, its hypernyms and its gloss."""
    for part in PARTS:
        for line in (WORDNET / f"data.{part}").read_text(encoding="utf-8").splitlines():
            if line.startswith(" "):  # the licence
                continue
            data, _, gloss = line.partition(" | ")
            fields = data.split()
            count = int(fields[3], 16)
            words = [re.sub(r"\(\w+\)$", "", word).replace("_", " ") for word in fields[4 : 4 + 2 * count : 2]]
            pointers = fields[5 + 2 * count :]
            above = [
                (part, pointers[i + 1])
                for i in range(0, 4 * int(fields[4 + 2 * count]), 4)
                if pointers[i] in ("@", "@i")
            ]
            yield (part, fields[0]), words, above, gloss


def paragraphs() -> Iterator[str]:
    """Yield the paragraphs of the dictionary, each as one line."""
    text = gzip.decompress(GCIDE.read_bytes()).decode("utf-8", "replace")
    for paragraph in re.split(r"\n\s*\n", text):
        plain = re.sub(r"\\[^\\]*\\|\[[^\]]*\]|[{}]", " ", paragraph)
        if line := " ".join(plain.split()):
            yield line


def write_texts(path: Path, part: float) -> None:
    """Write all texts to a file, one a line; of each hundred the first so many."""
    lines = [f"{', '.join(words)}: {gloss}" for _, words, _, gloss in synsets()]
    lines += paragraphs()
    kept = (line for number, line in enumerate(lines) if number % 100 < 100 * part)
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")


class Relations:
    """Which words WordNet relates: by a synset that they share, by a hypernym that one is, or that they share."""

    def __init__(self) -> None:
        self._of: dict[str, set[tuple[str, str]]] = defaultdict(set)
        self._above: dict[tuple[str, str], set[tuple[str, str]]] = {}
        for key, words, above, _ in synsets():
            self._above[key] = set(above)
            for word in words:
                self._of[word.lower()].add(key)

    def related(self, a: str, b: str) -> bool:
        """Whether two words are related."""
        for one in self._of.get(a, ()):
            for other in self._of.get(b, ()):
                over, under = self._above[one], self._above[other]
                if one == other or other in over or one in under or over & under:
                    return True
        return False


def probes() -> dict[str, set[str]]:
    """Return the probe words, and what counts as related to each."""
    lines = [line for line in PROBES.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return {word: set(others.split()) for word, _, others in (line.partition(":") for line in lines)}


def check(nearest: dict[str, list[str]], relations: Relations) -> tuple[int, int]:
    """Return how many probes have a related word among their nearest: by the rule, and by the list alone."""
    accepted = probes()
    by_list = {word for word, near in nearest.items() if accepted[word] & {*near}}
    by_rule = by_list | {word for word, near in nearest.items() if any(relations.related(word, one) for one in near)}
    return len(by_rule), len(by_list)


# Who trains ---------------------------------------------------------------------------------------------------------


class Ours:
    """A model of ours; the corpus is read once."""

    def __init__(self, corpus: Corpus, kind: str, options: dict) -> None:
        self.corpus = corpus
        self.asked = as_training(kind, "letters", None, False, dim=100, min_count=5, seed=1, **options)
        self.words = self.asked.epochs * corpus.total

    def train(self) -> float:
        """Train anew; return the seconds of processor time."""
        start = time.process_time()
        if self.asked.kind == "glove":
            from fastemb._word_vectors import glove

            table = glove.train(self.corpus, self.asked)
        else:
            table = sampling.train(self.corpus, self.asked)
        seconds = time.process_time() - start
        self.model = fastemb.StaticModel._of_words(Path("texts"), self.corpus.words, table)
        return seconds

    def nearest(self, word: str) -> list[str]:
        """Return the nearest words."""
        return [one for one, _ in self.model.most_similar(word, NEAREST)]


class Gensim:
    """The same by gensim, with one worker."""

    def __init__(self, texts: Path, kind: str, epochs: int) -> None:
        import gensim.models.word2vec

        assert gensim.models.word2vec.FAST_VERSION >= 0, "gensim runs without its compiled loops"
        cut = words_of("letters")
        self._sentences = [cut(line) for line in texts.open(encoding="utf-8")]
        self._make = lambda: gensim.models.word2vec.Word2Vec(
            vector_size=100, window=5, negative=5, sample=1e-3, min_count=5, alpha=0.05 if kind == "cbow" else 0.025,
            sg=kind == "skipgram", workers=1, seed=1, epochs=epochs,
        )  # fmt: skip
        self._epochs = epochs

    def train(self) -> float:
        """Train anew; return the seconds of processor time."""
        self.model = self._make()
        self.model.build_vocab(self._sentences)
        start = time.process_time()
        self.model.train(self._sentences, total_examples=self.model.corpus_count, epochs=self._epochs)
        return time.process_time() - start

    def nearest(self, word: str) -> list[str]:
        """Return the nearest words."""
        return [one for one, _ in self.model.wv.most_similar(word, topn=NEAREST)]


def by_threads(corpus: Corpus, kinds: list[str], threads: list[int], rounds: int, epochs: dict) -> None:
    """Print the words a second of some numbers of threads, which must give the same vectors."""
    for kind in kinds:
        ours, seconds, tables = Ours(corpus, kind, epochs), defaultdict(list), set()
        for _ in range(rounds):
            for count in threads:
                start = time.perf_counter()
                with fastemb.num_threads(count):
                    ours.train()
                seconds[count].append(time.perf_counter() - start)
                tables.add(ours.model.table.tobytes())
        assert len(tables) == 1, f"{kind}: vectors differ by the number of threads, or from round to round"
        for count in threads:
            print(f"{kind}, {count} threads: {ours.words / min(seconds[count]):,.0f} words/s, the same bytes")


def main() -> None:
    """Train all, in turns, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", default=["skipgram"], choices=["skipgram", "cbow", "glove"])
    parser.add_argument("--unshared", action="store_true", help="skip-gram with negatives of each word's own, too")
    parser.add_argument("--rivals", action="store_true", help="gensim as well")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--part", type=float, default=1.0)
    parser.add_argument("--threads", type=int, nargs="+", help="only the rates by these numbers of threads")
    parser.add_argument("--show", action="store_true", help="print the neighbours")
    args = parser.parse_args()
    fastemb.set_num_threads(1)
    relations = Relations()
    with tempfile.TemporaryDirectory() as folder:
        texts = Path(folder, "texts")
        write_texts(texts, args.part)
        start = time.process_time()
        corpus = Corpus([texts], "letters", 5, False)
        reading = time.process_time() - start
        print(f"{corpus.total:,} words, {len(corpus.words):,} different, read and counted in {reading:.1f} s")
        epochs = {} if args.epochs is None else {"epochs": args.epochs}
        if args.threads:
            by_threads(corpus, args.kinds, args.threads, args.rounds, epochs)
            corpus.close()
            return
        entrants = {}
        for kind in args.kinds:
            ours = Ours(corpus, kind, epochs)
            entrants[kind] = ours
            if kind == "skipgram" and args.unshared:
                entrants["skipgram, unshared"] = Ours(corpus, kind, {**epochs, "shared_negatives": False})
            if kind != "glove" and args.rivals:
                entrants[f"gensim {kind}"] = Gensim(texts, kind, ours.asked.epochs)
        seconds = defaultdict(list)
        for _ in range(args.rounds):
            for name, entrant in entrants.items():
                seconds[name].append(entrant.train())
        chance = np.random.default_rng(0)
        random = {word: chance.choice(corpus.words, NEAREST).tolist() for word in probes()}
        hits, listed = check(random, relations)
        print(f"{'five at random':20s} hits {hits:2d} of 30 ({listed:2d} by the list)")
        for name, entrant in entrants.items():
            nearest = {word: entrant.nearest(word) for word in probes()}
            hits, listed = check(nearest, relations)
            whole = corpus.total * (args.epochs or (25 if name == "glove" else 5))
            rates = (
                f"{whole / min(seconds[name]):,.0f} words/s (median {whole / statistics.median(seconds[name]):,.0f})"
            )
            print(f"{name:20s} hits {hits:2d} of 30 ({listed:2d} by the list), asked {ASKED}; {rates}")
            if args.show:
                for word, near in nearest.items():
                    print(f"    {word:12s} {' '.join(near)}")
        corpus.close()


if __name__ == "__main__":
    main()

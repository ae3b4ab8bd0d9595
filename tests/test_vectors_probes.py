"""Vectors of the words of Debian's dictionaries: thirty probe words, written down before, and their neighbours."""

from pathlib import Path

import pytest

from benchmarks import word_vectors

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def dictionaries():
    if not (word_vectors.WORDNET / "data.noun").is_file() or not word_vectors.GCIDE.is_file():
        pytest.skip("Debian's packages wordnet-base and dict-gcide are not installed")
    return word_vectors


def test_probes_are_thirty_and_none_accepts_itself():
    lines = [line for line in (BENCHMARKS / "probe_words.txt").read_text().splitlines() if not line.startswith("#")]
    probes = dict(line.split(": ") for line in lines)
    assert len(probes) == 30
    assert all(word not in accepted.split() for word, accepted in probes.items())


@pytest.mark.exhaustive  # as the dictionaries are read for it
def test_relations_are_those_of_wordnet(dictionaries):
    relations = dictionaries.Relations()
    for a, b in (("dog", "puppy"), ("car", "automobile"), ("sword", "weapon"), ("red", "blue")):
        assert relations.related(a, b), (a, b)
        assert relations.related(b, a), (b, a)
    for a, b in (("dog", "sea"), ("king", "bread"), ("no such word", "dog")):
        assert not relations.related(a, b)


@pytest.mark.exhaustive  # 25 s of processor time
def test_neighbours_of_the_probes_are_related(dictionaries, tmp_path):
    dictionaries.write_texts(tmp_path / "texts", 1)
    corpus = dictionaries.Corpus([tmp_path / "texts"], "letters", 5, False)
    ours = dictionaries.Ours(corpus, "skipgram", {})
    ours.train()
    corpus.close()
    nearest = {word: ours.nearest(word) for word in dictionaries.probes()}
    hits, _ = dictionaries.check(nearest, dictionaries.Relations())
    assert hits >= dictionaries.ASKED
    gensim = pytest.importorskip("gensim.models.keyedvectors", reason="the package gensim reads the vectors back")
    ours.model.save_word2vec(tmp_path / "vectors", binary=True)
    theirs = gensim.KeyedVectors.load_word2vec_format(str(tmp_path / "vectors"), binary=True)
    assert theirs.index_to_key == corpus.words
    assert theirs.vectors.tobytes() == ours.model.table.tobytes()
    assert all([one for one, _ in theirs.most_similar(word, topn=5)] == near for word, near in nearest.items())


@pytest.mark.exhaustive  # 246 s of processor time on Zen 4, by the benchmark
def test_neighbours_by_glove_are_related(dictionaries, tmp_path):
    dictionaries.write_texts(tmp_path / "texts", 1)
    corpus = dictionaries.Corpus([tmp_path / "texts"], "letters", 5, False)
    ours = dictionaries.Ours(corpus, "glove", {})
    ours.train()
    corpus.close()
    nearest = {word: ours.nearest(word) for word in dictionaries.probes()}
    hits, _ = dictionaries.check(nearest, dictionaries.Relations())
    assert hits >= dictionaries.ASKED

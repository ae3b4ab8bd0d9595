"""Word vectors trained on texts, and how good they are: `train_vectors`, `evaluate`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ._word_vectors import questions, training
from ._word_vectors.corpus import Split
from ._word_vectors.options import Kind, as_training
from ._word_vectors.questions import Evaluation
from .static import StaticModel

__all__ = ["Evaluation", "evaluate", "train_vectors"]

Texts = Iterable[str | os.PathLike[str]] | os.PathLike[str]
Analogies = Iterable[Sequence[str]] | os.PathLike[str]
Pairs = Iterable[tuple[str, str, float]] | os.PathLike[str]


def train_vectors(
    texts: Texts,
    kind: Kind = "skipgram",
    dim: int = 100,
    *,
    window: int | None = None,
    min_count: int = 5,
    epochs: int | None = None,
    learning_rate: float | None = None,
    negatives: int | None = None,
    sample: float | None = None,
    shared_negatives: bool | None = None,
    x_max: float | None = None,
    memory: int | None = None,
    split: Split = "white_space",
    seed: int = 0,
    progress: bool = True,
) -> StaticModel:
    """Train a vector for each word of some texts.

    Parameters
    ----------
    texts : iterable of str or os.PathLike, or one os.PathLike
        A ``str`` is a text; a path is a file of UTF-8, packed by gzip or not, each line of which is a text. No window
        reaches from one text into another. They are taken once, one after another, and not kept.
    kind : {"skipgram", "cbow", "glove"}, default "skipgram"
        Skip-gram or CBOW with negative sampling [1]_ [2]_, or GloVe [3]_.
    dim : int, default 100
        How many numbers a vector has.
    window : int, optional
        How far apart two words of a window may stand, by default 5, of "glove" 10. "skipgram", "cbow": at most; a
        number up to it is drawn at each word.
    min_count : int, default 5
        Words that come less often are left out, and others take their places in the windows.
    epochs : int, optional
        How often the texts are gone through, by default 5; of "glove" the counted pairs, by default 25.
    learning_rate : float, optional
        By default 0.025, and 0.05 of "cbow" and "glove". It falls in a straight line to a ten-thousandth; of "glove" it
        is that of the first steps, and others are smaller by `Adagrad`, whatever it was.
    negatives : int, default 5
        "skipgram", "cbow": how many words are drawn for each that is to be found, by their counts to the power of 0.75.
    sample : float, default 1e-3
        "skipgram", "cbow": a word whose share of the texts is f is kept with the probability sqrt(s / f) + s / f each
        time; 0 keeps all.
    shared_negatives : bool, default True
        "skipgram": whether all words of a window, or of a ring of it, meet the same drawn words [4]_, or each its own,
        which takes two to three times as long.
    x_max : float, default 100
        "glove": pairs that come less often weigh less, by the power of 0.75.
    memory : int, default 2**30
        "glove": bytes of memory for counting and shuffling pairs, about; what is more lies in temporary files.
    split : {"white_space", "letters"}, default "white_space"
        What words are: what white space parts, as in the model that is returned; or letters that stand together, in
        lower case. Then give the model words in lower case as well.
    seed : int, default 0
        What chance begins with.
    progress : bool, default True
        Show in one line, where standard error is a terminal, how far training is, its rate and the time left.

    Returns
    -------
    StaticModel
        Of float32 vectors, the most frequent word first; `StaticModel.save_word2vec` writes them.

    Raises
    ------
    TypeError
        `texts` is a ``str``, a frame or no iterable, or has an item of another type; or an option is of a wrong type.
    ValueError
        There is nothing to train on: fewer than two words come `min_count` times, say. A file is no UTF-8 or damaged;
        an option is out of its range, or for another kind; or the vectors are not finite in the end, as with a
        `learning_rate` that is too high.
    FileNotFoundError
        There is no such file.
    OSError
        A file cannot be read, or the folder for temporary files is full: 4 bytes for each word of the texts, and of
        "glove" some 30 for each pair.

    See Also
    --------
    evaluate : how good the vectors are.

    Notes
    -----
    The same texts, options and seed give the same bytes, whatever the number of threads. A step of negative sampling is
    that of a window, rows of words against rows of words; how far rows are moved is found for up to 64 windows at once,
    by their rows as they were before; these windows stand apart in the texts. Of "skipgram" a `window` above 10 is cut
    into rings of up to 7 words on each side, each with drawn words of its own; narrower ones of few words may be, too.
    "skipgram" shares out columns among threads, unless words are so few that less than 16 windows are taken at once:
    two for vectors of more than 64 numbers, four from 384 and eight from 1536 on; "cbow" runs in one. The
    inputs' vectors are returned. Of "glove", steps of `Adagrad` over 4096 pairs use all threads, and the vectors are
    the sums of both tables'; as in GloVe's program, gradients count in `Adagrad` times the rate.

    A step follows the gradient of the sum over all pairs of its window; a drawn word that is the one to be found counts
    for nothing. Of "cbow" the rows around are not divided by their number in
    it, as in word2vec's program. The logistic function is right to 1e-6.

    Memory grows with the words that are distinct, and with up to three tables of ``(V, dim)``; of "glove" five. An
    interrupt (Ctrl-C) ends training, and nothing is left on disk.

    References
    ----------
    .. [1] Mikolov, Chen, Corrado and Dean, "Efficient estimation of word representations in vector space", 2013,
       arXiv:1301.3781.
    .. [2] Mikolov, Sutskever, Chen, Corrado and Dean, "Distributed representations of words and phrases and their
       compositionality", 2013, arXiv:1310.4546.
    .. [3] Pennington, Socher and Manning, "GloVe: global vectors for word representation", 2014.
    .. [4] Ji, Satish, Li and Dubey, "Parallelizing word2vec in shared and distributed memory", 2016, arXiv:1604.04661.

    Examples
    --------
    >>> import fastemb
    >>> texts = ["the cat sat on the mat", "the dog sat on the log"] * 50
    >>> model = fastemb.train_vectors(texts, dim=16, min_count=1)
    >>> model.table.shape, next(iter(model.tokenizer.vocab))
    ((7, 16), 'the')
    >>> model.encode(["the cat", "a"]).shape
    (2, 16)
    """
    asked = as_training(
        kind,
        split,
        learning_rate,
        progress,
        dim=dim,
        window=window,
        min_count=min_count,
        epochs=epochs,
        negatives=negatives,
        sample=sample,
        shared_negatives=shared_negatives,
        x_max=x_max,
        memory=memory,
        seed=seed,
    )
    return StaticModel._of_words(Path("texts"), *training.train(texts, asked))


def evaluate(
    model: StaticModel,
    words: str | Iterable[str] | None = None,
    *,
    analogies: Analogies | None = None,
    pairs: Pairs | None = None,
    k: int = 5,
    lowercase: bool = False,
) -> Evaluation:
    r"""Find nearest words, solve analogies, and compare cosines with what people say of pairs.

    Parameters
    ----------
    model : StaticModel
    words : str or iterable of str, optional
        Of each its `k` nearest words are looked for.
    analogies : os.PathLike or iterable of four str, optional
        "a is to b as c is to d", in this order: man, king, woman, queen asks for the word nearest to king - man +
        woman, and queen is right. A file has four words a line and, as word2vec's ``questions-words.txt``, headings of
        sections behind a colon.
    pairs : os.PathLike or iterable of (str, str, float), optional
        Two words, and how alike people find them, by any scale: only the order of scores counts. A file has a pair a
        line, parted by tabs, commas or blanks; its first line may be a heading, and ``#`` begins a comment.
    k : int, default 5
        How many nearest words.
    lowercase : bool, default False
        Make all words that are asked lower case first.

    Returns
    -------
    Evaluation
        A named tuple: ``neighbours``, ``analogies`` and ``correlation``; and ``accuracy``. ``print`` shows it.

    Raises
    ------
    TypeError
        `model` is no `StaticModel`, `words`, `analogies` or `pairs` no list, a word no ``str``, or `k` no integer.
    ValueError
        `k` is less than 1; an analogy has no four words, or a pair no score that is finite.
    FileNotFoundError
        There is no such file.

    Notes
    -----
    An analogy is solved by 3CosAdd [1]_: of all words but a, b and c that one is found whose vector is nearest, by
    cosine, to b - a + c, each of length one. Those with an unknown word are not counted. Pairs are compared by
    Spearman's rank correlation; equal numbers share the mean of their ranks.

    References
    ----------
    .. [1] Mikolov, Yih and Zweig, "Linguistic regularities in continuous space word representations", 2013.

    Examples
    --------
    >>> import pathlib, tempfile, fastemb
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "words.txt"
    >>> _ = file.write_text("man 1 0 0\nking 1 1 0\nwoman 0 0 1\nqueen 0 1 1\n")
    >>> model = fastemb.StaticModel.load(file)
    >>> print(fastemb.evaluate(model, "king", analogies=[("man", "king", "woman", "queen")], k=2))
    king  man 0.71, queen 0.50
    king - man + woman = queen 0.96
    all analogies: 100.0 % (1 of 1; 0 with unknown words)
    """
    return questions.evaluate(model, words, analogies, pairs, k, lowercase)

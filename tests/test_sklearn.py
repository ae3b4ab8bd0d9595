"""`fastemb.sklearn.TextEmbedder`: scikit-learn's own checks, columns of every kind, pipelines, clones and processes."""

import copy
import pickle
import warnings
from decimal import Decimal

import numpy as np
import pytest

joblib = pytest.importorskip("joblib", reason="joblib, of the extra sklearn, is not installed")
pytest.importorskip("sklearn", reason="scikit-learn, of the extra sklearn, is not installed")
pd = pytest.importorskip("pandas", reason="pandas, of the extra neighbours, is not installed")
pl = pytest.importorskip("polars", reason="Polars, of the extra neighbours, is not installed")
pa = pytest.importorskip("pyarrow", reason="PyArrow, of the extra neighbours, is not installed")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from neighbour_cases import TEXTS, WORDS, make_folder, make_model, make_tokenizer  # noqa: E402
from scipy import sparse  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.compose import ColumnTransformer  # noqa: E402
from sklearn.exceptions import NotFittedError  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.pipeline import Pipeline, make_pipeline  # noqa: E402
from sklearn.utils import estimator_checks  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks  # noqa: E402
from sklearn.utils.validation import validate_data  # noqa: E402

import fastemb  # noqa: E402
from fastemb.sklearn import TextEmbedder  # noqa: E402

MODEL = make_model()

# scikit-learn's checks --------------------------------------------------------------------------------------------

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of texts, scikit-learn says, it checks little

    @parametrize_with_checks([TextEmbedder(MODEL)])
    def test_checks_of_texts(estimator, check):
        check(estimator)


class NumberEmbedder(TextEmbedder):
    """Tables of numbers, each row written as a text: all checks of transformers run through it."""

    def fit(self, X, y=None):
        self._open()
        self._rows(X, reset=True)
        return self

    def fit_transform(self, X, y=None):
        return self.fit(X, y).transform(X)

    def _as_texts(self, X):
        return self._rows(X, reset=False)

    def _rows(self, X, reset):
        rows = validate_data(self, X, reset=reset, dtype="numeric")
        return tuple(" ".join(f"{number:.3f}" for number in row) for row in rows)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.one_d_array, tags.input_tags.two_d_array = False, False, True
        return tags


@parametrize_with_checks([NumberEmbedder(MODEL)])
def test_checks_of_transformers(estimator, check):
    check(estimator)


class TextsGivenNumbers(TextEmbedder):
    """The transformer itself, said to take tables of numbers: what of the checks cannot be, and why."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array, tags.input_tags.two_d_array = False, True
        return tags


STATUSES = ("passed", "xfail", "skipped", "failed")
TABLE = "fits a table of several columns; texts are one"
NUMBERS = "fits numbers, and expects them to be taken or to be refused as numbers"
BY_DESIGN = {
    "check_fit_score_takes_y": TABLE,
    "check_estimators_overwrite_params": TABLE,
    "check_dont_overwrite_parameters": TABLE,
    "check_estimators_fit_returns_self": TABLE,
    "check_readonly_memmap_input": TABLE,
    "check_n_features_in_after_fitting": TABLE,
    "check_positive_only_tag_during_fit": TABLE,
    "check_estimators_dtypes": TABLE,
    "check_dtype_object": TABLE,
    "check_pipeline_consistency": TABLE,
    "check_estimators_pickle": TABLE,
    "check_f_contiguous_array_estimator": TABLE,
    "check_transformer_general": TABLE,
    "check_methods_sample_order_invariance": TABLE,
    "check_methods_subset_invariance": TABLE,
    "check_dict_unchanged": TABLE,
    "check_fit_idempotent": TABLE,
    "check_fit_check_is_fitted": TABLE,
    "check_n_features_in": TABLE,
    "check_fit2d_predict1d": TABLE,
    "check_complex_data": NUMBERS,
    "check_fit1d": NUMBERS,
    "check_fit2d_1feature": NUMBERS,
    "check_fit2d_1sample": NUMBERS,
    "check_estimators_nan_inf": NUMBERS,
    "check_estimators_empty_data_messages": "expects no columns to be named by their number; of texts there is one",
    "check_estimator_sparse_array": "expects sparse matrices to be refused as such; any matrix is refused as no text",
    "check_estimator_sparse_matrix": "as the check before",
    "check_transformer_data_not_an_array": "gives what NumPy alone can read; texts come from sequences and columns",
}


def test_checks_that_cannot_be():
    """All others pass, and none is on the list that would pass."""
    results = check_estimator(TextsGivenNumbers(MODEL), expected_failed_checks=BY_DESIGN, on_skip=None)
    ended = {status: {one["check_name"] for one in results if one["status"] == status} for status in STATUSES}
    assert ended["xfail"] == set(BY_DESIGN)
    assert not ended["passed"] & set(BY_DESIGN)
    assert len(ended["passed"]) > 10


@pytest.mark.filterwarnings("ignore:X does not have valid feature names", "ignore:X has feature names")
@pytest.mark.parametrize(
    "check",
    [
        "check_transformer_get_feature_names_out",
        "check_transformer_get_feature_names_out_pandas",
        "check_get_feature_names_out_error",
        "check_set_output_transform",
        "check_set_output_transform_pandas",
        "check_set_output_transform_polars",
        "check_global_output_transform_pandas",
        "check_global_set_output_transform_polars",
        "check_dataframe_column_names_consistency",
    ],
)
def test_checks_of_outputs(check):
    getattr(estimator_checks, check)("NumberEmbedder", NumberEmbedder(MODEL))


# Texts, from wherever they come -----------------------------------------------------------------------------------

HOLDERS = {
    "list": list,
    "tuple": tuple,
    "iterator": iter,
    "array of objects": lambda texts: np.array(texts, object),
    "column of objects": lambda texts: np.array(texts, object).reshape(-1, 1),
    "array of str": lambda texts: np.array(texts, np.dtypes.StringDType()),
    "pandas": lambda texts: pd.Series(texts, dtype=object, index=range(7, 7 + len(texts))),
    "pandas' str": lambda texts: pd.Series(texts, dtype="str"),
    "pandas' category": lambda texts: pd.Series(texts, dtype="category"),
    "pandas' index": lambda texts: pd.Index(texts, dtype=object),
    "pandas' frame": lambda texts: pd.DataFrame({"a": pd.Series(texts, dtype=object)}),
    "Polars": lambda texts: pl.Series(texts, dtype=pl.String),
    "Polars' frame": lambda texts: pl.DataFrame({"a": pl.Series(texts, dtype=pl.String)}),
    "Arrow": lambda texts: pa.array(texts, pa.string()),
    "Arrow's chunks": lambda texts: pa.chunked_array([texts[:2], texts[2:]], pa.string()),
    "Arrow's table": lambda texts: pa.table({"a": pa.array(texts, pa.string())}),
}


@pytest.mark.parametrize("holder", HOLDERS)
@settings(max_examples=15, deadline=None)
@given(texts=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20), max_size=9))
def test_columns_of_every_kind(holder, texts):
    """The same vectors, to the bit, as by a list."""
    vectors = TextEmbedder(MODEL).fit_transform(HOLDERS[holder](texts))
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, MODEL.encode(texts))
    embedder = TextEmbedder(MODEL).fit(HOLDERS[holder](texts))
    np.testing.assert_array_equal(embedder.transform(HOLDERS[holder](texts)), vectors)


@pytest.mark.parametrize(
    ("X", "error", "words"),
    [
        ("one text", TypeError, "X must be a sequence of str, got one str"),
        (b"one text", TypeError, "got one bytes"),
        (np.array("one text"), TypeError, "got one str"),
        (5, TypeError, "got one int"),
        (None, TypeError, "got one None"),
        ({"a": 1}, TypeError, "got one dict"),
        ([b"a"], TypeError, "X must hold str, got bytes at position 0"),
        (["a", ["b"]], TypeError, "got list at position 1"),
        (["a", None], TypeError, "got None at position 1; a missing value: fill it"),
        (np.array(["a", np.nan], object), TypeError, "got float at position 1; a missing value"),
        (pd.Series(["a", pd.NA], dtype=object), TypeError, "NAType at position 1; a missing value"),
        (pd.Series(["a", None], dtype="str"), TypeError, "at position 1; a missing value"),
        (pl.Series(["a", None]), TypeError, "got None at position 1; a missing value"),
        (np.zeros(3), TypeError, "X must hold str, got float at position 0$"),
        (["a", pd.NaT], TypeError, "NaTType at position 1; a missing value"),
        (["a", np.float32("nan")], TypeError, "numpy.float32 at position 1; a missing value"),
        (["a", np.array([1.0, 2.0])], TypeError, "got numpy.ndarray at position 1$"),
        (["a", Decimal("sNaN")], TypeError, "got decimal.Decimal at position 1$"),
        (sparse.csr_array((2, 2)), TypeError, "X must hold str, got "),
        ({"a", "b"}, TypeError, "got one set"),
        (bytearray(b"a"), TypeError, "got one bytearray"),
        (pl.LazyFrame({"a": ["a"]}), TypeError, r"got a polars.*LazyFrame; give X.collect\(\)"),
        (np.array([["a", "b"]]), ValueError, r"one column, got an array of shape \(1, 2\)"),
        (np.full((1, 1, 1), "a"), ValueError, r"got an array of shape \(1, 1, 1\)"),
        (pd.DataFrame({"a": ["a"], "b": ["b"]}), ValueError, "got 2 in a pandas.*; a ColumnTransformer gives"),
        (pl.DataFrame({"a": ["a"], "b": ["b"]}), ValueError, "got 2 in a polars"),
    ],
)
def test_what_is_no_column_of_texts(X, error, words):
    for options in ({}, {"batch": 1}, {"pooling": "max"}):
        embedder = TextEmbedder(MODEL, **options).fit(["a"])
        for call in (embedder.transform, embedder.fit, embedder.fit_transform):
            with pytest.raises(error, match=words):
                call(X)


# Parameters -------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    texts=TEXTS, batch=st.integers(1, 9), pooling=st.sampled_from(["mean", "max", "mean_max"]), normalize=st.booleans()
)
def test_a_batch_changes_no_bit(texts, batch, pooling, normalize):
    embedder = TextEmbedder(MODEL, pooling=pooling, normalize=normalize)
    whole = embedder.fit_transform(texts)
    assert whole.shape == (len(texts), 16 if pooling == "mean_max" else 8)
    np.testing.assert_array_equal(embedder.set_params(batch=batch).transform(texts), whole)


@pytest.mark.parametrize("pooling", ["mean", "sum", "max", "cls", "last", "mean_sqrt_len", "weighted_mean", "mean_max"])
def test_poolings_are_those_of_pool(pooling):
    """Of the rows of each text's tokens, one text at a time."""
    for normalize in (None, True):
        embedder = TextEmbedder(MODEL, pooling=pooling, normalize=normalize).fit([])
        for text, vector in zip(WORDS, embedder.transform(WORDS), strict=True):
            ids = MODEL.tokenizer.encode(text)
            pooled = fastemb.pool(MODEL.table[ids][np.newaxis], mode=pooling, normalize=bool(normalize))[0]
            np.testing.assert_allclose(vector, pooled, rtol=1e-6, atol=1e-6)


def test_parameters_are_those_of_encode(tmp_path):
    folder = make_folder(tmp_path)
    loaded = fastemb.StaticModel.load(folder)
    ways = [(folder, loaded), (str(folder), loaded), (MODEL, MODEL), ((MODEL.tokenizer, MODEL.table), MODEL)]
    for given_as, model in ways:
        for options in ({"normalize": True}, {"max_length": 3}, {"max_length": None}, {"prompt": "find: "}):
            vectors = TextEmbedder(given_as, **options).fit_transform(WORDS)
            np.testing.assert_array_equal(vectors, model.encode(WORDS, **options))
        first = TextEmbedder(given_as, dim=3, normalize=True).fit_transform(WORDS)
        np.testing.assert_array_equal(first, fastemb.StaticModel.load(folder, dim=3).encode(WORDS, normalize=True))
    assert MODEL.table.shape[1] == 8


def test_prompts_and_lengths_stand_before_any_pooling():
    cut = [MODEL.tokenizer.decode(MODEL.tokenizer.encode("find: " + text)[:4]) for text in WORDS]
    embedder = TextEmbedder(MODEL, pooling="max", prompt="find: ", max_length=4)
    np.testing.assert_array_equal(embedder.fit_transform(WORDS), TextEmbedder(MODEL, pooling="max").fit_transform(cut))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"pooling": "median"}, ValueError, "pooling must be one of 'sum', 'mean'"),
        ({"batch": 0}, ValueError, "batch must be at least 1, got 0"),
        ({"batch": "2"}, TypeError, "batch must be an integer or None, got '2'"),
        ({"dim": 9}, ValueError, "dim must be from 1 to 8, got 9"),
        ({"dim": 0}, ValueError, "dim must be at least 1"),
        ({"normalize": "no"}, TypeError, "normalize must be a bool or None"),
        ({"max_length": 0}, ValueError, "max_length must be at least 1"),
        ({"prompt": 5}, TypeError, "prompt must be a str or None"),
        ({"model": "/nowhere"}, FileNotFoundError, "no model at /nowhere"),
        ({"model": 5}, TypeError, "path must be a str"),
        ({"model": (1, 2)}, TypeError, r"\(Tokenizer, table\), got a tuple of int, int"),
        ({"model": (make_tokenizer(), np.ones((3, 2), "f4"))}, ValueError, r"shape \(3, 2\)"),
    ],
)
def test_parameters_are_checked_by_fit(options, error, words):
    """Not by the constructor, as scikit-learn has it; and before any text is looked at."""
    embedder = TextEmbedder(**{"model": MODEL, **options})
    for call in (embedder.fit, embedder.fit_transform):
        with pytest.raises(error, match=words):
            call(None)
    with pytest.raises(NotFittedError):
        embedder.transform(["a"])


@pytest.mark.parametrize(("part", "value"), [("_kept", 3), ("_subwords", "n-grams"), ("_layers", ["Dense"])])
def test_only_rows_can_be_pooled_otherwise(part, value):
    """A model whose vectors are made of more than rows has no vectors of tokens to take the maximum of."""
    model = copy.copy(MODEL)
    setattr(model, part, value)
    with pytest.raises(ValueError, match="pooling='max' needs a model in which the vector of a token is its row"):
        TextEmbedder(model, pooling="max").fit(["a"])


# In the company of others -----------------------------------------------------------------------------------------


def test_clones_share_the_model():
    embedder = TextEmbedder((MODEL.tokenizer, MODEL.table), dim=2, prompt="x").set_output(transform="pandas").fit(["a"])
    twin = clone(Pipeline([("embed", embedder)])).named_steps["embed"]
    assert twin.model is embedder.model
    assert twin.get_params() == embedder.get_params()
    assert not hasattr(twin, "model_")
    assert hasattr(embedder, "model_")
    assert isinstance(twin.fit_transform(["a"]), pd.DataFrame)


def test_frames_keep_their_index_and_names_their_columns():
    frame = pd.DataFrame(
        {"text": WORDS, "other": WORDS[::-1], "n": range(len(WORDS))}, index=range(10, 10 + len(WORDS))
    )
    columns = ColumnTransformer(
        [("a", TextEmbedder(MODEL), "text"), ("b", TextEmbedder(MODEL, dim=2), ["other"])], remainder="passthrough"
    ).set_output(transform="pandas")
    made = columns.fit_transform(frame)
    assert list(made.index) == list(frame.index)
    names = [*(f"a__textembedder{i}" for i in range(8)), "b__textembedder0", "b__textembedder1", "remainder__n"]
    assert list(made.columns) == list(columns.get_feature_names_out()) == names
    np.testing.assert_array_equal(made.iloc[:, :8].to_numpy(np.float32), MODEL.encode(WORDS))
    np.testing.assert_array_equal(made.iloc[:, 8:10].to_numpy(np.float32), MODEL.encode(WORDS[::-1])[:, :2])


def test_grids_in_processes(monkeypatch):
    """Two processes, which joblib tells to be content with their share of the cores, find what one finds."""
    monkeypatch.delenv("FASTEMB_NUM_THREADS", raising=False)
    texts = [f"{word} {i}" for i in range(6) for word in ("bread flour oven", "engine brakes oil")]
    pipeline = make_pipeline(TextEmbedder(MODEL), LogisticRegression())
    grid = {"textembedder__pooling": ["mean", "max"], "textembedder__normalize": [True]}
    found = [GridSearchCV(pipeline, grid, cv=2, n_jobs=n).fit(texts, ["food", "cars"] * 6) for n in (1, 2)]
    one, two = (search.cv_results_["mean_test_score"] for search in found)
    np.testing.assert_array_equal(one, two)
    assert found[1].best_score_ == 1
    assert found[0].best_estimator_.named_steps["textembedder"].model is MODEL
    threads = joblib.Parallel(n_jobs=2)(joblib.delayed(fastemb.get_num_threads)() for _ in range(2))
    assert threads == [max(1, joblib.cpu_count() // 2)] * 2


def test_pickles_hold_the_model(tmp_path):
    folder = make_folder(tmp_path)
    embedder = TextEmbedder(folder, normalize=True).fit(WORDS)
    vectors = embedder.transform(WORDS)
    joblib.dump(embedder, tmp_path / "embedder")
    for file in folder.glob("*.json*"):
        file.unlink()
    for read in (joblib.load(tmp_path / "embedder"), pickle.loads(pickle.dumps(embedder)), copy.deepcopy(embedder)):
        np.testing.assert_array_equal(read.transform(WORDS), vectors)
    with pytest.raises(FileNotFoundError):
        clone(embedder).fit(WORDS)


# Parameters that are set after fit --------------------------------------------------------------------------------


def test_parameters_that_are_set_after_fit_hold(tmp_path):
    """From the next call on, as if it had been fitted with them; what is wrong is said as by fit."""
    folder = make_folder(tmp_path)
    embedder = TextEmbedder(MODEL).fit(WORDS)
    for change in (
        {"dim": 3}, {"pooling": "mean_max", "batch": 2}, {"dim": None, "normalize": True}, {"max_length": 1},
        {"prompt": "find: "}, {"model": make_model(seed=1)}, {"model": str(folder)},
    ):  # fmt: skip
        embedder.set_params(**change)
        fresh = clone(embedder).fit(WORDS)
        assert embedder.get_feature_names_out().tolist() == fresh.get_feature_names_out().tolist()
        np.testing.assert_array_equal(embedder.transform(WORDS), fresh.transform(WORDS))
    embedder.normalize = False
    np.testing.assert_array_equal(embedder.transform(WORDS), clone(embedder).fit(WORDS).transform(WORDS))
    with pytest.raises(ValueError, match="pooling must be"):
        embedder.set_params(pooling="means").transform(WORDS)
    with pytest.raises(ValueError, match="pooling must be"):  # a second time too
        embedder.get_feature_names_out()


def test_a_transformer_that_was_pickled_does_not_ask_for_its_file_again(tmp_path):
    folder = make_folder(tmp_path)
    embedder = TextEmbedder(str(folder), dim=7).fit(WORDS)
    expected = embedder.transform(WORDS)
    sent = pickle.dumps(embedder)
    folder.rename(tmp_path.parent / f"{tmp_path.name}-gone")
    there = pickle.loads(sent)
    np.testing.assert_array_equal(there.transform(WORDS), expected)
    np.testing.assert_array_equal(there.set_params(normalize=True).transform(WORDS), fastemb.normalize(expected))
    with pytest.raises(FileNotFoundError):
        there.set_params(dim=6).transform(WORDS)

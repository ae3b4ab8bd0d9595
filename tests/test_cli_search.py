"""`fastemb search` and `similar`: the nearest documents by a slow law, and an index that never changes an answer."""

import concurrent.futures
import contextlib
import fcntl
import gzip
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastemb
from fastemb import reference
from fastemb.__main__ import main
from fastemb._cli import reading, results
from fastemb._cli.comparing import documents, index, scan
from fastemb._cli.reading import records
from fastemb._cli.writing.resuming import Part

WORDS = {
    "red": (3, 0, 1),
    "blue": (0, 3, 1),
    "green": (0, 3, 1),
    "warm": (3, -1, 1),
    "cold": (-1, 3, 2),
    "not": (0, 0, 0),
}
# Words that float16 brings out of their order, and words beside them that it does not.
DRAW = random.Random(0)
WORDS |= {f"near{i}": tuple(x + DRAW.gauss(0, 2e-4) for x in (1, 1, 0.3)) for i in range(12)}
WORDS |= {f"far{i}": (1, 1 + i * 0.01, 0.3) for i in range(12)}
SUFFIX = ".fastemb-index"


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "words.txt"
    path.write_text("".join(f"{word} {' '.join(map(str, row))}\n" for word, row in WORDS.items()))
    return path


def run(*argv, status=0, stdin=None):
    """Run a command, and return what it prints."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main(list(map(str, argv))) == status
    if status:
        assert out.getvalue() == ""
        assert re.fullmatch(r"fastemb: error: [^\n]+\n", err.getvalue())
        return err.getvalue()
    return out.getvalue()


def found(*argv):
    return [json.loads(line) for line in run(*argv, "--json").splitlines()]


def expected(model_file, query, texts, k):
    """Return the lines and scores of the k best texts, by the slow law."""
    model = fastemb.StaticModel.load(model_file)
    vectors = model.encode(texts, normalize=True)
    known = np.flatnonzero(vectors.any(axis=1))
    scores, ids = reference.topk(model.encode(query, normalize=True), vectors[known], k)
    return list(zip((known[ids[0]] + 1).tolist(), scores[0].tolist(), strict=True))


texts_of_words = st.lists(st.lists(st.sampled_from(sorted(WORDS)), max_size=3).map(" ".join), max_size=40)


@settings(max_examples=10, deadline=None)
@given(texts_of_words, st.sampled_from([word for word in WORDS if word != "not"]), st.integers(1, 9), st.booleans())
def test_the_nearest_are_those_of_the_slow_law(model_file, tmp_path_factory, texts, query, k, end):
    folder = tmp_path_factory.mktemp("law")
    texts = [*texts, "red", *["not"] * 9, "cold"]
    (folder / "t.txt").write_text("\n".join(texts) + "\n" * end)
    law = expected(model_file, query, texts, k)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "MORE", 0)
        for more in ([], ["--index"], ["--index"]):  # without, one that is made, one that is there
            rows = found("search", query, folder / "t.txt", "-k", k, "--model", model_file, "-q", *more)
            assert [row["line"] for row in rows] == [line for line, _ in law]
            assert np.allclose([row["score"] for row in rows], [score for _, score in law], rtol=0, atol=1e-7)
            assert [row["text"] for row in rows] == [texts[line - 1] for line, _ in law]
            assert {row["file"] for row in rows} == {str(folder / "t.txt")}


def test_float16_alone_would_be_wrong(model_file, tmp_path, monkeypatch):
    """That what is near is encoded anew is what makes the order right."""
    texts = [f"near{i}" for i in range(12)]
    (tmp_path / "t.txt").write_text("\n".join(texts))
    monkeypatch.setattr(index, "MORE", 0)
    for query in ("blue", "red", "cold"):
        law = [line for line, _ in expected(model_file, query, texts, 3)]
        rows = found("search", query, tmp_path / "t.txt", "-k", 3, "--model", model_file, "--index", "-q")
        assert [row["line"] for row in rows] == law
        record = np.dtype([("line", "<i8"), ("vector", "<f2", (3,))])
        kept = np.fromfile(tmp_path / f"t.txt{SUFFIX}", record, offset=index.HEADER)
        vector = fastemb.StaticModel.load(model_file).encode(query, normalize=True)
        rough = reference.topk(vector, kept["vector"], 3, "dot")[1][0] + 1
        assert rough.tolist() != law


WRITERS = {
    "t.txt": lambda path, texts: path.write_text("\r\n".join(texts) + "\r\n", newline=""),
    "bom.txt": lambda path, texts: path.write_text("\n".join(texts), encoding="utf-8-sig"),
    "t.jsonl": lambda path, texts: path.write_text("".join(json.dumps({"text": text}) + "\n\n" for text in texts)),
    "t.csv": lambda path, texts: path.write_text("n,text\n" + "".join(f'"1\n2","{text}"\n' for text in texts)),
    "t.tsv": lambda path, texts: path.write_text("text\n" + "".join(f"{text}\n" for text in texts)),
    "t.txt.gz": lambda path, texts: path.write_bytes(gzip.compress("\n".join(texts).encode())),
}
LINE = {"t.jsonl": lambda row: 2 * row + 1, "t.csv": lambda row: 2 * row + 2, "t.tsv": lambda row: row + 2}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("chunk", [7, 1 << 20])
def test_lines_and_texts_of_all_kinds(model_file, tmp_path, monkeypatch, name, chunk):
    for module in ("reading.records", "comparing.scan"):
        monkeypatch.setattr(f"fastemb._cli.{module}.CHUNK", chunk)
    texts = [f"{word} {'warm ' * (i % 4)}" for i, word in enumerate(WORDS)]
    WRITERS[name](tmp_path / name, texts)
    law = expected(model_file, "red", texts, 9)
    for more in ([], ["--index"], ["--index"]):
        rows = found("search", "red", tmp_path / name, "-k", 9, "--model", model_file, "-q", *more)
        assert [row["text"] for row in rows] == [texts[line - 1] for line, _ in law]
        assert [row["line"] for row in rows] == [LINE.get(name, lambda row: row + 1)(line - 1) for line, _ in law]


def test_parquet(model_file, tmp_path):
    pa = pytest.importorskip("pyarrow", reason="the package pyarrow is not installed")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"body": ["blue", "red", "warm"]}), tmp_path / "t.parquet")
    for more in ([], ["--index"], ["--index"]):
        rows = found("search", "red", tmp_path / "t.parquet", "-k", 2, "--model", model_file, *more)
        assert [(row["line"], row["text"]) for row in rows] == [(2, "red"), (3, "warm")]


def test_several_files_and_standard_input(model_file, tmp_path):
    (tmp_path / "a.txt").write_text("blue\nwarm\n")
    (tmp_path / "b.jsonl").write_text('"red"\n')
    command = [sys.executable, "-m", "fastemb", "search", "red", tmp_path / "a.txt", "-", tmp_path / "b.jsonl"]
    done = subprocess.run(
        [*command, "-k", "3", "--model", model_file], input=b"cold\nred red\n", capture_output=True, check=True
    )
    assert done.stdout.decode() == f"1.0000  -:2  red red\n1.0000  {tmp_path}/b.jsonl:1  red\n" + run(
        "search", "red", tmp_path / "a.txt", "-k", 1, "--model", model_file
    )


def test_of_no_more_than_a_block_lines_are_held(model_file, tmp_path, monkeypatch):
    made = []

    class Watched(records.Notes):
        def __init__(self, **options):
            super().__init__(**options)
            made.append(self)

    monkeypatch.setattr(documents, "Notes", Watched)
    monkeypatch.setattr(records, "BATCH", 3)
    (tmp_path / "t.txt").write_text("blue\n" * 10 + "red\n")
    rows = found("search", "red", tmp_path / "t.txt", "-k", 1, "--model", model_file)
    assert ([row["line"] for row in rows], [len(notes.lines) for notes in made]) == ([11], [0])


def encodings(monkeypatch):
    """Return a list that takes the number of texts of every call of a model."""
    counts, encode = [], fastemb.StaticModel.encode

    def counted(model, texts, **options):
        counts.append(len(texts) if isinstance(texts, list) else 1)
        return encode(model, texts, **options)

    monkeypatch.setattr(fastemb.StaticModel, "encode", counted)
    return counts


def test_what_an_index_spares(model_file, tmp_path, monkeypatch):
    """Only what is near is encoded, of a file that has grown what is new, of one that was changed all."""
    path = tmp_path / "t.txt"
    path.write_text("blue\n" * 500 + "red\n")
    counts = encodings(monkeypatch)

    def search(*more):
        counts.clear()
        rows = found("search", "red", path, "-k", 1, "--model", model_file, "--index", "-q", *more)
        return rows[0]["line"], max(counts)

    assert search() == (501, 501)
    assert search() == (501, 1)
    path.touch()
    assert search() == (501, 1)  # no date is asked
    with open(path, "a") as file:
        file.write("warm\n" * 200)
    assert search() == (501, 200)
    assert search() == (501, 1)
    path.write_text("red\n" + "blue\n" * 599)  # as many bytes are changed as one likes
    assert search() == (1, 600)
    size = path.stat().st_size
    path.write_text("blue\n" * 599 + "red\n")
    assert path.stat().st_size == size
    assert search() == (600, 600)
    assert search("--dim", "2") == (600, 600)  # another model
    assert search("--from", "text") == (600, 600)
    assert search("--from", "text") == (600, 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.txt", f"t.txt{SUFFIX}"]


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_has_grown(model_file, tmp_path, name):
    path, texts = tmp_path / name, ["blue", "far1", "far11", "red", "far3"]
    argv = ["search", "far3", path, "-k", 4, "--model", model_file, "-q"]
    WRITERS[name](path, texts[:3])
    found(*argv, "--index")
    before = path.read_bytes()
    WRITERS[name](path, texts)
    if name.endswith(".gz"):  # a member more
        path.write_bytes(before + gzip.compress(b"\nred\nfar3"))
    assert found(*argv, "--index") == found(*argv)
    assert found(*argv, "--index")[0]["text"] == "far3"


def test_a_last_line_that_goes_on(model_file, tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("blue\nfar1")
    argv = ["search", "far1", path, "-k", 2, "--model", model_file, "-q"]
    assert [row["text"] for row in found(*argv, "--index")] == ["far1", "blue"]
    path.write_text("blue\nfar11\nfar2")
    assert [row["text"] for row in found(*argv, "--index")] == ["far2", "far11"]


def flipped(place):
    """Return what changes one bit of a byte, counted from the end where negative."""

    def damage(data):
        changed = bytearray(data)
        changed[place] ^= 1
        return bytes(changed)

    return damage


DAMAGES = {
    "cut": lambda data: data[:-1],
    "header cut": lambda data: data[:100],
    "longer": lambda data: data + b"x",
    "empty": lambda data: b"",
    "zeros": lambda data: data[: index.HEADER] + bytes(len(data) - index.HEADER),
    "line": flipped(index.HEADER),
    "vector": flipped(-1),
    "version": flipped(len("fastemb index ")),
    "key": lambda data: data.replace(b'"size"', b'"siz3"'),
    "number": lambda data: data.replace(b'"at": [0, ', b'"at": [9, '),
    "end of header": flipped(index.HEADER - 1),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_index_is_made_anew(model_file, tmp_path, damage):
    path = tmp_path / "t.txt"
    path.write_text("blue\nred\n")
    argv = ["search", "red", path, "--model", model_file, "--index", "-q"]
    rows = found(*argv)
    whole = (tmp_path / f"t.txt{SUFFIX}").read_bytes()
    (tmp_path / f"t.txt{SUFFIX}").write_bytes(damage(whole))
    assert damage(whole) != whole
    assert found(*argv) == rows
    assert (tmp_path / f"t.txt{SUFFIX}").read_bytes() == whole


def test_who_may_not_read_a_file_may_not_read_its_index(model_file, tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("red\n")
    path.chmod(0o640)
    found("search", "red", path, "--model", model_file, "--index")
    assert (tmp_path / f"t.txt{SUFFIX}").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("grown", [False, True])
def test_an_index_loses_the_rights_that_its_file_has_lost(model_file, tmp_path, grown):
    path, kept = tmp_path / "t.txt", tmp_path / f"t.txt{SUFFIX}"
    path.write_text("red\n")
    path.chmod(0o644)
    found("search", "red", path, "--model", model_file, "--index")
    path.chmod(0o600)
    if grown:
        path.write_text("red\nwarm\n")
    found("search", "red", path, "--model", model_file, "--index")
    assert kept.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)  # and does not get them back: somebody may have taken them
    found("search", "red", path, "--model", model_file, "--index")
    assert kept.stat().st_mode & 0o777 == 0o600


def test_who_may_not_read_the_file_may_not_read_the_part_of_its_index(model_file, tmp_path, monkeypatch):
    path, seen, add = tmp_path / "t.txt", [], index._add

    def look(*given):
        seen.append((tmp_path / f"t.txt{SUFFIX}.part").stat().st_mode & 0o777)
        return add(*given)

    monkeypatch.setattr(index, "_add", look)
    path.write_text("red\n")
    path.chmod(0o600)
    found("search", "red", path, "--model", model_file, "--index")
    assert seen == [0o600]


@pytest.mark.parametrize("done", [True, False])
def test_a_search_waits_for_another_that_makes_the_index(model_file, tmp_path, monkeypatch, done):
    """It takes what that one made; where it was ended, it makes the index itself."""
    path, kept = tmp_path / "t.txt", tmp_path / f"t.txt{SUFFIX}"
    path.write_text("red\nblue\n")
    argv = ["search", "red", path, "--model", model_file, "--index"]
    rows = found(*argv)
    whole, added, add = kept.read_bytes(), [], index._add
    kept.unlink()
    monkeypatch.setattr(index, "_add", lambda *given: added.append(1) or add(*given))
    waits, flock, said = threading.Event(), fcntl.flock, io.StringIO()
    argv = list(map(str, [*argv, "--json"]))

    def watched(file, how):
        if how == fcntl.LOCK_EX:
            waits.set()
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", watched)
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(said),
        concurrent.futures.ThreadPoolExecutor(1) as pool,
        Part(kept, {"another": "run"}) as part,
    ):
        waiting = pool.submit(main, argv)
        part.write(whole)
        assert waits.wait(60)
        assert said.getvalue() == f"fastemb: {kept}: is being written by another run; waiting for it\n"
        if done:
            part.finish(lambda file, new: None, elsewhere=False)
        else:
            part.discard()
    assert waiting.result() == 0
    assert [json.loads(line) for line in out.getvalue().splitlines()] == rows
    assert (kept.read_bytes(), added) == (whole, [] if done else [1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.txt", kept.name]


KILLED = """
import os, sys
from fastemb._cli.reading import records
from fastemb._cli.writing import resuming
from fastemb.__main__ import main
records.CHUNK, resuming.SECONDS = 1 << 12, 0.0
limit, sync = int(sys.argv[1]), resuming.Part._sync
def synced(part):
    sync(part)
    if os.fstat(part._journal.fileno()).st_size > limit:
        sys.stdin.read()  # it is killed here at the latest, however late that comes
resuming.Part._sync = synced
sys.exit(main(sys.argv[2:]))
"""


def test_killed_while_an_index_is_written(model_file, tmp_path):
    """The same command ends with the same bytes, and nothing is left beside them."""
    draw = random.Random(0)
    words = [word for word in WORDS if word != "not"]
    (tmp_path / "t.txt").write_text("".join(f"{' '.join(draw.choices(words, k=5))}\n" for _ in range(8_000)))
    argv = ["search", "red", str(tmp_path / "t.txt"), "--model", str(model_file), "--index", "-q"]
    rows = found(*argv)
    whole = (tmp_path / f"t.txt{SUFFIX}").read_bytes()
    (tmp_path / f"t.txt{SUFFIX}").unlink()
    journal = tmp_path / f"t.txt{SUFFIX}.part.journal"
    for _ in range(2):
        before = journal.stat().st_size if journal.exists() else 0
        command = [sys.executable, "-c", KILLED, str(before + 1000), *argv]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        while child.poll() is None and (not journal.exists() or journal.stat().st_size < before + 200):
            time.sleep(0.002)
        child.kill()
        child.communicate()
        assert child.returncode == -signal.SIGKILL
    assert journal.stat().st_size > 400  # both had come to states from which another run can go on
    assert found(*argv) == rows
    assert (tmp_path / f"t.txt{SUFFIX}").read_bytes() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.txt", f"t.txt{SUFFIX}"]


def test_search_refuses(model_file, tmp_path, monkeypatch):
    path = tmp_path / "t.txt"
    path.write_text("red\n")
    model = ["--model", model_file]
    assert "-k must be at least 1, got 0" in run("search", "red", path, "-k", 0, *model, status=2)
    assert "nothing in the query 'no' is known" in run("search", "no", path, *model, status=2)
    assert "-: an index is kept beside a file" in run("search", "red", "-", "--index", *model, status=2)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").write_text("red\n")  # no file of that name makes it another than standard input
    assert "-: an index is kept beside a file" in run("search", "red", "-", "--index", *model, status=2)
    assert "-:1: is no document, FILE:LINE" in run("similar", *model, "--", "-:1", path, status=2)
    assert f"{tmp_path}: Is a directory" in run("search", "red", tmp_path, *model, status=2)
    assert "none.txt: No such file" in run("search", "red", tmp_path / "none.txt", *model, status=2)
    (tmp_path / f"t.txt{SUFFIX}").write_text("mine")
    assert "is no index of fastemb: it is in the way" in run("search", "red", path, "--index", *model, status=2)
    assert (tmp_path / f"t.txt{SUFFIX}").read_text() == "mine"
    (tmp_path / "b.jsonl").write_text('"red"\nbad\n')
    assert "b.jsonl: line 2: not JSON" in run("search", "red", tmp_path / "b.jsonl", *model, status=2)
    assert run("search", "red", tmp_path / "t.txt", *model) == f"1.0000  {path}:1  red\n"


def test_nothing_is_found_in_an_empty_file(model_file, tmp_path):
    (tmp_path / "t.txt").write_text("")
    (tmp_path / "u.txt").write_text("\nunheard of\n")
    for more in ([], ["--index"], ["--index"]):
        assert run("search", "red", tmp_path / "t.txt", tmp_path / "u.txt", "--model", model_file, *more) == ""


def test_vectors_that_are_no_numbers_are_never_found(tmp_path):
    (tmp_path / "g.txt").write_text("red 1 0\nbroken nan 1\nblue 0 1\n")
    (tmp_path / "t.txt").write_text("blue\nbroken\nred broken\nred\n")
    argv = [tmp_path / "t.txt", "--model", tmp_path / "g.txt"]
    for more in ([], ["--index"], ["--index"]):
        assert [row["line"] for row in found("search", "red", *argv, *more)] == [4, 1]
    words = ["--model", tmp_path / "g.txt"]
    assert [row["word"] for row in found("similar", "red", *words)] == ["blue"]
    assert "the vector of 'broken' is no number" in run("similar", "broken", *words, status=2)
    assert run("cluster", *argv, "-k", 2, "--each").split() == ["1", "0", "0", "2"]
    assert run("dedupe", *argv, "-q") == ""
    assert "nothing in the query 'broken' is known" in run("search", "broken", *argv, status=2)


def test_similar_documents_are_those_of_the_slow_law_without_itself(model_file, tmp_path):
    texts = ["red", "warm", "blue", "red", "cold red", "not"]
    path = tmp_path / "t.txt"
    path.write_text("\n".join(texts))
    law = [line for line, _ in expected(model_file, "red", texts, 5) if line != 4]
    for more in ([], [path], [f"{tmp_path}/./t.txt"], ["--index"], ["--index"]):
        rows = found("similar", f"{path}:4", *more, "-k", 3, "--model", model_file)
        assert [row["line"] for row in rows] == law[:3]
    (tmp_path / "other.txt").write_text("red red\n")
    rows = found("similar", f"{path}:1", tmp_path / "other.txt", path, "-k", 2, "--model", model_file)
    assert [(row["file"], row["line"]) for row in rows] == [(str(tmp_path / "other.txt"), 1), (str(path), 4)]


def test_similar_words(model_file):
    rows = found("similar", "red", "-k", 2, "--model", model_file)
    law = fastemb.StaticModel.load(model_file).most_similar("red", 2)
    assert [(row["word"], row["score"]) for row in rows] == [(word, results.number(score)) for word, score in law]
    assert run("similar", "red", "-k", 1, "--model", model_file) == f"{law[0][1]:.4f}  {law[0][0]}\n"


def test_a_word_that_looks_like_a_place(tmp_path):
    (tmp_path / "g.txt").write_text("10:30 1 0\n10:45 1 1\n")
    assert [row["word"] for row in found("similar", "10:30", "--model", tmp_path / "g.txt")] == ["10:45"]


def test_similar_refuses(model_file, tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("red\nnot\n")
    for item, words, more in [
        (f"{path}:3", "no document begins on line 3", []),
        (f"{path}:2", f"nothing in the document {path}:2 is known", []),
        ("red", "red: is no document, FILE:LINE", [path]),
        ("red.txt:1", "red.txt:1: there is no file red.txt, and no such word", []),
        ("unheard", "nothing in 'unheard' is in the vocabulary", []),
    ]:
        assert words in run("similar", item, *more, "--model", model_file, status=2)


def test_json_where_the_output_is_not_utf8(model_file, tmp_path):
    text = "red caf\u00e9 \U0001f600"
    (tmp_path / "t.txt").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "fastemb", "search", "red", tmp_path / "t.txt", "--model", model_file, "--json"]
    for encoding in ("ascii", "latin-1", "utf-8"):
        done = subprocess.run(
            command, env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True, check=True
        )
        assert json.loads(done.stdout.decode(encoding))["text"] == text
        assert (b"\\u00e9" in done.stdout) is (encoding != "utf-8")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_results_are_coloured_and_cut(model_file, tmp_path, monkeypatch):
    path = tmp_path / "t.txt"
    path.write_text("red \x1b[31m\u202e" + "warm " * 60 + "\n")
    monkeypatch.setenv("COLUMNS", str(len(str(path)) + 40))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = Terminal()
    monkeypatch.setattr(sys, "stdout", shown)
    assert main(["search", "red", str(path), "--model", str(model_file)]) == 0
    coloured = shown.getvalue()
    plain = re.sub(r"\x1b\[\d*m", "", coloured)
    assert f"\x1b[35m{path}\x1b[m:\x1b[32m1\x1b[m" in coloured
    assert len(plain) == len(str(path)) + 41  # and the end of the line
    assert plain.endswith("…\n")
    assert r"red \x1b[31m\u202e" in plain
    monkeypatch.setenv("NO_COLOR", "1")
    shown.truncate(0)
    assert main(["search", "red", str(path), "--model", str(model_file)]) == 0
    assert "\x1b" not in shown.getvalue()


def test_on_a_terminal_wide_characters_take_two_columns():
    assert results._fitting("日本語", 6) == "日本語"
    assert results._fitting("日本語", 5) == "日本…"
    assert results._fitting("日本語", 4) == "日…"
    assert results._fitting("e\u0301" * 5, 5) == "e\u0301" * 5
    assert results._fitting("e\u0301" * 6, 5) == "e\u0301" * 4 + "…"
    assert results._fitting("abcde", 5) == "abcde"
    assert results._fitting("abcdef", 5) == "abcd…"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("aé\u2028\ufeff \n", max_size=9), max_size=30), st.integers(1, 12), st.data())
def test_lines_are_found_from_any_chunk(tmp_path_factory, rows, chunk, data):
    folder = tmp_path_factory.mktemp("lines")
    texts = "\n".join([*rows, "end"]).split("\n")
    (folder / "t").write_text("\n".join(texts), newline="", encoding="utf-8")
    numbers = sorted(data.draw(st.sets(st.integers(1, len(texts)), min_size=1)))
    first = data.draw(st.integers(0, (folder / "t").stat().st_size))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "CHUNK", chunk)
        (source,) = reading.sources([str(folder / "t")])
        found = scan.scan(source.name, first)
        known = [texts[0].removeprefix("\ufeff"), *texts[1:]]  # a byte order mark before the first is none of it
        assert scan.lines_at(source, found, numbers) == [known[number - 1] for number in numbers]
    stored = (folder / "t").read_bytes()
    assert (found.size, found.first_ends_line) == (len(stored), first > 0 and stored[first - 1] == 10)
    assert found.checksum == zlib.crc32(stored)
    assert found.first == (zlib.crc32(stored[:first]) if first else None)

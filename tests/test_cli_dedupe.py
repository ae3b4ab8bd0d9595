"""`fastemb dedupe`: which documents are kept, by a slow law, whatever the blocks; and what is printed and written."""

import contextlib
import io
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import fastemb
from fastemb.__main__ import main
from fastemb._cli.comparing import duplicates


def law(vectors, threshold):
    """Return for each vector the nearest kept one and its cosine, or None where it is kept itself: one by one."""
    unit = vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    kept, found = [], []
    for one in unit:
        scores = [float(np.float32(one @ unit[row])) for row in kept]
        best = int(np.argmax(scores)) if scores else 0
        near = bool(scores) and scores[best] >= np.float32(threshold)
        found.append((best, scores[best]) if near else None)
        if not near:
            kept.append(len(found) - 1)
    return found


numbers = st.lists(st.lists(st.integers(-2, 2), min_size=3, max_size=3).filter(any), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(numbers, st.sampled_from([0.3, 0.77, 0.9, 1.0]), st.integers(1, 9), st.integers(1, 9), st.integers(1, 20))
@example([[1, 0, 0], [0, 1, 0], [2, 1, 0]], 0.3, 2, 9, 1)  # near to one of an earlier block, and less to one of its own
def test_what_is_kept_is_the_slow_laws(rows, threshold, block, chunk, first):
    vectors = fastemb.normalize(np.array(rows, np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "BLOCK", block)
        patch.setattr(duplicates, "CHUNK", chunk)
        kept = duplicates.Kept(threshold)
        parts = [kept.add(part) for part in (vectors[:first], vectors[first:]) if len(part)]
    scores, places = (np.concatenate(column) for column in zip(*parts, strict=True))
    expected = law(vectors, threshold)
    own = 0
    for score, place, one in zip(scores, places, expected, strict=True):
        if one is None:
            assert (score, place) == (-np.inf, own)
            own += 1
        else:
            assert score == pytest.approx(one[1], abs=1e-7)
            assert place == one[0]
    assert kept.size == own


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("the cat sat\n\na dog ran\nthe cat sat\nThe cat sat down.\n\nthe cat sat\n")
    return path


def run(*argv, status=0):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main(["dedupe", *map(str, argv)]) == status
    if status:
        assert out.getvalue() == ""
        assert re.fullmatch(r"fastemb: error: [^\n]+\n", err.getvalue())
        return err.getvalue()
    return out.getvalue()


def test_groups(file):
    assert run(file, "--threshold", "0.999") == (
        f"{file}:1  the cat sat\n"
        f"  1.0000  {file}:4  the cat sat\n"
        f"  1.0000  {file}:7  the cat sat\n"
        "5 of 7 documents are kept, near-duplicates: 2\n"
    )
    assert run(file, "-q", "--threshold", "1") == "".join(
        run(file, "--threshold", "0.999").splitlines(keepends=True)[:-1]
    )


def test_pairs_as_json(file):
    rows = [json.loads(line) for line in run(file, "--json", "--threshold", "0.999").splitlines()]
    kept = {"file": str(file), "line": 1, "text": "the cat sat"}
    assert rows == [
        {"score": 1.0, "file": str(file), "line": line, "text": "the cat sat", "kept": kept} for line in (4, 7)
    ]


def test_what_is_kept_is_written(file, tmp_path):
    kept = ["the cat sat", "", "a dog ran", "The cat sat down.", ""]
    out = tmp_path / "out.txt"
    said = "5 of 7 documents are kept, near-duplicates: 2\n"
    assert run(file, "-o", out, "--threshold", "0.999") == f"wrote {out}: {said}"
    assert out.read_text() == "".join(f"{text}\n" for text in kept)
    run(file, "-o", tmp_path / "out.jsonl", "--threshold", "0.999", "-q")
    assert [json.loads(line)["text"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == kept
    run(out, "-o", tmp_path / "again.txt", "--threshold", "0.999")  # nothing is a duplicate of what is kept
    assert (tmp_path / "again.txt").read_bytes() == out.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.txt", "out.jsonl", "out.txt", "t.txt"]


def test_rows_keep_their_fields(tmp_path):
    """Of JSON Lines as they stand in the file, of CSV by the names of its columns; a line of text is a text."""
    rows = ['{"id": 1, "body": "the cat sat", "more": [1.50, null]}', '{"id": 2, "body": "the cat sat"}', '"a dog ran"']
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + "\r\n\n".join(rows[:2]).encode())
    (tmp_path / "b.csv").write_text('id,body\n3,the cat sat\n4,"a dog,\nran"\n5,Stars shine.\n')
    (tmp_path / "c.txt").write_text("a bird sang\nthe cat sat\n")
    out = tmp_path / "out.jsonl"
    run(tmp_path / "a.jsonl", tmp_path / "b.csv", "--field", "body", "-o", out, "-q")
    csv = [{"id": "4", "body": "a dog,\nran"}, {"id": "5", "body": "Stars shine."}]
    assert out.read_text().splitlines()[0] == rows[0]
    assert [json.loads(line) for line in out.read_text().splitlines()[1:]] == csv
    (tmp_path / "d.jsonl").write_text(f"{rows[2]}\n")
    run(tmp_path / "c.txt", tmp_path / "d.jsonl", "-o", out, "-q")
    assert [json.loads(line) for line in out.read_text().splitlines()] == [
        {"text": "a bird sang"}, {"text": "the cat sat"}, "a dog ran"
    ]  # fmt: skip


def test_standard_input_and_output_and_several_files(tmp_path):
    (tmp_path / "a.csv").write_text('text\n"the cat sat"\n')
    done = subprocess.run(
        [sys.executable, "-m", "fastemb", "dedupe", tmp_path / "a.csv", "-", "-o", "-"],
        input=b"a dog ran\nthe cat sat\n",
        capture_output=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (b"the cat sat\na dog ran\n", b"")


def test_dedupe_refuses(file, tmp_path):
    for value in ("0", "1.1", "nan", "-1"):
        assert "--threshold must be above 0 and at most 1" in run(file, "--threshold", value, status=2)
    assert "the suffix .npy does not say what to write: txt, jsonl" in run(file, "-o", tmp_path / "v.npy", status=2)
    assert "is a file that is to be read" in run(file, "-o", file, status=2)
    assert "--json and -o - would both write" in run(file, "--json", "-o", "-", status=2)
    (tmp_path / "t.csv").write_text('text\n"a\nb"\n')
    assert "t.csv: line 2: a text that holds the end of a line" in run(
        tmp_path / "t.csv", "-o", tmp_path / "out.txt", status=2
    )
    (tmp_path / "bad.jsonl").write_text('"a"\n7\n')
    assert "bad.jsonl: line 2: " in run(tmp_path / "bad.jsonl", "-o", tmp_path / "out.txt", status=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.jsonl", "t.csv", "t.txt"]

"""The tables of other libraries' calls: each line is run on both sides, and the results are equal."""

import re
import warnings

import numpy as np
import pytest
from pages import ROOT, name, require, setup

from fastemb import Ragged

LINE = re.compile(r"^\| `([^|]*)` \| `([^|]*)` \|", flags=re.MULTILINE)
PAGES = sorted((ROOT / "docs/coming_from").glob("*.md"))


def parts(result):
    """Return a result as a list of arrays, or as it is."""
    if isinstance(result, Ragged):
        return result.tolist()
    if hasattr(result, "__array__") or hasattr(result, "detach"):
        result = (result,)
    if isinstance(result, tuple) and result and hasattr(result[0], "shape"):
        return [np.asarray(part.detach() if hasattr(part, "detach") else part) for part in result]
    return result


@pytest.mark.parametrize("page", PAGES, ids=name)
@pytest.mark.filterwarnings("ignore")  # those of other libraries' import and of their older calls
def test_lines(page):
    require(page)
    names = setup(page)
    lines = LINE.findall(page.read_text(encoding="utf-8"))
    assert len(lines) > 10
    for theirs, ours in lines:
        with warnings.catch_warnings():
            expected = parts(eval(theirs, names))
        with warnings.catch_warnings(action="error"):
            found = parts(eval(ours, names))
        if isinstance(found, list) and found and isinstance(found[0], np.ndarray):
            expected = expected if isinstance(expected[0], np.ndarray) else [np.array(expected)]
            assert [part.shape for part in found] == [part.shape for part in expected], ours
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5, err_msg=ours)
        else:
            assert found == expected, ours

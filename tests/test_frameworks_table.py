"""The page of frameworks says what happens."""

import pytest

for name in ("torch", "jax", "pyarrow", "polars", "ml_dtypes"):
    pytest.importorskip(name, reason=f"the package {name} is not installed")

framework_table = pytest.importorskip("framework_table")


def test_the_page_of_frameworks():
    """`python tests/framework_table.py` writes it anew."""
    page = framework_table.PAGE.read_text(encoding="utf-8")
    assert page.partition(framework_table.BEGIN)[2].partition(framework_table.END)[0] == framework_table.tables()

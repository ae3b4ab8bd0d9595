"""The simulation of many machines: work is conserved, and the laws that have a closed form come out of it."""

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.scale import (
    DAY,
    HOUR,
    MEASURED,
    Plan,
    Rates,
    embedding,
    expected,
    file_seconds,
    rate_table,
    simulate,
    steps,
    tables,
    young,
)

STEADY = Plan(mtbf=math.inf, slow=0.0)


@settings(deadline=None)
@given(
    work=st.lists(st.floats(1, 1e5), max_size=60),
    machines=st.integers(1, 9),
    every=st.sampled_from([math.inf, 10.0, 1e4]),
    slow=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 99),
)
def test_work_is_conserved(work, machines, every, slow, seed):
    """What is kept is the work there was, whatever fails; no time of a machine is counted twice."""
    plan = Plan(machines=machines, mtbf=2e4, restart=100.0, checkpoint=1.0, every=every, slow=slow)
    run = simulate(work, plan, seed)
    assert run.done == pytest.approx(sum(work))
    assert sum(work) * (1 - 1e-9) <= run.busy <= sum(work) * plan.slow_by * (1 + 1e-9)
    if slow == 0:
        assert run.busy == pytest.approx(sum(work))
    assert run.busy + run.lost + run.failures * plan.restart <= run.seconds * machines * (1 + 1e-9)
    assert run == simulate(work, plan, seed)


def test_without_failures_it_is_the_closed_form():
    for machines in (1, 7, 64):
        assert simulate([3.0] * 448, STEADY._replace(machines=machines)).seconds == 3.0 * 448 / machines
    slow = simulate([3.0] * 3000, STEADY._replace(machines=20, slow=0.5, slow_by=2.0))
    assert slow.seconds == pytest.approx(3.0 * 3000 / 15, rel=0.01)  # ten that count whole, and ten that count half
    assert slow.lost == slow.failures == 0


def test_a_file_that_is_cut_by_checkpoints_takes_them_longer():
    plan = STEADY._replace(machines=1, every=10.0, checkpoint=2.0)
    assert simulate([30.0], plan).seconds == 34.0  # none behind the last stretch
    assert simulate([31.0], plan).seconds == 37.0


@pytest.mark.parametrize(("every", "checkpoint", "restart"), [(600.0, 10.0, 100.0), (5000.0, 200.0, 2000.0)])
def test_failures_cost_what_the_closed_form_says(every, checkpoint, restart):
    """The mean of 300 runs of one machine, within four of its standard errors."""
    plan = STEADY._replace(machines=1, mtbf=HOUR, restart=restart, every=every, checkpoint=checkpoint)
    work = 60 * every
    times = [simulate([work], plan, seed).seconds for seed in range(300)]
    mean, error = statistics.mean(times), statistics.stdev(times) / math.sqrt(len(times))
    assert abs(mean - expected(work, every, checkpoint, plan.mtbf, restart)) < 4 * error + checkpoint
    assert error < 0.02 * mean  # or the line above would say little


def test_youngs_interval_is_the_best_one():
    plan = Plan(mtbf=4 * HOUR, checkpoint=5.0)
    best = young(plan.checkpoint, plan.mtbf)
    times = [expected(1e6, best * factor, plan.checkpoint, plan.mtbf, plan.restart) for factor in (0.25, 0.5, 1, 2, 4)]
    assert min(times) == times[2]


def test_a_file_takes_as_long_as_its_slowest_side():
    rates = Rates(decompress=1e9, tokenize=1e8, lookup=2e8, write=1e9)
    plan = Plan(cores=10, file=1e9, bytes_per_token=4.0, out_per_token=2.0, ratio=4.0, network=1e9, request=0.0)
    assert steps(plan, rates) == pytest.approx(
        {"read": 0.25, "decompress": 0.1, "tokenize": 1.0, "look up": 0.0, "write": 0.05, "send": 0.5}
    )
    assert file_seconds(plan, rates) == pytest.approx(1.15)
    assert file_seconds(embedding(plan, tokens_per_document=4), rates) == pytest.approx(64.0)  # sending 64 GB
    assert file_seconds(plan._replace(storage=1e8, machines=1), rates) == pytest.approx(5.0)


def test_the_page_has_the_tables():
    from pages import ROOT

    page = (ROOT / "docs/design/scale.md").read_text(encoding="utf-8")
    assert tables(MEASURED) in page
    assert rate_table() in page
    assert DAY == 24 * HOUR

"""The benchmark's own use of the training code."""

import pytest

from config import REPOSITORY


@pytest.mark.slow
def test_the_work_at_the_end_of_an_epoch_is_measured(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    import benchmark

    found = benchmark.measure_host_work(rounds=2)
    assert found.keys() == {"end_of_epoch", "stalls", "first_score", "score"}
    assert 0 < found["stalls"] <= found["end_of_epoch"]
    assert 0 < found["score"] < found["first_score"]

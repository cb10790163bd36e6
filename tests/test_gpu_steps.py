"""What a step asks of a GPU, counted on a CUDA that only pretends."""

import pytest

from helpers import run_script

pytestmark = pytest.mark.slow
STEPS = 234  # of the epoch that is counted


@pytest.fixture
def count(fake_cuda):
    """A function from options of train_dcgan.py to how often each event happens in a step."""

    def count_events(*words):
        finished = run_script("tests/fake_cuda/count_steps.py", *words, env=fake_cuda)
        assert finished.returncode == 0, finished.stderr
        rows = (line.split(maxsplit=1) for line in finished.stdout.splitlines())
        return {kind: float(number) for number, kind in rows}

    return count_events


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_with_xla_a_step_has_few_kernels_and_the_host_waits_once_an_epoch(count, precision):
    found = count("--precision", precision)
    assert 5 < found["LAUNCH kernel"] <= 20
    assert max(found["SYNC"], found["D2H"]) < 2 / STEPS
    assert found["H2D"] < 0.25  # step numbers, and once an epoch the order of the images


def test_without_xla_all_operations_run_on_the_gpu(count):
    """One that did not would have its inputs copied back."""
    found = count("--compile", "off")
    assert max(found["SYNC"], found["D2H"]) < 2 / STEPS

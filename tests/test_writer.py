"""Writing beside the training."""

import threading

import pytest

from training.writer import BackgroundWriter


def failing():
    raise OSError(28, "No space left on device")


def test_jobs_run_in_order_in_another_thread():
    done = []
    with BackgroundWriter() as writer:
        writer.submit(lambda: done.append(1), lambda: done.append(threading.current_thread()))
        writer.submit(lambda: done.append(3))
    assert done[0] == 1 and done[2] == 3  # leaving waits
    assert done[1] is not threading.main_thread()


def test_a_failed_job_does_not_keep_the_next_one_from_running():
    done = []
    with BackgroundWriter() as writer:
        writer.submit(failing, lambda: done.append(1))
        with pytest.raises(OSError, match="No space"):
            writer.wait()
    assert done == [1]


def test_an_error_is_raised_once_by_the_next_call():
    done = []
    with BackgroundWriter() as writer:
        writer.submit(failing)
        with pytest.raises(OSError, match="No space"):
            writer.submit(lambda: done.append(1))
        writer.wait()
    assert done == [1]

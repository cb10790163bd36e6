"""Writing beside the training."""

import threading

import pytest

from training.writer import BackgroundWriter


@pytest.fixture
def writer():
    writer = BackgroundWriter()
    yield writer
    writer.close()


def test_the_newest_of_a_name_is_called_at_its_own_place(writer):
    done, busy = [], threading.Event()
    writer.submit("long", busy.wait)
    writer.submit("state", lambda: done.append("old state"))
    writer.submit("best", lambda: done.append("best"))
    writer.submit("state", lambda: done.append("new state"))
    busy.set()
    writer.wait()
    assert done == ["best", "new state"]


def test_an_error_stops_no_other_function_and_is_raised_once(writer):
    def fail():
        raise OSError(28, "No space left on device")

    done = []
    with pytest.raises(OSError, match="No space"):
        writer.submit("bad", fail)
        writer.wait()
    writer.submit("good", lambda: done.append(1))
    writer.wait()
    assert done == [1]

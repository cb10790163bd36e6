"""The settings: their defaults, and which of them a resumed run keeps."""

import pytest

from config import TrainSettings


def test_what_affects_training_is_fixed_on_resume_and_the_rest_is_free():
    fixed = TrainSettings(seed=7).fixed_on_resume()
    assert fixed["seed"] == 7 and fixed["learning_rate"] == 1e-4 and fixed["batch_size"] == 256
    assert not fixed.keys() & {"run", "epochs", "data", "save_every", "strategy", "checkpoints_dir"}
    assert not fixed.keys() & {"evaluate_every", "compile", "tf32"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 64),
        ({"noise_dim": 20}, 6),
        ({"num_codes": 0}, 0),
        ({"noise_dim": 2}, 0),
        ({"codes": "free"}, 32),
        ({"codes": "free", "noise_dim": 20}, 5),
    ],
)
def test_codes_take_only_a_part_of_short_noise(options, expected):
    assert TrainSettings(**options).fixed_on_resume()["num_codes"] == expected

"""The included generator: its digits and scores, on this machine too."""

import json

import numpy as np
import pytest

import evaluate_digits
import generate_digits
from config import REPOSITORY
from evaluation import scores
from readers import read_npz
from sampling import codes
from sampling.sampler import Sampler
from second_classifier import SecondClassifier
from storage import images, snapshots
from storage.weights import load_generator

FOLDER = REPOSITORY / "checkpoints" / "pretrained"
REPORT = json.loads((FOLDER / "scores.json").read_text())


@pytest.fixture(scope="module")
def sampler():
    """A Sampler of the generator that ships."""
    return Sampler(load_generator(snapshots.load_snapshot(FOLDER, "latest")))


@pytest.fixture(scope="module")
def thousand(sampler):
    """Its first 1,000 digits of seed 0, as whole numbers that may be subtracted."""
    return np.concatenate([*sampler.sample(1000, 0)]).astype(int)


def test_it_draws_what_it_always_drew(thousand):
    """At most one grey level beside, in at most one pixel of 10,000: another machine's rounding.

    The first 100 digits are compared pixel by pixel, all 1,000 by the sum of each.
    """
    expected = read_npz(REPOSITORY / "tests" / "pretrained_samples.npz")
    differences = np.abs(thousand[:100] - expected["images"])
    assert differences.max() <= 1 and differences.mean() <= 1e-4
    assert np.abs(thousand.sum((1, 2)) - expected["sums"]).sum() <= 1e-4 * thousand.size


def test_the_table_of_the_docs_is_its_report(classifier):
    assert REPORT["classifier"] == classifier.sha256
    assert REPORT["num_samples"] == 10_000 and REPORT["seed"] == 0
    columns = {"pretrained": "scores", "accepted": "accepted_scores", "real images": "real_data"}
    table = [
        (name, {key: tuple(s) if isinstance(s, list) else s for key, s in REPORT[column].items()})
        for name, column in columns.items()
    ]
    document = (REPOSITORY / "docs" / "evaluation.md").read_text()
    assert evaluate_digits.make_table(table) in document


@pytest.mark.slow
def test_its_scores_are_those_of_its_report(sampler, classifier, test_predictions):
    digits = np.concatenate([*sampler.sample(10_000, 0)])
    found, _ = scores.score(classifier.predict(digits), test_predictions, test_predictions)
    stated = REPORT["scores"]
    for name in ("fid_test", "inception_score", "confidence"):
        assert found[name] == pytest.approx(stated[name], rel=0.01)
    for name in ("precision", "recall", "density", "coverage", "digit_shares"):
        assert found[name] == pytest.approx(stated[name], abs=0.003)


def test_it_draws_for_those_who_trained_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert generate_digits.main([]) == 0
    assert "pretrained" in capsys.readouterr().out
    assert (tmp_path / "samples" / "pretrained-10-digits-seed-0.png").exists()


def test_each_code_draws_a_digit_of_its_own(sampler, thousand, classifier):
    labels = classifier.predict(thousand.astype(np.uint8)).probabilities.argmax(1)
    counts = codes.count_digits(sampler, 0, labels)
    assert len(counts) == 64 and set(counts.argmax(1)) == set(range(10))
    assert codes.mean_purity(counts) == pytest.approx(REPORT["codes"]["mean_purity"], abs=0.02)


def test_the_picture_of_codes_has_a_row_for_each_of_the_first(sampler, tmp_path):
    codes.save_picture(tmp_path / "codes.png", sampler, 0)
    picture = images.load_png(tmp_path / "codes.png")[-(codes.ROWS * 30) :, 2:]
    cells = picture.reshape(codes.ROWS, 30, codes.COLUMNS, 30).swapaxes(1, 2)[:, :, :28, :28]
    (expected,) = Sampler(sampler.generator, code=7).sample(codes.COLUMNS, 0)
    assert np.abs(cells[7].astype(int) - expected).max() <= 1


@pytest.mark.slow
def test_an_independent_classifier_reads_the_digits_that_were_asked_for(tmp_path):
    path = tmp_path / "asked.npz"
    words = ["--run", "pretrained", "--balanced", "--num_samples", "1000", "--output", str(path)]
    assert generate_digits.main(words) == 0
    asked = read_npz(path)
    read = SecondClassifier().predict(asked["images"]).probabilities.argmax(1)
    assert (asked["labels"] == np.arange(1000) % 10).all()
    assert (read == asked["labels"]).mean() >= 0.97

"""Evaluation: the formulas of the metrics, the digit classifier, and the scores."""

"""Counts what a FAKE_LOG lists, by step: `python count_events.py FILE STEPS`."""

import sys
from collections import Counter
from pathlib import Path


def count_events(lines):
    """How often each kind of event is listed: "LAUNCH kernel", "GRAPH launch", "H2D", "SYNC"."""
    words = [line.split() for line in lines if not line.startswith("CALL")]
    return Counter(" ".join(each[: 2 if each[0] in ("LAUNCH", "GRAPH") else 1]) for each in words)


if __name__ == "__main__":
    for kind, number in count_events(Path(sys.argv[1]).read_text().splitlines()).most_common():
        print(f"{number / float(sys.argv[2]):8.2f}  {kind}")

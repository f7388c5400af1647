"""The three packages are ours, not some stranger's of the same name."""

from pathlib import Path

import pipeline
import server
import streams

ROOT = Path(__file__).parents[1]


def test_packages_come_from_this_checkout() -> None:
    for package in (server, streams, pipeline):
        assert package.__file__ is not None
        assert Path(package.__file__).parents[1] == ROOT

"""`restyle serve` with an engine that only inverts: for what asks nothing of the model."""

import sys

from server import __main__, serve
from tests.streams.fakes import build

if __name__ == "__main__":
    vars(serve)["build"] = build
    sys.exit(__main__.main(sys.argv[1:]))

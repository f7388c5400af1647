"""`restyle serve` with an engine that only inverts: for what asks nothing of the model."""

import sys

if __name__ == "__main__":
    # here, as each child of the server imports this module: it would load the server for nothing
    from server import __main__, serve
    from tests.reliability.gc_pauses import GcPauses, tell
    from tests.streams.fakes import build

    vars(serve)["build"] = build
    with GcPauses(tell):
        sys.exit(__main__.main(sys.argv[1:]))

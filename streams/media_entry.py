"""Where a media process begins: it is shut in before a byte of a stranger's reaches it."""

import gc
import os
import pickle  # nosec B403 - from the server, which started this process
import socket

from streams import sandbox


def run(packed: bytes, end: socket.socket) -> None:
    """Do what was packed, a function and what it is given beside the server's end, shut in."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # nobody here multiplies, and threads stay outside
    sandbox.limit()
    # what this loads may look for its libraries with programs and files, so before that is too soon
    work, settings = pickle.loads(packed)  # nosemgrep # nosec B301 - as above
    sandbox.close_files()
    sandbox.forbid_calls()
    gc.collect()
    gc.freeze()  # what is loaded stays: a collection need not look through it
    work(settings, end)

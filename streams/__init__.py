"""Frames on the move: mailboxes, clocks, threads, codecs, sources and sinks."""

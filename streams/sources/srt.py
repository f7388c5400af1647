"""Calling an address of SRT, with the stream id and the passphrase that stand in its query."""

from urllib.parse import SplitResult, unquote, urlsplit

from streams.srt import SrtCaller

_SECONDS = 5.0  # to connect, and without anything to read
_KNOWN = {"mode", "streamid", "passphrase"}


def call(address: str) -> SrtCaller:
    """Connect to who sends. Blocks, for five seconds at most.

    Raises ValueError for an address that is none, and OSError; their texts hold no secret.
    """
    parts = urlsplit(address)
    query = query_of(parts)
    if not parts.hostname or not parts.port or parts.path.strip("/"):
        raise ValueError("give srt://host:port, and behind it at most ?streamid=…&passphrase=…")
    if query.keys() - _KNOWN:
        raise ValueError("only streamid, passphrase and mode=caller may follow the question mark")
    if query.get("mode", "caller") != "caller":
        raise ValueError("mode: only caller; the other side listens")
    streamid, passphrase = query.get("streamid", ""), query.get("passphrase", "")
    if passphrase and not 10 <= len(passphrase.encode()) <= 79:
        raise ValueError("passphrase: 10 to 79 characters, or none")
    if len(streamid.encode()) > 512:
        raise ValueError("streamid: at most 512 characters")
    return SrtCaller(parts.hostname, parts.port, streamid, passphrase, _SECONDS)


def query_of(address: SplitResult) -> dict[str, str]:
    """Read what follows the question mark; a plus is a plus there, as in FFmpeg."""
    pairs = (pair.partition("=") for pair in address.query.split("&") if pair)
    return {unquote(name): unquote(value) for name, _, value in pairs}

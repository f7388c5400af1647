"""FFmpeg's RTMP: whom it trusts over TLS, and what its error numbers mean."""

import errno
import socket
import ssl
from urllib.parse import urlsplit

import av
from av.container import OutputContainer

from streams.sinks.live_sound import INTERLEAVE
from streams.trust import authorities, verifying

_PORTS = {"rtmp": 1935, "rtmps": 443}
_PATIENCE = 2.0  # seconds
_REFUSED = errno.EPERM  # what FFmpeg makes of any status of level "error"
_VAGUE = (errno.EIO, errno.EPIPE, errno.ECONNRESET)  # and the end of the file
_KEY = "is the stream key right?"


def open_rtmp(url: str) -> OutputContainer:
    """Make a container that connects to rtmp:// or rtmps:// when it is started.

    FFmpeg takes any certificate unless it is told to verify, and PyAV hands options to the muxer,
    not to what is below it. The muxer `tee` passes them on.
    """
    if urlsplit(url).scheme != "rtmps":
        return av.open(url, "w", format="flv", options=dict(INTERLEAVE))
    # a tee does not know that FLV wants its headers apart
    options = {"flags": "+global_header", **INTERLEAVE}
    return av.open(_verified(url), "w", format="tee", options=options)


def explained(url: str, error: av.FFmpegError | OSError) -> str:
    """Say why a stream did not begin; quotes nothing of the path, which holds the key.

    Blocks: it may have to connect once more.
    """
    if error.errno == _REFUSED:
        return f"the server refused the stream: {_KEY}"
    if isinstance(error, av.EOFError) or error.errno in _VAGUE:
        return _found_out(url)
    return f"the server cannot be reached: {error.strerror}"


def _verified(url: str) -> str:
    """Give the one output of a tee: its options, then its address."""
    options = {
        "f": "flv",
        **verifying(),
        "max_interleave_delta": "1",  # packets come in order already
    }
    told = ":".join(f"{name}={_escaped(value, ':]')}" for name, value in options.items())
    return _escaped(f"[{told}]{url}", "|")


def _escaped(text: str, special: str) -> str:
    return "".join(f"\\{each}" if each in f"\\'{special}" else each for each in text)


def _found_out(url: str) -> str:
    """Connect without a word of RTMP: FFmpeg has one number for all that is told apart here."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    try:
        with socket.create_connection((host, port), _PATIENCE) as plain:
            if parts.scheme == "rtmps":
                trusting = ssl.create_default_context(cafile=authorities())
                trusting.wrap_socket(plain, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        return (
            f"the server's certificate cannot be verified, so no key was sent: "
            f"{error.verify_message.rstrip('.')}; SSL_CERT_FILE names a file of those to trust"
        )
    except socket.gaierror:
        return "the server cannot be reached: its name is not known"
    except ssl.SSLError:
        return "the server cannot be reached: it does not speak TLS"
    except OSError as error:
        return f"the server cannot be reached: {error.strerror or 'no answer'}"
    return f"the server closed the connection: {_KEY}"

"""A source over TLS is who it says it is, or it is not opened."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from streams.errors import SourceError
from streams.sources.place import Place, open_place
from tests.streams.tls import tls_in_front_of, write_certificate

_FILMS = Path(__file__).parents[1] / "fixtures"


@pytest.fixture
def films() -> Iterator[int]:
    """Serve the fixtures over plain HTTP; give the port."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(_FILMS))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_https_is_opened_by_a_trusted_certificate_and_else_refused(
    films: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = write_certificate(tmp_path / "own.pem")
    with tls_in_front_of(films, certificate) as proxy:
        place = Place("url", f"https://127.0.0.1:{proxy.port}/webcam.mp4")
        with pytest.raises(SourceError, match="certificate cannot be verified: SSL_CERT_FILE"):
            open_place(place)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        open_place(place).close()

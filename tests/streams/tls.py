"""TLS in front of a plain server, with a certificate made here."""

import asyncio
import datetime
import ipaddress
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.streams.waiting import PATIENCE

_DAY = datetime.timedelta(days=1)


def write_certificate(path: Path, name: str = "127.0.0.1", ended: bool = False) -> Path:
    """Write a certificate that signs itself, with its key, for an address or a host; give its path.

    `ended`: it held until yesterday.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    until = datetime.datetime.now(datetime.UTC) + (-_DAY if ended else _DAY)
    of: x509.GeneralName = x509.DNSName(name)
    with suppress(ValueError):
        of = x509.IPAddress(ipaddress.ip_address(name))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(own)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - 3 * _DAY)
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([of]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


class TlsProxy:
    """Takes TLS off and passes on, both ways, until the block ends."""

    def __init__(self, to: int) -> None:
        self.port = 0
        self.read = bytearray()  # what clients said, deciphered
        self._to = to

    @asynccontextmanager
    async def serving(self, certificate: Path) -> AsyncIterator[None]:
        """Listen on a free port of loopback."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        yield
        server.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            inner, outer = await asyncio.open_connection("127.0.0.1", self._to)
            await asyncio.gather(
                self._copy(reader, outer, self.read), self._copy(inner, writer, bytearray())
            )
        writer.close()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, read: bytearray
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                read += data
                writer.write(data)
                await writer.drain()
        writer.close()


@contextmanager
def tls_in_front_of(port: int, certificate: Path) -> Iterator[TlsProxy]:
    """Run a proxy in a thread of its own, as long as the block."""
    proxy, ready = TlsProxy(port), threading.Event()
    loop, over = asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        async with proxy.serving(certificate):
            ready.set()
            await over.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:  # ends what still passes on
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()

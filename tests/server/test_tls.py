"""The server with a certificate of its own: who speaks TLS 1.2 or newer is served, nobody else."""

import contextlib
import datetime
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.e2e.serving import LIGHT, Server
from tests.streams.ports import free_port, listens
from tests.streams.waiting import PATIENCE, until

pytestmark = pytest.mark.slow
_REQUEST = b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that signs itself, and its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), NameOID.COMMON_NAME
    own = x509.Name([x509.NameAttribute(name, "test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(own)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Server, int, Path]]:
    certificate, key = write_certificate(tmp_path)
    port = free_port()
    options = ("--tls-cert", str(certificate), "--tls-key", str(key))
    server = Server(port, *options, state=tmp_path / "state", module=LIGHT)
    try:
        until(lambda: listens(port))
        yield server, port, certificate
    finally:
        server.stop()


def ask(port: int, context: ssl.SSLContext) -> bytes:
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secret,
    ):
        secret.sendall(_REQUEST)
        return secret.recv(100)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_of_today_is_served_older_and_none_are_not(served: tuple[Server, int, Path]) -> None:
    server, port, certificate = served
    silent = socket.create_connection(("127.0.0.1", port), 20)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.create_default_context(cafile=certificate)
        context.minimum_version = context.maximum_version = version
        assert ask(port, context).startswith(b"HTTP/1.1 "), version

    for ciphers, newest in (
        ("ALL:@SECLEVEL=0", ssl.TLSVersion.TLSv1_1),
        ("RC4:3DES:NULL:aNULL:@SECLEVEL=0", ssl.TLSVersion.TLSv1_2),
        ("AES128-SHA:AES256-SHA:@SECLEVEL=0", ssl.TLSVersion.TLSv1_2),  # no forward secrecy
    ):
        context = ssl.create_default_context(cafile=certificate)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = newest
        context.set_ciphers(ciphers)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            ask(port, context)

    with socket.create_connection(("127.0.0.1", port), PATIENCE) as plain:
        plain.sendall(_REQUEST)
        assert not plain.recv(100).startswith(b"HTTP")
    # a minute each, as asyncio has it, would let one address hold every file that may be open
    with silent, contextlib.suppress(ConnectionError):  # reset
        assert silent.recv(1) == b""
    # the link comes with the model
    until(lambda: any("https://127.0.0.1" in line for line in server.lines))

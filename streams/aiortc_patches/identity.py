"""Whether the other side of a DTLS handshake is the one whose fingerprint stands in its SDP."""

from typing import Any

from aiortc import RTCCertificate
from aiortc.rtcdtlstransport import (
    X509_DIGEST_ALGORITHMS,
    RTCDtlsParameters,
    SRTPProtectionProfile,
    State,
)
from OpenSSL import SSL

_CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
    b"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:"
    b"ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA"
)
_make_context = RTCCertificate._create_ssl_context


def make_context(self: RTCCertificate, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
    """Make what a handshake goes by, in place of RTCCertificate's method.

    aiortc knows ciphers for keys of elliptic curves alone; GStreamer's are RSA.
    """
    context = _make_context(self, srtp_profiles)
    context.set_cipher_list(_CIPHERS)
    return context


def validate_peer(self: Any, remote: RTCDtlsParameters) -> None:
    """Compare fingerprints, in place of RTCDtlsTransport's method and by the same rule.

    aiortc parses the certificate first, and cryptography refuses those of version 2. libdatachannel
    before 0.23 with OpenSSL makes such ones, and with it OBS of Flatpak and of Linux distributions
    (libdatachannel issue 1404, aiortc issue 1331: wontfix): its streams would never begin. RFC 8122
    asks for the digest of the certificate's bytes and nothing else, so nothing else is read.
    """
    connection: SSL.Connection = self._ssl
    certificate = connection.get_peer_certificate()
    known = [f for f in remote.fingerprints if f.algorithm.lower() in X509_DIGEST_ALGORITHMS]
    matching = certificate is not None and all(
        f.value.upper() == certificate.digest(f.algorithm.replace("-", "")).decode() for f in known
    )
    if not known or not matching:
        self._set_state(State.FAILED)

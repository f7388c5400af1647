"""Whom a connection over TLS trusts."""

import ssl

import certifi


def authorities() -> str:
    """Give the file of certificates to trust: that of SSL_CERT_FILE, the system's, or certifi's."""
    return ssl.get_default_verify_paths().cafile or certifi.where()


def verifying() -> dict[str, str]:
    """Give FFmpeg's options that check certificate and host name: it takes any without them."""
    return {"tls_verify": "1", "ca_file": authorities()}

"""Certificates: whose port it is, said by an authority or by a pin. Reads their files, and says in
words what is wrong with one.

Makes the SSLContext of either side, before any connection and in the process that makes those.
Knows no socket and no process.
"""

from __future__ import annotations

import hashlib
import re
import ssl
from typing import Any

from duplex.channel.alert import readable
from duplex.system.errors import UsageError, reason_of
from duplex.transcript.sanitize import visible

_PIN = re.compile(r"sha256:([0-9a-f]{64}|[0-9a-f]{2}(?::[0-9a-f]{2}){31})", re.IGNORECASE)
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_NAME_LIMIT = 255  # characters of a certificate's name that are shown: a DNS name has no more


def server_context(cert_path: str, key_path: str) -> ssl.SSLContext:
    """Two PEM files, the first with the certificate and what leads to its authority.

    Raises UsageError, which says what is wrong with which of them.
    """
    context = _hardened(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    context.num_tickets = 0  # nobody resumes a talk, and nothing is sent that was not said

    def never_ask() -> str:
        raise UsageError(
            f"cannot use {key_path}: it is encrypted (openssl pkey -in FILE decrypts it)"
        )

    try:
        context.load_cert_chain(cert_path, key_path, never_ask)
    except OSError as error:  # an SSLError, too, and neither tells which file it is about
        if "PRIVATE KEY-----" not in _text_of(key_path):
            raise UsageError(f"cannot use {key_path}: it holds no private key (PEM)") from None
        _first_certificate(cert_path)
        if isinstance(error, ssl.SSLError) and str(error.reason).endswith("_MISMATCH"):
            text = f"cannot use {key_path}: it is not the key of the certificate {cert_path}"
            raise UsageError(text) from None
        raise UsageError(f"cannot use {cert_path} with {key_path}: {readable(error)}") from None
    return context


def client_context(ca_path: str | None, pinned: bool) -> ssl.SSLContext:
    """Trusts the system's authorities, or those in the PEM file `ca_path`; if `pinned`, anybody,
    since `Client` looks at the certificate itself. Raises UsageError.
    """
    context = _hardened(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    if pinned:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca_path is None:
        context.load_default_certs()
    else:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # whatever is in the file is trusted
        try:
            context.load_verify_locations(ca_path)
        except OSError:
            _first_certificate(ca_path)
            raise UsageError(f"cannot use {ca_path}: its certificate cannot be read") from None
    return context


def parse_pin(text: str) -> bytes:
    """The SHA-256 in `sha256:` and 64 hexadecimal digits, with colons or without."""
    if match := _PIN.fullmatch(text.strip()):
        return bytes.fromhex(match[1].replace(":", ""))
    raise UsageError("cannot use --tls-pin: a pin is sha256: and 64 hexadecimal digits")


def fingerprint(cert_path: str) -> str:
    """What `parse_pin` takes, for the first certificate in a PEM file. Raises UsageError."""
    try:
        der = ssl.PEM_cert_to_DER_cert(_first_certificate(cert_path))
    except ValueError:
        raise UsageError(f"cannot use {cert_path}: its certificate cannot be read") from None
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


def _hardened(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET
    return context


def _text_of(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {reason_of(error)}") from None


def _first_certificate(path: str) -> str:
    if match := _PEM.search(_text_of(path)):
        return match[0]
    raise UsageError(f"cannot use {path}: it holds no certificate (PEM)")


def name_in(session: ssl.SSLObject) -> str:
    """What the certificate says it is for, as safe text: its names are somebody else's words."""
    certificate: dict[str, Any] = session.getpeercert() or {}
    for kind, name in certificate.get("subjectAltName", ()):
        if kind in ("DNS", "IP Address"):
            return _shown(name)
    for part in certificate.get("subject", ()):
        for key, name in part:
            if key == "commonName":
                return _shown(name)
    return "nobody"  # cannot happen: the host's name was found in it


def _shown(name: str) -> str:
    return visible(name[:_NAME_LIMIT]).replace("\n", "\\x0a")

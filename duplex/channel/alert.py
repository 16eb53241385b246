"""What OpenSSL says, in words for a user: why there is no session, or no more of it.

An SSLError brings a name from OpenSSL's tables, which is nothing to be read in a chat. Those that
happen have words of their own; of the others the name is made readable. Knows only such errors.
"""

from __future__ import annotations

import re
import ssl

from duplex.system.errors import reason_of

# openssl-verification-options(1), by the numbers of x509_vfy.h
_UNKNOWN = (
    "its certificate is from no authority that is known here: --tls-ca FILE names another one, "
    "--tls-pin this one certificate"
)
_WRONG_HOST = "its certificate is for another host than {host}"
_VERIFYING = {
    **dict.fromkeys((2, 18, 19, 20, 21, 27), _UNKNOWN),
    **dict.fromkeys((62, 64), _WRONG_HOST),
    9: "its certificate is not valid yet (or the clock here is wrong)",
    10: "its certificate has expired (or the clock here is wrong)",
}
# What an SSLError names as its reason. An alert is what the other side says of us: RFC 8446, 6.2.
_REASONS = {
    "UNSUPPORTED_PROTOCOL": "the other side speaks no TLS 1.2 or newer",
    "WRONG_VERSION_NUMBER": "the other side does not speak TLS",
    "NO_SHARED_CIPHER": "the other side has no cipher in common with this one",
}
_ALERTS = {
    "UNKNOWN_CA": "the other side does not know who signed this certificate",
    "BAD_CERTIFICATE": "the other side does not accept this certificate",
    "CERTIFICATE_UNKNOWN": "the other side does not accept this certificate",
    "CERTIFICATE_EXPIRED": "the other side says that this certificate has expired",
    "PROTOCOL_VERSION": "the other side speaks no TLS version that is spoken here",
    "HANDSHAKE_FAILURE": "the other side has no cipher in common with this one",
}
_IS_ALERT = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_(?:ALERT_)?(.+)")


def in_words(error: ssl.SSLError) -> str:
    """Why a handshake failed."""
    if match := _IS_ALERT.fullmatch(error.reason or ""):
        return _ALERTS.get(match[1], f"the other side gave up: {_lower(match[1])}")
    return _REASONS.get(error.reason or "", f"the TLS handshake failed: {readable(error)}")


def why_it_ended(error: ssl.SSLError) -> str:
    """Why there is no more of a session: the other side has told so, or what came is damaged."""
    if match := _IS_ALERT.fullmatch(error.reason or ""):
        return f"the other side has ended the TLS session: {_lower(match[1])}"
    return "what came was changed on its way, or is not from the other side"


def why_not_valid(error: ssl.SSLCertVerificationError, host: str) -> str:
    """Why the certificate of `host` is not accepted."""
    other = f"its certificate is not valid: {error.verify_message}"
    return _VERIFYING.get(error.verify_code, other).format(host=host)


def readable(error: OSError) -> str:
    """The reason itself."""
    if isinstance(error, ssl.SSLError):
        return _lower(error.reason or "unknown to OpenSSL")
    return reason_of(error)


def _lower(name: str) -> str:
    return name.lower().replace("_", " ")

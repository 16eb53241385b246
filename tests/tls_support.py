"""What the tests of TLS share: certificates that the real openssl has made, and joined ends."""

from __future__ import annotations

import atexit
import functools
import shutil
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path

from support import needs

from duplex.channel import base, tls

NEW = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
SUBJECT = "/CN=duplex test"
HERE = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"


class Certificates:
    """PEM files in `directory`: a certificate NAME.pem and its key NAME.key for each of

    ca         an authority
    good       of that authority, for localhost, 127.0.0.1 and ::1
    elsewhere  of that authority, for elsewhere.example
    expired    of that authority, for localhost and 127.0.0.1, until yesterday
    alone      self-signed, for localhost and 127.0.0.1
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._openssl = needs("openssl")
        self.make("ca", "-addext", "basicConstraints=critical,CA:TRUE")
        of_ca = ["-CA", self.cert("ca"), "-CAkey", self.key("ca")]
        self.make("good", "-addext", HERE, *of_ca)
        self.make("alone", "-addext", HERE)
        self.make("elsewhere", "-addext", "subjectAltName=DNS:elsewhere.example", *of_ca)
        # `openssl req -x509` knows no days before today, `openssl x509 -req` does.
        key, request = self.key("expired"), str(directory / "expired.csr")
        self.run(*NEW, "-keyout", key, "-out", request, "-subj", SUBJECT, "-addext", HERE)
        past = ["-days", "-1", "-set_serial", "7", "-copy_extensions", "copy"]
        self.run("x509", "-req", "-in", request, "-out", self.cert("expired"), *past, *of_ca)

    def cert(self, name: str) -> str:
        return str(self.directory / f"{name}.pem")

    def key(self, name: str) -> str:
        return str(self.directory / f"{name}.key")

    def make(self, name: str, *more: str) -> None:
        """Make NAME.pem and NAME.key as `openssl req -x509` does with these options, too."""
        files = ["-keyout", self.key(name), "-out", self.cert(name)]
        subject = [] if "-subj" in more else ["-subj", SUBJECT]
        self.run(*NEW, "-x509", *files, *subject, *more)

    def run(self, *args: str) -> bytes:
        """What openssl prints."""
        return subprocess.run([self._openssl, *args], check=True, capture_output=True).stdout


@functools.cache
def certificates() -> Certificates:
    """Made once for a process and its tests, and removed with it. Skips without openssl."""
    needs("openssl")
    directory = tempfile.mkdtemp(prefix="duplex-tls-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return Certificates(Path(directory))


def contexts(version: str = "TLSv1.3", name: str = "good") -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's, with that certificate, and that of a client which trusts the authority."""
    certs = certificates()
    server = tls.server_context(certs.cert(name), certs.key(name))
    client = tls.client_context(certs.cert("ca"), pinned=False)
    only(client, version)
    return server, client


def only(context: ssl.SSLContext, version: str) -> None:
    number = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}[version]
    context.minimum_version = context.maximum_version = number


def join(
    server: base.Handshake, client: base.Handshake, size: int = 1 << 20
) -> tuple[base.Channel, base.Channel]:
    """Let the two agree, each fed with `size` bytes at a time. Raises what either raises, when the
    other has been fed the reply.
    """
    to_server, to_client = client.start(), server.start()
    while to_server or to_client:
        part, to_server = to_server[:size], to_server[size:]
        to_client += _fed(server, part, client)
        part, to_client = to_client[:size], to_client[size:]
        to_server += _fed(client, part, server)
    assert server.channel
    assert client.channel
    return server.channel, client.channel


def _fed(who: base.Handshake, data: bytes, other: base.Handshake) -> bytes:
    try:
        return who.feed(data) if data else b""
    except base.HandshakeError as error:
        if error.reply:
            other.feed(error.reply)
        raise


def ends(version: str = "TLSv1.3") -> tuple[base.Channel, base.Channel]:
    """A server's channel and its client's."""
    server, client = contexts(version)
    return join(tls.Server(server), tls.Client(client, "localhost", None))


def pair(version: str = "TLSv1.3") -> tuple[base.Sender, base.Receiver]:
    """A client's Sender and the Receiver at its server, as the suite of all channels wants them."""
    server, client = ends(version)
    return client.sender, server.receiver


def shake(sock: socket.socket, handshake: base.Handshake) -> base.Channel:
    """The handshake on a real socket, which blocks."""
    sock.sendall(handshake.start())
    try:
        while handshake.channel is None:
            data = sock.recv(65536)
            if not data:
                raise handshake.stopped("it ended the connection")
            sock.sendall(handshake.feed(data))
    except base.HandshakeError as error:
        sock.sendall(error.reply)
        raise
    return handshake.channel

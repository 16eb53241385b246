"""A peer that ends as soon as our half has ended, as ncat 7.96 and newer do."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from support import Duo, records

LINES = b"".join(b"%06d %s\n" % (number, b"x" * 100) for number in range(20_000))


def hear_out(sock: socket.socket) -> bytes:
    """All up to the end of the other half; then this program is gone, its own input half sent."""
    sock.sendall(b"what I had to say\nand more\n")
    heard = b"".join(iter(lambda: sock.recv(65536), b""))
    sock.close()
    return heard


@pytest.mark.parametrize("command", ["listen", "connect"])
def test_a_file_arrives_whole_at_a_peer_that_ends_when_the_file_does(
    duo: Duo, tmp_path: Path, command: str
) -> None:
    file = tmp_path / "file"
    file.write_bytes(LINES)
    heard = []
    with file.open("rb") as stdin:
        if command == "listen":
            program, port = duo.listen(stdin=stdin)
            heard.append(hear_out(socket.create_connection(("127.0.0.1", port), timeout=30)))
            log = duo.heard_by_listener
        else:
            with socket.create_server(("127.0.0.1", 0)) as server:
                port = server.getsockname()[1]
                serve = threading.Thread(target=lambda: heard.append(hear_out(server.accept()[0])))
                serve.start()
                program = duo.connect(port, stdin=stdin)
                serve.join(30)
            log = duo.heard_by_connector
        assert program.status() == 0, program.err
    assert heard == [LINES]
    assert program.out == b"what I had to say\nand more\n"
    assert [text for _, text in records(log)][-1].endswith(" left")
    assert "lost" not in program.err

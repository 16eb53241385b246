"""What a member makes of the lines its client says: requests to the hub, one after another.

Runs in the member. Pure computation on safe text; what a command comes to, the hub tells.
"""

from __future__ import annotations

from duplex.protocol import messages, requests
from duplex.protocol.commands import HELP, HELP_OPERATOR, split
from duplex.protocol.requests import SAY_LIMIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[[int, str], bytes]

OPERATORS = ("kick", "ban", "unban", "bans", "close")
_NEED_ADDRESS = ("ban", "unban")


def next_request(lines: bytes, number: int, *, operator: bool) -> tuple[bytes, bytes, int, bytes]:
    """(request, the lines said in it, how many lines it carries out, the lines that are left).

    `number` is that of the last line that was carried out. As many lines as are said in a row, and
    fit, are one request; a command is one of its own.
    """
    if lines.startswith(b"/"):
        line, _, rest = lines.partition(b"\n")
        name, argument = split(line)
        if name:
            return _order(name, argument.decode(), number + 1, operator), b"", 1, rest
    elif b"\n/" not in lines and len(lines) <= SAY_LIMIT:  # nearly always
        return requests.said(lines, number + 1), lines, lines.count(b"\n"), b""
    said = bytearray()
    at = 0
    while at < len(lines) and len(said) <= SAY_LIMIT:
        end = lines.index(b"\n", at) + 1
        name, text = split(lines[at : end - 1])
        if name or (said and len(said) + len(text) > SAY_LIMIT):
            break
        said += text + b"\n"
        at = end
    body = bytes(said)
    return requests.said(body, number + 1), body, body.count(b"\n"), lines[at:]


def _order(name: str, argument: str, number: int, operator: bool) -> bytes:
    if make := _ORDERS.get(name):
        return make(number, argument)
    if operator and name in OPERATORS:
        if name in _NEED_ADDRESS and not argument:
            return answer(number, f"/{name} takes an ADDRESS")
        return requests.request(requests.OPERATE, number, name, argument)
    if name == "help":
        return answer(number, *HELP, *(HELP_OPERATOR if operator else ()))
    shown = name.strip("/")
    return answer(number, messages.no_command(shown))


def answer(number: int, *lines: str) -> bytes:
    """What the member itself answers to that line."""
    return requests.said("\n".join(lines).encode(), number, requests.ANSWER)


def _msg(number: int, argument: str) -> bytes:
    nick, _, text = argument.partition(" ")
    if not nick or not text.strip():
        return answer(number, "/msg takes NICK TEXT")
    return requests.request(requests.POST, number, nick, text)


def resume(number: int, argument: str) -> bytes:
    """`argument` are NICK KEY OFFSET, or what was typed instead: the hub says so."""
    words = argument.split()
    nick, key, offset = words if len(words) == 3 else ("", "", "")
    return requests.request(requests.RESUME, number, nick, key, offset)


_ORDERS: dict[str, Make] = {
    "who": lambda number, _: requests.request(requests.WHO, number),
    "nick": lambda number, wanted: requests.request(requests.RENAME, number, wanted),
    "msg": _msg,
    "history": lambda number, count: requests.request(requests.HISTORY, number, count),
    "quit": lambda _number, _: requests.request(requests.LEAVE, 0, requests.LEFT, ""),
    # what nobody types, and so /help does not list
    "join": lambda number, wanted: requests.request(requests.JOIN, number, wanted),
    "resume": resume,
    "numbers": lambda number, _: requests.request(requests.NUMBERS, number + 1),
}

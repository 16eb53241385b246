"""What README, docs and the package's own description say is so."""

from __future__ import annotations

import configparser
import re
import subprocess
from pathlib import Path

import pytest
from support import Duo, needs, until
from tls_support import certificates

from duplex.channel import passphrase

HERE = Path(__file__).parent.parent
PAGES = [HERE / "README.md", HERE / "CONTRIBUTING.md", *sorted((HERE / "docs").glob("*.md"))]
SOURCES = sorted((HERE / "duplex").rglob("*.py"))


def setup() -> configparser.ConfigParser:
    found = configparser.ConfigParser()
    found.read(HERE / "setup.cfg")
    return found


def test_every_code_that_is_shown_is_made_of_listed_words() -> None:
    shown = [
        (path.name, code)
        for path in [*PAGES, *SOURCES]
        for code in re.findall(
            r"the code: ([a-z-]+)|`([a-z]{3}(?: [a-z]{3}){3})`|\b([a-z]{3,}(?:-[a-z]{3,}){3})\b",
            path.read_text(),
        )
    ]
    codes = [(name, next(filter(None, parts))) for name, parts in shown]
    assert len([name for name, _ in codes if name == "README.md"]) >= 2
    for name, code in codes:
        words = re.split("[- ]", code)
        if len(words) == passphrase.WORDS and any(map(passphrase.listed, words)):
            assert all(map(passphrase.listed, words)), f"{code} in {name}"


def test_the_code_that_is_shown_in_short_is_the_one_that_is_shown_whole() -> None:
    page = PAGES[0].read_text()
    [whole] = re.findall(r"the code: ([a-z-]+)", page)
    [short] = re.findall(r"`([a-z]{3}(?: [a-z]{3}){3})`", page)
    assert passphrase.normal(whole) == passphrase.normal(short) == whole.encode()


def test_nothing_that_is_shown_installs_a_strangers_package() -> None:
    for path in [*PAGES, *SOURCES]:
        for line in re.findall(r"pip install[^\n`&#)]*", path.read_text()):
            for what in line.split()[2:]:
                what = what.strip("'\"\\,;:)")
                assert what.startswith((".", "-")), f"{line} in {path.name}"


def test_the_distribution_has_a_name_of_its_own_and_the_command_stays() -> None:
    found = setup()
    assert found["metadata"]["name"] == "duplex-chat"
    assert found["options.entry_points"]["console_scripts"].split() == [
        "duplex",
        "=",
        "duplex.cli.main:main",
    ]


def test_all_that_is_no_code_is_installed_too() -> None:
    listed = {
        f"{package.replace('.', '/')}/{name}"
        for package, names in setup()["options.package_data"].items()
        for name in names.replace(",", " ").split()
    }
    tracked = subprocess.run(
        ["git", "ls-files", "duplex"], cwd=HERE, capture_output=True, text=True, check=False
    )
    if tracked.returncode:
        pytest.skip("this is no checkout")
    others = {name for name in tracked.stdout.split() if not name.endswith(".py")}
    assert others == listed


def test_readme_has_one_test_command_and_one_first_command() -> None:
    page = PAGES[0].read_text()
    assert len(re.findall(r"^python3 -m venv .*pytest", page, re.M)) == 1
    assert len(re.findall(r"^python3 -m venv .*duplex listen", page, re.M)) == 1


def shown_checks() -> list[str]:
    """The commands of other programs in docs/security.md that check a certificate."""
    page = (HERE / "docs" / "security.md").read_text()
    return re.findall(r"^(ncat --ssl-verify .*|openssl s_client .*)$", page, re.M)


def test_every_command_of_others_that_speaks_tls_is_shown_with_what_makes_it_check() -> None:
    assert len(shown_checks()) == 2
    for path in PAGES:
        if path.name == "performance.md":  # measures against oneself
            continue
        for line in re.findall(r"^(?:ncat|openssl s_client).*$", path.read_text(), re.M):
            assert re.search("--ssl-verify|-verify_return_error.*-verify_hostname", line), line


@pytest.mark.parametrize("name", ["good", "elsewhere", "alone"])
@pytest.mark.parametrize("program", ["ncat", "openssl"])
def test_what_is_shown_for_others_talks_to_the_right_certificate_alone(
    duo: Duo, program: str, name: str
) -> None:
    needs(program)
    certs = certificates()
    [shown] = [line for line in shown_checks() if line.startswith(program)]
    listener, port = duo.listen("--tls-cert", certs.cert(name), "--tls-key", certs.key(name))
    command = (
        shown.partition("#")[0]
        .replace("alpha.example:8000", f"localhost:{port}")
        .replace("alpha.example 8000", f"localhost {port}")
        .replace("alpha.example", "localhost")
        .replace("ca.pem", certs.cert("ca"))
    )
    assert "alpha" not in command
    caller = subprocess.Popen(
        command.split(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert caller.stdin
    try:
        caller.stdin.write(b"psst\n")
        caller.stdin.flush()
        if name == "good":
            until(lambda: b"psst" in listener.out)
        else:
            assert caller.wait(30) != 0
            assert b"psst" not in listener.out
    finally:
        caller.kill()
        caller.communicate()


def test_every_link_leads_somewhere() -> None:
    for path in [*PAGES, HERE / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
            name, _, anchor = target.partition("#")
            if name.startswith("http"):
                continue
            page = path.parent / name if name else path
            assert page.is_file(), f"{target} in {path.name}"
            headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M) if anchor else []
            anchors = [re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings]
            assert not anchor or anchor in anchors, f"{target} in {path.name}"

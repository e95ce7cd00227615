"""Whose is it? What is removed must provably have ended here; of anybody else's processes nothing is known."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from edgeflow import host

NOBODY = 2**22 + 1  # beyond the greatest process id of Linux: whoever had it has ended, if it was here


@pytest.fixture(autouse=True)
def _ask_again() -> None:
    """What a test changed of the host is not remembered."""
    for known in (host.place, host.machine_id, host.boot_id):
        known.cache_clear()


def test_this_process_has_not_ended() -> None:
    assert not host.ended(host.owner())
    assert host.owner() == host.owner()
    assert host.owner().startswith(f"{host.place()}-{os.getpid()}-")


def test_a_process_that_has_ended_has_an_owner_of_its_own() -> None:
    code = "from edgeflow import host; print(host.owner())"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        owner = child.stdout.read().strip()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended and stays a zombie
        assert not host.alive(child.pid)
        assert host.ended(owner)
    assert owner != host.owner()
    assert host.ended(owner)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when a process began")
def test_another_process_with_the_same_number_is_another_owner() -> None:
    place, pid, start = host.owner().split("-")
    assert host.ended(f"{place}-{pid}-{int(start) - 1}")
    assert not host.ended(f"{place}-{pid}-0"), "when it began is unknown: it may be this one"


@pytest.mark.parametrize("fact", ["machine_id", "boot_id"])
def test_of_another_host_and_boot_nothing_is_known(monkeypatch: pytest.MonkeyPatch, fact: str) -> None:
    monkeypatch.setattr(host, fact, lambda: "another")
    elsewhere = f"{host.place()}-{NOBODY}-7"
    assert host.ended(elsewhere)
    monkeypatch.undo()
    host.place.cache_clear()
    assert not host.ended(elsewhere)


def test_of_another_host_with_the_same_name_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = f"{'0' * 16}-{NOBODY}-7"
    assert not host.ended(elsewhere)
    monkeypatch.setattr(host, "machine_id", str)
    monkeypatch.setattr(host, "boot_id", str)
    host.place.cache_clear()
    assert host.place() == ""
    assert not host.ended(f"-{NOBODY}-7"), "where a host knows nothing of itself, it knows nothing of others"


@pytest.mark.parametrize("text", ["", "1234", "a-b", "a-b-c", "--", "-1-1", "½-½-½"])
def test_what_is_no_owner_has_not_ended(text: str) -> None:
    assert not host.ended(text)
    assert not host.ended(f"{host.place()}-{text}")


def test_a_process_of_somebody_else_is_alive() -> None:
    assert host.alive(1)
    assert not host.alive(NOBODY)

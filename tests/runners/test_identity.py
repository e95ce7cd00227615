"""Which machine this is: read from files of a system that a test lays out, and as this system says it."""

from __future__ import annotations

import ctypes
import json
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgeflow.runners import identity

MACHINE = "0123456789abcdef0123456789abcdef"
BOOT = "6f1c1a7e-5d5b-4a52-9e8b-0d1f4f5f7c11"
UNAME26 = 0x0020000  # personality(2): the kernel says that it is 2.6
HERE = {"machine_id": "a" * 32, "cpu": "Cortex", "os": "Linux 6.1 #1", "governor": "performance"}


def lay_out(root: Path, **content: str) -> Path:
    """The files of a system: path with "__" for each "/" → content."""
    for name, text in content.items():
        path = root / name.replace("__", "/").replace("MACHINE_ID", "machine-id").replace("TREE", "device-tree")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_machines_id_is_a_digest_that_does_not_give_it_away(tmp_path: Path) -> None:
    lay_out(tmp_path, etc__MACHINE_ID=f"{MACHINE}\n", proc__sys__kernel__random__boot_id=BOOT)
    # HMAC-SHA256, the machine's id as key and the application's as message, as machine-id(5) asks
    assert identity._machine_id(tmp_path) == "bb3ddeafe4feb168aaa4468ab6712f89"


@pytest.mark.parametrize("content", ["", "uninitialized\n"])
def test_a_machine_without_an_id_is_known_until_it_is_started_again(tmp_path: Path, content: str) -> None:
    lay_out(tmp_path, etc__MACHINE_ID=content, proc__sys__kernel__random__boot_id=BOOT)
    first = identity._machine_id(tmp_path)
    assert first
    lay_out(tmp_path, proc__sys__kernel__random__boot_id=BOOT.replace("6", "7"))
    assert identity._machine_id(tmp_path) != first


def test_the_id_in_an_image_is_that_of_no_machine(tmp_path: Path) -> None:
    """Every machine that runs the image has it."""
    one, other = (lay_out(tmp_path / n, etc__MACHINE_ID=MACHINE, proc__sys__kernel__random__boot_id=n) for n in "ab")
    assert identity._machine_id(one) == identity._machine_id(other)
    for root in (one, other):
        (root / ".dockerenv").touch()
    assert identity._machine_id(one) != identity._machine_id(other)


def test_what_is_nowhere_known_matches_nothing(tmp_path: Path) -> None:
    assert identity._machine_id(tmp_path) == ""
    nameless = {**HERE, "machine_id": ""}
    assert identity.difference(nameless, nameless) == "machine '', not ''"


def test_an_arm_processor_is_named_by_its_numbers_and_its_board(tmp_path: Path) -> None:
    cpus = "processor : 0\nCPU implementer : 0x41\nCPU part : 0xd08\n\nprocessor : 1\nCPU part : 0xd08\n"
    lay_out(tmp_path, proc__cpuinfo=cpus, proc__TREE__model="Raspberry Pi 4 Model B Rev 1.4\0")
    assert identity._cpu(tmp_path) == "CPU implementer 0x41, CPU part 0xd08, Raspberry Pi 4 Model B Rev 1.4"


def test_the_governors_of_all_cores_count(tmp_path: Path) -> None:
    assert identity._governor(tmp_path) == ""
    for core, governor in enumerate(("performance", "performance", "powersave")):
        lay_out(tmp_path / f"sys/devices/system/cpu/cpu{core}", cpufreq__scaling_governor=f"{governor}\n")
    assert identity._governor(tmp_path) == "performance, powersave"


def test_macos_says_arm64_for_aarch64_and_has_no_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = {
        "ioreg": '    "IOPlatformUUID" = "A1B2C3D4-0000-1111-2222-333344445555"\n',
        "sysctl": "Apple M2\n",
    }

    def run(command: tuple[str, ...], **_: object) -> SimpleNamespace:
        return SimpleNamespace(stdout=said[command[0]])

    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    monkeypatch.setattr(subprocess, "run", run)
    assert identity.arch() == "aarch64"
    assert (len(identity._machine_id(tmp_path)), identity._cpu(tmp_path)) == (32, "Apple M2")


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("machine_id", "b" * 32, f"machine {'b' * 32!r}, not {'a' * 32!r}"),
        ("cpu", "Other", "CPU 'Other', not 'Cortex'"),
        ("os", "Linux 6.2 #1", "OS build 'Linux 6.2 #1', not 'Linux 6.1 #1'"),
        ("governor", "powersave", "CPU governor 'powersave', not 'performance'"),
    ],
)
def test_a_difference_names_its_part(part: str, value: str, message: str) -> None:
    other = {**HERE, part: value}
    assert identity.difference(HERE, other) == message
    assert identity.short(other) != identity.short(HERE)
    assert identity.difference({"machine_id": HERE["machine_id"]}, other) == ("" if part != "machine_id" else message)


def test_this_machine_is_itself_and_with_another_kernel_it_is_not() -> None:
    def in_a_process(personality: int) -> dict[str, str]:
        code = "import identity, json; print(json.dumps(identity.here()))"

        def start() -> None:
            assert ctypes.CDLL(None).personality(personality) >= 0

        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(identity.__file__).parent, capture_output=True, text=True, check=True, preexec_fn=start,
        )  # fmt: skip
        identified: dict[str, str] = json.loads(done.stdout)
        return identified

    assert identity.difference(in_a_process(0), identity.here()) == ""
    assert identity.difference(identity.here(), in_a_process(UNAME26)).startswith("OS build 'Linux 2.6.")

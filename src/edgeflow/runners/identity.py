"""Which machine this is, and in which state: what a time that is measured here depends on beside the program.

Standard library only: harness.py loads this file from beside itself, and on a device both are copied.

An identity is {"machine_id", "cpu", "os", "governor"}, texts as the system says them, "" for what it does not say:
    machine_id  what tells this machine from its equals: a digest of machine-id(5), of the hardware's UUID on macOS.
                Where the system has no id, and in a container, whose id is that of the image and so of every machine
                that runs it, a digest of the boot's id: good until the machine is started again
    cpu         model of the processor, and of the board where the system names it
    os          name, release and build of the kernel
    governor    of the CPU's frequency; several where the cores differ
"""

from __future__ import annotations

import hashlib
import hmac
import json
import platform
import re
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

PARTS: Mapping[str, str] = {  # part → what messages call it
    "machine_id": "machine",
    "cpu": "CPU",
    "os": "OS build",
    "governor": "CPU governor",
}
# machine-id(5): the id itself is not to be shown, a digest with a key of the application's is.
APPLICATION = b"edgeflow device identity"
IN_CONTAINER = ("/.dockerenv", "/run/.containerenv", "/run/systemd/container")
# `uname -m` of macOS and Windows → what Linux and the targets call it.
_MACHINES = {"arm64": "aarch64", "AMD64": "x86_64", "amd64": "x86_64"}


@cache
def here() -> Mapping[str, str]:
    """The identity of this machine, as it was when it was first asked for in this process."""
    return {"machine_id": _machine_id(Path("/")), "cpu": _cpu(Path("/")), "os": _os(), "governor": _governor(Path("/"))}


def short(identity: Mapping[str, str]) -> str:
    """Eight hexadecimal digits that tell identities apart."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]


def difference(expected: Mapping[str, str], actual: Mapping[str, str]) -> str:
    """In which of the expected parts a machine is another, "CPU governor 'powersave', not 'performance'"; "" in none.

    A machine that does not say which one it is could be any, and is another.
    """
    parts = [name for name, value in expected.items() if actual[name] != value or (name == "machine_id" and not value)]
    return ", ".join(f"{PARTS[name]} {actual[name]!r}, not {expected[name]!r}" for name in parts)


def arch() -> str:
    """Instruction set of the CPU as Linux calls it: "x86_64", "aarch64"."""
    machine = platform.machine()
    return _MACHINES.get(machine, machine)


# Each of these takes the root of the file system: `Path("/")`.


def _machine_id(root: Path) -> str:
    """32 hexadecimal digits; "" where nothing tells this machine from another."""
    known = "" if any((root / name.lstrip("/")).exists() for name in IN_CONTAINER) else _system_id(root)
    identifier = known or _read(root / "proc/sys/kernel/random/boot_id")
    return hmac.new(identifier.encode(), APPLICATION, hashlib.sha256).hexdigest()[:32] if identifier else ""


def _system_id(root: Path) -> str:
    if platform.system() == "Darwin":
        said = re.search(r'"IOPlatformUUID" = "([^"]+)"', _said("ioreg", "-rd1", "-c", "IOPlatformExpertDevice"))
        return said[1] if said else ""
    identifier = _read(root / "etc/machine-id")
    return identifier if re.fullmatch("[0-9a-f]{32}", identifier) else ""  # empty or "uninitialized" in an image


def _cpu(root: Path) -> str:
    """Model of the processor; on Arm, whose kernel knows numbers only, those and the board."""
    if platform.system() == "Darwin":
        return _said("sysctl", "-n", "machdep.cpu.brand_string") or arch()
    lines = _read(root / "proc/cpuinfo").splitlines()
    said = dict.fromkeys((name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
    named = [value for name, value in said if name == "model name"]
    numbered = [f"{name} {value}" for name, value in said if name in ("CPU implementer", "CPU part")]
    board = _read(root / "proc/device-tree/model").strip("\0")
    return ", ".join(filter(None, (*(named or numbered), board))) or platform.processor() or arch()


def _os() -> str:
    return " ".join(filter(None, (platform.system(), platform.release(), platform.version())))


def _governor(root: Path) -> str:
    """ "" where the system does not tell, as in most virtual machines."""
    files = root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    return ", ".join(sorted({governor for file in files if (governor := _read(file))}))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()

"""Environments and the warm workers that serve jobs in them. What both sides need to know is here."""

import os

CORE = "core"  # the environment that edgeflow is installed in
ENVIRONMENTS = "EDGEFLOW_ENVS"  # "system": the current interpreter stands in for every toolchain


def system() -> bool:
    """True when every stage runs in the current interpreter, as in containers and conda."""
    return os.environ.get(ENVIRONMENTS) == "system"

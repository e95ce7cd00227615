"""What a user may not do, also where the tests run as root."""

from __future__ import annotations

import ctypes
import os

CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER = 1, 2, 3  # capabilities(7): root's ways around the modes of files
PR_CAPBSET_DROP = 24  # prctl(2)


def heed_modes() -> None:
    """For `preexec_fn`: the program that is started obeys the modes of files, whoever starts it.

    Raises OSError where root may not give up its ways around them.
    """
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER):
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "cannot give up a capability")

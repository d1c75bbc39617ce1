"""Programs that some tests need beside Python: skip with a reason where they are absent, or fail where CI says so."""

import os
import shutil

import pytest

#: A user's PATH often lacks the places where system services are installed.
_ALSO = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def require(binary: str) -> str:
    """The path of ``binary``. Without it the test is skipped; with ``REQUIRE_SERVICES=1`` it fails."""
    found = shutil.which(binary, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *_ALSO)))
    if found is None:
        reason = f"{binary} is not installed"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(f"{reason}, and REQUIRE_SERVICES=1 forbids to do without", pytrace=False)
        pytest.skip(reason)
    return found

"""What is in this folder needs a kernel that the host may not have; fixtures are in tests/conftest.py."""
import os

import pytest


def pytest_configure(config):
    if "SLUICE_VM" not in os.environ:
        raise pytest.UsageError("these tests are for the VM: make test ONLY=vm")

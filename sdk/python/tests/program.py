"""The program vaeguard for tests that start it."""

import unittest

from vaeguard import _program


def required(cls):
    """Skips a test case where there is no program; `go test ./sdk/python` builds one."""
    try:
        _program.find()
    except FileNotFoundError as e:
        return unittest.skip(str(e))(cls)
    return cls

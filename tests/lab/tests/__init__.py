# SPDX-License-Identifier: MIT
"""The tests that are no probes. Each module's import adds its own to the registry."""

import importlib
import os


def load():
    for name in sorted(os.listdir(os.path.dirname(os.path.abspath(__file__)))):
        if name.endswith(".py") and name != "__init__.py":
            importlib.import_module("tests." + name[:-3])

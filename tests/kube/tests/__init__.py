# SPDX-License-Identifier: MIT
"""The tests, by area. load() imports all of them, which puts them into the list."""

import importlib
import pkgutil


def load():
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__)):
        importlib.import_module(f"{__name__}.{module}")

# SPDX-License-Identifier: MIT
"""Programs that the tests run: the product, and small ones that are compiled here (musl, Go, C)."""

import hashlib
import os
import shutil
import subprocess
import sys

SOURCES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "programs")

# source: (how it is built, program that does it)
RECIPES = {
    "c": (["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-o", "{out}", "{source}", "-lresolv", "-lpthread"], "gcc"),
    "musl.c": (["musl-gcc", "-static", "-O1", "-o", "{out}", "{source}"], "musl-gcc"),
    "go": (["go", "build", "-tags", "netgo", "-o", "{out}", "{source}"], "go"),
}


def _build_one(source, directory):
    """Returns the path of the program, None when its compiler is missing."""
    name, _, suffix = os.path.basename(source).partition(".")
    command, compiler = RECIPES[suffix]
    if not shutil.which(compiler):
        return None
    with open(source, "rb") as f:
        key = hashlib.sha1(f.read() + repr(command).encode()).hexdigest()[:12]
    out = os.path.join(directory, f"{name}-{key}")
    if not os.path.exists(out):
        part = f"{out}.{os.getpid()}"
        env = dict(os.environ, CGO_ENABLED="0", GOFLAGS="-mod=mod", GO111MODULE="off")
        if "HOME" not in env and "GOCACHE" not in env:
            env["GOCACHE"] = os.path.join(directory, "go-cache")
        subprocess.run([w.format(out=part, source=source) for w in command], check=True, env=env)
        os.rename(part, out)
    return out


def build(build_directory, with_product):
    """Returns {name: path} of all that goes to /tmp/lab/bin."""
    found = {}
    directory = os.path.join(build_directory, "lab-programs")
    os.makedirs(directory, exist_ok=True)
    for source in sorted(os.listdir(SOURCES)) if os.path.isdir(SOURCES) else []:
        if source.partition(".")[2] in RECIPES:
            program = _build_one(os.path.join(SOURCES, source), directory)
            if program:
                found[source.partition(".")[0]] = program
    if with_product:
        for name in ("mirrord", "mirrord-agent"):
            path = os.path.join(build_directory, name)
            if not os.path.exists(path):
                sys.exit(f"{path} is missing: build first (./dev build)")
            found[name] = path
    return found

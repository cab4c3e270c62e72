# SPDX-License-Identifier: MIT
"""The images that the cluster is loaded with; nothing can be pulled. They are made of what is installed on this machine.

localhost/pause:1   one static program
localhost/app:1     a small Debian with the packages below and all that they depend on
"""

import hashlib
import os
import re
import subprocess
import tempfile

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PACKING = os.path.join(HERE, "..", "..", "packaging", "oci")

APP_PACKAGES = ("base-files", "libc-bin", "dash", "bash", "coreutils", "grep", "sed", "procps", "hostname", "util-linux", "iproute2", "iptables",
                "nftables", "curl", "python3", "netcat-openbsd", "openssl")
LEFT_OUT = re.compile(r"/usr/share/(doc|man|locale|info|lintian|bug|perl|zoneinfo|bash-completion)\b|/usr/lib/python3[^/]*/(test|ensurepip|idlelib)/")


def _run(*command, **more):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **more).stdout


def _architecture():
    return _run("dpkg", "--print-architecture").strip()


def _pack(root, archive, image, command):
    subprocess.run([PACKING, root, archive, image, _architecture(), command], check=True)


def _pause(archive):
    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o755)
        _run("cc", "-Os", "-static", "-s", "-o", f"{root}/pause", f"{HERE}/images/pause.c")
        _pack(root, archive, "localhost/pause:1", "/pause")


def _with_dependencies(packages):
    """Names and versions of all packages that these need, as far as they are installed (a virtual one is provided by another)."""
    listed = _run("apt-cache", "depends", "--recurse", "--installed", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks",
                  "--no-replaces", "--no-enhances", *packages)
    wanted = {line for line in listed.splitlines() if line and line[0].isalnum()}
    found = []
    for line in _run("dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${binary:Package} ${Version}\n").splitlines():
        status, name, binary, version = line.split(" ", 3)
        if status == "installed" and (name in wanted or binary in wanted):
            found.append((binary, version))
    return sorted(found)


def _files(packages):
    """What is in them, by the place where it really is: /lib and its like are links to folders of /usr."""
    paths = set()
    for line in _run("dpkg-query", "-L", *packages).splitlines():
        path = re.sub(r"^/(bin|sbin|lib|lib64)(?=/|$)", r"/usr/\1", line)
        if path.startswith("/") and path != "/." and os.path.lexists(path) and not LEFT_OUT.search(path + "/"):
            paths.add(path)
    for directory in ("/usr/bin", "/usr/sbin", "/etc/alternatives"):  # links that choose between alternatives are no package's
        for entry in os.scandir(directory):
            if entry.is_symlink() and "/etc/alternatives" in (directory, os.path.dirname(os.readlink(entry.path))):
                paths.add(entry.path)
    return sorted(paths)


def _write(path, text):
    with open(path, "w") as f:
        f.write(text)


def _app(archive, packages):
    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o755)
        for directory in ("dev", "proc", "sys", "run", "root", "etc", "tmp", "var/tmp", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64"):
            os.makedirs(f"{root}/{directory}")
        for directory in ("tmp", "var/tmp"):
            os.chmod(f"{root}/{directory}", 0o1777)
        for link in ("bin", "sbin", "lib", "lib64"):
            os.symlink(f"usr/{link}", f"{root}/{link}")
        names = "".join(f".{p}\0" for p in _files([name for name, _ in packages]))
        taken = subprocess.Popen(["tar", "-c", "-C", "/", "--no-recursion", "--null", "-T", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        put = subprocess.Popen(["tar", "-x", "-C", root], stdin=taken.stdout)
        taken.stdin.write(names.encode())
        taken.stdin.close()
        if put.wait() or taken.wait():
            raise RuntimeError("the app image could not be filled")
        _write(f"{root}/etc/passwd", "root:x:0:0:root:/root:/bin/bash\napp:x:1000:1000::/tmp:/bin/bash\nnobody:x:65534:65534::/:/bin/false\n")
        _write(f"{root}/etc/group", "root:x:0:\napp:x:1000:\nnogroup:x:65534:\n")
        _run("ldconfig", "-r", root)
        _pack(root, archive, "localhost/app:1", "/bin/bash")


def make(directory):
    """Makes those that are missing or of other packages."""
    os.makedirs(directory, exist_ok=True)
    packages = _with_dependencies(APP_PACKAGES)
    with open(__file__, "rb") as f:
        key = hashlib.sha256(repr(packages).encode() + f.read()).hexdigest()
    try:
        with open(f"{directory}/key") as f:
            if f.read() == key:
                return
    except FileNotFoundError:
        pass
    _pause(f"{directory}/pause.tar")
    _app(f"{directory}/app.tar", packages)
    _write(f"{directory}/key", key)

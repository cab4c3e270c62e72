# SPDX-License-Identifier: MIT
"""Containers of a real engine: podman's, rootful or rootless as the product is. No registry and no image: their root directory holds busybox.

All that podman keeps lies below /tmp/lab, so that nothing of it shows as left behind; close() takes away what it puts elsewhere.
"""

import contextlib
import os
import shutil
import subprocess
import time

from . import linux

HOME = "/tmp/lab/podman"
ROOT = HOME + "/rootfs"
MARK = "the container's own web server\n"
WEB_PORT = 8080
CGROUPS = "/sys/fs/cgroup"
SUB_IDS = ("/etc/subuid", "/etc/subgid")


class Podman:
    def __init__(self, lab):
        self.lab, self.service, self.ids = lab, None, {}
        self.user = lab.sandbox.uid != 0
        self.env = lab.environment(HOME=HOME, XDG_RUNTIME_DIR=HOME + "/run")
        if not lab.sandbox.real_root:  # root of a user namespace with one id: podman must know
            self.env["_CONTAINERS_USERNS_CONFIGURED"] = "done"
        self.base = ["podman", "--root", HOME + "/storage", "--runroot", HOME + "/runroot", "--tmpdir", HOME + "/tmp", "--storage-driver", "vfs",
                     "--cgroup-manager", "cgroupfs", "--events-backend", "none"]
        self._furnish()

    def _furnish(self):
        for d in (HOME, HOME + "/run", HOME + "/storage", HOME + "/runroot", HOME + "/tmp", ROOT, *(f"{ROOT}/{d}" for d in
                  ("bin", "dev", "etc", "proc", "run", "sys", "tmp", "www"))):
            os.makedirs(d, exist_ok=True)
        busybox = shutil.which("busybox")
        shutil.copy(busybox, ROOT + "/bin/busybox")
        os.symlink("busybox", ROOT + "/bin/sh")
        with open(ROOT + "/www/index.html", "w") as f:
            f.write(MARK)
        if self.lab.sandbox.real_root:
            for directory, names, files in os.walk(HOME):
                for name in (".", *names, *files):
                    os.chown(os.path.join(directory, name), self.lab.sandbox.uid, self.lab.sandbox.gid, follow_symlinks=False)
        if self.user and self.lab.sandbox.real_root:  # the ids of a rootless container
            self.ids = {path: _read(path) for path in SUB_IDS}
            for path in SUB_IDS:
                _write(path, "labuser:100000:65536\n")
        # crun refuses a mix of cgroup versions, as some machines have; containers are to be had without any
        linux.mount("tmpfs", CGROUPS, "tmpfs", 0, "mode=755")

    def podman(self, *words, check=True):
        done = self.lab.run([*self.base, *words], env=self.env)
        if check and done.status != 0:
            raise RuntimeError(f"podman {' '.join(words)}: {done}")
        return done

    def start(self, name, *options):
        """A container that serves MARK on its own localhost."""
        script = f"/bin/busybox httpd -p 127.0.0.1:{WEB_PORT} -h /www; exec /bin/busybox sleep 1000"
        done = self.podman("run", "-d", "--name", name, "--network", "none", "--cgroups", "disabled", "--ulimit", "host", *options,
                           "--rootfs", ROOT, "/bin/sh", "-c", script, check=False)
        if done.status != 0:
            raise RuntimeError(f"podman run: {done}")

    def serve(self, socket):
        """The API at @socket, as `systemctl start podman.socket` gives it."""
        os.makedirs(os.path.dirname(socket), exist_ok=True)
        if self.lab.sandbox.real_root:
            os.chown(os.path.dirname(socket), self.lab.sandbox.uid, self.lab.sandbox.gid)
        self.service = self.lab.start([*self.base, "system", "service", "--time", "0", "unix://" + socket], env=self.env,
                                      stdout=subprocess.DEVNULL, stderr=open(HOME + "/service.log", "w"))
        self.lab.wait_for("podman's API socket", lambda: os.path.exists(socket))
        return socket

    def close(self):
        if self.service:
            self.service.kill()
            self.service.wait()
        self.podman("rm", "--force", "--all", "--time", "0", check=False)
        self.podman("system", "migrate", check=False)  # ends the process that keeps a rootless podman's namespaces
        for path in ("/dev/shm/libpod_lock", f"/dev/shm/libpod_rootless_lock_{self.lab.sandbox.uid}"):
            with contextlib.suppress(OSError):
                os.unlink(path)
        linux.umount(CGROUPS)
        for path, text in self.ids.items():
            _write(path, text)
        _remove(HOME)


def _read(path):
    with contextlib.suppress(OSError), open(path) as f:
        return f.read()
    return ""


def _write(path, text):
    with open(path, "w") as f:
        f.write(text)


def _remove(directory):
    end = time.monotonic() + 5
    while os.path.exists(directory) and time.monotonic() < end:
        shutil.rmtree(directory, ignore_errors=True)


def engine(lab):
    return contextlib.closing(Podman(lab))

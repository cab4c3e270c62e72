# SPDX-License-Identifier: MIT
"""A real daemon of Docker's, with nothing of this machine's: its data lies below /tmp/lab, its control groups have a name of their own.

No registry: the one image holds busybox. It makes no network of its own and no rule, since this is all that a container in the twin needs.
"""

import contextlib
import glob
import os
import shutil
import subprocess

HOME = "/tmp/lab/docker"
IMAGE = "mirrord-test:1"


class Docker:
    def __init__(self, lab):
        self.lab, self.env = lab, lab.environment(DOCKER_HOST=f"unix://{HOME}/socket", DOCKER_CONFIG=HOME)
        self.group = f"mirrord-lab-{os.stat('/proc/self/ns/mnt').st_ino}"
        os.makedirs(HOME + "/tmp")
        self.daemon = lab.start(["dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs",
                                 "--data-root", HOME + "/data", "--exec-root", HOME + "/exec", "--pidfile", HOME + "/pid",
                                 "--cgroup-parent", self.group, "-H", f"unix://{HOME}/socket"],
                                stdout=subprocess.DEVNULL, stderr=open(HOME + "/log", "w"), env=lab.environment(TMPDIR=HOME + "/tmp"))
        try:
            lab.wait_for("docker's answer", lambda: self.daemon.poll() is not None or self.docker("version", check=False).status == 0)
            self._bring_image()
        except BaseException:
            self.close()
            raise

    def _bring_image(self):
        root = HOME + "/root"
        os.makedirs(root + "/bin")
        shutil.copy(shutil.which("busybox"), root + "/bin/busybox")
        os.symlink("busybox", root + "/bin/sh")
        subprocess.run(["tar", "--create", "--directory", root, "--file", HOME + "/root.tar", "."], check=True)
        self.docker("import", "--change", "ENV SHOP_COLOUR=image SHOP_SIZE=image", HOME + "/root.tar", IMAGE)

    def docker(self, *words, check=True):
        done = self.lab.run(["docker", *words], env=self.env)
        if check and done.status != 0:
            with open(HOME + "/log", errors="replace") as f:
                raise RuntimeError(f"docker {' '.join(words)}: {done}\n{f.read()[-2000:]}")
        return done

    def close(self):
        with contextlib.suppress(Exception):
            names = self.docker("ps", "--all", "--quiet", check=False).out.split()
            if names:
                self.docker("rm", "--force", *names, check=False)
        self.daemon.terminate()
        self.daemon.wait()
        for group in glob.glob(f"/sys/fs/cgroup/{self.group}") + glob.glob(f"/sys/fs/cgroup/*/{self.group}"):
            for directory, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(directory)
        shutil.rmtree(HOME, ignore_errors=True)


def daemon(lab):
    return contextlib.closing(Docker(lab))

# SPDX-License-Identifier: MIT
"""The host of the lab: private namespaces in which `mirrord exec` is called, and outside of which nothing changes.

    mode   invoker    user namespace     the product runs as      the cluster belongs to
    root   root       none               root                     root
    root   ordinary   one, root in it    that root                that root
    user   root       none               uid 1000, no privileges  a user namespace of uid 1000's
    user   ordinary   one, same uid      that uid, no privileges  a user namespace below, of that uid's

In it: a network namespace with one uplink (cluster.py makes it), a copy of /etc, empty /tmp, /var/tmp, /run and /dev/shm, and a PID namespace
whose end takes every process along, whatever happens. So two labs at once can't meet, and what the product leaves behind shows
as a difference between two snapshots.
"""

import os
import signal
import socket
import subprocess
import sys

from . import linux
from .registry import PROMPT

USER_ID = 1000
REPORTS = "/tmp/lab/sanitizer"  # a file for each process of a build with sanitizers that has something to say; stderr may be gone by then


class Sandbox:
    def __init__(self, mode, stage):
        """@stage: a directory with what is needed inside; it becomes /tmp/lab."""
        self.mode, self.stage = mode, stage
        self.real_root = os.geteuid() == 0
        if mode == "root":
            self.uid = self.gid = 0
        elif self.real_root:
            self.uid = self.gid = USER_ID
        else:
            self.uid, self.gid = os.geteuid(), os.getegid()
        self.user_cluster = mode == "user"
        self.gid_in_cluster = 0

    def run_inside(self, work):
        """Calls @work in a grandchild inside; returns its exit status. Everything inside is gone then."""
        outer = os.fork()
        if outer:
            return os.waitstatus_to_exitcode(os.waitpid(outer, 0)[1])
        try:
            self._unshare()
            init = os.fork()
            if init:
                status = os.waitstatus_to_exitcode(os.waitpid(init, 0)[1])
                os._exit(status if status >= 0 else 70)
            linux.die_with_parent()
            self._furnish()
            self._be_init(work)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(70)

    def _unshare(self):
        linux.die_with_parent()
        flags = linux.NEWNS | linux.NEWNET | linux.NEWUTS | linux.NEWIPC | linux.NEWPID
        uid, gid = os.geteuid(), os.getegid()
        if self.real_root:
            linux.unshare(flags)
        else:
            linux.unshare(flags | linux.NEWUSER)
            linux.map_ids((0, 0) if self.mode == "root" else (uid, gid), uid, gid)

    def _furnish(self):
        linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
        linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
        stage = os.open(self.stage, os.O_PATH)
        for place in ("/tmp", "/run", "/dev/shm", "/var/tmp"):
            linux.mount("tmpfs", place, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=1777" if place != "/run" else "mode=755")
        for d in ("/tmp/lab", "/run/netns", "/run/lock", f"/run/user/{self.uid}"):
            os.makedirs(d)
        linux.mount(f"/proc/self/fd/{stage}", "/tmp/lab", None, linux.MS_BIND)
        os.close(stage)
        self._own_etc()
        os.makedirs(REPORTS)
        os.chmod(REPORTS, 0o1777)
        if self.real_root:
            os.chown(f"/run/user/{self.uid}", self.uid, self.gid)
            os.makedirs("/tmp/lab/home")
            for d in ("/tmp/lab", "/tmp/lab/home"):  # the session's log is written to the first
                os.chown(d, self.uid, self.gid)
        else:
            os.makedirs("/tmp/lab/home")
        linux.mount(None, "/", None, linux.MS_REC | 1 << 20)  # shared, as a system's mounts are
        socket.sethostname("workstation")
        linux.link_up("lo")
        os.chdir("/tmp/lab/home")

    def _own_etc(self):
        """A copy of /etc with the host's own name server, hosts and host name."""
        copy = "/tmp/etc"
        os.mkdir(copy)
        linux.mount("tmpfs", copy, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755")
        subprocess.run(["cp", "-a", "--no-preserve=ownership" if not self.real_root else "-a", "/etc/.", copy],
                       stderr=subprocess.DEVNULL)  # an ordinary user can't read all of it, and needs not
        linux.mount(copy, "/etc", None, linux.MS_BIND)
        linux.umount(copy)
        os.rmdir(copy)
        files = {
            "resolv.conf": "search example.test\nnameserver 192.0.2.1\n",
            "hosts": "127.0.0.1 localhost\n::1 localhost\n192.0.2.10 workstation\n203.0.113.1 from-the-hosts-own-file\n",
            "hostname": "workstation\n",
            "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files mdns4_minimal dns\n",
        }
        for name, text in files.items():
            path = "/etc/" + name
            if os.path.lexists(path):
                os.unlink(path)
            with open(path, "w") as f:
                f.write(text)
            os.chmod(path, 0o644)
        with open("/etc/passwd") as f:
            user = self.uid or USER_ID
            accounts = [line for line in f if line.split(":")[2] != str(user)]
        accounts.append(f"labuser:x:{user}:{self.gid or USER_ID}::/tmp/lab/home:/bin/sh\n")
        os.unlink("/etc/passwd")
        with open("/etc/passwd", "w") as f:
            f.writelines(accounts)
        os.chmod("/etc/passwd", 0o644)

    def _be_init(self, work):
        """Process 1 of the lab: starts the work, buries orphans, ends with it."""
        linux.set_name("lab-init")
        worker = os.fork()
        if worker == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            try:
                work(self)
            except BaseException:
                import traceback
                traceback.print_exc()
                sys.stdout.flush()
                os._exit(70)
            sys.stdout.flush()
            os._exit(0)
        while True:
            pid, status = os.wait()
            if pid == worker:
                os._exit(os.waitstatus_to_exitcode(status) & 255)

    # What follows is for the worker.

    def run(self, argv):
        """Runs a command as the host's root."""
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=4 * PROMPT,
                              stdin=subprocess.DEVNULL, preexec_fn=linux.keep_capabilities_over_exec)
        if done.returncode != 0:
            raise RuntimeError(f"on the host: {' '.join(argv)}: {done.stdout}")
        return done.stdout

    def become_user(self):
        """Drops to the user that the product runs as; for preexec_fn. (Inside our own user namespace exec does it.)"""
        if self.real_root and self.uid != 0:
            os.setgroups([])
            os.setresgid(self.gid, self.gid, self.gid)
            os.setresuid(self.uid, self.uid, self.uid)

    def environment(self, **more):
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin", "HOME": "/tmp/lab/home", "LANG": "C.UTF-8",
               "USER": "root" if self.uid == 0 else "labuser", "TERM": "dumb", "XDG_RUNTIME_DIR": f"/run/user/{self.uid}",
               "SHELL": "/bin/sh", **{name: f"{os.environ[name]}:log_path={REPORTS}/report" for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS") if name in os.environ}}
        env.update(more)
        return env

# SPDX-License-Identifier: MIT
"""The launch, seen from around it: whose descriptors, children and limits it touches."""

import contextlib
import os
import resource
import signal
import subprocess
import time

from labkit import linux
from labkit.lab import LOG, PYTHON
from labkit.registry import PROMPT, expect, test

SILENT_PORT = 20999
SILENT = f"import socket, time; s = socket.create_server(('127.0.0.1', {SILENT_PORT})); print('ready', flush=True); c, _ = s.accept(); time.sleep(100)"
LEAVE_UNSENT = f"import socket; s = socket.create_connection(('127.0.0.1', {SILENT_PORT})); s.sendall(b'x')"


@test("launch.nobody_holds_stderr_after_the_program")
def stderr_after_the_program(lab):
    """The session may have something to send when the program has ended; who reads its stderr doesn't wait for that. No log file here: then
    the agent's messages would go to stderr, too."""
    server = lab.cluster.pod.start([*PYTHON, "-c", SILENT], stdout=subprocess.PIPE)
    try:
        server.stdout.readline()
        done = lab.run(lab.command([*PYTHON, "-c", LEAVE_UNSENT], log=False), env=lab.sandbox.environment(MIRRORD_TUNNEL="1" if lab.tunnel else "0"))
        expect("status and output", (done.status, done.out, done.err), (0, "", ""), str(done))
        expect("sessions that still send", len(lab.processes("mirrord-session")), 1)
    finally:
        server.kill()
        server.communicate()


@test("launch.low_soft_limits")
def low_soft_limits(lab):
    """The soft limit of descriptors is the program's affair; the launch has more, and leaves it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for soft in (4, 5, 8, 16, 32, 64):
        def limit():
            lab.plainly()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        done = lab.mirrord(["/bin/sh", "-c", "ulimit -Sn; ulimit -Hn"], where=limit)
        expect(f"limits with {soft}", (done.status, done.out.split()), (0, [str(soft), str(hard)]), str(done))


@test("launch.least_hard_limit")
def least_hard_limit(lab):
    """The limit that the message names is enough."""
    def limit():
        lab.plainly()
        resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96))
    done = lab.mirrord(["/tmp/lab/bin/tcpget", "10.0.20.5", "13"], where=limit)
    expect("a connection", (done.status, done.out, done.err), (0, "hello\n", ""), str(done) + lab.log())


@test("launch.descriptors_of_others_on_their_way", modes=("user",))
def others_descriptors(lab):
    """A user's processes may have no more descriptors on their way than one may have open: while others' are, mirrord waits for them."""
    code = ("import socket, time\npair = socket.socketpair()\nfor _ in range(11): socket.send_fds(pair[0], [b'x'], [0] * 10)\n"
            "print('sent', flush=True); time.sleep(0.15)\n")
    other = lab.start([*PYTHON, "-c", code])
    expect("the other's first line", other.stdout.readline(), "sent\n")
    least_hard_limit(lab)
    other.communicate()


@test("launch.session_keeps_no_descriptor")
def session_keeps_no_descriptor(lab):
    """A pipe's end at any number: whoever reads the other sees the end when the program closes it."""
    for number in (3, 4, 5, 63, 64, 65, 200):
        reading, writing = os.pipe()

        def place():
            lab.plainly()
            os.dup2(writing, number)
        p = lab.start_mirrord(["/bin/sh", "-c", f"eval 'exec {number}>&-'; echo closed; sleep 60"] if number < 10 else
                              ["/usr/bin/bash", "-c", f"exec {number}>&-; echo closed; sleep 60"], where=place, close_fds=False)
        os.close(writing)
        expect("first line", p.stdout.readline(), "closed\n")
        began = time.monotonic()
        expect(f"the end of a pipe at {number}", os.read(reading, 1), b"")
        expect(f"seconds until the end of a pipe at {number}", time.monotonic() - began, lambda s: s < PROMPT)
        os.close(reading)
        os.killpg(p.pid, signal.SIGKILL)
        p.communicate()


@contextlib.contextmanager
def jail():
    """A directory to change the root to, below a mount point that others share."""
    top, mounted = "/mnt", []

    def bind(path):
        os.makedirs(top + "/jail" + path, exist_ok=True)
        linux.mount(path, top + "/jail" + path, None, linux.MS_BIND | linux.MS_REC)
        linux.mount(None, top + "/jail" + path, None, linux.MS_REC | linux.MS_PRIVATE)  # or /dev/pts goes when that below the jail does
        mounted.append(top + "/jail" + path)
    linux.mount("tmpfs", top, "tmpfs")
    linux.mount(None, top, None, linux.MS_SHARED)
    try:
        for path in ("/usr", "/bin", "/sbin", "/lib", "/lib64"):
            if os.path.islink(path):
                os.makedirs(top + "/jail", exist_ok=True)
                os.symlink(os.readlink(path), top + "/jail" + path)
            elif os.path.exists(path):
                bind(path)
        for path in ("/proc", "/dev", "/tmp/lab"):
            bind(path)
        subprocess.run(["cp", "-a", "/etc", top + "/jail"], stderr=subprocess.DEVNULL)
        yield top + "/jail"
    finally:
        for path in [*reversed(mounted), top]:
            linux.umount(path)


@test("launch.root_is_no_mount_point", modes=("root",))
def chroot(lab):
    """In a chroot that is a plain directory; nothing that is mounted for the program shows outside."""
    def mounts():
        with open("/proc/self/mountinfo") as f:
            return [line.split()[4] for line in f]
    with jail() as directory:
        def enter():
            lab.plainly()
            os.chroot(directory)
            os.chdir("/usr/bin")
        before = mounts()
        p = lab.start_mirrord(["/bin/sh", "-c", "getent ahostsv4 payment | head -n 1; pwd; ls -di /; read x"], where=enter, stdin=subprocess.PIPE)
        seen = [p.stdout.readline().split() for _ in range(3)]
        detail = str(seen) + lab.log()
        expect("an address", seen[0][:1], ["10.0.20.5"], detail)
        expect("the working directory, the root directory", (seen[1], seen[2][:1]), (["/usr/bin"], [str(os.stat(directory).st_ino)]), detail)
        expect("mounts outside", mounts(), before, detail)
        out, err = p.communicate("\n", timeout=PROMPT)
        expect("status, stderr", (p.returncode, err), (0, ""), detail)


@test("launch.subreaper_gets_no_child")
def subreaper(lab):
    """A program that inherits to be the reaper of orphans has no child of ours."""
    def before():
        lab.plainly()
        linux.become_subreaper()
    done = lab.mirrord([*PYTHON, "-c", "import os\ntry: print(os.waitpid(-1, os.WNOHANG))\nexcept ChildProcessError: print('none')"], where=before)
    expect("children", done.out, "none\n", str(done))


@test("launch.parent_dies_meanwhile")
def parent_dies(lab):
    """A death signal that was asked for stands, also in a user namespace."""
    code = ("import ctypes, os, signal, subprocess, sys\n"
            "p = subprocess.Popen(sys.argv[1:], preexec_fn=lambda: ctypes.CDLL(None).prctl(1, signal.SIGTERM), stdout=subprocess.PIPE)\n"
            "p.stdout.readline(); print(p.pid, flush=True); os._exit(0)")
    done = lab.run([*PYTHON, "-c", code, *lab.command(["/bin/sh", "-c", "echo ready; exec sleep 30 >/dev/null 2>&1"])])
    lab.wait_for("the program's end", lambda: linux.process_state(int(done.out)) in ("", "Z"))


@test("launch.limits_are_the_programs")
def limits(lab):
    """A limit of file size that the log reaches does not end the session."""
    most = 16384

    def before():
        lab.plainly()
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    done = lab.mirrord([*PYTHON, "-c", "import socket\nfor i in range(300): socket.socket().connect_ex(('127.0.0.1', 9))\n"
                        "print(socket.create_connection(('10.0.20.5', 13)).recv(99))"], where=before)
    expect("a connection", (done.status, done.out), (0, "b'hello\\n'\n"), str(done))
    lab.wait_for("a log that is full", lambda: os.path.getsize(LOG) == most)


@test("launch.quiet_about_little")
def quiet(lab):
    """Without a log file nothing but errors goes to stderr: not the agent's warnings either."""
    env = lab.sandbox.environment()
    hosts = f"/tmp/lab/{lab.cluster.pod.name}_etc_hosts"
    size = os.path.getsize(hosts)
    with open(hosts, "a") as f:
        f.write("#" * (2 << 20) + "\n")  # larger than it takes: a warning
    try:
        done = lab.run(lab.command(["/bin/echo", "ran"], log=False), env=env)
        expect("status and output", (done.status, done.out, done.err), (0, "ran\n", ""), str(done))
        done = lab.run(lab.command(["/bin/echo", "ran"], log=False), env=dict(env, MIRRORD_LOG="warn"))
        expect("a warning when asked for", "mirrord-agent" in done.err, True, str(done))
    finally:
        os.truncate(hosts, size)

# SPDX-License-Identifier: MIT
"""Exec in place: what a program is born with, and how it ends, is as without us."""

import fcntl
import json
import os
import pty
import resource
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import differences
from labkit import linux, record
from labkit.lab import PYTHON
from labkit.registry import PATIENCE, PROMPT, Failure, Skip, expect, expect_in, test

STATE = "/tmp/lab/home/state.json"
EXEC_LONG = list(range(256))
EXEC_SHORT = [0, 1, 2, 3, 42, 63, 64, 100, 125, 126, 127, 128, 129, 130, 137, 143, 200, 254, 255]


def state(lab, under_mirrord, prepare=None, env=None, arguments=("a", ""), **more):
    """Runs programs/state.py, plainly or not. @prepare: what the launcher does to itself before."""
    if os.path.exists(STATE):
        os.unlink(STATE)
    argv = [*PYTHON, "/tmp/lab/tests/programs/state.py", STATE, *arguments]
    if under_mirrord:
        lab.forget_log()
        argv = lab.command(argv)

    def before():
        lab.plainly()
        if prepare:
            prepare()
    options = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env or lab.environment(), preexec_fn=before)
    options.update(more)
    p = subprocess.Popen(argv, **options)
    out, err = p.communicate(timeout=PROMPT)
    if not os.path.exists(STATE):
        raise Failure("a state", f"status {p.returncode}, {out!r}, {err!r}", lab.log())
    with open(STATE) as f:
        found = json.load(f)
    os.unlink(STATE)
    expect("status", p.returncode, 0, lab.log())
    expect("output", (out, err), (b"" if out is not None else None, b"" if err is not None else None))
    expect("pid is the launcher's", found.pop("pid"), p.pid)
    expect("parent", found.pop("ppid"), os.getpid())
    if found["group"] == p.pid:
        found["group"] = "own"
    if found["session"] == p.pid:
        found["session"] = "own"
    return found


def same_state(lab, prepare=None, ignore=(), **more):
    plain = state(lab, False, prepare, **more)
    ours = state(lab, True, prepare, **more)
    for key in ignore:
        plain.pop(key), ours.pop(key)
    found = [d for d in record.differences(plain, ours) if not differences.is_known("exec", d)]
    if found:
        raise Failure(f"{found[0][0]} = {found[0][1]!r}", repr(found[0][2]), "\n".join(f"{w}: plainly {a!r}, under mirrord {b!r}" for w, a, b in found))


def state_test(name, prepare=None, modes=("root", "user"), ignore=(), **more):
    @test("exec." + name, modes=modes)
    def run(lab):
        same_state(lab, prepare() if prepare and getattr(prepare, "makes", False) else prepare, ignore, **more)


def closing(*fds):
    def prepare():
        for fd in fds:
            os.close(fd)
    return prepare


def ignoring(*signals):
    def prepare():
        for s in signals:
            signal.signal(s, signal.SIG_IGN)
    return prepare


def limit(which, soft, hard):
    return lambda: resource.setrlimit(which, (soft, hard))


state_test("plain")
state_test("own_session", start_new_session=True)
state_test("own_group", lambda: os.setpgid(0, 0))
state_test("stdin_closed", closing(0), stdin=None)
state_test("stdout_closed", closing(1), stdout=None)
state_test("stderr_closed", closing(2), stderr=None)
state_test("all_closed", closing(0, 1, 2), stdin=None, stdout=None, stderr=None)
state_test("umask", lambda: os.umask(0o027) and None)
state_test("nice", lambda: os.nice(5) and None)
state_test("limit_files", limit(resource.RLIMIT_NOFILE, 256, 4096))
state_test("limit_stack", limit(resource.RLIMIT_STACK, 4 << 20, 16 << 20))
state_test("limit_small_stack", limit(resource.RLIMIT_STACK, 128 << 10, 16 << 20))
state_test("limit_core", limit(resource.RLIMIT_CORE, 0, 0))
state_test("limit_cpu", limit(resource.RLIMIT_CPU, 1000, 2000))
state_test("sigpipe_ignored", ignoring(signal.SIGPIPE), restore_signals=False)
state_test("sighup_ignored", ignoring(signal.SIGHUP))
state_test("sigchld_ignored", ignoring(signal.SIGCHLD))
state_test("all_ignored", ignoring(*(s for s in signal.Signals if s not in (signal.SIGKILL, signal.SIGSTOP))), restore_signals=False)
state_test("all_blocked", lambda: signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()) and None)
state_test("sigchld_blocked", lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD]) and None)
state_test("alarm_running", lambda: signal.setitimer(signal.ITIMER_REAL, 50) and None)
state_test("affinity", lambda: os.sched_setaffinity(0, {0}))
state_test("scheduler", lambda: os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)))
state_test("out_of_memory_score", lambda: linux.make_dumpable() or open("/proc/self/oom_score_adj", "w").write("500") and None)
state_test("death_signal", linux.die_with_parent)
state_test("subreaper", linux.become_subreaper)
state_test("personality", lambda: linux.personality(0x0040000) and None)
state_test("no_new_privileges", linux.no_new_privileges, modes=("root",))
state_test("odd_arguments", arguments=["", " ", "--", "-t", "two\nlines", "ünïcödé", "$HOME", "*", "x" * 100000])
state_test("empty_environment", env={"MIRRORD_LOG": "debug"})


@test("exec.large_environment")
def large_environment(lab):
    same_state(lab, env=lab.environment(**{f"VARIABLE_{i}": "v" * 50 for i in range(10000)}))


@test("exec.duplicate_and_odd_environment")
def odd_environment(lab):
    same_state(lab, env=lab.environment(**{"EMPTY": "", "WITH=EQUALS"[:4]: "a=b", "LINES": "a\nb", "UTF8": "é"}))


@test("exec.descriptors_are_inherited")
def descriptors(lab):
    path = "/tmp/lab/home/inherited"
    with open(path, "w") as f:
        high = fcntl.fcntl(f.fileno(), fcntl.F_DUPFD, 57)
        same_state(lab, pass_fds=(f.fileno(), high))
        os.close(high)
    os.unlink(path)


@test("exec.deleted_directory")
def deleted_directory(lab):
    """The working directory is gone, and is kept."""
    def prepare():
        os.mkdir("/tmp/lab/home/gone")
        os.chdir("/tmp/lab/home/gone")
        os.rmdir("/tmp/lab/home/gone")
    same_state(lab, prepare, ignore=("cwd inode", "cwd"))


@test("exec.directory")
def directory(lab):
    for path in ("/", "/tmp", "/etc", "/proc/sys", "/dev/shm"):
        same_state(lab, cwd=path)


@test("exec.supplementary_groups")
def groups(lab):
    if not lab.sandbox.real_root:
        raise Skip("only root has groups to give")

    def prepare():
        if lab.mode == "root":
            os.setgroups([4, 27, 1234])
    same_state(lab, prepare)


@test("exec.terminal")
def terminal(lab):
    """On a terminal, in the foreground."""
    results = []
    for under in (False, True):
        leader, follower = pty.openpty()

        def prepare():
            os.setsid()
            fcntl.ioctl(follower, 0x540E, 0)  # TIOCSCTTY
        found = state(lab, under, prepare, stdin=follower, stdout=follower, stderr=follower, env=lab.environment(MIRRORD_QUIET="1")) if not under else \
            state_on_terminal(lab, prepare, follower)
        os.close(follower)
        os.close(leader)
        for fd in ("0", "1", "2"):
            found["terminal"][fd][0] = "tty"
            found["fds"][fd] = "tty"
        found.pop("environment")
        results.append(found)
    found = [d for d in record.differences(*results) if not differences.is_known("exec", d)]
    if found:
        raise Failure(f"{found[0][0]} = {found[0][1]!r}", repr(found[0][2]))


def state_on_terminal(lab, prepare, follower):
    return state(lab, True, prepare, stdin=follower, stdout=follower, stderr=follower)


@test("exec.statuses")
def statuses(lab):
    wrong = {}
    for code in EXEC_SHORT:
        done = lab.mirrord(["/bin/sh", "-c", f"exit {code}"])
        if done.status != code or done.out or done.err:
            wrong[code] = str(done)
    expect("wrong exit statuses", wrong, {})


@test("exec.all_statuses", long=True, timeout=600)
def all_statuses(lab):
    wrong = {code: done.status for code in EXEC_LONG for done in [lab.mirrord(["/bin/sh", "-c", f"exit {code}"])] if done.status != code}
    expect("wrong exit statuses", wrong, {})


@test("exec.death_by_signal")
def death_by_signal(lab):
    for s in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT, signal.SIGKILL, signal.SIGUSR1, signal.SIGSEGV, signal.SIGPIPE, signal.SIGTERM):
        done = lab.mirrord([*PYTHON, "-c", f"import os, signal, resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); signal.signal({int(s)}, signal.SIG_DFL) if {int(s)} != 9 else 0; os.kill(os.getpid(), {int(s)})"])
        expect(f"status after {s.name}", done.status, -s, str(done))


@test("exec.signals_from_outside")
def signals_from_outside(lab):
    p = lab.start_mirrord([*PYTHON, "-c", "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *a: (print('got it'), sys.exit(7)))\nprint('ready', flush=True)\ntime.sleep(300)"])
    expect("first line", p.stdout.readline(), "ready\n")
    p.terminate()
    out, err = p.communicate(timeout=PROMPT)
    expect("status, output", (p.returncode, out, err), (7, "got it\n", ""))


@test("exec.stop_and_continue")
def stop_and_continue(lab):
    p = lab.start_mirrord(["/bin/sh", "-c", "echo ready; read line; echo $line"], stdin=subprocess.PIPE)
    expect("first line", p.stdout.readline(), "ready\n")
    os.kill(p.pid, signal.SIGSTOP)
    pid, status = os.waitpid(p.pid, os.WUNTRACED)
    expect("stopped", os.WIFSTOPPED(status) and os.WSTOPSIG(status), signal.SIGSTOP)
    expect("state", linux.process_state(p.pid), "T")
    os.kill(p.pid, signal.SIGCONT)
    out, err = p.communicate("went on\n", timeout=PROMPT)
    expect("status, output", (p.returncode, out, err), (0, "went on\n", ""))


class Terminal:
    """A shell in a tmux."""

    def __init__(self, lab):
        self.lab, self.name = lab, f"lab{os.getpid()}"
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", "200", "-y", "50", "env", "PS1=READY ", "HISTFILE=", "bash", "--norc", "--noprofile")
        self.wait("READY")

    def tmux(self, *words):
        done = self.lab.run(["tmux", "-L", self.name, *words], env=self.lab.environment(TERM="xterm", TMUX_TMPDIR="/tmp/lab/home"), start_new_session=False)
        if done.status != 0:
            raise Failure(f"tmux {' '.join(words)}", str(done))
        return done.out

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def type(self, line):
        self.tmux("send-keys", "-l", line)
        self.keys("Enter")

    def screen(self):
        return "\n".join(line for line in self.tmux("capture-pane", "-p", "-J").splitlines() if line.strip())

    def wait(self, text):
        end = time.monotonic() + PROMPT * PATIENCE
        while text not in self.screen():
            if time.monotonic() > end:
                raise Failure(f"{text!r} on the terminal", self.screen(), self.lab.log())
            time.sleep(0.05)

    def close(self):
        self.tmux("kill-server")


@test("exec.job_control", needs=("tmux", "bash"))
def job_control(lab):
    """Ctrl-Z, jobs, fg, bg, Ctrl-C in an interactive shell."""
    t = Terminal(lab)
    command = " ".join(lab.command(["/bin/cat"], options=["-q"]))

    def run(line):
        """Types a line, and waits until the shell has read it: what is typed earlier is the shell's line editor's, not the program's."""
        t.type("clear; echo be''gun; " + line)
        t.wait("begun")
    try:
        t.type("set +m; set -m")
        run(command)
        t.type("first line")
        t.wait("first line\nfirst line")
        t.keys("C-z")
        t.wait("Stopped")
        run("fg")
        t.type("second line")
        t.wait("second line\nsecond line")
        t.keys("C-z")
        t.wait("Stopped")
        t.type("kill %1; wait %1; clear; echo status $?")
        t.type("fg %1 2>/dev/null; clear; jobs; echo end of jobs")
        t.wait("end of jobs")
        run(command)
        t.keys("C-c")
        t.wait("READY")  # until then what is typed may be read by the program, which then ends with it
        t.type("echo status $?")
        t.wait("status 130")
        t.type("clear; " + command + " & until jobs | grep ' Stopped '; do sleep 0.1; done")
        t.wait("]+  Stopped")  # it reads from the terminal in the background
        t.type("kill -KILL %1; wait; clear; echo the end")
        t.wait("the end")
    finally:
        t.close()


@test("exec.progress_on_a_terminal", needs=("tmux", "bash"))
def progress_on_a_terminal(lab):
    """A few lines on stderr when it is a terminal, none with -q; stdout is the program's."""
    t = Terminal(lab)
    try:
        t.type("clear; " + " ".join(lab.command(["/bin/echo", "the", "program"])) + " > /tmp/lab/home/out; echo end $?")
        t.wait("end 0")
        with open("/tmp/lab/home/out") as f:
            expect("stdout", f.read(), "the program\n")
        expect_in("progress", t.screen(), str(lab.cluster.target))
        t.type("clear; " + " ".join(lab.command(["/bin/echo", "the", "program"], options=["-q"])) + "; echo over $?")
        t.wait("over 0")
        expect("screen", [line for line in t.screen().splitlines() if "READY" not in line], ["the program", "over 0"])
        os.unlink("/tmp/lab/home/out")
    finally:
        t.close()


def shell(lab, script, **more):
    """Runs a bash script, $M is `mirrord exec -t TARGET … --`."""
    lab.forget_log()
    return lab.run(["bash", "-c", script], env=lab.environment(M=" ".join(lab.command([]))), **more)


@test("exec.wait_n", needs=("bash",))
def wait_n(lab):
    done = shell(lab, "$M sleep 0.3 & a=$!; sleep 300 & b=$!; wait -n -p which; echo $? $((which == a)); kill $b; wait -n; wait -n; echo $?")
    expect("output", (done.out, done.err), ("0 1\n127\n", ""), lab.log())


@test("exec.substitution_returns_promptly", needs=("bash",))
def substitution(lab):
    seconds, plain = [], []
    for _ in range(4):
        plain.append(shell(lab, "$M true; $M true").seconds)
        done = shell(lab, 'x=$($M echo hello); echo "got $x"; y=$($M sh -c "echo error >&2; exit 3" 2>&1); echo "got $y $?"')
        expect("output", (done.out, done.err), ("got hello\ngot error 3\n", ""), lab.log())
        seconds.append(done.seconds)
    expect("least seconds of some", min(seconds), lambda s: s < 2 * PATIENCE + 2 * min(plain), f"plainly: {plain}\n{lab.log()}")


@test("exec.pipelines", needs=("bash",))
def pipelines(lab):
    done = shell(lab, "set -o pipefail; seq 100000 | $M cat | md5sum; seq 100000 | md5sum; yes | $M head -n 1; echo ${PIPESTATUS[@]}; $M yes | head -n 1; echo ${PIPESTATUS[@]}")
    lines = done.out.splitlines()
    expect("lines", len(lines), 6, str(done))
    expect("same bytes", lines[0], lines[1])
    expect("statuses", lines[2:], ["y", "141 0", "y", "141 0"])
    expect("stderr", done.err, "")


@test("exec.background_jobs", needs=("bash",))
def background_jobs(lab):
    done = shell(lab, "for i in 1 2 3 4 5; do $M sh -c \"sleep 0.2; exit $i\" & done; for p in $(jobs -p); do wait $p; echo $?; done")
    expect("statuses", sorted(done.out.split()), ["1", "2", "3", "4", "5"], str(done))
    expect("stderr", done.err, "")


@test("exec.program_reaps_all_children")
def reaps_all(lab):
    code = """
import os, sys, time
def reap():
    seen = []
    while True:
        try: seen.append(os.waitpid(-1, 0)[0])
        except ChildProcessError: return seen
print(reap())
pids = [os.fork() or os._exit(0) for _ in range(5)]
print(sorted(reap()) == sorted(pids))
import ctypes; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # a subreaper gets its grandchildren, nothing else
if os.fork() == 0:
    if os.fork() == 0: time.sleep(.2)
    os._exit(0)
print(len(reap()))
"""
    done = lab.mirrord([*PYTHON, "-c", code])
    expect("output", (done.status, done.out, done.err), (0, "[]\nTrue\n2\n", ""))


@test("exec.descriptors_stay_few")
def no_extra_descriptors(lab):
    done = lab.mirrord(["/bin/ls", "/proc/self/fd"])
    expect("descriptors", done.out.split(), ["0", "1", "2", "3"])
    plain = lab.run(["/bin/ls", "/proc/self/fd"])
    expect("as plainly", done.out, plain.out)


@test("exec.found_by_path")
def found_by_path(lab):
    """As execvp() does: $PATH, relative paths, scripts without a first line."""
    home = "/tmp/lab/home/commands"
    os.mkdir(home)
    for name, text in (("script", "#!/bin/sh\necho script $0\n"), ("bare", "echo bare $0\n")):
        with open(f"{home}/{name}", "w") as f:
            f.write(text)
        os.chmod(f"{home}/{name}", 0o755)
    env = lab.environment(PATH=f"{home}:/usr/bin:/bin")
    for argv in (["script"], ["bare"], ["./script"], ["./bare"], [f"{home}/script"]):
        done = lab.mirrord(argv, env=env, cwd=home)
        plain = lab.run(["env", *argv], env=env, cwd=home)
        expect(" ".join(argv), (done.status, done.out, done.err), (plain.status, plain.out, plain.err), lab.log())
    for name in ("script", "bare"):
        os.unlink(f"{home}/{name}")
    os.rmdir(home)


@test("exec.standard_input")
def standard_input(lab):
    text = "line\n" * 50000
    done = lab.mirrord(["/bin/cat"], text=text)
    expect("all of stdin", done.out == text and done.err == "", True)


@test("exec.files_of_the_host")
def files_of_the_host(lab):
    """The file system is the host's own: what the program writes is there, what the host mounts arrives."""
    path = "/tmp/lab/home/written"
    done = lab.mirrord(["/bin/sh", "-c", f"echo text > {path}; stat -c %u:%g {path}; id -u"])
    with open(path) as f:
        expect("content", f.read(), "text\n")
    expect("owner as the program sees it", done.out.split()[0].split(":")[0], str(lab.sandbox.uid))
    expect("owner", os.stat(path).st_uid, lab.sandbox.uid)
    os.unlink(path)


@test("exec.mounts_arrive")
def mounts_arrive(lab):
    """A file system mounted on the host while the program runs shows up in the program's mount namespace."""
    os.mkdir("/tmp/lab/home/mnt")
    p = lab.start_mirrord(["/bin/sh", "-c", "echo ready; read x; ls /tmp/lab/home/mnt"], stdin=subprocess.PIPE)
    try:
        expect("first line", p.stdout.readline(), "ready\n")
        linux.mount("tmpfs", "/tmp/lab/home/mnt", "tmpfs", 0, "mode=777")
        open("/tmp/lab/home/mnt/mounted-later", "w").close()
        out, err = p.communicate("\n", timeout=PROMPT)
        expect("listing", out, "mounted-later\n", err)
    finally:
        linux.umount("/tmp/lab/home/mnt")
        os.rmdir("/tmp/lab/home/mnt")


@test("exec.daemon_keeps_session")
def daemon_keeps_session(lab):
    """The session lives until the last process in the twin is gone; who waits for the end of stdout and stderr doesn't wait for it."""
    over = "/tmp/lab/home/over"
    done = lab.mirrord([*PYTHON, "-c", "import os, time\nif os.fork() == 0:\n  os.setsid()\n  for fd in range(3): os.close(fd)\n"
                        f"  while not os.path.exists({over!r}): time.sleep(0.01)\n"])
    expect("status", done.status, 0, str(done))
    expect("session still there", len(lab.processes("mirrord-session")), 1)
    open(over, "w").close()
    lab.wait_for("the session's end", lambda: not lab.processes("mirrord-session"))
    os.unlink(over)


@test("exec.start_time")
def start_time(lab):
    """`mirrord exec -- true` is quick. (./dev bench measures it; this catches what is grossly slow, beside what starting a program costs on a busy machine.)"""
    seconds = [(lab.run(["/bin/true"]).seconds, lab.mirrord(["/bin/true"]).seconds) for _ in range(7)]
    plain, ours = (min(s) for s in zip(*seconds))
    expect("least seconds of some", ours, lambda s: s < 0.5 * PATIENCE + 20 * plain, f"without mirrord: {plain}")


def fake_cache(server, home):
    """A name service cache (nscd) that knows one user by number, with another home."""
    while True:
        try:
            s, _ = server.accept()
        except OSError:
            return
        with s:
            kind, size = struct.unpack_from("iii", s.recv(12))[1:]
            key = s.recv(size).rstrip(b"\0")
            if (kind, key) == (1, b"1000"):
                texts = [b"labuser\0", b"x\0", b"\0", home.encode() + b"\0", b"/bin/sh\0"]
                sizes = [len(t) for t in texts]
                s.sendall(struct.pack("9i", 2, 1, sizes[0], sizes[1], 1000, 1000, *sizes[2:]) + b"".join(texts))


@test("exec.sudo_user_is_looked_up_here", modes=("root",))
def sudo_looked_up(lab):
    """Not from within the twin, where a network of users would be the target's."""
    if not lab.sandbox.real_root:
        raise Skip("needs more than one user")
    os.makedirs("/run/nscd")
    server = socket.socket(socket.AF_UNIX)
    server.bind("/run/nscd/socket")
    os.chmod("/run/nscd/socket", 0o666)
    server.listen()
    threading.Thread(target=fake_cache, args=(server, "/tmp/lab"), daemon=True).start()
    try:
        env = lab.environment(SUDO_UID="1000", SUDO_GID="1000", SUDO_USER="labuser")
        done = lab.mirrord(["/bin/sh", "-c", "echo $HOME"], env=env)
        expect("the home that this machine's cache knows", done.out, "/tmp/lab\n", str(done) + lab.log())
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        shutil.rmtree("/run/nscd")


@test("exec.sudo", modes=("root",))
def sudo(lab):
    """Under sudo the program runs as the invoking user, with a working HOME."""
    if not lab.sandbox.real_root:
        raise Skip("needs more than one user")
    env = lab.environment(SUDO_UID="1000", SUDO_GID="1000", SUDO_USER="labuser", HOME="/root", USER="root", LOGNAME="root")
    done = lab.mirrord(["/bin/sh", "-c", "id -u; id -g; echo $HOME; id -G; grep -c CapEff.*0000000000000000 /proc/self/status"], env=env)
    expect("uid, gid, home, groups, without capabilities", done.out.split("\n")[:5], ["1000", "1000", "/tmp/lab/home", "1000", "1"], str(done) + lab.log())
    done = lab.mirrord([*PYTHON, "/tmp/lab/tests/probes/main.py", "connect_blocking", "4"], env=env)
    expect_in("a connection", done.out, '"ip": "10.244.1.7"', str(done))

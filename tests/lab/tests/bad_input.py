# SPDX-License-Identifier: MIT
"""Bad input and bad places: one clear error on stderr, exit status 1 (2 for usage), nothing left behind.

A message says what failed, on what, why, and what to do. The rows ask for the words that only that message can have.
"""

import os
import resource

from labkit.lab import MIRRORD
from labkit.registry import expect, test


def complain(lab, argv, status, words, prepare=None, env=None, most_lines=6):
    def before():
        lab.plainly()
        if prepare:
            prepare()
    lab.forget_log()
    done = lab.run(argv, before, env=env or lab.quiet_environment())
    detail = str(done) + lab.log()
    expect("exit status", done.status, status, detail)
    expect("stdout", done.out, "", detail)
    expect("beginning of stderr", done.err.partition(":")[0], lambda who: who in ("mirrord", "mirrord exec"), detail)
    missing = [w for w in words if w.lower() not in done.err.lower()]
    expect("words that are missing in the message", missing, [], detail)
    expect("lines on stderr", done.err.count("\n"), lambda n: 1 <= n <= most_lines, detail)


def row(name, argv, status, words, modes=("root", "user"), prepare=None, options=None):
    """@argv: words after `mirrord`; TARGET stands for a good one."""
    @test("bad_input." + name, modes=modes)
    def run(lab):
        complain(lab, [MIRRORD, *(a.replace("TARGET", lab.target) for a in argv)], status, words, prepare)


E = ["exec", "-t"]
CMD = ["--", "/bin/true"]

# Usage: status 2
@test("bad_input.no_command_word")
def no_command_word(lab):
    """Nothing asked: the help, on stderr."""
    done = lab.run([MIRRORD])
    expect("status, stdout", (done.status, done.out), (2, ""), str(done))
    expect("the help", "exec" in done.err and "Usage" in done.err, True, str(done))


row("unknown_command", ["exce"], 2, ["exce", "exec"])
row("unknown_option", [*E, "TARGET", "--no-outgonig", *CMD], 2, ["--no-outgonig"])
row("no_program", [*E, "TARGET"], 2, ["command"])
row("no_program_after_dashes", [*E, "TARGET", "--"], 2, ["command"])
row("no_target", ["exec", *CMD], 2, ["target", "-t"])
row("target_without_value", ["exec", "-t"], 2, ["-t"])
row("log_file_without_value", ["exec", "-t", "TARGET", "--log-file"], 2, ["--log-file"])

# Targets
row("unknown_kind", [*E, "pdi/4711", *CMD], 1, ["pdi", "pid"])
row("kind_alone", [*E, "pid", *CMD], 1, ["pid"])
row("empty_target", [*E, "", *CMD], 1, ["target"])
row("pid_not_a_number", [*E, "pid/abc", *CMD], 1, ["abc"])
row("pid_gone", [*E, "pid/4999999", *CMD], 1, ["4999999"])
row("pid_zero", [*E, "pid/0", *CMD], 1, ["0"])
row("pid_negative", [*E, "pid/-1", *CMD], 1, ["-1"])
row("pid_too_large", [*E, "pid/99999999999999999999", *CMD], 1, ["99999999999999999999"])
row("namespace_unknown", [*E, "netns/nowhere", *CMD], 1, ["nowhere", "netns"])
row("namespace_with_slash", [*E, "netns/../../etc/passwd", *CMD], 1, ["netns"])
row("docker_socket_missing", [*E, "docker/shop", *CMD], 1, ["docker", "sock"])
row("podman_socket_missing", [*E, "podman/shop", *CMD], 1, ["podman", "sock"])

# The program
row("command_unknown", [*E, "TARGET", "--", "no-such-command"], 127, ["no-such-command"])
row("command_unknown_path", [*E, "TARGET", "--", "/no/such/command"], 127, ["/no/such/command"])
row("command_not_executable", [*E, "TARGET", "--", "/etc/passwd"], 126, ["/etc/passwd"])
row("command_is_a_directory", [*E, "TARGET", "--", "/tmp"], 126, ["/tmp"])

# The log file
row("log_file_in_no_directory", [*E, "TARGET", "--log-file", "/no/such/dir/log", *CMD], 1, ["/no/such/dir/log"])
row("log_file_is_a_directory", [*E, "TARGET", "--log-file", "/tmp", *CMD], 1, ["/tmp"])
row("log_file_disk_full", [*E, "TARGET", "--log-file", "/dev/full", *CMD], 1, ["/dev/full", "space"])


@test("bad_input.pid_of_another", modes=("user",))
def pid_of_another(lab):
    """Process 1 belongs to root, or is in namespaces that aren't ours: sudo is the advice."""
    complain(lab, [MIRRORD, "exec", "-t", "pid/1", "--", "/bin/true"], 1, ["1", "sudo"])


@test("bad_input.own_namespace", modes=("root",))
def own_namespace(lab):
    """The target is where we are."""
    done = lab.run([MIRRORD, "exec", "-t", f"pid/{os.getpid()}", "--", "/tmp/lab/bin/tcpget", "127.0.0.1", "9"])
    expect("status", done.status, lambda s: s in (1, 111), str(done))


@test("bad_input.engine_socket_forbidden", modes=("user",))
def engine_forbidden(lab):
    import socket
    s = socket.socket(socket.AF_UNIX)
    s.bind("/run/docker.sock")
    s.listen()
    os.chmod("/run/docker.sock", 0o600)
    if not lab.sandbox.real_root:
        os.chmod("/run/docker.sock", 0)
    try:
        complain(lab, [MIRRORD, "exec", "-t", "docker/shop", "--", "/bin/true"], 1, ["docker.sock", "permission"])
    finally:
        s.close()
        os.unlink("/run/docker.sock")


@test("bad_input.engine_socket_of_nobody")
def engine_dead(lab):
    import socket
    s = socket.socket(socket.AF_UNIX)
    s.bind("/run/docker.sock")
    s.close()
    os.chmod("/run/docker.sock", 0o666)
    try:
        complain(lab, [MIRRORD, "exec", "-t", "docker/shop", "--", "/bin/true"], 1, ["docker.sock"])
    finally:
        os.unlink("/run/docker.sock")


@test("bad_input.few_descriptors")
def few_descriptors(lab):
    complain(lab, [MIRRORD, "exec", "-t", lab.target, "--", "/bin/true"], 1, ["open files", "ulimit"],
             lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12)))


@test("bad_input.small_stack")
def small_stack(lab):
    small = 128 << 10
    complain(lab, [MIRRORD, "exec", "-t", lab.target, "--", "/bin/true"], 1, ["stack", "128 KiB", "ulimit -Ss"],
             lambda: resource.setrlimit(resource.RLIMIT_STACK, (small, small)))


def denied(name, rules, words, modes=("root", "user")):
    """System calls that a container's profile or an old kernel refuses."""
    @test("bad_input.denied_" + name, modes=modes, needs=("deny",))
    def run(lab):
        complain(lab, ["/tmp/lab/bin/deny", *rules, "--", MIRRORD, "exec", "-t", lab.target, "--", "/bin/true"], 1, words)


EPERM, ENOSPC, ENOSYS, EPROTONOSUPPORT, ENOPROTOOPT = 1, 28, 38, 93, 92
denied("unshare", [f"unshare={EPERM}", f"clone3={ENOSYS}"], ["namespace"])
denied("setns", [f"setns={EPERM}"], ["network", "permitted"])
denied("user_namespaces", [f"unshare={ENOSPC}"], ["user namespace", "max_user_namespaces"], modes=("user",))
denied("mount", [f"mount={EPERM}"], ["mount"])
denied("seccomp", [f"seccomp={EPERM}"], ["seccomp", "permitted", "--security-opt"])
denied("pidfd", [f"pidfd_open={EPERM}"], ["pidfd_open", "permitted", "--security-opt"])
denied("packet_socket", [f"socket:0=17={EPERM}"], ["packet"])
denied("netfilter", [f"socket:2=12={EPROTONOSUPPORT}"], ["nftables"])
denied("transparent_socket", [f"setsockopt:2=19={ENOPROTOOPT}", f"setsockopt:2=75={ENOPROTOOPT}"], ["transparent"])


@test("bad_input.version_and_help")
def version_and_help(lab):
    for words, part in ((["--version"], "mirrord "), (["--help"], "exec"), (["exec", "--help"], "--no-remote-dns"), (["exec", "-h"], "--log-file")):
        done = lab.run([MIRRORD, *words])
        expect(f"{words} status", (done.status, done.err), (0, ""), str(done))
        expect(f"{words} output", part in done.out, True, str(done))


@test("bad_input.output_closed")
def help_into_nothing(lab):
    """A full stdout is an error, too."""
    with open("/dev/full", "w") as full:
        done = lab.run([MIRRORD, "--help"], stdout=full)
    expect("status", done.status, 1, str(done))

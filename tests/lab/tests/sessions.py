# SPDX-License-Identifier: MIT
"""Several sessions at once, nested ones, and targets of each kind."""

import json
import os

from labkit import plan
from labkit.lab import PYTHON
from labkit.registry import PROMPT, Skip, expect, expect_in, test

PEER = ["-c", f"import socket; print(socket.create_connection(('10.0.20.5', {plan.PEER}), 20).makefile().readline(), end='')"]


def peer(text, lab):
    expect_in("a peer", text, '"peer"', lab.log())
    return json.loads(text)["peer"]["ip"]


@test("sessions.five_on_one_target")
def five(lab):
    started = [lab.start(lab.command([*PYTHON, "-c", f"import socket, time; s = socket.create_connection(('10.0.20.5', 7), 20); time.sleep(1); s.sendall(b'n{i}'); print(s.recv(9))"],
                                     log=False), env=lab.quiet_environment()) for i in range(5)]
    for i, p in enumerate(started):
        out, err = p.communicate(timeout=PROMPT)
        expect(f"session {i}", (p.returncode, out, err), (0, f"b'n{i}'\n", ""))


@test("sessions.two_targets")
def two_targets(lab):
    started = [lab.start(lab.command([*PYTHON, *PEER], target=t, log=False), env=lab.quiet_environment()) for t in (lab.target, lab.target2, lab.target, lab.target2)]
    seen = [peer(p.communicate(timeout=PROMPT)[0], lab) for p in started]
    expect("addresses that the server saw", seen, ["10.244.1.7", "10.244.2.8"] * 2)


@test("sessions.same_port_in_two")
def same_port(lab):
    """Two programs listen on one port, each in its own twin."""
    code = ("import socket, time; s = socket.create_server(('127.0.0.1', 20500)); time.sleep(1)\n"
            "c = socket.create_connection(('127.0.0.1', 20500)); a, _ = s.accept(); a.sendall(b'mine'); print(c.recv(9))")
    started = [lab.start(lab.command([*PYTHON, "-c", code], log=False), env=lab.quiet_environment()) for _ in range(2)]
    for p in started:
        out, err = p.communicate(timeout=PROMPT)
        expect("own listener", (out, err), ("b'mine'\n", ""))


@test("sessions.nested_is_refused")
def nested(lab):
    done = lab.mirrord(lab.command(["/bin/echo", "inner"], log=False))
    expect("status", done.status, 1, str(done))
    expect("stdout", done.out, "")
    expect_in("the error", done.err, "mirrord: ")
    done = lab.mirrord(["/bin/sh", "-c", "env -i " + " ".join(lab.command(["/bin/echo", "inner"], log=False))])
    expect("status without an environment", (done.status, done.out), (1, ""), str(done))


@test("sessions.nested_elsewhere_is_allowed")
def not_nested(lab):
    """A session whose program has ended is no reason to refuse the next one."""
    for _ in range(3):
        expect("status", lab.mirrord(["/bin/true"]).status, 0)


@test("sessions.fifty_one_after_the_other", long=True)
def fifty(lab):
    for i in range(50):
        done = lab.mirrord(["/tmp/lab/bin/tcpget", "10.0.20.5", "13"])
        expect(f"run {i}", (done.status, done.out, done.err), (0, "hello\n", ""), lab.log())


@test("sessions.target_by_namespace_name", modes=("root",))
def by_name(lab):
    """netns/NAME, as `ip netns` keeps them, with /etc/netns/NAME."""
    from labkit import linux
    os.makedirs("/etc/netns/shop", exist_ok=True)
    for name, text in (("resolv.conf", "search shop.svc.cluster.test\nnameserver 10.96.0.10\n"), ("hosts", "10.0.20.6 only-in-etc-netns\n")):
        with open(f"/etc/netns/shop/{name}", "w") as f:
            f.write(text)
    open("/run/netns/shop", "w").close()
    linux.mount(f"/proc/{lab.cluster.pod.pid}/ns/net", "/run/netns/shop", None, linux.MS_BIND)
    try:
        done = lab.mirrord([*PYTHON, *PEER], target="netns/shop")
        expect("peer", peer(done.out, lab), "10.244.1.7")
        done = lab.mirrord(["/bin/sh", "-c", "cat /etc/resolv.conf; getent hosts only-in-etc-netns; getent ahostsv4 payment | head -n 1"], target="netns/shop")
        expect_in("resolv.conf", done.out, "nameserver 10.96.0.10", str(done) + lab.log())
        expect_in("hosts", done.out, "10.0.20.6", str(done))
        expect_in("search list", done.out, "10.0.20.5", str(done))
        os.unlink("/etc/netns/shop/resolv.conf")
        os.unlink("/etc/netns/shop/hosts")
        done = lab.mirrord([*PYTHON, *PEER], target="netns/shop")
        expect("peer without /etc/netns files", peer(done.out, lab), "10.244.1.7")
    finally:
        linux.umount("/run/netns/shop")
        os.unlink("/run/netns/shop")


@test("sessions.file_system_of_the_target_stays_away")
def own_files(lab):
    """Only resolv.conf, hosts and the host name are the target's."""
    lab.cluster.pod.write("/etc/issue", "the pod's own file\n")
    try:
        done = lab.mirrord(["/bin/sh", "-c", "cat /etc/issue; hostname"])
        expect("pod's file", "the pod's own file" in done.out, False)
        expect_in("host name", done.out, plan.POD_HOSTNAME)
    finally:
        lab.cluster.pod.run(["umount", "/etc/issue"])


@test("sessions.host_is_not_touched")
def host_untouched(lab):
    """While a program runs, the host sees no new link, rule, socket or name. (An old socket may go: a test before this one left it in TIME_WAIT.)"""
    def view():
        return lab.run(["/bin/sh", "-c", "ip -o link | cut -d: -f2; ip rule; ip route; cat /etc/resolv.conf; hostname"]).out
    def sockets():
        lines = lab.run(["/bin/cat", "/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6"]).out.splitlines()
        return {tuple(line.split()[1:3]) for line in lines if "local_address" not in line}
    before, sockets_before = view(), sockets()
    p = lab.start_mirrord(["/bin/sh", "-c", "echo ready; sleep 1"])
    p.stdout.readline()
    expect("the host meanwhile", view(), before)
    expect("new sockets", sockets() - sockets_before, set())
    p.communicate(timeout=PROMPT)


@test("sessions.no_tun_device")
def no_tun(lab):
    """A container has no /dev/net/tun."""
    from labkit import linux
    if not os.path.isdir("/dev/net"):
        raise Skip("there is no /dev/net here anyway")
    linux.mount("tmpfs", "/dev/net", "tmpfs")
    try:
        done = lab.mirrord(["/tmp/lab/bin/tcpget", "10.0.20.5", "13"])
        expect("a connection", (done.status, done.out, done.err), (0, "hello\n", ""), lab.log())
    finally:
        linux.umount("/dev/net")


@test("sessions.own_listener_over_the_targets")
def shadow(lab):
    """A port that the target uses, too: the program's own listener wins, and gives the port back."""
    code = f"""
import json, socket
def who():
    with socket.create_connection(('127.0.0.1', {plan.POD_LOOPBACK}), 20) as c:
        return json.loads(c.makefile().readline())['server']
print(who())
s = socket.socket(); s.setsockopt(1, 2, 1); s.bind(('127.0.0.1', {plan.POD_LOOPBACK})); s.listen()
c = socket.create_connection(('127.0.0.1', {plan.POD_LOOPBACK}), 20)
s.settimeout(20)
a, _ = s.accept(); a.sendall(b'own'); print(c.recv(9).decode())
s.close(); c.close(); a.close()
print(who())
u = socket.socket(type=socket.SOCK_DGRAM); u.settimeout(20)
v = socket.socket(type=socket.SOCK_DGRAM); v.settimeout(20)
v.sendto(b'x', ('127.0.0.1', {plan.POD_LOOPBACK})); print(json.loads(v.recv(999))['server'])
u.bind(('127.0.0.1', {plan.POD_LOOPBACK})); v.sendto(b'x', ('127.0.0.1', {plan.POD_LOOPBACK})); print(u.recv(9).decode())
u.close(); v.sendto(b'x', ('127.0.0.1', {plan.POD_LOOPBACK})); print(json.loads(v.recv(999))['server'])
"""
    done = lab.mirrord([*PYTHON, "-c", code])
    expect("who answered", done.out.split(), ["loopback", "own", "loopback", "loopback", "x", "loopback"], str(done) + lab.log())


@test("sessions.many_dns_questions_leave_no_descriptor")
def descriptors(lab):
    """10 000 questions, each from a socket of its own; the session's and the agent's descriptors are as few as before."""
    code = """
import socket, struct, sys
q = struct.pack('!HHHHHH', 1, 0x100, 1, 0, 0, 0) + b'\\7payment\\4shop\\3svc\\7cluster\\4test\\0' + struct.pack('!HH', 1, 1)
def ask(n):
    right = 0
    for i in range(n):
        with socket.socket(type=socket.SOCK_DGRAM) as s:
            s.settimeout(20)
            s.sendto(q, ('10.96.0.10', 53))
            try: right += len(s.recv(999)) > 40
            except OSError: pass
    return right
print(ask(50), flush=True); sys.stdin.readline()
print(ask(10000), flush=True); sys.stdin.readline()
"""
    import subprocess

    def count():
        return {name: sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in lab.processes(name)) for name in ("mirrord-session", "mirrord-agent")}
    p = lab.start_mirrord([*PYTHON, "-c", code], stdin=subprocess.PIPE)
    expect("first answers", p.stdout.readline(), "50\n", lab.log())
    before = count()
    p.stdin.write("\n")
    p.stdin.flush()
    expect("answers", p.stdout.readline(), "10000\n", lab.log())
    for name in before:
        lab.wait_for(f"descriptors of {name} as before", lambda name=name: count()[name] <= before[name] + 140)
    p.communicate("\n", timeout=PROMPT)


@test("sessions.of_two_users", modes=("root",))
def two_users(lab):
    """root's session and another user's at once, each on a target of its own."""
    from labkit import linux
    if not lab.sandbox.real_root:
        raise Skip("needs more than one user")

    def own_network():
        os.setgroups([])
        os.setresgid(1000, 1000, 1000)
        os.setresuid(1000, 1000, 1000)
        linux.make_dumpable()
        linux.unshare(linux.NEWUSER | linux.NEWNET | linux.NEWUTS)
        linux.map_ids((0, 0), 1000, 1000)
        linux.link_up("lo")

    def as_user():
        os.setgroups([])
        os.setresgid(1000, 1000, 1000)
        os.setresuid(1000, 1000, 1000)
    target = lab.start(["sleep", "infinity"], where=own_network)
    try:
        lab.wait_for("the user's target", lambda: os.readlink(f"/proc/{target.pid}/exe").endswith("sleep"))
        command = ["/bin/sh", "-c", "id -u; /tmp/lab/bin/tcpget 10.0.20.5 13; echo $?; /tmp/lab/bin/tcpget 127.0.0.1 9; echo $?; sleep 0.5"]
        quiet = lab.quiet_environment()
        both = [lab.start(lab.command(command, log=False), env=quiet),
                lab.start(lab.command(command, target=f"pid/{target.pid}", log=False), where=as_user, env=quiet)]
        seen = [p.communicate(timeout=PROMPT) for p in both]
        expect("root's", seen[0], ("0\nhello\n0\n111\n", ""))
        expect("the user's, in a network with nothing in it", seen[1], ("1000\n101\n111\n", ""))
        expect("the user on root's target", lab.run(lab.command(["/bin/true"], log=False), where=as_user, env=quiet).status, 1)
    finally:
        target.kill()
        target.communicate()

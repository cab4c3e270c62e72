# SPDX-License-Identifier: MIT
"""The exec stream breaks and the session doesn't: connections go on where they were, bytes and all."""

import json
import os
import signal
import subprocess
import sys
import time

from labkit.registry import PROMPT, Failure, expect, expect_in, test

from kubekit.cluster import bracketed

from .agent import await_sleep
from .incoming import ends

CUTS = 20

# Sends a pattern to an echo server without a pause and compares what comes back, byte by byte, until it is told to end; then says how much
# it was. A new connection and a name are asked for all the while.
LOAD = """
import random, select, signal, socket, sys
end = []
signal.signal(signal.SIGUSR1, lambda *_: end.append(1))
pattern = random.Random(7).randbytes(1 << 20)
c = socket.create_connection((sys.argv[1], 7007), 20)
c.setblocking(False)
sent = received = 0
print("begun", flush=True)
while not end or received < sent:
    r, w, _ = select.select([c], [c] if not end and sent - received < 4 << 20 else [], [], 40)
    if not r and not w:
        sys.exit(f"nothing moved: {sent} sent, {received} received")
    if w:
        at = sent % len(pattern)
        sent += c.send(pattern[at:at + 65536])
    if r:
        at = received % len(pattern)
        got = c.recv(min(65536, len(pattern) - at))
        if got != pattern[at:at + len(got)] or not got:
            sys.exit(f"other bytes at {received}: {got[:20]}")
        received += len(got)
print(received, flush=True)
"""


# What a session says of a break that lasts.
WAITS, GOES_ON = "mirrord: nothing leads to the agent of pod client: ", "mirrord: the agent of pod client is reached again: "
GONE = "mirrord: lost the agent: "


def start_load(kit, target="pod/client", options=(), **more):
    p = kit.start_mirrord([sys.executable, "-c", LOAD, kit.pod_address("echo")], target, options, **more)
    expect("its first line", p.stdout.readline(), "begun\n", "" if p.poll() is None else p.stderr.read() + kit.session_log())
    return p


def finish_load(kit, p, least):
    p.send_signal(signal.SIGUSR1)
    out, err = p.communicate(timeout=2 * PROMPT)
    expect("status", p.returncode, 0, f"{out}\n{err}\n{kit.session_log()}")
    expect("bytes", int(out), lambda n: n > least, kit.session_log())
    others = [line for line in err.splitlines() if not line.startswith((WAITS, GOES_ON))]  # how long a break lasts is the machine's matter
    expect("stderr", others, [])


def read_until(p, begin):
    """Lines of stderr as they come, to the first that begins so."""
    told = []
    for line in p.stderr:
        told.append(line)
        if line.startswith(begin):
            return line
    raise Failure(f"a line on stderr: {begin}", "".join(told))


def connections_to_api(kit):
    """The sockets of this machine's carriers to the API server: their addresses."""
    found = []
    for line in subprocess.run(["ss", "-Htnp", "dst", bracketed(kit.cluster.address), "dport", "=", ":6443"], stdout=subprocess.PIPE, text=True).stdout.splitlines():
        if '"mirrord-kube"' in line:
            found.append(line.split()[3].rsplit(":", 1))
    return found


def cut(kit):
    """Resets every connection of the carrier's, as a NAT that forgets does."""
    for _, port in connections_to_api(kit):
        subprocess.run(["ss", "-K", "dst", bracketed(kit.cluster.address), "dport", "=", ":6443", "sport", "=", f":{port}"], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)


def resumed(kit):
    return kit.session_log(100000).count("session: the tunnel goes on")


@test("resume.cuts", timeout=240)
def cuts(kit):
    """Twenty cuts under load, by either way of the agent."""
    for options in ((), ("-e",)):
        p = start_load(kit, options=options)
        for i in range(CUTS // 2):
            time.sleep(0.3)
            cut(kit)
            kit.wait_for(f"resumption {i + 1}", lambda: resumed(kit) == i + 1 or p.poll() is not None)
        finish_load(kit, p, 1 << 20)
        expect("resumptions", resumed(kit), CUTS // 2, kit.session_log())
        kit.wait_clean()


@test("resume.told")
def told(kit):
    """Nothing leads to the agent for a while: who waits is told so, and when it is over, on a stderr that is no terminal."""
    p = start_load(kit)
    node, here = kit.cluster.nodes[0], connections_to_api(kit)[0][0]
    rule = f"ip saddr {here} tcp dport 6443 reject with tcp reset"
    node.run("nft", f"table inet wall {{ chain in {{ type filter hook prerouting priority -200; {rule}; }}; }}")
    try:
        expect_in("what is said", read_until(p, WAITS), "connections wait while another way is looked for")
    finally:
        node.run("nft", "delete table inet wall")
    expect_in("what is said afterwards", read_until(p, GOES_ON), "connections go on")
    finish_load(kit, p, 1 << 16)


@test("resume.idle")
def idle(kit):
    """A session in which nothing moves, and what it does afterwards."""
    script = "echo begun; read line; curl -sS --max-time 10 http://web/"
    p = kit.start_mirrord(["bash", "-c", script], "pod/client", stdin=subprocess.PIPE)
    expect("its first line", p.stdout.readline(), "begun\n")
    cut(kit)
    kit.wait_for("resumption", lambda: resumed(kit) == 1)
    out, err = p.communicate("\n", timeout=2 * PROMPT)
    expect("whom the server saw", json.loads(out or "{}").get("peer"), kit.pod_address("client"), err + kit.session_log())


@test("resume.api_server", timeout=180)
def api_server(kit):
    """The API server is killed and comes back."""
    p = start_load(kit)
    kit.cluster.nodes[0].kill("kube-apiserver")
    kit.wait_for("resumption", lambda: resumed(kit) >= 1 or p.poll() is not None, 60)
    finish_load(kit, p, 1 << 16)


@test("resume.kubelet", timeout=180)
def kubelet(kit):
    """The kubelet of the agent's node, through which the stream goes."""
    p = start_load(kit)
    node = kit.get("pod", "client")["spec"]["nodeName"]
    next(n for n in kit.cluster.nodes if n.name == node).kill("kubelet")
    kit.wait_for("resumption", lambda: resumed(kit) >= 1 or p.poll() is not None, 60)
    finish_load(kit, p, 1 << 16)


@test("resume.silence", timeout=120)
def silence(kit):
    """The connection's packets vanish: nobody is told, and the session finds out itself."""
    node = kit.cluster.nodes[0]
    p = start_load(kit)
    try:
        for line in ("add table inet silence", "add chain inet silence in { type filter hook prerouting priority -200; }",
                     *(f"add rule inet silence in tcp sport {port} tcp dport 6443 drop" for _, port in connections_to_api(kit))):
            node.run("nft", line)
        kit.wait_for("resumption", lambda: resumed(kit) == 1 or p.poll() is not None, 60)
        finish_load(kit, p, 1 << 16)
    finally:
        node.run("nft", "delete table inet silence")


@test("resume.agent_deleted", timeout=120)
def agent_deleted(kit):
    """The agent's own pod is deleted: another is brought. Without a target, the program's address is the next pod's then."""
    for target in ("pod/client", "targetless"):
        p = start_asking(kit, target)
        before = ask_once(kit, p)
        agent = next(a for a in kit.agents() if a.startswith("default/"))
        kit.kubectl("delete", "pod", agent.split("/")[1], "--now", "--wait=false")
        kit.wait_logged("another agent", ANOTHER, p=p)
        expect(f"{target}: the same address", ask_once(kit, p) == before, target != "targetless", kit.session_log())
        out, err = p.communicate(timeout=2 * PROMPT)
        expect("status", p.returncode, 0, f"{err}\n{kit.session_log()}")
        kit.wait_clean()


def kill_agent(kit):
    kit.kill(kit.wait_for("its process", lambda: find_agents(kit)))


@test("resume.agent_killed", timeout=120)
def agent_killed(kit):
    """An agent that dies is replaced at once, by either way, and that is said; when the next one dies, too, the program is told to end."""
    for options in ((), ("-e",)):
        p = start_asking(kit, "pod/client", options)
        kill_agent(kit)
        expect_in("what is said", read_until(p, GONE), "there is no network until there is another one")
        expect("what is said then", read_until(p, "mirrord: pod client"), f"mirrord: pod client {ANOTHER}\n")
        expect("whom the server sees", ask_once(kit, p), kit.pod_address("client"))
        moves = 1
        while p.poll() is None:  # an agent that has lasted half a minute, on a slow machine, is replaced once more
            kill_agent(kit)
            kit.wait_for("the program's end", lambda: p.poll() is not None or kit.logged(ANOTHER) > moves)
            moves += 1
        expect("status", p.returncode, -signal.SIGTERM, kit.session_log())
        expect_in("stderr", p.stderr.read(), "the program has lost its network and is being terminated")
        kit.wait_clean()


@test("resume.agent_killed_before_the_program", timeout=120)
def killed_before(kit):
    """An agent that is lost between its first words and the program's start, as when another user's session ends, whose agent it was."""
    p = kit.start_mirrord(["curl", "-sS", "--max-time", "30", "http://web/"], "pod/client")
    kit.wait_for("the session", lambda: kit.ours("mirrord-session"))
    os.kill(p.pid, signal.SIGSTOP)
    kit.wait_logged("that all is ready", "session: the program may start")
    kill_agent(kit)
    kit.wait_logged("another agent", ANOTHER)
    os.kill(p.pid, signal.SIGCONT)
    out, err = p.communicate(timeout=2 * PROMPT)
    expect("status", p.returncode, 0, f"{err}\n{kit.session_log()}")
    expect_in("whom the server sees", out, kit.pod_address("client"))
    kit.wait_clean()


@test("resume.agent_killed_at_its_start", timeout=120)
def killed_at_its_start(kit):
    """An agent that is lost before its first word: here while it waits for the one that the target has already, which doesn't answer."""
    holder = kit.start_mirrord(["sleep", "1000"], "pod/client")
    await_sleep(kit, holder)
    first = find_agents(kit)
    try:
        kit.kill(first, signal.SIGSTOP)
        try:
            p = kit.start_mirrord(["curl", "-sS", "--max-time", "30", "http://web/"], "pod/client")
            kit.kill(kit.wait_for("another agent's process", lambda: set(find_agents(kit)) - set(first)))
            kit.wait_logged("another attempt", "lost the agent before it described its target", p=p)
        finally:
            kit.kill(first, signal.SIGCONT)
        out, err = p.communicate(timeout=2 * PROMPT)
        expect("status", p.returncode, 0, f"{err}\n{kit.session_log()}")
        expect_in("whom the server sees", out, kit.pod_address("client"))
    finally:
        ends(holder)
    kit.wait_clean()


ANOTHER = "is the target from here on"


def start_asking(kit, target, options=()):
    """A program that asks a server for each line."""
    script = "echo begun; while read line; do curl -sS --max-time 30 http://web/; done"
    p = kit.start_mirrord(["bash", "-c", script], target, options, stdin=subprocess.PIPE)
    expect("its first line", p.stdout.readline(), "begun\n", "" if p.poll() is None else p.stderr.read() + kit.session_log())
    return p


def ask_once(kit, p):
    """The address that the server sees."""
    p.stdin.write("\n")
    p.stdin.flush()
    line = p.stdout.readline()
    expect_in("an answer", line, "peer", kit.session_log())
    return json.loads(line)["peer"]


def find_agents(kit):
    """Agents that serve, in any node."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
            if words[0] == b"mirrord-agent" and b"--target" in words and int(pid) in kit.cluster.nodes[0].groups.processes() | kit.cluster.nodes[1].groups.processes():
                found.append(int(pid))
        except OSError:
            pass
    return found

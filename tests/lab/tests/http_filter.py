# SPDX-License-Identifier: MIT
"""Stealing a part of the HTTP requests: the program gets those that match, the target's own server the others, on one client connection."""

import contextlib
import ctypes
import json
import os
import signal
import socket
import stat
import subprocess

from labkit import plan
from labkit.lab import MIRRORD, PYTHON
from labkit.registry import PROMPT, expect, expect_in, test

PORT = 21100
CONFIG = "/tmp/lab/home/mirrord.json"
SERVER = "/tmp/lab/tests/programs/serve_http.py"

# One connection, a request for each (method, path, headers, body); what came, or the error.
CLIENT = """
import http.client, json, sys
ip, port, requests = json.loads(sys.argv[1])
c = http.client.HTTPConnection(ip, port, timeout=20)
out = []
try:
    c.connect()
    own = c.sock.getsockname()[:2]
    for method, path, headers, body in requests:
        c.request(method, path, "x" * body if body is not None else None, headers)
        r = c.getresponse()
        text = r.read().decode()
        out.append({"status": r.status, "same": c.sock is not None and list(c.sock.getsockname()[:2]) == list(own), "own": own,
                    "why": r.getheader("mirrord-error"), **(json.loads(text) if text[:1] == "{" else {"text": text})})
except Exception as e:
    out.append({"error": repr(e)})
print(json.dumps(out))
"""
ALICE = {"X-User": "alice"}

# Both servers, on one connection, which then stays.
HOLD = f"""
import http.client, json, time
c = http.client.HTTPConnection({plan.HOSTS["pod"][0]!r}, {PORT}, timeout=60)
names = []
for headers in ({{}}, {ALICE!r}):
    c.request("GET", "/", headers=headers)
    names.append(json.loads(c.getresponse().read())["name"])
print(*names, flush=True)
time.sleep(3600)
"""
# Whose requests are answered before they are whole: prints whether each answer came.
UPLOADS = f"""
import json, socket
for user in ("bob", "alice"):
    answered = 0
    for _ in range(40):
        with socket.create_connection(({plan.HOSTS["pod"][0]!r}, {PORT}), timeout=20) as s:
            answer = b""
            try:
                s.sendall(b"POST /enough HTTP/1.1\\r\\nHost: shop\\r\\nX-User: %s\\r\\nContent-Length: 100000000\\r\\n\\r\\n" % user.encode())
                for _ in range(200):
                    s.sendall(bytes(65536))
            except OSError:  # or it is left to send in vain
                pass
            while not answer.endswith(b"}}") and (data := s.recv(65536)):
                answer += data
        head, _, body = answer.partition(b"\\r\\n\\r\\n")
        answered += body.startswith(b"{{") and json.loads(body)["name"] == ("here" if user == "alice" else "real")
    print(user, answered)
"""
PIDFD_GETFD = 438


def ask(lab, *requests, node="services", ip=None, port=PORT):
    full = [(r[0], r[1], r[2] if len(r) > 2 else {}, r[3] if len(r) > 3 else None) for r in requests]
    done = lab.cluster.nodes[node].run([*PYTHON, "-c", CLIENT, json.dumps([ip or plan.HOSTS["pod"][0], port, full])])
    return json.loads(done)


class Pair:
    """The target's own server, and one under mirrord that steals what @filter says; it listens on the same ports, or on @listens."""

    def __init__(self, lab, filter, agent={}, ports=(PORT,), listens=None, **incoming):
        self.lab = lab
        real, here = (",".join(map(str, p)) for p in (ports, listens or ports))
        self.real = lab.cluster.pod.start([*PYTHON, SERVER, "real", real], stdout=subprocess.PIPE, text=True)
        self.real.stdout.readline()
        with open(CONFIG, "w") as f:
            json.dump({"feature": {"network": {"incoming": {"mode": "steal", "http_filter": filter, **incoming}}}, "agent": agent}, f)
        os.chmod(CONFIG, 0o644)
        self.here = lab.start_mirrord([*PYTHON, SERVER, "here", here], options=("-f", CONFIG))
        line = self.here.stdout.readline()
        expect("the program's first line", line, "ready\n", lab.log() + (self.here.stderr.read() if not line else ""))

    def __enter__(self):
        return self

    def stop(self):
        """Only the program; its stderr."""
        self.here.terminate()
        return self.here.communicate(timeout=PROMPT)[1]

    def __exit__(self, *_):
        if self.here.poll() is None:
            self.stop()
        self.real.kill()
        self.real.wait()
        self.real.stdout.close()
        self.lab.wait_for("nobody else who filters", lambda: not self.lab.processes("mirrord-session") + self.lab.processes("mirrord-agent"))


@test("http_filter.each_request_where_it_belongs")
def each(lab):
    with Pair(lab, {"header_filter": "^x-user: alice$"}):
        got = ask(lab, *[("GET", f"/{n}", ALICE if n % 3 == 0 else {}) for n in range(12)])
        expect("who answered", [g.get("name") for g in got], ["here" if n % 3 == 0 else "real" for n in range(12)], str(got) + lab.log())
        expect("one connection", [g["same"] for g in got], [True] * 12)
        for g in got:
            expect("the client's address, as the server saw it", g["peer"][0], g["own"][0])
            expect("and its port, where it can be the same", g["name"] == "real" or g["peer"][1] == g["own"][1], True, str(g))


@test("http_filter.bodies_and_methods")
def bodies(lab):
    with Pair(lab, {"all_of": [{"method": "POST"}, {"path": "^/orders"}]}):
        got = ask(lab, ("POST", "/orders", {}, 100000), ("GET", "/orders"), ("POST", "/other", {}, 100000), ("POST", "/orders", {}, 0))
        expect("who answered", [(g.get("name"), g.get("length")) for g in got], [("here", 100000), ("real", 0), ("real", 100000), ("here", 0)], str(got) + lab.log())


@test("http_filter.answered_early")
def answered_early(lab):
    """As "413 Content Too Large" is: the client still sends, and has the answer all the same."""
    with Pair(lab, {"header_filter": "^x-user: alice$"}):
        done = lab.cluster.nodes["services"].run([*PYTHON, "-c", UPLOADS])
        expect("answers", done, "bob 40\nalice 40\n", lab.log())


@test("http_filter.ports_without_a_filter")
def other_ports(lab):
    with Pair(lab, {"header_filter": "^x-user: alice$", "ports": [PORT + 1]}):
        got = ask(lab, ("GET", "/1", {}), ("GET", "/2", ALICE))
        expect("all of it is taken", [g.get("name") for g in got], ["here", "here"], str(got) + lab.log())


@test("http_filter.ports_behind_a_mapping")
def ports_behind_a_mapping(lab):
    """The filter's ports are the target's, whatever port the program listens on."""
    for ports, names in (([PORT + 1], ["real", "here"]), ([PORT], ["here", "here"])):
        with Pair(lab, {"header_filter": "^x-user: alice$", "ports": ports}, ports=[PORT + 1], listens=[PORT], port_mapping=[[PORT, PORT + 1]]):
            got = ask(lab, ("GET", "/1", {}), ("GET", "/2", ALICE), port=PORT + 1)
            expect(f"a filter on {ports}", [g.get("name") for g in got], names, str(got) + lab.log())


@test("http_filter.several_ports")
def several_ports(lab):
    ports = [PORT + n for n in range(6)]
    with Pair(lab, {"header_filter": "^x-user: alice$", "ports": ports}, ports=ports):
        for port in ports:
            got = ask(lab, ("GET", "/1", {}), ("GET", "/2", ALICE), port=port)
            expect(f"who answered at {port}", [g.get("name") for g in got], ["real", "here"], str(got) + lab.log())


def no_delay(pid, ports):
    """TCP_NODELAY of each connection that the process @pid has to or from one of @ports."""
    libc = ctypes.CDLL(None, use_errno=True)
    whole, values = os.pidfd_open(pid), []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        copy = libc.syscall(PIDFD_GETFD, whole, int(fd), 0)
        if copy < 0 or not stat.S_ISSOCK(os.fstat(copy).st_mode):
            if copy >= 0:
                os.close(copy)
            continue
        with socket.socket(fileno=copy) as s, contextlib.suppress(OSError):
            if s.family != socket.AF_UNIX and {s.getpeername()[1], s.getsockname()[1]} & set(ports):
                values.append(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    os.close(whole)
    return values


@test("http_filter.no_delay", modes=("root",))
def nothing_waits_for_an_acknowledgement(lab):
    """Nagle's algorithm on a relay's socket costs a small answer 40 ms."""
    with Pair(lab, {"header_filter": "^x-user: alice$"}):
        client = lab.cluster.nodes["services"].start([*PYTHON, "-c", HOLD], stdout=subprocess.PIPE, text=True)
        expect("answered by", client.stdout.readline(), "real here\n", lab.log())
        agent, = lab.processes("mirrord-agent")
        # Through the tunnel the one to the program is the session's.
        expect("TCP_NODELAY of the client's connection, and those to both servers", no_delay(agent, [PORT]), lambda v: v in ([1, 1], [1, 1, 1]), lab.log())
        client.kill()
        client.communicate(timeout=PROMPT)


@test("http_filter.no_http")
def no_http(lab):
    """A client that speaks otherwise is the target's."""
    code = f"""
import socket
s = socket.create_connection(({plan.HOSTS["pod"][0]!r}, {PORT}), 20)
s.sendall(b"hello, is this HTTP?\\n")
print(s.recv(1000))
"""
    with Pair(lab, {"header_filter": "x"}):
        out = lab.cluster.nodes["services"].run([*PYTHON, "-c", code])
        expect_in("the server's answer", out, "400", lab.log())


@test("http_filter.from_inside_the_pod")
def inside(lab):
    with Pair(lab, {"header_filter": "^x-user: alice$"}):
        got = ask(lab, ("GET", "/1", ALICE), ("GET", "/2"), node="pod")
        expect("who answered", [g.get("name") for g in got], lambda names: names in (["here", "real"], ["real", "real"]), str(got) + lab.log())


@test("http_filter.beside_a_dump")
def dumped(lab):
    """Who watches the target sees what the client sent, once, whoever got it, and what it was answered."""
    with Pair(lab, {"header_filter": "^x-user: alice$"}):
        dump = lab.start([MIRRORD, "dump", "-t", lab.target, "--json", "-p", str(PORT)], env=lab.quiet_environment())
        dump.stderr.readline()
        got = ask(lab, ("GET", "/passed"), ("GET", "/taken", ALICE))
        expect("who answered", [g.get("name") for g in got], ["real", "here"], str(got) + lab.log())
        seen = []
        while not seen or seen[-1]["event"] != "closed":
            seen.append(json.loads(dump.stdout.readline()))
        dump.send_signal(signal.SIGINT)
        seen += map(json.loads, dump.communicate(timeout=PROMPT)[0].splitlines())
    said = {who: "".join(e["text"] for e in seen if e["event"] == "data" and e["from"] == who) for who in ("client", "target")}
    expect("connections", len({e["flow"] for e in seen}), 1, str(seen))
    requests = [line.split()[1] for line in said["client"].splitlines() if line[:4] == "GET "]
    expect("requests", requests, ["/passed", "/taken"], str(seen))
    expect("answers", [name for name in ("real", "here") if f'"name": "{name}"' in said["target"]], ["real", "here"], str(seen))


@test("http_filter.ends_with_the_program")
def ends(lab):
    """A client that keeps its connection finds it closed, as servers close idle ones; no reset."""
    import threading

    got = []
    first, go_on = "/tmp/lab/home/first", "/tmp/lab/home/go-on"
    wait = f"""if path == "/2":
            open({first!r}, "w").close()
            while not os.path.exists({go_on!r}): time.sleep(0.01)
        c.request("""
    script = "import os, time" + CLIENT.replace("c.request(", wait, 1)
    argv = [*PYTHON, "-c", script, json.dumps([plan.HOSTS["pod"][0], PORT, [("GET", "/1", ALICE, None), ("GET", "/2", ALICE, None)]])]
    with Pair(lab, {"header_filter": "^x-user: alice$"}) as pair:
        client = threading.Thread(target=lambda: got.extend(json.loads(lab.cluster.nodes["services"].run(argv))))
        client.start()
        lab.wait_for("the first is answered", lambda: os.path.exists(first))
        pair.stop()
        lab.wait_for("all is the target's", lambda: ask(lab, ("GET", "/x", ALICE))[0].get("name") == "real")
        lab.wait_for("the agent has ended what is quiet", lambda: not lab.processes("mirrord-agent"))
        open(go_on, "w").close()
        client.join()
        os.unlink(first)
        os.unlink(go_on)
        expect("before and after", (got[0].get("name"), got[1].get("error", "")[:18]), ("here", "RemoteDisconnected"), str(got) + lab.log())


class Second:
    """Another session's program on the same port."""

    def __init__(self, lab, incoming):
        config = "/tmp/lab/home/second.json"
        with open(config, "w") as f:
            json.dump({"feature": {"network": {"incoming": incoming}}}, f)
        os.chmod(config, 0o644)
        self.process = lab.start_mirrord([*PYTHON, SERVER, "second", str(PORT)], options=("-f", config, "--no-publish"))
        line = self.process.stdout.readline()
        expect("the second program's first line", line, "ready\n", lab.log() + (self.process.stderr.read() if not line else ""))

    def __enter__(self):
        return self

    def stop(self):
        self.process.terminate()
        self.process.communicate(timeout=PROMPT)

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()


@test("http_filter.two_sessions")
def two(lab):
    """The one that was there first is asked first; when it goes, the other goes on."""
    requests = (("GET", "/1", ALICE), ("GET", "/2", {"X-User": "bob"}), ("GET", "/3", {}))
    with Pair(lab, {"header_filter": "^x-user: alice$"}) as pair, Second(lab, {"mode": "steal", "http_filter": {"header_filter": "^x-user:"}}):
        got = ask(lab, *requests)
        expect("who answered", [g.get("name") for g in got], ["here", "second", "real"], str(got) + lab.log())
        pair.stop()
        lab.wait_for("the second has its place", lambda: [g.get("name") for g in ask(lab, *requests)] == ["second", "second", "real"])


@test("http_filter.beside_a_steal_of_all")
def beside(lab):
    with Pair(lab, {"header_filter": "^x-user: alice$"}), Second(lab, {"mode": "steal"}):
        got = ask(lab, ("GET", "/1", ALICE), ("GET", "/2", {}))
        expect("who answered", [g.get("name") for g in got], ["here", "second"], str(got) + lab.log())


@test("http_filter.http2_to_a_program_without", needs=("curl", "node"))
def http2_to_a_program_without(lab):
    """Python's http.server has no HTTP/2."""
    code = f"require('http2').createServer((q, r) => q.resume().on('end', () => r.end('real'))).listen({PORT}, '0.0.0.0', () => console.log('ready'))"
    real = lab.cluster.pod.start(["node", "-e", code], stdout=subprocess.PIPE, text=True)
    real.stdout.readline()
    with open(CONFIG, "w") as f:
        json.dump({"feature": {"network": {"incoming": {"mode": "steal", "http_filter": {"path_filter": "^/here"}}}}, "agent": {"inject_headers": True}}, f)
    os.chmod(CONFIG, 0o644)
    here = lab.start_mirrord([*PYTHON, SERVER, "here", str(PORT)], options=("-f", CONFIG))
    try:
        expect("the program's first line", here.stdout.readline(), "ready\n", lab.log())
        curl = ["curl", "-sS", "-m", "20", "--http2-prior-knowledge", "-d", "x" * 1000]
        url = f"http://{plan.HOSTS['pod'][0]}:{PORT}"
        head, out = lab.cluster.nodes["services"].run([*curl, "-i", f"{url}/here"]).replace("\r", "").split("\n\n", 1)
        expect_in("the mark", head, "mirrord-agent: forwarded-to-client")
        expect("who answered", [json.loads(out).get(k) for k in ("name", "method", "length")], ["here", "POST", 1000], out + lab.log())
        expect("the target", lab.cluster.nodes["services"].run([*curl, f"{url}/there"]), "real", lab.log())
    finally:
        here.terminate()
        here.communicate(timeout=PROMPT)
        real.kill()
        real.wait()
        real.stdout.close()


@test("http_filter.counted")
def counted(lab):
    """What was counted up to the program's end is said at its end."""
    with Pair(lab, {"header_filter": "^x-user: alice$"}), Second(lab, {"mode": "steal", "http_filter": {"header_filter": "^x-user:"}}) as second:
        ask(lab, *[("GET", f"/{n}", ({}, ALICE, {"X-User": "bob"})[n % 3]) for n in range(8)])
        second.stop()
        for what, n in (("HTTP requests that the program here got", 2), ("HTTP requests that matched no filter and the target's own program got", 3),
                        ("HTTP requests that matched and another session got, whose filter was there first", 3)):
            expect_in(what, lab.log(), f"incoming: {what}: {n}\n")


@test("http_filter.marks", needs=("curl",))
def marks(lab):
    """Off unless asked for; then answers say who gave them, and that no cache is to keep them."""
    for agent, headers in (({}, {"here": (None, None), "real": (None, None)}),
                           ({"inject_headers": True, "override_cache_control": True},
                            {"here": ("forwarded-to-client", "no-cache, no-store, must-revalidate"), "real": ("passed-through", "no-cache, no-store, must-revalidate")})):
        with Pair(lab, {"header_filter": "^x-user: alice$"}, agent):
            for who, more in (("here", ["-H", "X-User: alice"]), ("real", [])):
                out = lab.cluster.nodes["services"].run(["curl", "-sS", "-m", "20", "-i", *more, f"http://{plan.HOSTS['pod'][0]}:{PORT}/"])
                fields = dict(line.split(": ", 1) for line in out.replace("\r", "").lower().split("\n\n")[0].split("\n")[1:])
                expect("who answered", json.loads(out[out.index("{"):])["name"], who, out + lab.log())
                expect("its marks", (fields.get("mirrord-agent"), fields.get("cache-control")), headers[who], out)


@test("http_filter.refused")
def refused(lab):
    """A filter that is none is refused before the program starts, with the place in it."""
    with open(CONFIG, "w") as f:
        json.dump({"feature": {"network": {"incoming": {"mode": "steal", "http_filter": {"header_filter": "^a(b"}}}}}, f)
    os.chmod(CONFIG, 0o644)
    done = lab.mirrord(["true"], options=("-f", CONFIG))
    expect("status", done.status, lambda s: s not in (0, None), str(done))
    expect_in("what and where", done.err, "header_filter")
    expect_in("why", done.err, "offset 4")

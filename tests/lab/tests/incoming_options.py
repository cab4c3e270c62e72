# SPDX-License-Identifier: MIT
"""What the user chooses about incoming traffic, and the program's ports on this machine."""

import json
import os

from labkit.incoming import FIRST, Program, Real, errno_name, left_alone, taken
from labkit.lab import PYTHON
from labkit.registry import PROMPT, expect, expect_in, test

PORT = FIRST
CONFIG = "/tmp/lab/home/mirrord.json"

HERE = """
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
s.settimeout(20)
try:
    s.connect((sys.argv[1], int(sys.argv[2])))
    s.sendall(b"from this machine")
    print(s.recv(100).decode())
except OSError as e:
    print(type(e).__name__)
"""


def configured(lab, incoming=None, publish=None, **more):
    network = {}
    if incoming is not None:
        network["incoming"] = incoming
    if publish is not None:
        network["publish"] = publish
    with open(CONFIG, "w") as f:
        json.dump({"feature": {"network": network}}, f)
    os.chmod(CONFIG, 0o644)
    return Program(lab, "-f", CONFIG, **more)


def from_here(lab, port, ip="127.0.0.1"):
    done = lab.run([*PYTHON, "-c", HERE, ip, str(port)])
    return done.out.strip() or str(done)


def published_at(lab, port):
    """Where the log says that the port is."""
    found = [line for line in lab.log(1000).splitlines() if f"publish: port {port} is at localhost:" in line]
    expect("lines of the log about the port", len(found), 1, lab.log())
    return int(found[0].rpartition(":")[2])


def on_host(lab, code):
    """A program of this machine, outside of mirrord; ends with its standard input."""
    p = lab.start([*PYTHON, "-c", f"import socket, sys\n{code}\nprint('ready', flush=True)\nsys.stdin.read()"], stdin=-1)
    expect("the host's program", p.stdout.readline(), "ready\n")
    return p


@test("incoming.published")
def published(lab):
    """The same port here; the program sees its own localhost as the peer."""
    with Program(lab) as program:
        program.do(f"s = listen('0.0.0.0', {PORT})", f"t = listen('::', {PORT}, v6only=1)")
        for ip in ("127.0.0.1", "::1"):
            expect(f"the answer at {ip}", from_here(lab, PORT, ip), "here:from this machine", lab.log())
            saw = program.value("seen[-1]")
            expect("peer and own address", (saw["peer"][0], saw["own"]), (ip, [ip, PORT]))
        program.do("shut(s)", "shut(t)")
        lab.wait_for("nobody is there", lambda: from_here(lab, PORT) == "ConnectionRefusedError")


@test("incoming.published_wherever_it_listens")
def published_wherever(lab):
    with Program(lab) as program:
        for i, (ip, peers) in enumerate((("127.0.0.1", ("127.0.0.1", "127.0.0.1")), ("::1", ("::1", "::1")), ("10.244.1.7", ("127.0.0.1", "127.0.0.1")),
                                         ("fd00:244:1::7", ("::1", "::1")), ("127.0.0.9", ("127.0.0.1", "127.0.0.1")))):
            port = PORT + i
            program.do(f"s = listen('{ip}', {port})")
            for here, peer in zip(("127.0.0.1", "::1"), peers):
                expect(f"the answer of {ip} at {here}", from_here(lab, port, here), "here:from this machine", lab.log())
                saw = program.value("seen[-1]")
                expect("peer and own address", (saw["peer"][0], saw["own"]), (peer, [ip, port]))


@test("incoming.published_elsewhere")
def published_elsewhere(lab):
    """The port is another program's here."""
    other = on_host(lab, f"s = socket.create_server(('127.0.0.1', {PORT}))")
    six = on_host(lab, f"s = socket.create_server(('::1', {PORT + 1}), family=socket.AF_INET6)")
    with Program(lab) as program:
        for port in (PORT, PORT + 1):
            program.do(f"s = listen('0.0.0.0', {port})")
            elsewhere = published_at(lab, port)
            expect("another port", elsewhere, lambda p, port=port: p != port)
            for ip in ("127.0.0.1", "::1"):
                expect("the answer there", from_here(lab, elsewhere, ip), "here:from this machine", lab.log())
    for p in (other, six):
        p.communicate("")


@test("incoming.published_in_words", modes=("user",))
def published_in_words(lab):
    """On a terminal the user is told: what is taken, and where a port is when it isn't the same."""
    other = on_host(lab, f"s = socket.create_server(('127.0.0.1', {PORT}))")
    code = f"import socket; socket.create_server(('0.0.0.0', {PORT})); socket.create_server(('0.0.0.0', {PORT + 1}))"
    master, slave = os.openpty()
    p = lab.start(lab.command([*PYTHON, "-c", code]), stderr=slave, stdout=-3, env=lab.quiet_environment())
    os.close(slave)
    text = b""
    try:
        while data := os.read(master, 4096):
            text += data
    except OSError:
        pass
    p.wait(PROMPT)
    os.close(master)
    other.communicate("")
    lines = text.decode().replace("\r", "").splitlines()
    elsewhere = published_at(lab, PORT)
    expect_in("the lines", lines, f"mirrord: port {PORT} of the program is at localhost:{elsewhere} here", "\n".join(lines))
    expect_in("the lines", lines, f"mirrord: port {PORT} is mirrored from the target", "\n".join(lines))
    expect("lines about what is as always", [line for line in lines if f"port {PORT + 1} of the program" in line], [])


@test("incoming.not_published")
def not_published(lab):
    for program in (Program(lab, "--no-publish"), configured(lab, publish=False)):
        with program, Real(lab):
            program.do(f"s = listen('0.0.0.0', {PORT})")
            expect("at this machine's port", from_here(lab, PORT), "ConnectionRefusedError")
            taken(lab, program, PORT, mirrored=True)


@test("incoming.off")
def off(lab):
    """Nothing comes from the target; the port is here all the same."""
    for incoming in (False, "off", {"mode": "off"}):
        with Real(lab), configured(lab, incoming) as program:
            program.do(f"s = listen('0.0.0.0', {PORT})")
            left_alone(lab, program, PORT)
            expect("here", from_here(lab, PORT), "here:from this machine", lab.log())
    with Real(lab), configured(lab, False, publish=False) as program:
        program.do(f"s = listen('0.0.0.0', {PORT})")
        left_alone(lab, program, PORT)
        expect("here", from_here(lab, PORT), "ConnectionRefusedError", lab.log())


@test("incoming.listen_ports")
def listen_ports(lab):
    """[local, here]: that port here and no other; where it is taken, the program hears so."""
    with configured(lab, {"listen_ports": [[PORT, 21099]]}, publish=False) as program:
        program.do(f"s = listen('0.0.0.0', {PORT})", f"t = listen('0.0.0.0', {PORT + 1})")
        expect("at the port that was asked for", from_here(lab, 21099), "here:from this machine", lab.log())
        expect("at the same port", from_here(lab, PORT), "ConnectionRefusedError")
        expect("another, without publishing", from_here(lab, PORT + 1), "ConnectionRefusedError")
    other = on_host(lab, "s = socket.create_server(('127.0.0.1', 21099))")
    program = configured(lab, {"listen_ports": [[PORT, 21099]]}, env=lab.quiet_environment())
    result = program.tell(f"s = bound('0.0.0.0', {PORT}); s.listen(5)")
    expect("listen where the port is taken", errno_name(result), "EADDRINUSE", lab.log())
    expect("the socket doesn't listen", program.value("s.getsockopt(socket.SOL_SOCKET, 30)"), 0)
    program.do(f"t = listen('0.0.0.0', {PORT + 1})")
    err = program.end()
    other.communicate("")
    lines = err.splitlines()
    expect("lines on stderr", len(lines), 1, err)
    expect_in("the line", lines[0], f"mirrord: publish port {PORT} of the program at localhost:21099, as listen_ports says: ")


@test("incoming.port_mapping")
def port_mapping(lab):
    with Real(lab), configured(lab, {"port_mapping": [[9000, PORT], [9001, PORT + 1]]}) as program:
        program.do("s = listen('0.0.0.0', 9000)", f"t = listen('0.0.0.0', {PORT + 2})")
        expect("its own address", taken(lab, program, PORT, True)["own"], ["10.244.1.7", 9000])
        taken(lab, program, PORT + 2, True)
        left_alone(lab, program, PORT + 1)
        program.do("shut(s)")
        left_alone(lab, program, PORT)


@test("incoming.ports")
def ports(lab):
    """Allowed are the target's ports, behind the mapping."""
    with Real(lab), configured(lab, {"ports": [PORT, PORT + 5], "port_mapping": [[9000, PORT + 5]]}) as program:
        program.do(f"s = [listen('0.0.0.0', port) for port in ({PORT}, {PORT + 1}, 9000)]")
        taken(lab, program, PORT, True)
        taken(lab, program, PORT + 5, True)
        left_alone(lab, program, PORT + 1)
        expect("what stays local is here", from_here(lab, PORT + 1), "here:from this machine", lab.log())
    with Real(lab), configured(lab, {"ports": []}) as program:
        program.do(f"s = listen('0.0.0.0', {PORT})")
        left_alone(lab, program, PORT)


@test("incoming.ignore_ports")
def ignore_ports(lab):
    with Real(lab), configured(lab, {"ignore_ports": [PORT], "port_mapping": [[9000, PORT + 3]]}) as program:
        program.do(f"s = [listen('0.0.0.0', port) for port in ({PORT}, {PORT + 1}, 9000)]", f"u = udp('0.0.0.0', {PORT})")
        left_alone(lab, program, PORT)
        left_alone(lab, program, PORT, kind="SOCK_DGRAM")
        taken(lab, program, PORT + 1, True)
        taken(lab, program, PORT + 3, True)


@test("incoming.ignore_localhost")
def ignore_localhost(lab):
    with Real(lab), configured(lab, {"ignore_localhost": True}) as program:
        program.do(f"s = listen('127.0.0.1', {PORT})", f"t = listen('0.0.0.0', {PORT + 1})", f"u = listen('::1', {PORT + 2})")
        left_alone(lab, program, PORT)
        left_alone(lab, program, PORT + 2, family=6)
        taken(lab, program, PORT + 1, True)


@test("incoming.debugger_port_found")
def debugger_port_found(lab):
    """A port that the words or variables of the listening process make a debugger's: it's on this machine's localhost, and nobody else's."""
    env = lab.environment(MIRRORD_DETECT_DEBUGGER_PORT="nodeinspector")
    with Real(lab), configured(lab, "steal", env=env, prefix=["env", f"NODE_OPTIONS=--inspect=0.0.0.0:{PORT}"]) as program:
        program.do(f"s = [listen('0.0.0.0', port) for port in ({PORT}, {PORT + 1})]")
        left_alone(lab, program, PORT)
        taken(lab, program, PORT + 1)
        expect("what a debugger here gets", from_here(lab, PORT), "here:from this machine", lab.log())


@test("incoming.a_hundred_published")
def hundred(lab):
    """Many at once by the port here."""
    with Program(lab) as program:
        program.do(f"s = listen('127.0.0.1', {PORT})")
        code = ("import socket\nsocks = [socket.create_connection(('127.0.0.1', %d), 20) for _ in range(100)]\n"
                "[s.sendall(b'x%%d' %% i) for i, s in enumerate(socks)]\n"
                "print(all(s.recv(99) == b'here:x%%d' %% i for i, s in enumerate(socks)))") % PORT
        done = lab.run([*PYTHON, "-c", code])
        expect("every answer", done.out.strip(), "True", str(done) + lab.log())

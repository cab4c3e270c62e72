# SPDX-License-Identifier: MIT
"""Whatever way a program comes to listen, the target's clients reach it when the call has returned; and when nobody listens any more, they
reach the target's own program."""

import json
import os

from labkit import plan
from labkit.incoming import FIRST, Program, Real, left_alone, taken, wait_left_alone
from labkit.lab import PYTHON
from labkit.registry import Failure, Skip, expect, test

PORT = FIRST
MODES = ("mirror", "steal")


def listener_test(name, ways=MODES, **more):
    """Runs with a program that mirrors and one that steals: run(lab, program, take), where take(port, …) asks a client to come."""
    def add(run):
        for mode in ways:
            def one(lab, mode=mode):
                mirrored = mode == "mirror"
                with Real(lab), Program(lab, *(() if mirrored else ("--steal",))) as program:
                    run(lab, program, lambda port=PORT, **options: taken(lab, program, port, mirrored, **options))
            test(f"incoming.{name}[{mode}]", **more)(one)
        return run
    return add


@listener_test("listen")
def plain(lab, program, take):
    left_alone(lab, program, PORT)
    program.do(f"s = listen('0.0.0.0', {PORT})")
    for _ in range(3):
        expect("its own address", take()["own"], ["10.244.1.7", PORT])
    left_alone(lab, program, PORT + 1)
    program.do("s.close()")
    wait_left_alone(lab, program, PORT)


@listener_test("listen_twice")
def twice(lab, program, take):
    program.do(f"s = listen('0.0.0.0', {PORT})", "s.listen(5)")
    take()
    program.do("s.listen(50)")
    take()


@listener_test("dup")
def dup(lab, program, take):
    """Closing one of two descriptors ends nothing."""
    program.do(f"s = bound('0.0.0.0', {PORT})", "s.listen(5)", "t = serve(s.dup())", "s.close()", "let_pass(0.3)")
    take()
    program.do("t.close()")
    wait_left_alone(lab, program, PORT)


@listener_test("last_process")
def last_process(lab, program, take):
    """A child that has the listener, too, keeps it."""
    program.do(f"s = bound('0.0.0.0', {PORT})", "s.listen(5)",
               "c = child('from listens import serve; serve(socket.socket(fileno=%d))' % s.fileno(), s.fileno())", "s.close()", "let_pass(0.3)")
    take(by_child=True)
    program.do("c.stdin.close()", "c.wait()")
    wait_left_alone(lab, program, PORT)


@listener_test("accept_in_the_parent_of_the_listener")
def inherited(lab, program, take):
    """exec with an inherited listener: what is listened on before runs on in another program."""
    program.do(f"s = bound('0.0.0.0', {PORT})", "s.listen(5)")
    program.do("c = child('from listens import serve; serve(socket.socket(fileno=%d))' % s.fileno(), s.fileno())")
    take(by_child=True)
    program.do("c.stdin.close()", "c.wait()", "serve(s)")
    take()


@listener_test("reuseport")
def reuseport(lab, program, take):
    program.do(f"a = listen('0.0.0.0', {PORT}, 'a', reuseport=True)", f"b = listen('0.0.0.0', {PORT}, 'b', reuseport=True)")
    names = set()
    lab.wait_for("each is chosen at some time", lambda: names.add(take()["name"]) or names == {"a", "b"})
    program.do("shut(a)")
    expect("who is left", take()["name"], "b")
    program.do("b.close()")
    wait_left_alone(lab, program, PORT)


@listener_test("port_0")
def port_zero(lab, program, take):
    """The port that the kernel chose; the target's own program has it, too, when mirrored."""
    program.do("s = bound('0.0.0.0', 0)", "s.listen(5)", "serve(s)")
    port = program.value("s.getsockname()[1]")
    server = lab.cluster.pod.start(["/usr/bin/python3", "-c", f"import socket\ns = socket.create_server(('0.0.0.0', {port}))\n"
                                    "while True:\n c, _ = s.accept(); c.sendall(b'real:' + c.recv(99)); c.close()"])
    lab.wait_for("the target's own", lambda: f":{port:04X} " in lab.cluster.pod.run(["cat", "/proc/net/tcp"]))
    take(port)
    server.kill()
    server.wait()


@listener_test("one_address")
def one_address(lab, program, take):
    program.do(f"s = listen('10.244.1.7', {PORT})")
    expect("its own address", take()["own"], ["10.244.1.7", PORT])
    left_alone(lab, program, PORT, ip="127.0.0.1", node="pod")


@listener_test("loopback")
def loopback(lab, program, take):
    """A program that listens on 127.0.0.1 alone is reached from anywhere, as one of its own host would."""
    program.do(f"s = bound('127.0.0.1', {PORT})", "s.listen(5)", "serve(s)")
    saw = reach_loopback(lab, program, take)
    expect("who came, where to", (saw["peer"][0], saw["own"]), ("127.0.0.1", ["127.0.0.1", PORT]), lab.log())


def reach_loopback(lab, program, take, **options):
    try:
        return take(**options)
    except Failure as f:
        if "the peer that it sees" not in f.expected:
            raise
    return program.value("seen[-1]")


@listener_test("loopback6")
def loopback6(lab, program, take):
    program.do(f"s = bound('::1', {PORT})", "s.listen(5)", "serve(s)")
    saw = reach_loopback(lab, program, take, family=6)
    expect("who came, where to", (saw["peer"][0], saw["own"]), ("::1", ["::1", PORT]), lab.log())
    saw = reach_loopback(lab, program, take, family=4)
    expect("who came by IPv4, where to", (saw["peer"][0], saw["own"]), ("::1", ["::1", PORT]), lab.log())


@listener_test("from_localhost")
def from_localhost(lab, program, take):
    """A sidecar's connection arrives from localhost."""
    program.do(f"s = listen('0.0.0.0', {PORT})", f"t = listen('::', {PORT}, v6only=1)")
    saw = take(ip="127.0.0.1", node="pod")
    expect("who came, where to", (saw["peer"][0], saw["own"]), ("127.0.0.1", ["127.0.0.1", PORT]), lab.log())
    saw = take(ip="::1", node="pod")
    expect("who came by IPv6, where to", (saw["peer"][0], saw["own"]), ("::1", ["::1", PORT]), lab.log())
    saw = take(ip="10.244.1.7", node="pod")
    expect("who came from the pod's own address", (saw["peer"][0], saw["own"]), ("10.244.1.7", ["10.244.1.7", PORT]), lab.log())


@listener_test("ipv6")
def ipv6(lab, program, take):
    program.do(f"s = listen('::', {PORT}, v6only=1)")
    expect("its own address", take(family=6)["own"], ["fd00:244:1::7", PORT])
    left_alone(lab, program, PORT, family=4)
    program.do("shut(s)", f"s = listen('::', {PORT}, v6only=0)")
    take(family=6)
    expect("IPv4's form", take(family=4)["peer"][0], "::ffff:10.0.20.5")


@listener_test("mptcp")
def mptcp(lab, program, take):
    answer = program.tell(f"s = bound('0.0.0.0', {PORT}, protocol=262)")
    if answer != "ok":
        raise Skip("no MPTCP in this kernel")
    program.do("s.listen(5)", "serve(s)")
    take()
    program.do("s.close()")
    wait_left_alone(lab, program, PORT)


@listener_test("passed_by_a_socket")
def scm_rights(lab, program, take):
    """The one who made it listen gives it away and ends."""
    program.do("a, b = socket.socketpair()",
               f"c = child('import socket; from listens import bound; s = bound(\"0.0.0.0\", {PORT}); s.listen(5); "
               "socket.send_fds(socket.socket(fileno=%d), [b\"x\"], [s.fileno()])' % b.fileno(), b.fileno())",
               "s = socket.socket(fileno=socket.recv_fds(a, 1, 1)[1][0])", "c.stdin.close()", "c.wait()", "serve(s)", "let_pass(0.3)")
    take()
    program.do("s.close()")
    wait_left_alone(lab, program, PORT)


@listener_test("again_and_again")
def relisten(lab, program, take):
    for _ in range(5):
        program.do(f"s = listen('0.0.0.0', {PORT})")
        take()
        program.do("shut(s)")
    wait_left_alone(lab, program, PORT)


@listener_test("io_uring")
def io_uring(lab, program, take):
    """A call that no filter sees: the listener is found all the same."""
    program.do(f"s = bound('0.0.0.0', {PORT})")
    result = program.value("subprocess.run(['/tmp/lab/bin/uring_listen', str(s.fileno())], pass_fds=[s.fileno()], stdout=-1, text=True).stdout.strip()")
    if result != "ok":
        raise Skip("io_uring can't listen here: " + result)
    program.do("serve(s)")
    lab.wait_for("it is found", lambda: f"port {PORT} is " in lab.log(1000))
    take()


@listener_test("many_ports")
def many(lab, program, take):
    program.do(f"many = [listen('0.0.0.0', {PORT} + i, str(i)) for i in range(30)]")
    for i in (0, 7, 29):
        expect("who was reached", take(PORT + i)["name"], str(i))
    program.do("[s.close() for s in many[:15]]")
    wait_left_alone(lab, program, PORT + 7)
    take(PORT + 29)


@listener_test("udp")
def udp(lab, program, take):
    program.do(f"u = udp('0.0.0.0', {PORT})")
    for _ in range(3):
        take(kind="SOCK_DGRAM")
    program.do("u.close()")
    wait_left_alone(lab, program, PORT, kind="SOCK_DGRAM")
    program.do(f"u = udp('::', {PORT}, v6only=1)")
    take(kind="SOCK_DGRAM", family=6)
    left_alone(lab, program, PORT, kind="SOCK_DGRAM")


AFTER_CLOSE = """
import json, os, socket, sys, time
answers = []
for ip, port in json.loads(sys.argv[1]):
    s = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
    s.connect((ip, port))
    for data, patience in ((b"first", 60), (b"second", 3)):
        s.settimeout(patience)
        try:
            s.send(data)
            answers.append(s.recv(99).decode())
        except OSError as e:
            answers.append(str(e))
        while not os.path.exists(f"/tmp/lab/home/closed-{port}"): time.sleep(0.001)
print(json.dumps([answers[::2], answers[1::2]]))
"""


@listener_test("udp_after_close", ways=("steal",))
def udp_after_close(lab, program, _):
    """What comes before anybody knows that the program has closed its socket reaches the target's own; what the program sent before arrives."""
    n = 5  # a kernel sends six ICMP errors to one address, then one a second
    for port in range(PORT, PORT + 6 * n, 2 * n):
        program.do(f"fours = [bound('0.0.0.0', {port} + i, socket.SOCK_DGRAM) for i in range({n})]",
                   f"sixes = [bound('::', {port} + {n} + i, socket.SOCK_DGRAM, v6only=True) for i in range({n})]", "answer_once(*fours, *sixes)")
        places = [(plan.address("pod", 6 if i >= n else 4), port + i) for i in range(2 * n)]
        first, second = json.loads(lab.cluster.nodes["services"].run([*PYTHON, "-c", AFTER_CLOSE, json.dumps(places)]))
        for _, p in places:
            os.unlink(f"/tmp/lab/home/closed-{p}")
        expect("the answers before", first, ["here:first"] * (2 * n), lab.log())
        if second.count("real:second") >= 2 * n - 2:  # one may be on its way when the subscription ends
            return
    raise Failure("answers of the target's own program", second, lab.log())


@listener_test("udp_clients_are_no_listeners")
def udp_client(lab, program, take):
    """A socket whose port the kernel chose, or that has a peer, gets nothing but its own answers."""
    program.do("u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)", f"u.bind(('0.0.0.0', {PORT + 1}))", "u.connect(('10.0.20.5', 7))", "let_pass(0.3)",
               "u.send(b'question')", "u.settimeout(20)")
    expect("its answer", program.value("u.recv(99).decode()"), "question", lab.log())
    left_alone(lab, program, PORT + 1, kind="SOCK_DGRAM")


# The groups that sockets of sock_diag's in the program's namespace are members of, for ends of sockets.
GROUPS = "[int(f[3], 16) for f in map(str.split, open('/proc/net/netlink')) if f[1] == '4' and int(f[3], 16)]"


@listener_test("ends_are_told", ways=("mirror",))
def ends_are_told(lab, program, take):
    """The last close is heard of, and no connection's end: sock_diag's groups would cost every connection of the machine a task of the kernel."""
    heard = lambda: lab.log(100000).count("a socket has ended")
    program.do(f"s = listen('0.0.0.0', {PORT})", f"u = udp('0.0.0.0', {PORT})", "d = s.dup()", "s.close()")
    expect("groups", program.value(GROUPS), [])
    expect("a copy is open", heard(), 0)
    program.do("d.close()")
    lab.wait_for("the listener's end", lambda: heard() == 1)
    program.do("u.close()")
    lab.wait_for("the UDP socket's", lambda: heard() == 2)


@listener_test("many_bound_ports", ways=("mirror",))
def many_bound(lab, program, take):
    """All sockets are listed now and then, not for each that is bound: five hundred take no longer each than the first ones."""
    program.do("many = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(500)]",
               f"[s.bind(('0.0.0.0', {PORT} + 100 + i)) for i, s in enumerate(many)]", "many[0].close()")
    lab.wait_for("the first is listed no more", lambda: " 499 sockets are listed" in lab.log(100000))
    lines = lab.log(100000).splitlines()
    expect("seen one by one", sum("one more socket" in line for line in lines), lambda n: n > 400)  # a list that is made meanwhile has some, too
    expect("lists", sum("sockets are listed" in line for line in lines), lambda n: n < 250)

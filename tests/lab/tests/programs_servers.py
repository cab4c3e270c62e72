# SPDX-License-Identifier: MIT
"""Real clients of real servers through the twin: databases, ssh, git, grpc."""

import collections
import json
import os
import re

from labkit import plan
from labkit.registry import Skip, expect, expect_in, test
from labkit.service import HOME, Services, find

POD4 = plan.HOSTS["pod"][0]
UNIX = "/tmp/lab/home/unix-postgresql.json"
ZEROS = "6bde2aa6394fde37e21748bc0578113b"


def ours(lab, argv, what, timeout=120, **more):
    done = lab.mirrord(argv, timeout=timeout, **more)
    expect(what + ": status", done.status, 0, str(done) + lab.log())
    return done.out


def clients_in(log, pattern):
    """How often each address stands in a server's log."""
    return collections.Counter(re.findall(pattern, log))


@test("programs.redis", needs=("redis-server", "redis-cli", "redis-benchmark"))
def redis(lab):
    with Services(lab) as services:
        services.start([find("redis-server"), "--bind", "10.0.20.5", "fd00:20::5", "--port", "6379", "--protected-mode", "no", "--save", "", "--dir", HOME,
                        "--loglevel", "verbose"], 6379)
        redis_cli = ["redis-cli", "-h", "payment"]
        expect("SET", ours(lab, [*redis_cli, "SET", "key", "value"], "redis-cli"), "OK\n")
        expect("GET", ours(lab, [*redis_cli, "GET", "key"], "redis-cli"), "value\n")
        expect_in("CLIENT LIST", ours(lab, ["redis-cli", "-h", "10.0.20.5", "CLIENT", "LIST"], "redis-cli"), f" addr={POD4}:")
        before = clients_in(services.log("redis-server"), "Accepted (.*):")
        out = ours(lab, ["redis-benchmark", "-h", "10.0.20.5", "-n", "5000", "-c", "30", "-P", "4", "-q", "-t", "set,get"], "redis-benchmark")
        expect("GET per second", float(re.findall(r"GET: ([0-9.]+) requests", out)[-1]), lambda n: n > 500)
        seen = clients_in(services.log("redis-server"), "Accepted (.*):") - before
        expect("redis-benchmark's addresses in the server's log", (set(seen), seen.total() >= 2 * 30), ({POD4}, True), str(seen))


@test("programs.postgresql", timeout=600)
def postgresql(lab):
    initdb, postgres, psql = find("initdb"), find("postgres"), find("psql")
    with Services(lab) as services:
        services.run([initdb, "-D", f"{HOME}/db", "-U", "shop", "--auth=trust", "--no-sync", "--locale=C"])
        with open(f"{HOME}/db/pg_hba.conf", "a") as f:
            f.write("host all all 0.0.0.0/0 trust\nhost all all ::/0 trust\n")
        server = services.start([postgres, "-D", f"{HOME}/db", "-k", f"{HOME},@lab-shop", "-c", "listen_addresses=10.0.20.5,fd00:20::5", "-c", "fsync=off", "-c", "shared_buffers=16MB",
                                 "-c", "log_connections=on"], 5432)
        out = ours(lab, [psql, "-h", "payment", "-U", "shop", "-d", "postgres", "-Atc", "select host(inet_client_addr()), sum(i) from generate_series(1, 100000) i group by 1"], "psql")
        expect("answer", out, lambda t: t.strip() in (f"{POD4}|5000050000", f"{plan.HOSTS['pod'][1]}|5000050000"))
        pgbench = find("pgbench")
        options = ["-h", "10.0.20.5", "-U", "shop", "postgres"]
        ours(lab, [pgbench, "-i", "-q", "-s", "1", *options], "pgbench -i")
        before = clients_in(services.log("postgres"), "connection received: host=(.*) port=")
        out = ours(lab, [pgbench, "-S", "-c", "8", "-t", "200", *options], "pgbench")
        expect_in("pgbench", out, "1600/1600")
        seen = clients_in(services.log("postgres"), "connection received: host=(.*) port=") - before
        expect("pgbench's addresses in the server's log", (set(seen), seen.total() >= 8), ({POD4}, True), str(seen))
        out = ours(lab, [psql, "-h", "10.0.20.5", "-U", "shop", "-d", "postgres", "-Atc", "copy (select repeat('x', 1000) from generate_series(1, 20000)) to stdout"], "copy")
        expect("bytes of a copy", len(out), 20000 * 1001)

        # By its Unix socket, whose abstract name is known in its network namespace alone
        with open(UNIX, "w") as f:
            json.dump({"feature": {"network": {"outgoing": {"unix_streams": "^lab-shop/[.]s[.]PGSQL[.]"}}}}, f)
        os.chmod(UNIX, 0o644)
        ask = [psql, "-h", "@lab-shop", "-U", "shop", "-d", "postgres", "-Atc",
               "select inet_client_addr() is null; copy (select repeat('x', 1000) from generate_series(1, 2000)) to stdout"]
        done = lab.mirrord(ask, target=f"pid/{server.pid}", options=["-f", UNIX])
        expect("by a Unix socket", (done.status, done.out[:2], len(done.out)), (0, "t\n", 2 + 2000 * 1001), done.err[-2000:] + lab.log())


def sshd(services, lab):
    keygen, server = find("ssh-keygen"), find("sshd")
    for name in ("host_key", "user_key"):
        services.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", f"{HOME}/{name}"])
    services.run(["sh", "-c", f"mkdir -m 700 {HOME}/bin; cp {HOME}/user_key.pub {HOME}/authorized"])
    services.run(["sh", "-c", f"""cat > {HOME}/config <<END
Port 2222
ListenAddress 10.0.20.5
HostKey {HOME}/host_key
AuthorizedKeysFile {HOME}/authorized
StrictModes no
UsePAM no
PidFile none
PasswordAuthentication no
PrintMotd no
LogLevel VERBOSE
END"""])
    # On the lab's user's behalf the client must own its key
    key = "/tmp/lab/home/user_key"
    with open(f"{HOME}/user_key") as f, open(key, "w") as out:
        out.write(f.read())
    os.chmod(key, 0o600)
    if lab.sandbox.real_root:
        os.chown(key, lab.sandbox.uid, lab.sandbox.gid)
    services.start([server, "-D", "-e", "-f", f"{HOME}/config"], 2222)
    return ["-F", "none", "-i", key, "-p", "2222", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes",
            "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=60"]


@test("programs.ssh", needs=("ssh", "ssh-keygen"))
def ssh(lab):
    find("sshd")
    with Services(lab) as services:
        try:
            options = sshd(services, lab)
            out = ours(lab, ["ssh", *options, "labuser@payment", "echo $SSH_CONNECTION; head -c 2000000 /dev/zero | md5sum"], "ssh")
            expect("the server's view of the client", out.split()[0], POD4)
            expect("digest of 2 MB of zeros", out.split()[4], ZEROS)
            expect_in("sshd's log", services.log("sshd"), f"from {POD4} ")
        finally:
            if os.path.exists("/tmp/lab/home/user_key"):
                os.unlink("/tmp/lab/home/user_key")


def repository(services):
    services.run(["sh", "-ec", f"""export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git init -q -b main {HOME}/work; cd {HOME}/work; seq 20000 > file; git add file; git commit -qm first
git clone -q --bare {HOME}/work {HOME}/shop.git; cd {HOME}/shop.git; git update-server-info"""])


@test("programs.git_over_http", needs=("git",))
def git_http(lab):
    with Services(lab) as services:
        repository(services)
        services.start(["/usr/bin/python3", "-m", "http.server", "-b", "10.0.20.5", "-d", HOME, "8000"], 8000)
        out = ours(lab, ["sh", "-c", "git clone -q http://payment:8000/shop.git /tmp/lab/home/clone && wc -l < /tmp/lab/home/clone/file && rm -rf /tmp/lab/home/clone"],
                   "git clone", env=lab.environment(GIT_CONFIG_GLOBAL="/dev/null"))
        expect("lines of the file", out.strip(), "20000")
        expect_in("the server's log", services.log("python3"), POD4 + " ")


@test("programs.git_over_ssh", needs=("git", "ssh", "ssh-keygen"))
def git_ssh(lab):
    find("sshd")
    with Services(lab) as services:
        try:
            repository(services)
            options = sshd(services, lab)
            env = lab.environment(GIT_CONFIG_GLOBAL="/dev/null", GIT_SSH_COMMAND="ssh " + " ".join(options))
            out = ours(lab, ["sh", "-c", f"git clone -q labuser@payment:{HOME}/shop.git /tmp/lab/home/clone && wc -l < /tmp/lab/home/clone/file && rm -rf /tmp/lab/home/clone"],
                       "git clone", env=env)
            expect("lines of the file", out.strip(), "20000")
            expect_in("sshd's log", services.log("sshd"), f"from {POD4} ")
        finally:
            if os.path.exists("/tmp/lab/home/user_key"):
                os.unlink("/tmp/lab/home/user_key")


GRPC_SERVER = """
import grpc, time
from concurrent import futures
def hello(request, context): return context.peer().encode() + b' ' + request
def count(request, context):
    for i in range(int(request)): yield b'%d' % i
class Handlers(grpc.GenericRpcHandler):
    def service(self, call):
        return {'/Shop/Hello': grpc.unary_unary_rpc_method_handler(hello), '/Shop/Count': grpc.unary_stream_rpc_method_handler(count)}.get(call.method)
server = grpc.server(futures.ThreadPoolExecutor(8)); server.add_generic_rpc_handlers([Handlers()])
server.add_insecure_port('10.0.20.5:50051'); server.start(); server.wait_for_termination()
"""
GRPC_CLIENT = """
import grpc
with grpc.insecure_channel('payment:50051') as channel:
    hello = channel.unary_unary('/Shop/Hello')
    print(hello(b'from python', timeout=100).decode())
    print(len({hello(b'%d' % i, timeout=100) for i in range(200)}))
    print(sum(int(x) for x in channel.unary_stream('/Shop/Count')(b'1000', timeout=100)))
"""


@test("programs.grpc")
def grpc(lab):
    if lab.run(["/usr/bin/python3", "-c", "import grpc"]).status != 0:
        raise Skip("not installed: python3-grpcio")
    with Services(lab) as services:
        services.start(["/usr/bin/python3", "-c", GRPC_SERVER], 50051)
        lines = ours(lab, ["/usr/bin/python3", "-c", GRPC_CLIENT], "client").splitlines()
        expect("who the server saw", re.sub(r":\d+ ", " ", lines[0]), f"ipv4:{POD4} from python")
        expect("answers", lines[1:], ["200", "499500"])

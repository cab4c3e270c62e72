# SPDX-License-Identifier: MIT
"""The far side: what the programs under test talk to, all in the server node."""
import os
import shutil
import subprocess

from .box import DOMAIN, RUN, SERVER
from .process import Problem, Service, need

BASE = 7000  # bench-server's first port (bench/remote.h says which services follow)
PORTS = {"echo": BASE, "sink": BASE + 1, "source": BASE + 2, "stuck": BASE + 3, "counts": BASE + 4,
         "dns": 53, "iperf": 5201, "postgres": 5432, "redis": 6379, "http": 8080}
TCP_PORTS = sorted(PORTS.values())
UDP_PORTS = [PORTS["echo"], PORTS["sink"], PORTS["dns"], PORTS["iperf"]]

NGINX = """
daemon off; worker_processes 1; pid {run}/http.pid; error_log stderr;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000;
  client_body_temp_path {run}/http-body; proxy_temp_path {run}/http-proxy; fastcgi_temp_path {run}/http-fcgi;
  uwsgi_temp_path {run}/http-uwsgi; scgi_temp_path {run}/http-scgi;
  server {{ listen {server}:{port}; location / {{ return 200 "hello"; }} }} }}
"""


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    return path


def bench_server(t, programs):
    s = Service("bench-server", t.server, [programs["bench-server"], SERVER, str(BASE)], "server")
    s.wait_for_port(PORTS["counts"])


def dnsmasq(t):
    need("dnsmasq")
    Service("dnsmasq", t.server, ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
                                  f"--listen-address={SERVER}", "--bind-interfaces", "--cache-size=0", "--user=root",
                                  f"--pid-file={RUN}/dnsmasq.pid", "--dns-forward-max=10000",
                                  f"--address=/{DOMAIN}/10.66.9.9", f"--address=/{DOMAIN}/fd66:9::9"],
            "server").wait_for_port(PORTS["dns"], "udp")


def iperf3(t):
    need("iperf3")
    Service("iperf3", t.server, ["iperf3", "-s", "-B", SERVER], "server").wait_for_port(PORTS["iperf"])


def nginx(t):
    need("nginx")
    conf = write(f"{RUN}/http.conf", NGINX.format(run=RUN, server=SERVER, port=PORTS["http"]))
    Service("nginx-http", t.server, ["nginx", "-c", conf, "-p", RUN], "server").wait_for_port(PORTS["http"])


def redis(t):
    need("redis-server")
    Service("redis", t.server, ["redis-server", "--bind", SERVER, "--port", str(PORTS["redis"]), "--save", "", "--appendonly", "no",
                                "--protected-mode", "no", "--dir", RUN, "--maxclients", "1000"],
            "server").wait_for_port(PORTS["redis"])


def _postgres_bin():
    root = "/usr/lib/postgresql"
    versions = sorted(os.listdir(root), key=float) if os.path.isdir(root) else []
    for v in reversed(versions):
        if os.path.exists(f"{root}/{v}/bin/postgres"):
            return f"{root}/{v}/bin"
    found = shutil.which("postgres")
    if not found:
        raise Problem("PostgreSQL's server is not installed")
    return os.path.dirname(found)


def pgbench_program():
    return shutil.which("pgbench") or f"{_postgres_bin()}/pgbench"


def postgres(t):
    """PostgreSQL refuses to run as root, so it is its own user's."""
    programs, data = _postgres_bin(), f"{RUN}/postgres"
    os.makedirs(data, mode=0o700)
    shutil.chown(data, "postgres", "postgres")
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "env", "-C", data]
    made = subprocess.run([*user, f"{programs}/initdb", "-D", data, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"],
                          capture_output=True, text=True)
    if made.returncode:
        raise Problem(f"initdb: {made.stderr.strip().splitlines()[-1]}")
    with open(f"{data}/pg_hba.conf", "a") as f:
        f.write("host all all 10.66.0.0/16 trust\n")
    Service("postgres", t.server, [*user, f"{programs}/postgres", "-D", data, "-h", SERVER, "-k", "", "-c", "fsync=off",
                                   "-c", "shared_buffers=64MB", "-c", "dynamic_shared_memory_type=mmap", "-c", "max_connections=50"],
            "server").wait_for_port(PORTS["postgres"])
    filled = subprocess.run(t.server.within([pgbench_program(), "-h", SERVER, "-U", "postgres", "-i", "-q", "-s", "1", "postgres"]),
                            capture_output=True, text=True)
    if filled.returncode:
        raise Problem(f"pgbench -i: {filled.stderr.strip().splitlines()[-1]}")


REAL = {"dns": dnsmasq, "iperf": iperf3, "http": nginx, "redis": redis, "postgres": postgres}


def start(t, programs):
    """Starts all. Returns why some could not be: {server: reason}."""
    missing = {}
    bench_server(t, programs)
    for name, begin in REAL.items():
        try:
            begin(t)
        except Problem as p:
            missing[name] = str(p)
    return missing

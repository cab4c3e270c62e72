# SPDX-License-Identifier: MIT
"""What HTTP filters cost: a server in the target behind a filter, beside proxies that decide by the same header.

    direct     the server itself
    never      a filter that matches nothing: the target's server answers
    sixteen    16 filters of 4 sessions, none of which matches
    all        a filter that matches all: an nginx under `mirrord exec` answers
    haproxy    HTTP mode, an ACL on the same header        nginx      proxy_pass with keep-alive
    haproxy-far  the same with its server where the program of "all" is: on the client's side, behind another veth
    nghttpx    HTTP/2                                      haproxy-tcp  for bulk: a plain pass-through
    hop        receives and sends and does nothing else: what no proxy can do without (bench/hop.c)

TLS is decrypted and made anew by who decides; protocols.py has it, gRPC and WebSocket.

Clients and session have one CPU, the target and all that stands in it the other.

"Between" is the processor time of whoever stands between client and server, for a request or a GiB: it says the same on a busy machine.
"""
import json
import os
import re
import shlex
import subprocess
from statistics import median

from . import protocols
from .box import CLIENT, RUN, TARGET, bring
from .mirror import nginx
from .process import CLIENT_CPU, Problem, Service, cpus_of, named, need, pin, pin_services, tree
from .servers import write

HOST = TARGET["haproxy"]
H1, H2, RAW, PEERS, BULK = 8100, 8101, 8102, 8110, 1 << 30
PEERS_MORE = PEERS + 6
HOP = {"h1": PEERS + 9, "ws": PEERS + 10}
FAR = {"h1": PEERS + 11, "ws": PEERS + 12}
IDLE = 2000  # connections
HEADER = "x-bench-user: nobody"

SERVERS = """
  server {{ listen {host}:{h1}{reuse}; root {run}; location / {{ return 200 "hello"; }} location /bulk {{ }} }}
  server {{ listen {host}:{h2} http2; location / {{ return 200 "hello"; }} }}"""
PROXY = """
  upstream app {{ server {host}:{h1}; keepalive 64; }}
  server {{ listen {host}:{port}; location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }} }}"""
HAPROXY = """
global
  maxconn 4096
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
""" + protocols.haproxy_filter("h1", "{host}:{p}", "app") + """frontend h2
  bind {host}:{p2} proto h2
  default_backend app2
frontend plain
  bind {host}:{p3}
  mode tcp
  default_backend tcp
backend app
  http-reuse always
  server a {host}:{h1}
""" + protocols.haproxy_filter("far", "{host}:{far[h1]}", "far") + """backend far
  http-reuse always
  server a {client}:{h1}
""" + protocols.haproxy_filter("far-ws", "{host}:{far[ws]}", "far-ws") + """backend far-ws
  timeout tunnel 60s
  server a {client}:{ws}
backend other
  server o 127.0.0.1:9
backend app2
  http-reuse always
  server a {host}:{h2} proto h2
backend tcp
  mode tcp
  server a {host}:{h1}
frontend raw
  bind {host}:{p4}
  mode tcp
  default_backend raw
backend raw
  mode tcp
  server a {host}:{raw}
"""


class Program:
    """nginx under mirrord, which steals what @filter says."""

    def __init__(self, t, mirrord, name, filter, ports=(H1, H2, RAW)):
        incoming = {"mode": "steal", "http_filter": filter, "steal_tls": protocols.steal_tls()}
        config = write(f"{RUN}/{name}.json", json.dumps({"feature": {"network": {"publish": False, "incoming": incoming}}}))
        servers = (f'server {{ listen {ports[0]}; location / {{ return 200 "hello"; }} location /bulk {{ root {RUN}; }} }} '
                   f'server {{ listen {ports[1]} http2; location / {{ return 200 "hello"; }} }} server {{ listen {ports[2]}; }} {protocols.tls_of_nginx("")}')
        beside = [protocols.grpc_server("0.0.0.0"), protocols.websocket_server("0.0.0.0")]
        argv = ["sh", "-c", "".join(f"{shlex.join(a)} & p=\"$p $!\"; " for a in [*beside, nginx(name, servers)]) + "trap 'kill $p' TERM; wait"]
        self.log = f"{RUN}/{name}.log"
        env = dict(os.environ, MIRRORD_LOG="info", MIRRORD_LOG_FILE=self.log)
        self.service = Service(name, t.client, [mirrord, "exec", "-q", "-f", config, "-t", f"pid/{t.target.pid}", "--", *argv], "client", env)
        listening = lambda: all(subprocess.run(t.client.within(["sh", "-c", f"grep -q 'port {p} is stolen' {self.log}"])).returncode == 0 for p in (*ports, *protocols.PROTOCOLS.values()))
        self.service.wait_for(listening, 20)

    def close(self):
        self.service.process.terminate()
        try:
            self.service.process.wait(10)
        except subprocess.TimeoutExpired:
            self.service.process.kill()
        Service.all.remove(self.service)


def sh(t, argv, seconds):
    done = subprocess.run(t.client.within(["taskset", "-c", str(CLIENT_CPU), *argv]), capture_output=True, text=True, timeout=seconds + 60)
    if done.returncode:
        raise Problem(f"{argv[0]}: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
    return done.stdout


def wrk(t, port, connections, seconds, scheme="http"):
    out = sh(t, ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", f"{scheme}://{HOST}:{port}/"], seconds)
    if "Socket errors" in out or "Non-2xx" in out:
        raise Problem(re.search("(Socket errors|Non-2xx).*", out).group(0))
    if re.search(r"\b0 requests in", out):
        raise Problem("wrk: nothing was answered")
    scale = {"us": 1, "ms": 1e3, "s": 1e6}
    at = {p: float(v) * scale[u] for p, v, u in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", out)}
    return {"rate": float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)), "p50": at["50"], "p99": at["99"],
            "asked": int(re.search(r"(\d+) requests in", out).group(1))}


def h2load(t, port, seconds):
    out = sh(t, ["h2load", "-c8", "-m16", f"-D{max(1, round(seconds))}", f"http://{HOST}:{port}/"], seconds)
    good = re.search(r"(\d+) succeeded, (\d+) failed", out)
    if int(good.group(2)) or not int(good.group(1)):
        raise Problem(f"h2load: {good.group(0)}")
    return {"h2": float(re.search(r"finished in [\d.]+m?s, ([\d.]+) req/s", out).group(1)), "asked": int(good.group(1))}


def bulk(t, port):
    return {"gbit": float(sh(t, ["curl", "-s", "-o", "/dev/null", "-w", "%{speed_download}", f"http://{HOST}:{port}/bulk"], 60)) * 8e-9}


def raw(t, port):
    """What isn't HTTP."""
    out = json.loads(sh(t, ["iperf3", "-J", "-c", HOST, "-p", str(port), "-t", "1"], 10))
    end = out["end"]["sum_received"]
    return {"raw": end["bits_per_second"] * 1e-9, "asked": end["bytes"] / BULK}


def processor_time(pids):
    """Seconds."""
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                total += int(f.read().split()[0]) * 1e-9
    return total


def with_cost(between, name, what, *words):
    """What @what gives, and the seconds that @between took for each of its requests or GiB."""
    before = processor_time(between)
    r = what(*words)
    n = r.pop("asked", 1)
    return {**r, **({f"{name} cost": (processor_time(between) - before) / n} if between else {})}


def memory(t):
    """Bytes of the agent's for each idle keep-alive connection."""
    def rss():
        total = 0
        for pid in named("mirrord-agent"):
            with open(f"/proc/{pid}/status") as f:
                total += int(f.read().split("VmRSS:")[1].split()[0]) << 10
        return total

    code = f"""
import resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
all = []
for n in range({IDLE}):
    s = socket.create_connection(("{HOST}", {H1})); s.sendall(b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n"); s.recv(4096); all.append(s)
print("ready", flush=True); sys.stdin.read()
"""
    before = rss()
    holder = subprocess.Popen(t.client.within(["python3", "-c", code]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    holder.stdout.readline()
    after = rss()
    holder.communicate("")
    return {"idle": (after - before) / IDLE}


def measure(t, ports, seconds, between=(), idle=False):
    r = {}
    if ports.get("h1"):
        many, one = with_cost(between, "h1", wrk, t, ports["h1"], 32, seconds), wrk(t, ports["h1"], 1, seconds)
        r.update(many, p50=one["p50"])
    if ports.get("h2"):
        r.update(with_cost(between, "h2", h2load, t, ports["h2"], seconds))
    if ports.get("bulk"):
        r.update(with_cost(between, "gbit", bulk, t, ports["bulk"]))
    if ports.get("raw"):
        r.update(with_cost(between, "raw", raw, t, ports["raw"]))
    if ports.get("tls"):
        many = with_cost(between, "tls", wrk, t, ports["tls"], 32, seconds, "https")
        r.update({k: many[k] for k in many if k == "tls cost"}, tls=many["rate"])
    if ports.get("grpc"):
        r.update(with_cost(between, "grpc", protocols.call, sh, t, HOST, ports["grpc"], seconds))
    if ports.get("ws"):
        r.update(with_cost(between, "ws", protocols.talk, sh, t, HOST, ports["ws"]))
    if idle:
        r.update(memory(t))
    return r


OURS = {"h1": H1, "h2": H2, "bulk": H1, "raw": RAW, **protocols.PROTOCOLS}
CASES = {
    "direct": (OURS, []),
    "never": (OURS, [{"header_filter": f"^{HEADER}$"}]),
    "sixteen": ({"h1": H1}, [{"any_of": [{"header": f"^x-bench-{n}-{k}: {HEADER}$"} for k in range(4)]} for n in range(4)]),
    "all": ({k: v for k, v in OURS.items() if k != "raw"}, [{"header_filter": "^host:"}]),
    "haproxy": ({"h1": PEERS, "h2": PEERS + 1, **protocols.ports_from(PEERS_MORE)}, []),
    "haproxy-far": (FAR, []),
    "haproxy-tcp": ({"bulk": PEERS + 2, "raw": PEERS + 5}, []),
    "nginx": ({"h1": PEERS + 3}, []),
    "nghttpx": ({"h2": PEERS + 4}, []),
    "hop": (HOP, []),
}


PEER_OF = {"haproxy": "haproxy", "haproxy-far": "haproxy", "haproxy-tcp": "haproxy", "nginx": "nginx", "nghttpx": "nghttpx", "hop": "hop"}


def one_case(t, mirrord, case, seconds, services):
    ports, filters = CASES[case]
    programs = []
    try:
        for n, f in enumerate(filters):
            programs.append(Program(t, mirrord, f"{case}-{n}", f))
        pin_services(True)
        pin(named("mirrord"), cpus_of("client", True))
        pin(named("mirrord-agent"), cpus_of("server", True))
        between = named("mirrord-agent") if programs else []
        if case in PEER_OF:
            between = tree(services[f"filter-{PEER_OF[case]}"].process.pid)
        return measure(t, ports, seconds, between, case == "never")
    finally:
        for p in programs:
            p.close()


FIELDS = (("rate", "HTTP/1, 32 connections", "{:.0f}/s"), ("p50", "p50 of 1", "{:.0f} µs"), ("p99", "p99 of 32", "{:.0f} µs"), ("h2", "HTTP/2, 8 × 16", "{:.0f}/s"),
          ("gbit", "1 GiB", "{:.1f} Gbit/s"), ("raw", "not HTTP", "{:.1f} Gbit/s"),
          ("tls", "TLS, 32 connections", "{:.0f}/s"), ("grpc", "gRPC, 8 × 16", "{:.0f}/s"), ("ws", "p50 of a WebSocket", "{:.0f} µs"),
          ("idle", "an idle connection", "{:.0f} bytes"))


COSTS = (("h1 cost", "a request {:.1f} µs", 1e6), ("h2 cost", "of HTTP/2 {:.1f} µs", 1e6), ("gbit cost", "a GiB {:.0f} ms", 1e3), ("raw cost", "not HTTP {:.0f} ms", 1e3),
         ("tls cost", "of TLS {:.1f} µs", 1e6), ("grpc cost", "a call {:.1f} µs", 1e6), ("ws cost", "a message {:.1f} µs", 1e6))


def lines_of(samples):
    middle = lambda case, field: median(v) if (v := [r[case][field] for r in samples if field in r.get(case, {})]) else None
    for case in CASES:
        parts = []
        for field, title, form in FIELDS:
            value, direct = middle(case, field), middle("direct", field)
            if value is not None:
                parts.append(f"{title} {form.format(value)}" + (f" ({value / direct:.2f} ×)" if direct and case != "direct" else ""))
        costs = [form.format(value * scale) for field, form, scale in COSTS if (value := middle(case, field)) is not None]
        if costs:
            parts.append("between: " + ", ".join(costs))
        if parts:
            yield f"{case}: " + ", ".join(parts)


def start_peers(t, hop):
    protocols.prepare()
    write(f"{RUN}/filter.haproxy", HAPROXY.format(host=HOST, p=PEERS, p2=PEERS + 1, p3=PEERS + 2, p4=PEERS + 5, h1=H1, h2=H2, raw=RAW, far=FAR, client=CLIENT,
                                                          ws=protocols.PROTOCOLS["ws"])
          + protocols.haproxy(HOST, PEERS_MORE))
    with open(f"{RUN}/bulk", "wb") as f:
        f.truncate(BULK)
    commands = {"filter-target": (nginx("filtered", SERVERS.format(host=HOST, h1=H1, h2=H2, run=RUN, reuse="") + protocols.tls_of_nginx(f"{HOST}:")), H1),
                "filter-grpc": (protocols.grpc_server(HOST), protocols.PROTOCOLS["grpc"]),
                "filter-websocket": (protocols.websocket_server(HOST), protocols.PROTOCOLS["ws"]),
                "filter-raw": (["iperf3", "-s", "-B", HOST, "-p", str(RAW)], RAW),
                "filter-haproxy": (["haproxy", "-f", f"{RUN}/filter.haproxy"], PEERS),
                "filter-nginx": (nginx("proxy", PROXY.format(host=HOST, h1=H1, port=PEERS + 3)), PEERS + 3),
                "filter-hop": ([bring(hop), HOST, *(str(p) for kind in HOP for p in (HOP[kind], OURS[kind]))], HOP["h1"]),
                "filter-nghttpx": (["nghttpx", "-s", "--workers=1", "--no-ocsp", f"--frontend={HOST},{PEERS + 4};no-tls", f"--backend={HOST},{H2};;proto=h2",
                                    "--errorlog-file=/dev/null", "--accesslog-file=/dev/null"], PEERS + 4)}
    services = {name: Service(name, t.target, argv, "server").wait_for_port(port) for name, (argv, port) in commands.items()}
    far = {"filter-far": (nginx("far", f'server {{ listen {CLIENT}:{H1}; location / {{ return 200 "hello"; }} }}'), H1),
           "filter-far-websocket": (protocols.websocket_server(CLIENT), protocols.PROTOCOLS["ws"])}
    return services | {name: Service(name, t.client, argv, "client").wait_for_port(port) for name, (argv, port) in far.items()}


def report(t, mirrord, rounds, seconds):
    """Text lines and data; the cases of a round follow each other."""
    need("nginx", "haproxy", "nghttpx", "nghttpd", "wrk", "h2load", "curl", "iperf3", "openssl")
    services = start_peers(t, os.path.join(os.path.dirname(mirrord), "bench", "bench-hop"))
    samples, problems = [], {}
    for _ in range(rounds):
        samples.append({})
        for case in CASES:
            try:
                samples[-1][case] = one_case(t, mirrord, case, seconds, services)
            except (Problem, subprocess.TimeoutExpired) as p:
                problems[case] = str(p)
    for s in services.values():
        s.process.terminate()
        s.process.wait()
        Service.all.remove(s)
    return list(lines_of(samples)) + [f"{case}: {why}" for case, why in problems.items()], {"samples": samples, "problems": problems}

# SPDX-License-Identifier: MIT
"""What mirroring costs the target: nginx in the target, asked at a fixed rate and then flat out, alone and while a program gets copies.

    alone      nothing of mirrord's runs
    mirrored   an nginx under `mirrord exec` gets the copies
    stopped    the same nginx, stopped (SIGSTOP): it takes nothing
    peer       nginx' own `mirror`: each request is sent to another nginx as well
"""
import os
import re
import signal
import subprocess
import time
from statistics import mean, median

from .box import RUN, TARGET
from .process import Problem, Service, need, tree
from .servers import write

RATE, CLIENTS = 8000, 32  # requests a second in all, by so many connections
HOST, PORT, PEER_PORT, COPY_PORT = TARGET["haproxy"], 8090, 8091, 8092
CASES = ("alone", "mirrored", "stopped", "peer")

NGINX = """
daemon off; worker_processes 1; pid {run}/{name}.pid; error_log stderr;
events {{ worker_connections 4096; }}
http {{ access_log {log}; keepalive_requests 1000000000;
  client_body_temp_path {run}/{name}-body; proxy_temp_path {run}/{name}-proxy; fastcgi_temp_path {run}/{name}-fcgi;
  uwsgi_temp_path {run}/{name}-uwsgi; scgi_temp_path {run}/{name}-scgi;
  {servers} }}
"""
PLAIN = 'server {{ listen {port}; location / {{ return 200 "hello"; }} }}'
# A location that returns has no sub-requests; a file has.
MIRRORING = """
  upstream copies {{ server 127.0.0.1:{copy}; keepalive 64; }}
  server {{ listen {port}; root {run}; location / {{ mirror /copy; mirror_request_body off; try_files /hello =404; }}
    location = /copy {{ internal; proxy_pass http://copies$request_uri; proxy_http_version 1.1; proxy_set_header Connection ""; }} }}
  server {{ listen 127.0.0.1:{copy}; keepalive_requests 1000000000; location / {{ return 200 "hello"; }} }}"""


def nginx(name, servers, log="off"):
    conf = write(f"{RUN}/{name}.conf", NGINX.format(run=RUN, name=name, servers=servers, log=log))
    return ["nginx", "-c", conf, "-p", RUN]


class Program:
    """nginx under mirrord, with a log line a request."""

    def __init__(self, t, mirrord):
        self.log = f"{RUN}/copies.log"
        open(self.log, "w").close()
        argv = nginx("copy", PLAIN.format(port=PORT), self.log)
        self.service = Service("mirrored", t.client, [mirrord, "exec", "-q", "-t", f"pid/{t.target.pid}", "--", *argv], "client")

    def count(self):
        with open(self.log, "rb") as f:
            return sum(block.count(b"\n") for block in iter(lambda: f.read(1 << 20), b""))

    def signal(self, number):
        for pid in tree(self.service.process.pid):
            os.kill(pid, number)

    def close(self):
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        self.service.process.wait(10)
        Service.all.remove(self.service)


def ask(t, port, words):
    argv = t.client.within(["h2load", "--h1", "-c", str(CLIENTS), *words, f"http://{HOST}:{port}/"])
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    found = re.search(r"requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed", done.stdout)
    if done.returncode or not found:
        raise Problem(f"h2load: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
    return int(found.group(1)), int(found.group(2)), float(re.search(r"finished in [\d.]+m?s, ([\d.]+) req/s", done.stdout).group(1))


def fixed(t, port, seconds):
    """At RATE: {'rate', 'mean', 'p99', 'failed', 'asked'}; times in µs."""
    log = f"{RUN}/h2load.log"
    if os.path.exists(log):
        os.unlink(log)
    good, failed, rate = ask(t, port, ["--rps", str(RATE // CLIENTS), "-n", str(int(RATE * seconds)), f"--log-file={log}"])
    with open(log) as f:
        times = sorted(int(line.split()[2]) for line in f)
    return {"rate": rate, "mean": mean(times), "p99": times[len(times) * 99 // 100], "failed": failed, "asked": good}


def flat_out(t, port, seconds):
    good, failed, rate = ask(t, port, ["-D", str(max(1, round(seconds)))])
    return {"rate": rate, "failed": failed, "asked": good}


def wait_for_copies(program, want, seconds=10):
    end = time.monotonic() + seconds
    while program.count() < want and time.monotonic() < end:
        time.sleep(0.1)
    return program.count()


def take(t, case, program, measure, seconds):
    port = PEER_PORT if case == "peer" else PORT
    before = program.count() if program else 0
    if case == "stopped":
        program.signal(signal.SIGSTOP)
    try:
        r = measure(t, port, seconds)
    finally:
        if case == "stopped":
            program.signal(signal.SIGCONT)
    if case == "mirrored":
        r["copied"] = (wait_for_copies(program, before + r["asked"]) - before) / max(1, r["asked"])
    return r


def one_case(t, mirrord, case, seconds):
    program = None
    try:
        if case in ("mirrored", "stopped"):
            program = Program(t, mirrord)
            program.service.wait_for(lambda: subprocess.run(t.client.within(["curl", "-sm1", f"http://{HOST}:{PORT}/"]),
                                                            capture_output=True).returncode == 0 and program.count() > 0, 20)
        return {"fixed": take(t, case, program, fixed, seconds), "flat out": take(t, case, program, flat_out, seconds)}
    finally:
        if program:
            program.close()


def middle(samples, case, kind, field):
    values = [r[case][kind][field] for r in samples if case in r]
    return median(values) if values else None


def lines_of(samples):
    for case in CASES:
        if not any(case in r for r in samples):
            continue
        values = {f: middle(samples, case, "fixed", f) for f in ("rate", "mean", "p99")}
        alone = {f: middle(samples, "alone", "fixed", f) for f in values}
        top, top_alone = middle(samples, case, "flat out", "rate"), middle(samples, "alone", "flat out", "rate")
        text = (f"{case}: at {RATE}/s {values['rate'] / alone['rate']:.3f} × the rate, mean {values['mean']:.0f} µs ({values['mean'] / alone['mean']:.2f} ×), "
                f"p99 {values['p99']:.0f} µs ({values['p99'] / alone['p99']:.2f} ×); flat out {top:.0f}/s ({top / top_alone:.2f} ×)")
        if case == "mirrored":
            text += f"; copied {100 * middle(samples, case, 'fixed', 'copied'):.2f} %, flat out {100 * middle(samples, case, 'flat out', 'copied'):.1f} %"
        failed = sum(r[case][k]["failed"] for r in samples if case in r for k in r[case])
        yield text + (f"; {failed} requests failed" if failed else "")


def report(t, mirrord, rounds, seconds):
    """Text lines and data; the cases of a round follow each other."""
    need("nginx", "h2load", "curl")
    write(f"{RUN}/hello", "hello")
    services = [Service("mirror-target", t.target, nginx("plain", PLAIN.format(port=f"{HOST}:{PORT}")), "server").wait_for_port(PORT),
                Service("mirror-peer", t.target, nginx("peer", MIRRORING.format(run=RUN, port=f"{HOST}:{PEER_PORT}", copy=COPY_PORT)), "server").wait_for_port(PEER_PORT)]
    samples, problems = [], {}
    for _ in range(rounds):
        samples.append({})
        for case in CASES:
            try:
                samples[-1][case] = one_case(t, mirrord, case, seconds)
            except (Problem, subprocess.TimeoutExpired) as p:
                problems[case] = str(p)
    for s in services:
        s.process.terminate()
        s.process.wait()
        Service.all.remove(s)
    lines = list(lines_of(samples)) if any("alone" in r for r in samples) else []
    return lines + [f"{case}: {why}" for case, why in problems.items()], {"samples": samples, "problems": problems}

# SPDX-License-Identifier: MIT
"""What makes a network namespace one of a mesh's pods: the rules that each mesh's own program writes there, by iptables, and a sidecar. That is ours:
instead of encryption it changes the case of letters, so it shows on which side of it something was seen."""

# Listens where the rules lead inbound and outbound, and goes on to the original destination as its mesh's sidecar does.
SIDECAR = """
import os, socket, struct, sys, threading
uid, inbound, outbound, how = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
def original(c):
    if c.family == socket.AF_INET6 and not c.getpeername()[0].startswith("::ffff:"):
        raw = c.getsockopt(41, 80, 28)
        return socket.inet_ntop(socket.AF_INET6, raw[8:24]), struct.unpack("!H", raw[2:4])[0]
    raw = c.getsockopt(0, 80, 16)
    return socket.inet_ntoa(raw[4:8]), struct.unpack("!H", raw[2:4])[0]
def pump(a, b, change):
    try:
        while data := a.recv(65536): b.sendall(data.swapcase() if change else data)
        b.shutdown(socket.SHUT_WR)
    except OSError: pass
def serve(c, incoming):
    to, peer = original(c), c.getpeername()[0].removeprefix("::ffff:")
    six = ":" in to[0]
    u = socket.socket(socket.AF_INET6 if six else socket.AF_INET)
    try:
        if incoming and how == "own_address": u.bind(("::6" if six else "127.0.0.6", 0))
        if incoming and how == "client_address":
            u.setsockopt(socket.SOL_SOCKET, 36, 0x539)
            u.setsockopt(41 if six else 0, 75 if six else 19, 1)
            u.bind((peer, 0))
        elif how == "client_address": u.setsockopt(socket.SOL_SOCKET, 36, 0x539)
        u.connect(to)
    except OSError as e:
        print(e, file=sys.stderr, flush=True)
        c.close()
        return
    t = threading.Thread(target=pump, args=(c, u, incoming), daemon=True)
    t.start()
    pump(u, c, incoming)
    t.join(5)
    c.close(); u.close()
def accept(s, incoming):
    while True: threading.Thread(target=serve, args=(s.accept()[0], incoming), daemon=True).start()
servers = [(socket.create_server(("::", p), family=socket.AF_INET6, dualstack_ipv6=True), p == inbound) for p in (inbound, outbound)]
if uid:
    os.setgid(uid); os.setuid(uid)
for s in servers: threading.Thread(target=accept, args=s, daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"""


def istio(prefix, uid, skip, lo, own):
    """Istio's, and Kuma's, whose rules come from them."""
    inbound, outbound, redirect, in_redirect = (f"{prefix}_{x}" for x in ("INBOUND", "OUTPUT", "REDIRECT", "IN_REDIRECT"))
    rules = [f"-N {c}" for c in (inbound, outbound, redirect, in_redirect)]
    rules += [f"-A PREROUTING -p tcp -j {inbound}", f"-A OUTPUT -p tcp -j {outbound}"]
    rules += [f"-A {inbound} -p tcp --dport {p} -j RETURN" for p in skip]
    rules += [f"-A {inbound} -p tcp -j {in_redirect}", f"-A {in_redirect} -p tcp -j REDIRECT --to-ports 15006", f"-A {redirect} -p tcp -j REDIRECT --to-ports 15001"]
    rules += [f"-A {outbound} -s {own} -o lo -j RETURN"]
    for kind in ("uid", "gid"):
        rules += [f"-A {outbound} ! -d {lo} -o lo -p tcp ! --dport 15008 -m owner --{kind}-owner {uid} -j {in_redirect}",
                  f"-A {outbound} -o lo -m owner ! --{kind}-owner {uid} -j RETURN", f"-A {outbound} -m owner --{kind}-owner {uid} -j RETURN"]
    return {"nat": [*rules, f"-A {outbound} -d {lo} -j RETURN", f"-A {outbound} -j {redirect}"]}


def linkerd(skip):
    return {"nat": ["-N PROXY_INIT_REDIRECT", "-N PROXY_INIT_OUTPUT", "-A PREROUTING -j PROXY_INIT_REDIRECT", "-A OUTPUT -j PROXY_INIT_OUTPUT",
                    f"-A PROXY_INIT_REDIRECT -p tcp --match multiport --dports 4190,4191,{','.join(map(str, skip))} -j RETURN",
                    "-A PROXY_INIT_REDIRECT -p tcp -j REDIRECT --to-port 4143", "-A PROXY_INIT_OUTPUT -m owner --uid-owner 2102 -j RETURN",
                    "-A PROXY_INIT_OUTPUT -o lo -j RETURN", "-A PROXY_INIT_OUTPUT -p tcp -j REDIRECT --to-port 4140"]}


def ambient(probe, lo):
    """What istio-cni writes into a pod for ztunnel, whose sockets are in the pod and marked."""
    return {"mangle": ["-N ISTIO_PRERT", "-N ISTIO_OUTPUT", "-A PREROUTING -j ISTIO_PRERT", "-A OUTPUT -j ISTIO_OUTPUT",
                       "-A ISTIO_OUTPUT -m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff",
                       "-A ISTIO_PRERT -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff"],
            "nat": ["-N ISTIO_PRERT", "-N ISTIO_OUTPUT", "-A PREROUTING -j ISTIO_PRERT", "-A OUTPUT -j ISTIO_OUTPUT",
                    f"-A ISTIO_OUTPUT -d {probe} -p tcp -j ACCEPT", "-A ISTIO_OUTPUT -p tcp -m mark --mark 0x111/0xfff -j ACCEPT",
                    f"-A ISTIO_OUTPUT ! -d {lo} -o lo -j ACCEPT", f"-A ISTIO_OUTPUT ! -d {lo} -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001",
                    f"-A ISTIO_PRERT -s {probe} -p tcp -j ACCEPT",
                    f"-A ISTIO_PRERT ! -d {lo} -p tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15006"]}


V4, V6 = ("127.0.0.1/32", "127.0.0.6/32"), ("::1/128", "::6/128")
SKIPPED = 21001
# name: (rules for IPv4, for IPv6, arguments of the sidecar, a port that is left out)
MESHES = {
    "istio": (istio("ISTIO", 1337, (15008, 15090, 15021, 15020, SKIPPED), *V4), istio("ISTIO", 1337, (15008, 15090, 15021, 15020, SKIPPED), *V6),
              (1337, 15006, 15001, "own_address"), SKIPPED),
    "istio_ambient": (ambient("169.254.7.127/32", V4[0]), ambient("fd16:9254:7127:1337:ffff:ffff:ffff:ffff/128", V6[0]), (0, 15006, 15001, "client_address"), None),
    "linkerd": (linkerd((4567, SKIPPED)), linkerd((4567, SKIPPED)), (2102, 4143, 4140, "pod_address"), SKIPPED),
    "kuma": (istio("KUMA_MESH", 5678, (SKIPPED,), *V4), istio("KUMA_MESH", 5678, (SKIPPED,), *V6), (5678, 15006, 15001, "own_address"), SKIPPED),
}


def restore(rules):
    """As iptables-restore reads them."""
    return "".join(f"*{table}\n" + "\n".join(lines) + "\nCOMMIT\n" for table, lines in rules.items())

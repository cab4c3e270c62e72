# SPDX-License-Identifier: MIT
"""The cluster's addresses, names and ports: read by the servers, by the probes and by the tests.

        host ── uplink0                     pod2 ── eth0 ┐
         │ 192.0.2.10                  pod ── eth0 ──────┤ router ── services    (10.0.20.0/24, 10.96.0.10)
         │                             10.244.1.7        │        ── slow cable (400 ms) ── services (10.0.22.5)
       outside (198.51.100.7) ───────────────────────────┘        ── cable (10 ms) ── edge: routes that lead nowhere (10.0.30.0/24 …)

An ICMP error from a router on the same machine arrives while connect() still holds the socket, which Linux then treats otherwise than
in real life ("soft", until the SYN is sent again). So the places that don't exist are behind a cable that takes its time.

What the program under test should see is "pod"'s. "host" is where `mirrord exec` is called.
"""

# name: (IPv4, IPv6)
HOSTS = {
    "pod": ("10.244.1.7", "fd00:244:1::7"),
    "pod_gateway": ("10.244.1.1", "fd00:244:1::1"),
    "pod_neighbour": ("10.244.1.99", "fd00:244:1::99"),  # nobody answers there
    "pod2": ("10.244.2.8", "fd00:244:2::8"),
    "calico": ("10.244.3.9", None),  # a pod as Calico and GKE make them: a /32, a gateway that is on no network, no IPv6
    "multus": ("10.244.4.10", "fd00:244:4::10"),  # a pod with two interfaces and several addresses
    "multus_second": ("10.244.4.11", None),
    "multus_net1": ("10.99.0.10", "fd00:99::10"),
    "storage": ("10.99.0.5", "fd00:99::5"),  # reached by multus' second interface
    "payment": ("10.0.20.5", "fd00:20::5"),
    "stranger": ("10.0.20.6", "fd00:20::6"),  # another address of the same machine
    "narrow": ("10.0.26.5", "fd00:26::5"),  # yet another; the way there takes packets of 1300 bytes
    "services_gateway": ("10.0.20.1", "fd00:20::1"),
    "absent": ("10.0.25.99", "fd00:25::99"),  # the edge asks for its MAC address in vain
    "dns": ("10.96.0.10", "fd00:96::10"),
    "slow": ("10.0.22.5", "fd00:22::5"),
    "outside": ("198.51.100.7", "2001:db8:51::7"),
    "host": ("192.0.2.10", "2001:db8:2::10"),
    "far": ("10.0.23.5", "fd00:23::5"),  # the edge itself
    "near_unreachable": ("10.0.36.5", "fd00:36::5"),  # by the first router's routes
    # Places that don't exist: by the edge's routes …
    "unreachable": ("10.0.30.5", "fd00:30::5"),
    "prohibited": ("10.0.31.5", "fd00:31::5"),
    "blackhole": ("10.0.32.5", "fd00:32::5"),
    "no_route": ("10.0.33.5", "fd00:33::5"),
    # … and by the pod's own.
    "pod_unreachable": ("10.0.40.5", "fd00:40::5"),
    "pod_prohibited": ("10.0.41.5", "fd00:41::5"),
    "pod_blackhole": ("10.0.42.5", "fd00:42::5"),
    "pod_throw": ("10.0.43.5", "fd00:43::5"),
}

SLOW_SECONDS, FAR_SECONDS = 0.4, 0.01  # round trips to "slow" and to what is behind the edge

# TCP on payment, stranger and slow
ECHO, HELLO, PEER, SUM, SOURCE, RESET_AT_ONCE, RESET_AFTER_DATA = 7, 13, 8080, 8084, 8085, 8081, 8082
HALF_CLOSE, NEVER_READ, RECORD, CLOSE_UNREAD, OUT_OF_BAND, FULL, LATE_ACCEPT, IDLE = 8083, 8086, 8087, 8088, 8089, 8090, 8091, 8092
SPEAK_AFTER_EOF, LOSE_FIRST_SYN, REFUSED, CLOSE_AT_ONCE, ANSWER_EARLY = 8093, 8094, 81, 8095, 8096
HTTP = 80
# On far, answered by the packet filter: (name of the reject type for IPv4, for IPv6)
REJECTED = {
    9001: ("net-unreachable", "no-route"),
    9002: ("host-unreachable", "addr-unreachable"),
    9003: ("prot-unreachable", None),
    9004: ("port-unreachable", "port-unreachable"),
    9005: ("net-prohibited", None),
    9006: ("host-prohibited", None),
    9007: ("admin-prohibited", "admin-prohibited"),
    9008: ("tcp reset", "tcp reset"),
    9009: ("drop", "drop"),
}
# UDP on payment, stranger and slow
UDP_ECHO, UDP_PEER, UDP_OTHER_ADDRESS, UDP_SINK, UDP_MANY, UDP_MARKS, UDP_LATER, UDP_OTHER_PORT = 7, 8080, 8081, 8082, 8083, 8084, 8085, 8086
UDP_PEERS = range(8100, 8110)  # all like UDP_PEER

# On the pod's own loopback, TCP and UDP. Each server says which one it is.
POD_LOOPBACK, POD_LOOPBACK6, POD_ADDRESS, POD_ANY, POD_OTHER_LOOPBACK = 6001, 6002, 6003, 6004, 6005
POD_HTTP = 9090  # a sidecar on 127.0.0.1
POD_SUM, POD_SOURCE, POD_HALF, POD_RESET, POD_RECORD = 6084, 6085, 6083, 6081, 6087

SEARCH = ["shop.svc.cluster.test", "svc.cluster.test", "cluster.test"]
POD_HOSTNAME = "shop-7d9f4c-x2x7k"

# name: (IPv4 list, IPv6 list); given to the cluster's name server
NAMES = {
    "payment.shop.svc.cluster.test": (["10.0.20.5"], ["fd00:20::5"]),
    "stranger.shop.svc.cluster.test": (["10.0.20.6"], ["fd00:20::6"]),
    "only4.shop.svc.cluster.test": (["10.0.20.5"], []),
    "only6.shop.svc.cluster.test": ([], ["fd00:20::5"]),
    "db.data.svc.cluster.test": (["10.0.20.6"], []),
    "both.cluster.test": (["10.0.20.5", "10.0.20.6"], ["fd00:20::5", "fd00:20::6"]),
    "eyeballs.cluster.test": (["10.0.20.5"], ["fd00:32::5"]),  # the IPv6 address swallows packets
    "refused6.cluster.test": (["10.0.20.5"], ["fd00:30::5"]),
    "api.example.test": (["198.51.100.7"], ["2001:db8:51::7"]),
    "many.cluster.test": ([f"10.9.{i // 250}.{i % 250 + 1}" for i in range(45)], []),  # over 512 bytes
    "crowd.cluster.test": ([f"10.10.{i // 250}.{i % 250 + 1}" for i in range(300)], []),  # over 4096 bytes
}


def address(name, family):
    """The address of @name for @family 4 or 6."""
    return HOSTS[name][0 if family == 4 else 1]

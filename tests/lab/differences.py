# SPDX-License-Identifier: MIT
"""The one list of what a program in the twin sees otherwise than in the target, with the reason.

A row: probe (a glob), where in its record (a glob), why. Nothing else is forgiven.
"""

from fnmatch import fnmatchcase

NEAR = "an ICMP error that arrives while connect() holds the socket waits for the second SYN; in the twin it is told at once"

KNOWN = [
    ("exec", "status.Seccomp*", "a seccomp filter tells the session when the last process is gone; it lets every call through"),
    ("interface_mtu", "*", "nothing leaves the twin as packets on a wire: large ones only save work"),
    ("udp_path_mtu_probe", "program[[]1[89]:*", "IP_PMTUDISC_PROBE asks the interface alone; what is too long for the target's is lost, and EMSGSIZE comes later"),
    ("udp_path_mtu_probe", "program[[]20:*", "the same"),
    ("routes", "*", "all routes of the twin lead to the relay namespace; destinations and source addresses are the target's"),
    ("route_get", "*[[]*: to *", "the same"),
    ("sysctls", "*ping_group_range*", "ping sockets are for everybody in the twin: a user namespace of one user can't name the target's groups"),
    ("multus_view", "program[[]*: interfaces*", "the twin has one interface, eth0, with all of the target's addresses and destinations"),
    ("connect_unreachable_near", "program[[]*: *took*", NEAR),
    ("connect_unreachable_near", "program[[]*: SO_ERROR*", NEAR),
    ("connect_unreachable_near", "program[[]*: poll*", NEAR),
]


def is_known(probe, difference):
    return any(fnmatchcase(probe, row[0]) and fnmatchcase(difference[0], row[1]) for row in KNOWN)

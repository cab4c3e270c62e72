# SPDX-License-Identifier: MIT
"""The few Linux calls that Python 3.9 to 3.13 lacks: namespaces, mounts, capabilities, death signals."""

import ctypes
import fcntl
import os
import signal
import socket
import struct

_libc = ctypes.CDLL(None, use_errno=True)

NEWNS, NEWUTS, NEWIPC = 0x00020000, 0x04000000, 0x08000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_SLAVE, MS_PRIVATE, MS_SHARED = 2, 4, 8, 4096, 16384, 1 << 19, 1 << 18, 1 << 20


def _check(result, what):
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


def unshare(flags):
    _check(_libc.unshare(flags), "unshare")


def setns(fd, kind):
    _check(_libc.setns(fd, kind), "setns")


def mount(source, target, fstype=None, flags=0, data=None):
    encode = lambda s: s.encode() if s is not None else None
    _check(_libc.mount(encode(source), encode(target), encode(fstype), ctypes.c_ulong(flags), encode(data)),
           f"mount {source} on {target}")


def umount(target):
    _check(_libc.umount2(target.encode(), 2), f"umount {target}")


def die_with_parent():
    _libc.prctl(1, signal.SIGKILL, 0, 0, 0)


def become_subreaper():
    _check(_libc.prctl(36, 1, 0, 0, 0), "prctl")


def set_name(name):
    """What /proc/PID/comm shows."""
    _libc.prctl(15, name.encode()[:15], 0, 0, 0)


def keep_capabilities_over_exec():
    """Raises every permitted capability into the ambient set: programs that are run next have them, whatever their uid."""
    header = struct.pack("II", 0x20080522, 0)
    data = ctypes.create_string_buffer(24)
    _check(_libc.capget(header, data), "capget")
    eff0, perm0, _, eff1, perm1, _ = struct.unpack("6I", data.raw)
    _check(_libc.capset(header, struct.pack("6I", perm0, perm0, perm0, perm1, perm1, perm1)), "capset")
    for cap in range(64):
        if (perm1 << 32 | perm0) >> cap & 1:
            _libc.prctl(47, 2, cap, 0, 0)


def map_ids(inside, uid, gid):
    """Maps the one @uid and @gid to @inside, a pair, in the new user namespace that this process is in."""
    with open("/proc/self/setgroups", "w") as f:
        f.write("deny")
    for kind, there, here in (("uid", inside[0], uid), ("gid", inside[1], gid)):
        with open(f"/proc/self/{kind}_map", "w") as f:
            f.write(f"{there} {here} 1")


def link_up(name):
    """Sets an interface of the calling process's network namespace up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = struct.pack("16sH14x", name.encode(), 0)
        flags, = struct.unpack_from("H", fcntl.ioctl(s, 0x8913, request), 16)
        fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", name.encode(), flags | 1))


def comm(pid):
    try:
        with open(f"/proc/{pid}/comm") as f:
            return f.read().strip()
    except OSError:
        return ""


def process_state(pid):
    """The letter of /proc/PID/stat ("R", "S", "T", "Z"…); "" when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def make_dumpable():
    """After a change of user /proc/self belongs to root, until this."""
    _libc.prctl(4, 1, 0, 0, 0)


def no_new_privileges():
    _libc.prctl(38, 1, 0, 0, 0)


def personality(value):
    return _libc.personality(ctypes.c_ulong(value))

# SPDX-License-Identifier: MIT
"""The resolver's files as hosts have them in real life: links, none at all, local resolvers' sockets. The program sees the target's."""

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import threading

from labkit import linux
from labkit.registry import PROMPT, expect, expect_in, test

LOOKUP = ["/bin/sh", "-c", "getent ahostsv4 payment | head -n 1; head -n 1 /etc/resolv.conf; grep -c from-hosts-file /etc/hosts"]
SEEN = ["10.0.20.5", "search shop.svc.cluster.test", "2"]


@contextlib.contextmanager
def own_etc(*without):
    """The host gets another /etc for a while, a copy without some files. (A file that is removed loses what other mount namespaces, the
    target's, have mounted on it.)"""
    linux.mount("tmpfs", "/mnt", "tmpfs", 0, "mode=755")
    subprocess.run(["cp", "-a", "/etc/.", "/mnt"], stderr=subprocess.DEVNULL)
    linux.mount("/mnt", "/etc", None, linux.MS_BIND)
    linux.umount("/mnt")
    for name in without:
        if os.path.lexists("/etc/" + name):
            os.unlink("/etc/" + name)
    try:
        yield
    finally:
        linux.umount("/etc")


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o644)


def check(lab):
    done = lab.mirrord(LOOKUP)
    lines = done.out.splitlines() + ["", "", ""]
    detail = str(done) + lab.log()
    expect("status, stderr", (done.status, done.err), (0, ""), detail)
    expect_in("the address", lines[0], SEEN[0], detail)
    expect_in("resolv.conf", lines[1], SEEN[1], detail)
    expect("lines of the target's hosts", lines[2], SEEN[2], detail)


def variant(name, *files):
    def add(function):
        @test("host_files." + name)
        def run(lab):
            with own_etc(*files):
                function()
                before = [open(f"/etc/{f}").read() if os.path.exists(f"/etc/{f}") else None for f in files]
                check(lab)
                expect("the host's own files", [open(f"/etc/{f}").read() if os.path.exists(f"/etc/{f}") else None for f in files], before)
        return function
    return add


@variant("resolv_conf_is_a_link", "resolv.conf")
def link():
    """As systemd-resolved has it."""
    write("/tmp/lab/resolve/stub-resolv.conf", "nameserver 127.0.0.53\noptions edns0 trust-ad\n")
    os.symlink("/tmp/lab/resolve/stub-resolv.conf", "/etc/resolv.conf")


@variant("resolv_conf_is_a_relative_link", "resolv.conf")
def relative_link():
    write("/tmp/lab/resolve/stub-resolv.conf", "nameserver 127.0.0.53\n")
    os.symlink("../tmp/lab/resolve/stub-resolv.conf", "/etc/resolv.conf")


@variant("resolv_conf_is_a_dangling_link", "resolv.conf")
def dangling():
    os.symlink("/tmp/lab/resolve/not-there", "/etc/resolv.conf")


@variant("no_resolv_conf", "resolv.conf")
def none():
    pass


@variant("no_hosts_no_hostname", "hosts", "hostname")
def no_hosts():
    pass


@variant("no_nsswitch_conf", "nsswitch.conf")
def no_nsswitch():
    """glibc's own default then is "files dns" or asks resolve first."""


@variant("nsswitch_asks_systemd_resolved", "nsswitch.conf")
def nsswitch_resolve():
    write("/etc/nsswitch.conf", "passwd: files systemd\nhosts: mymachines resolve [!UNAVAIL=return] files myhostname dns\n")


def note_questions(server, kinds):
    """Answers nothing, and hangs up. nscd's questions begin with a version and a kind; others' kind is None."""
    while True:
        try:
            s, _ = server.accept()
        except OSError:
            return
        with s:
            s.settimeout(2)
            kinds.append(struct.unpack("ii", s.recv(8))[1] if "nscd" in server.getsockname() else None)


@test("host_files.sockets_of_local_resolvers")
def resolvers_sockets(lab):
    """A name service cache on the host would answer with the host's names: the program can't reach it. (mirrord itself may ask it who the user is.)"""
    paths = ["/run/nscd/socket", "/run/systemd/resolve/io.systemd.Resolve"]
    users = (0, 1, 2, 3, 11, 12, 15)  # GETPWBYNAME … GETGRBYGID, the tables of both, and INITGROUPS, in glibc's nscd-client.h
    servers, kinds = [], []
    for path in paths:
        os.makedirs(os.path.dirname(path))
        s = socket.socket(socket.AF_UNIX)
        s.bind(path)
        s.listen()
        os.chmod(path, 0o666)
        threading.Thread(target=note_questions, args=(s, kinds), daemon=True).start()
        servers.append(s)
    try:
        check(lab)
        done = lab.mirrord(["/usr/bin/python3", "-S", "-E", "-c", f"""
import errno, socket
for path in {paths!r}:
    s = socket.socket(socket.AF_UNIX)
    print(errno.errorcode.get(s.connect_ex(path), 'connected'))
"""])
        expect("connections to them", [w for w in done.out.split() if w == "connected"], [], str(done))
        expect("kinds of questions", [k for k in kinds if k not in users], [])
    finally:
        for s in servers:
            s.shutdown(socket.SHUT_RDWR)
            s.close()
        shutil.rmtree("/run/nscd")
        shutil.rmtree("/run/systemd")


@test("host_files.others_stay_the_hosts")
def others(lab):
    """passwd, nsswitch's other lines, and what the program writes to /etc's other files are the host's."""
    done = lab.mirrord(["/bin/sh", "-c", "grep -c . /etc/passwd; grep ^passwd /etc/nsswitch.conf; stat -c %i /etc/passwd"])
    plain = lab.run(["/bin/sh", "-c", "grep -c . /etc/passwd; grep ^passwd /etc/nsswitch.conf; stat -c %i /etc/passwd"])
    expect("what stays", (done.status, done.out), (0, plain.out), str(done))


@test("host_files.target_without_resolv_conf")
def target_without(lab):
    """A target with an empty /etc/resolv.conf: no name server but the default, the target's own localhost (resolv.conf(5))."""
    lab.cluster.pod2.write("/etc/resolv.conf", "")
    try:
        done = lab.mirrord(["/bin/sh", "-c", "cat /etc/resolv.conf; getent hosts payment; echo $?"], target=lab.target2)
        expect("output", done.out, "2\n", str(done) + lab.log())
    finally:
        lab.cluster.pod2.run(["umount", "/etc/resolv.conf"])


NAMES = ("resolv.conf", "hosts", "hostname", "nsswitch.conf")
WATCHER = r"""
while read -r path; do cat "$path"; echo; echo .; done
"""


class Reader:
    """A program under mirrord that reads files when it is told to."""

    def __init__(self, lab, before=()):
        """@before: words that the command line begins with."""
        lab.forget_log()
        self.p = lab.start([*before, *lab.command(["/bin/sh", "-c", WATCHER])], stdin=subprocess.PIPE)

    def read(self, path):
        self.p.stdin.write(path + "\n")
        self.p.stdin.flush()
        lines = []
        while (line := self.p.stdout.readline()) not in (".\n", ""):
            lines.append(line)
        return "".join(lines)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.communicate(timeout=PROMPT)


def replace(path, text):
    write(path + ".new", text)
    os.rename(path + ".new", path)


def stays(lab, paths, change, times=1, before=()):
    """The program reads the target's files, also after @change of the host's; and the host keeps what it wrote."""
    with Reader(lab, before) as reader:
        own = {path: reader.read(path) for path in paths}
        for _ in range(times):
            change()
            for path in paths:
                lab.wait_for(f"the target's {path}", lambda path=path: reader.read(path) == own[path])
        for path in paths:
            expect(f"{path} is not the host's", own[path] != open(path).read() + "\n", True)


@test("host_files.replaced")
def replaced(lab):
    """By rename(2), as NetworkManager, systemd-resolved, dhclient and package managers do: again and again."""
    with own_etc():
        def change():
            for name in NAMES:
                replace("/etc/" + name, "nameserver 192.0.2.1\nhosts: myhostname\n")
        stays(lab, ["/etc/" + name for name in NAMES], change, 5)


@test("host_files.moved_away_and_made_anew")
def moved_away(lab):
    with own_etc():
        def change():
            os.rename("/etc/resolv.conf", "/etc/resolv.conf.bak")
            write("/etc/resolv.conf", "nameserver 192.0.2.1\n")
        stays(lab, ["/etc/resolv.conf"], change, 3)


@test("host_files.moved_away_and_back")
def moved_back(lab):
    with own_etc():
        def change():
            os.rename("/etc/resolv.conf", "/etc/resolv.conf.bak")
            os.rename("/etc/resolv.conf.bak", "/etc/resolv.conf")
        stays(lab, ["/etc/resolv.conf"], change, 3)


@test("host_files.removed_and_made_anew")
def removed(lab):
    with own_etc():
        def change():
            os.unlink("/etc/resolv.conf")
            write("/etc/resolv.conf", "nameserver 192.0.2.1\n")
        stays(lab, ["/etc/resolv.conf"], change, 3)


@test("host_files.link_replaced")
def link_replaced(lab):
    """The file behind the link, its directory, and the link itself."""
    with own_etc("resolv.conf"):
        link()

        def behind():
            replace("/tmp/lab/resolve/stub-resolv.conf", "nameserver 192.0.2.1\n")

        def directory():
            shutil.rmtree("/tmp/lab/resolve")
            write("/tmp/lab/resolve/stub-resolv.conf", "nameserver 192.0.2.2\n")

        def itself():
            write("/tmp/lab/elsewhere/resolv.conf", "nameserver 192.0.2.3\n")
            os.symlink("/tmp/lab/elsewhere/resolv.conf", "/etc/resolv.conf.new")
            os.rename("/etc/resolv.conf.new", "/etc/resolv.conf")

        def link_to_file():
            replace("/etc/resolv.conf", "nameserver 192.0.2.4\n")
        for change in (behind, directory, itself, link_to_file):
            stays(lab, ["/etc/resolv.conf"], change)

        def all_after_another():
            os.unlink("/etc/resolv.conf")
            link()
            directory()
            behind()
            itself()
        stays(lab, ["/etc/resolv.conf"], all_after_another)


@test("host_files.written_in_place")
def written(lab):
    """Nothing moves, and nothing is to be put back."""
    with own_etc():
        stays(lab, ["/etc/resolv.conf"], lambda: write("/etc/resolv.conf", "nameserver 192.0.2.1\n"))


@test("host_files.resolver_comes_later")
def resolver_later(lab):
    """A name service cache that is started, and started anew, while the program runs."""
    with Reader(lab) as reader:
        try:
            for _ in range(2):
                os.makedirs("/run/nscd")
                write("/run/nscd/socket", "the host's\n")
                lab.wait_for("nothing in /run/nscd", lambda: reader.read("/run/nscd/socket") == "\n")
                shutil.rmtree("/run/nscd")
        finally:
            shutil.rmtree("/run/nscd", ignore_errors=True)


@test("host_files.no_watch_to_be_had", needs=("deny",))
def no_watch(lab):
    """inotify(7) has limits; then the files are looked at every second."""
    with own_etc():
        stays(lab, ["/etc/resolv.conf"], lambda: replace("/etc/resolv.conf", "nameserver 192.0.2.1\n"), 2,
              ["/tmp/lab/bin/deny", "inotify_init1=24", "--"])

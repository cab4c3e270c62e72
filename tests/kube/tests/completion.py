# SPDX-License-Identifier: MIT
"""The TAB key, in the shells that we bring a completion for."""

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time

from labkit.registry import PROMPT, Failure, expect, test

from kubekit.cluster import HERE

PACKAGING = os.path.realpath(os.path.join(HERE, "..", "..", "packaging"))
# How each is started without the user's own set-up, and what it is told before the first line. @ is the folder of the completions.
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source @/completion.bash"),
    "zsh": (["zsh", "-f", "-i"], "fpath=(~ $fpath); ln -sf @/completion.zsh _mirrord; autoload -Uz compinit; compinit -u -D; unsetopt beep"),
    "fish": (["fish", "--no-config", "-i"], "source @/completion.fish"),
}
# What is typed, TAB behind it, and what the line is then.
LINES = (("mirrord exe", "mirrord exec"), ("mirrord exec --stea", "mirrord exec --steal"), ("mirrord exec -t dep", "mirrord exec -t deployment/"),
         ("mirrord exec -t deployment/w", "mirrord exec -t deployment/web"),
         ("mirrord exec -n guarded --target deployment/", "mirrord exec -n guarded --target deployment/guarded"))
ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\a\x1b]*(\a|\x1b\\)|[()][A-Z0-9]|[=>78])|\r|\a")


class Terminal:
    """A shell that somebody types into."""

    def __init__(self, kit, name):
        argv, begin = SHELLS[name]
        place = f"{kit.cluster.state}/{name}"
        os.makedirs(place, exist_ok=True)
        self.screen, tty = pty.openpty()
        variables = {"PATH": f"{os.path.dirname(kit.program)}:{os.environ['PATH']}", "HOME": place, "TERM": "xterm", "COLUMNS": "200"}
        self.process = subprocess.Popen(argv, stdin=tty, stdout=tty, stderr=tty, cwd=place, env=kit.environment(**variables), start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(tty)
        self.text = ""
        self.enter(begin.replace("@", PACKAGING))

    def type(self, keys):
        os.write(self.screen, keys.encode())

    def enter(self, line):
        """A line, until it is done."""
        self.type(f"{line}\necho do''ne\n")
        self.wait_line("done", "done")

    def wait_line(self, begin, what):
        """The first line that begins so."""
        until = time.monotonic() + PROMPT
        while not (found := re.search(f"^{re.escape(begin)}.*(?=\n)", self.text, re.M)):
            if not select.select([self.screen], [], [], max(0, until - time.monotonic()))[0]:
                raise Failure(what, self.text)
            self.text += ESCAPES.sub("", os.read(self.screen, 65536).decode(errors="replace"))
        self.text = ""
        return found[0]

    def complete(self, words):
        """What TAB makes of them: ^A and an echo before it show that."""
        self.type(f"{words}\t\x01echo ':\x05'\n")
        return self.wait_line(":mirrord", f"{words} completed")[1:].rstrip()

    def end(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.screen)


@test("targets.completion", timeout=120)
def completion(kit):
    """Commands, options, kinds of targets, and those that the cluster has, by the namespace that is on the line already."""
    for shell in SHELLS:
        terminal = Terminal(kit, shell)
        try:
            for words, line in LINES:
                expect(f"{shell}: {words}", terminal.complete(words), line)
        finally:
            terminal.end()

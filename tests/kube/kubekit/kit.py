# SPDX-License-Identifier: MIT
"""What a test has at hand: the cluster, the pods that are in it for all tests (conf/shop.yaml), and `mirrord`."""

import json
import os
import re
import signal
import subprocess
import time

from labkit.registry import PATIENCE, PROMPT, Failure

from .cluster import HERE, Trouble


class Done:
    """A program's end. @status is None when it had to be killed after its time."""

    def __init__(self, status, out, err, seconds):
        self.status, self.out, self.err, self.seconds = status, out, err, seconds

    def __str__(self):
        return f"status {self.status} after {self.seconds:.2f} s\nstdout: {self.out[-3000:]}\nstderr: {self.err[-3000:]}"


class Kit:
    def __init__(self, cluster, build, image):
        self.cluster, self.image = cluster, image
        self.program = os.path.join(build, "mirrord")
        self.log = f"{cluster.state}/session.log"

    # The cluster

    def prepare(self):
        with open(f"{HERE}/conf/shop.yaml") as f:
            self.cluster.apply(f.read())
        for deployment in ("web", "guarded"):
            namespace = "guarded" if deployment == "guarded" else "default"
            self.cluster.kubectl("-n", namespace, "rollout", "status", f"deployment/{deployment}", "--timeout=120s")
        self.cluster.kubectl("wait", "--for=condition=Ready", "pod/client", "pod/shell", "pod/echo", "--timeout=120s")

    def kubectl(self, *arguments, **more):
        try:
            return self.cluster.kubectl(*arguments, **more)
        except Trouble as e:
            raise Failure("kubectl " + " ".join(arguments), str(e)) from None

    def get(self, *arguments):
        return json.loads(self.kubectl("get", "-o", "json", *arguments))

    def pods(self, selector, namespace="default"):
        return self.get("-n", namespace, "pods", "-l", selector)["items"]

    def pod_address(self, name, namespace="default"):
        return self.get("-n", namespace, "pod", name)["status"]["podIP"]

    def in_pod(self, pod, script, *options, **more):
        """What a bash script in the pod prints."""
        return self.kubectl("exec", "-i", *options, pod, "--", "bash", "-euo", "pipefail", "-c", script, **more)

    def wait_for(self, what, condition, seconds=30):
        """Polls until @condition() is true, and returns what it was. Raises Failure."""
        end = time.monotonic() + seconds * PATIENCE
        while not (value := condition()):
            if time.monotonic() > end:
                raise Failure(what, f"not within {seconds * PATIENCE} s")
            time.sleep(0.05)
        return value

    # The product

    @staticmethod
    def version():
        with open(os.path.join(HERE, "..", "..", "meson.build")) as f:
            return re.search(r"version : '(.*?)'", f.read())[1]

    def environment(self, kubeconfig=None, **more):
        return self.cluster.environment(kubeconfig) | {"MIRRORD_LOG": "debug", **more}

    def command(self, argv, target, options=()):
        return [self.program, "exec", "-t", target, "--log-file", self.log, *options, "--", *argv]

    def start_mirrord(self, argv, target, options=(), kubeconfig=None, **more):
        if os.path.exists(self.log):
            os.unlink(self.log)
        settings = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="backslashreplace",
                        start_new_session=True, env=self.environment(kubeconfig), cwd=self.cluster.state)
        settings.update(more)
        return subprocess.Popen(self.command(argv, target, options), **settings)

    def mirrord(self, argv, target, options=(), timeout=2 * PROMPT, **more):
        began = time.monotonic()
        p = self.start_mirrord(argv, target, options, **more)
        try:
            out, err = p.communicate(timeout=timeout)
            status = p.returncode
        except subprocess.TimeoutExpired:
            p.kill()
            out, err = p.communicate()
            status = None
        return Done(status, out, err, time.monotonic() - began)

    def session_log(self, lines=60):
        try:
            with open(self.log, errors="backslashreplace") as f:
                return "".join(f.readlines()[-lines:])
        except OSError:
            return "(no log)"

    # What is left

    def agents(self):
        """Pods of ours, and our containers that run in others' pods."""
        found = []
        for pod in self.get("pods", "--all-namespaces")["items"]:
            where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
            if pod["metadata"].get("labels", {}).get("app") == "mirrord":
                found.append(where)
            for status in pod["status"].get("ephemeralContainerStatuses", ()):
                if status["name"].startswith("mirrord") and "running" in status["state"]:
                    found.append(f"{where}: {status['name']}")
        for job in self.get("jobs", "--all-namespaces", "-l", "app=mirrord")["items"]:
            found.append(f"job {job['metadata']['name']}")
        return found

    def end_ours(self):
        """Kills what a failed test has left of `mirrord` on this machine: known by the kubeconfig in its environment."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as e, open(f"/proc/{pid}/exe", "rb"):
                    ours = self.cluster.state.encode() in e.read() and os.readlink(f"/proc/{pid}/exe") == self.program
                if ours:
                    os.kill(int(pid), signal.SIGKILL)
            except OSError:
                pass

    def wait_clean(self, seconds=30):
        try:
            self.wait_for("no agent left", lambda: not self.agents(), seconds)
        except Failure:
            raise Failure("no agent left", self.agents(), self.session_log()) from None

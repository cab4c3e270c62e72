# SPDX-License-Identifier: MIT
"""What a test has at hand: the cluster, the pods that are in it for all tests (conf/shop.yaml), and `mirrord`."""

import contextlib
import os
import re
import signal
import subprocess
import time

from labkit.registry import PATIENCE, PROMPT, Failure

from .api import Api, NoAnswer
from .cluster import HERE, Trouble, bracketed


WAIT = 90  # seconds, for what comes in the end: who waits for a condition loses nothing by patience


class Done:
    """A program's end. @status is None when it had to be killed after its time."""

    def __init__(self, status, out, err, seconds):
        self.status, self.out, self.err, self.seconds = status, out, err, seconds

    def __str__(self):
        return f"status {self.status} after {self.seconds:.2f} s\nstdout: {self.out[-3000:]}\nstderr: {self.err[-3000:]}"


class Kit:
    def __init__(self, cluster, build, image):
        self.cluster, self.image = cluster, image
        self.api = Api(cluster.address, cluster.authority, "admin")
        self.program = os.path.join(build, "mirrord")
        self.log = f"{cluster.state}/session.log"

    # The cluster

    def prepare(self):
        with open(f"{HERE}/conf/shop.yaml") as f:
            self.cluster.apply(f.read())
        self.wait_rollout("web")
        self.wait_rollout("guarded", "guarded")
        self.wait_ready("pod/client", "pod/shell", "pod/echo")
        self._await_network()

    def _await_network(self):
        """Until each node's proxy and the name server know of the pods: a pod that is ready is known to the API alone."""
        pods = self.pods("app=web")
        addresses = {p["status"]["podIP"] for p in pods}
        service = self.service_address("web")
        ask = f"for i in 1 2 3 4 5 6 7 8; do curl -fs --max-time 5 http://{bracketed(service)}/ || :; done"
        for node in self.cluster.nodes:
            self.wait_for(f"{node.name}'s way to the service", lambda: all(p["metadata"]["name"] in node.run("sh", "-c", ask) for p in pods))
        self.wait_for("the service's pods by name", lambda: addresses <= set(self.in_pod("client", "getent ahosts web-headless || :").split()))

    def kubectl(self, *arguments, **more):
        try:
            return self.cluster.kubectl(*arguments, **more)
        except Trouble as e:
            raise Failure("kubectl " + " ".join(arguments), str(e)) from None

    def get(self, kind, name="", namespace="default", selector=""):
        """As Api.get()."""
        try:
            return self.api.get(kind, name, namespace, selector)
        except NoAnswer as e:
            raise Failure(f"{kind} {name}{selector} of {namespace}", str(e)) from None

    def pods(self, selector, namespace="default"):
        return self.get("pod", namespace=namespace, selector=selector)["items"]

    def pod_address(self, name, namespace="default"):
        return self.get("pod", name, namespace)["status"]["podIP"]

    def service_address(self, name, namespace="default"):
        return self.get("service", name, namespace)["spec"]["clusterIP"]

    def pod_host(self, name, namespace="default"):
        """Its address as it stands in a URL."""
        return bracketed(self.pod_address(name, namespace))

    def in_pod(self, pod, script, *options, **more):
        """What a bash script in the pod prints."""
        return self.kubectl("exec", "-i", *options, pod, "--", "bash", "-euo", "pipefail", "-c", script, **more)

    def wait_for(self, what, condition, seconds=WAIT):
        """Polls until @condition() is true, and returns what it was. Raises Failure. Who has waited for long is asked less often."""
        began = time.monotonic()
        while not (value := condition()):
            past = time.monotonic() - began
            if past > seconds * PATIENCE:
                raise Failure(what, f"not within {seconds * PATIENCE} s")
            time.sleep(max(0.05, min(past / 10, 0.5)))
        return value

    def wait_condition(self, condition, *names, namespace="default"):
        self.kubectl("-n", namespace, "wait", f"--for={condition}", *names, f"--timeout={int(WAIT * PATIENCE)}s")

    def wait_ready(self, *names, namespace="default"):
        self.wait_condition("condition=Ready", *names, namespace=namespace)

    def wait_rollout(self, deployment, namespace="default"):
        self.kubectl("-n", namespace, "rollout", "status", f"deployment/{deployment}", f"--timeout={int(WAIT * PATIENCE)}s")

    @contextlib.contextmanager
    def namespace(self, name):
        """A namespace for one test, in which pods can be made: that needs an account that a controller makes."""
        self.kubectl("create", "namespace", name)
        try:
            self.wait_for("the namespace's account", lambda: self.kubectl("-n", name, "get", "serviceaccount", "default", "--ignore-not-found"))
            yield
        finally:
            self.kubectl("delete", "namespace", name, "--wait=false")

    # The product

    @staticmethod
    def version():
        with open(os.path.join(HERE, "..", "..", "meson.build")) as f:
            return re.search(r"version : '(.*?)'", f.read())[1]

    def environment(self, kubeconfig=None, **more):
        return self.cluster.environment(kubeconfig) | {"MIRRORD_LOG": "debug", "MIRRORD_AGENT_STARTUP_TIMEOUT": str(int(PROMPT)), **more}

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

    def logged(self, words):
        """How often the session's log has @words."""
        return self.session_log(None).count(words)

    def wait_logged(self, what, words, times=1, p=None):
        """@p: the session's program, which must not end meanwhile."""
        self.wait_for(what, lambda: self.logged(words) >= times or (p and p.poll() is not None))
        if self.logged(words) < times:
            raise Failure(what, f"the program ended with {p.returncode}", self.session_log(200))

    def session_log(self, lines=60):
        """The last @lines of it; None: all."""
        try:
            with open(self.log, errors="backslashreplace") as f:
                return "".join(f.readlines()[-lines if lines else None:])
        except OSError:
            return "(no log)"

    # What is left

    def agents(self):
        """Pods of ours, and our containers that run in others' pods."""
        found = []
        for pod in self.get("pod", namespace=None)["items"]:
            where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
            if pod["metadata"].get("labels", {}).get("app") == "mirrord":
                found.append(where)
            for status in pod["status"].get("ephemeralContainerStatuses", ()):
                if status["name"].startswith("mirrord") and "running" in status["state"]:
                    found.append(f"{where}: {status['name']}")
        for job in self.get("job", namespace=None, selector="app=mirrord")["items"]:
            found.append(f"job {job['metadata']['name']}")
        return found

    @staticmethod
    def kill(pids, number=signal.SIGKILL):
        """One that has ended by itself since it was looked for, after another of them perhaps, is as dead."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def ours(self, name=None):
        """Processes of `mirrord` on this machine, known by the kubeconfig in their environment."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as e, open(f"/proc/{pid}/comm") as c:
                    if self.cluster.state.encode() in e.read() and os.readlink(f"/proc/{pid}/exe") == self.program and name in (None, c.read().strip()):
                        found.append(int(pid))
            except OSError:
                pass
        return found

    def end_ours(self):
        """What a failed test has left of them."""
        self.kill(self.ours())

    def wait_clean(self, seconds=WAIT):
        try:
            self.wait_for("no agent left", lambda: not self.agents(), seconds)
        except Failure:
            raise Failure("no agent left", self.agents(), self.session_log()) from None

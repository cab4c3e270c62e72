# SPDX-License-Identifier: MIT
"""The cluster's API, asked by this process itself: who polls would keep a core busy with kubectl."""

import http.client
import json
import ssl
import urllib.parse

GROUPS = {"job": "/apis/batch/v1", "replicaset": "/apis/apps/v1", "rollout": "/apis/argoproj.io/v1alpha1"}  # others: the core group


class NoAnswer(Exception):
    pass


class Api:
    def __init__(self, address, authority, name):
        """@name: whose certificate is shown."""
        context = ssl.create_default_context(cafile=authority.path("ca.crt"))
        context.load_cert_chain(authority.path(name + ".crt"), authority.path(name + ".key"))
        self.connection = http.client.HTTPSConnection(address, 6443, timeout=30, context=context)

    def get(self, kind, name="", namespace="default", selector=""):
        """An object, or a list; @namespace None: of the whole cluster."""
        place = f"/namespaces/{namespace}" if namespace else ""
        path = f"{GROUPS.get(kind, '/api/v1')}{place}/{kind}s/{name}".rstrip("/")
        return self._ask(path + (f"?labelSelector={urllib.parse.quote(selector)}" if selector else ""))

    def _ask(self, path):
        for last in (False, True):  # a connection that was kept may have ended meanwhile
            try:
                self.connection.request("GET", path)
                answer = self.connection.getresponse()
                body = answer.read()
                break
            except (OSError, http.client.HTTPException) as e:
                self.connection.close()
                if last:
                    raise NoAnswer(f"{path}: {e}") from None
            except BaseException:
                self.connection.close()
                raise
        if answer.status != 200:
            raise NoAnswer(f"{path}: {answer.status} {body.decode(errors='replace')}")
        return json.loads(body)

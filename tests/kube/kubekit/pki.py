# SPDX-License-Identifier: MIT
"""The cluster's certificates and kubeconfigs, made by openssl."""

import base64
import json
import os
import subprocess

ADMIN = "admin"


class Authority:
    def __init__(self, directory):
        self.directory = directory
        self._key("ca")
        self._openssl("req", "-x509", "-new", "-key", self.path("ca.key"), "-subj", "/CN=mirrord-test-cluster", "-days", "30",
                      "-out", self.path("ca.crt"), "-addext", "keyUsage=critical,digitalSignature,keyCertSign,cRLSign")
        self._key("service-accounts")

    def path(self, name):
        return os.path.join(self.directory, name)

    def certify(self, name, subject, addresses=(), names=(), days=30):
        """NAME.crt and NAME.key: for a client, and with addresses or names for a server as well."""
        self._key(name)
        request = self._openssl("req", "-new", "-key", self.path(name + ".key"), "-subj", subject)
        extensions = ["extendedKeyUsage=clientAuth,serverAuth", "keyUsage=digitalSignature"]
        others = [f"IP:{a}" for a in addresses] + [f"DNS:{n}" for n in names]
        if others:
            extensions.append("subjectAltName=" + ",".join(others))
        with open(self.path(name + ".ext"), "w") as f:
            f.write("\n".join(extensions))
        certificate = self._openssl("x509", "-req", "-CA", self.path("ca.crt"), "-CAkey", self.path("ca.key"), "-CAcreateserial",
                                    "-days", str(days), "-extfile", self.path(name + ".ext"), input=request)
        with open(self.path(name + ".crt"), "wb") as f:
            f.write(certificate)

    def kubeconfig(self, name, server, user=None):
        """NAME.conf, for the certificate NAME or for @user as a kubeconfig has it. Returns its path."""
        user = user or {"client-certificate-data": self._data(name + ".crt"), "client-key-data": self._data(name + ".key")}
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority-data": self._data("ca.crt")}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
            "users": [{"name": name, "user": user}],
        }
        with open(self.path(name + ".conf"), "w") as f:
            json.dump(config, f, indent=1)
        return self.path(name + ".conf")

    def _data(self, name):
        with open(self.path(name), "rb") as f:
            return base64.b64encode(f.read()).decode()

    def _key(self, name):
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.path(name + ".key"))

    @staticmethod
    def _openssl(*arguments, **more):
        return subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more).stdout

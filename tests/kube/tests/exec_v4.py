# SPDX-License-Identifier: MIT
"""A cluster whose API server doesn't speak v5 of the exec protocol, in which alone a client can end its input: everything goes by v4."""

import asyncio
import contextlib
import ssl
import threading

from labkit.registry import expect, expect_in, test

from .agent import WAYS
from .connect import drop_token, token, works
from .incoming import SERVER, ends
from .permissions import config
from .resume import finish_load, resumed, start_load


class OldServer:
    """The API server as an older one: v5 is struck from what a client offers. TLS ends here, so a client is known by a token alone."""

    def __init__(self, kit):
        authority = kit.cluster.authority
        authority.certify("old", "/CN=old", ["127.0.0.1"])
        self.kit, self.struck, self.clients, self.tasks = kit, 0, set(), set()
        self.mine = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.mine.load_cert_chain(authority.path("old.crt"), authority.path("old.key"))
        self.theirs = ssl.create_default_context(cafile=authority.path("ca.crt"))
        self.loop, self.port = asyncio.new_event_loop(), None
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self.begin(), self.loop).result()

    async def begin(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=self.mine)
        self.port = self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        self.clients.add(writer)
        self.tasks.add(asyncio.current_task())  # nobody else holds it
        server = await asyncio.open_connection(self.kit.cluster.address, 6443, ssl=self.theirs)
        with contextlib.suppress(asyncio.CancelledError):  # by finish()
            await asyncio.gather(self.pump(reader, server[1], self.strike), self.pump(server[0], writer, bytes))
        self.clients.discard(writer)

    def strike(self, data):
        older = data.replace(b"v5.channel.k8s.io, ", b"")
        self.struck += older != data
        return older

    @staticmethod
    async def pump(reader, writer, change):
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(change(data))
                await writer.drain()
        writer.close()

    def cut(self):
        """Resets what clients have open."""
        def abort():
            for writer in self.clients:
                writer.transport.abort()
        self.loop.call_soon_threadsafe(abort)

    async def finish(self):
        self.server.close()
        for writer in self.clients:
            writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def end(self):
        asyncio.run_coroutine_threadsafe(self.finish(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


@contextlib.contextmanager
def old_server(kit):
    """The server, and a kubeconfig that leads to it."""
    server = OldServer(kit)
    try:
        yield server, config(kit, {"token": token(kit)}, server=f"https://127.0.0.1:{server.port}")
    finally:
        server.end()
        drop_token(kit)


@test("connect.exec_v4", timeout=120)
def exec_v4(kit):
    """By either way: what goes out, what comes in, and the agent's end, which can't be told by the end of its input."""
    with old_server(kit) as (server, kubeconfig):
        for way, options in WAYS.items():
            works(kit, kubeconfig, way, options)
            expect_in(f"{way}: the protocol", kit.session_log(None), "exec: v4.channel.k8s.io")
            expect(f"{way}: protocols that were struck", server.struck, lambda n: n > 0)
            kit.wait_clean()
            p = kit.start_mirrord(["python3", "-u", "-c", SERVER, "8081"], "pod/client", ["--steal", *options], kubeconfig=kubeconfig)
            try:
                kit.wait_logged("the port", "port 8081 is stolen", p=p)
                asked = kit.in_pod("shell", f"curl -sS --max-time 30 http://{kit.pod_host('client')}:8081/")
                expect_in(f"{way}: who answers", asked, '"local"', kit.session_log())
            finally:
                ends(p)
            kit.wait_clean()


@test("resume.exec_v4", timeout=120)
def cuts(kit):
    """A stream that is cut under load, three times."""
    with old_server(kit) as (server, kubeconfig):
        p = start_load(kit, kubeconfig=kubeconfig)
        for i in range(3):
            server.cut()
            kit.wait_for(f"resumption {i + 1}", lambda: resumed(kit) == i + 1 or p.poll() is not None)
        finish_load(kit, p, 1 << 16)

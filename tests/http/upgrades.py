#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""upgrades.py DIVERT -- WebSocket with python3-websockets and Java's client, and other clients that are made of more than a socket: Go's, Java's;
upgrades to HTTP/2."""
import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading

import websockets

from kit import Connection, Divert, PATIENCE, Server, expect, main, test
from real import run, servers, upgrading

WORK = os.path.join(os.path.abspath(os.path.dirname(sys.argv[1]) if len(sys.argv) > 1 else "."), "upgrades.work")

# Echoes; /close/N closes with N, /invalid sends a text that is none.
SERVER = """
import asyncio, sys, websockets
async def serve(ws, path):
    if path.startswith("/close/"):
        await ws.close(int(path[7:].split("?")[0]), "because")
        return
    async for message in ws:
        await ws.send(sys.argv[1] if message == "who?" else message)
async def run():
    async with websockets.serve(serve, "127.0.0.1", 0, max_size=None) as s:
        print(s.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()
asyncio.run(run())
"""


@contextlib.contextmanager
def sockets():
    """divert before two WebSocket servers; "?program" in the path takes a connection."""
    made = [subprocess.Popen([sys.executable, "-c", SERVER, name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for name in ("app", "program")]
    d = Divert(*[f"127.0.0.1:{p.stdout.readline().strip()}" for p in made], '{"path_filter": "\\\\?program$"}')
    try:
        yield d
    finally:
        d.close()
        for p in made:
            p.kill()
            p.wait()
            p.stdout.close()


def connect(d, path="/", **more):
    return websockets.connect(f"ws://127.0.0.1:{d.port}{path}", max_size=None, open_timeout=PATIENCE, close_timeout=PATIENCE, **more)


def both(case):
    """Runs case(d, path's end) for a connection of the app's and one of the program's."""
    with sockets() as d:
        for end in ("", "?program"):
            asyncio.run(asyncio.wait_for(case(d, end), 10 * PATIENCE))


async def echo(ws, message, whole=None):
    await ws.send(message)
    got = await ws.recv()
    expect("an echo", got == (whole if whole is not None else message), True)


@test
def messages_of_all_sizes():
    async def case(d, end):
        for compression in (None, "deflate"):
            async with connect(d, "/" + end, compression=compression) as ws:
                await echo(ws, "who?", "program" if end else "app")
                for n in (0, 1, 125, 126, 127, 65535, 65536, 1 << 20, 3 << 20):
                    await echo(ws, "\u00e4" * (n // 2))
                    await echo(ws, os.urandom(n))
    both(case)


@test
def fragments():
    async def case(d, end):
        async with connect(d, "/" + end) as ws:
            for pieces in (["a", "", "b"], [b"x" * 70000] * 5, ["\u20ac"] * 300, ["", "", ""]):
                await echo(ws, pieces, type(pieces[0])().join(pieces))
    both(case)


@test
def pings_between_messages():
    async def case(d, end):
        async with connect(d, "/" + end) as ws:
            for n in range(50):
                pong = await ws.ping(os.urandom(n))
                await echo(ws, str(n))
                await asyncio.wait_for(pong, PATIENCE)
    both(case)


@test
def close_codes_of_either_side():
    async def case(d, end):
        for code in (1000, 1001, 1011, 3000, 4999):
            async with connect(d, "/" + end) as ws:
                await ws.close(code, "the reason")
                expect("our close came back", (ws.close_code, ws.close_reason), (code, "the reason"))
            async with connect(d, f"/close/{code}?program" if end else f"/close/{code}") as ws:
                await ws.wait_closed()
                expect("the server's close", (ws.close_code, ws.close_reason), (code, "because"))
    both(case)


@test
def wrong_frames_are_the_servers_to_judge():
    async def case(d, end):
        for data, code in ((b"\xc3\x28", 1007), (b"\xff", 1007)):
            async with connect(d, "/" + end, compression=None) as ws:
                await ws.write_frame(True, 1, data)
                await ws.wait_closed()
                expect("invalid text", ws.close_code, code)
    both(case)


@test
def many_at_a_time():
    async def one(d, end, n):
        async with connect(d, "/" + end) as ws:
            await echo(ws, "who?", "program" if end else "app")
            for k in range(20):
                await echo(ws, f"{n}.{k}")

    async def case(d, end):
        await asyncio.gather(*[one(d, "?program" if n % 2 else "", n) for n in range(60)])
    both(case)


JAVA = """
import java.net.*; import java.net.http.*; import java.util.concurrent.*;
public class Client {
    public static void main(String[] a) throws Exception {
        var c = HttpClient.newBuilder().build();  // asks for an upgrade to HTTP/2
        for (var path : a[1].split(",")) {
            var r = c.send(HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + a[0] + path)).build(), HttpResponse.BodyHandlers.ofString());
            System.out.println(r.version() + " " + r.body().replaceAll(".*\\"name\\":\\"([a-z]*)\\".*", "$1"));
        }
        if (a.length == 2) return;
        var got = new CompletableFuture<String>();
        var ws = c.newWebSocketBuilder().buildAsync(URI.create("ws://127.0.0.1:" + a[2] + a[3]), new WebSocket.Listener() {
            public CompletionStage<?> onText(WebSocket w, CharSequence t, boolean last) { got.complete(t.toString()); w.request(1); return null; }
            public void onError(WebSocket w, Throwable e) { got.completeExceptionally(e); }
        }).get(20, TimeUnit.SECONDS);
        ws.sendText("who?", true);
        System.out.println(got.get(20, TimeUnit.SECONDS));
        ws.sendClose(1000, "").get(20, TimeUnit.SECONDS);
    }
}
"""


@test
def java():
    with tempfile.TemporaryDirectory() as work, upgrading("app") as app, upgrading("program") as program, sockets() as ws:
        d = Divert(app, program, '{"path_filter": "^/p"}')
        with open(f"{work}/Client.java", "w") as f:
            f.write(JAVA)
        out = run("java", "-XX:TieredStopAtLevel=1", f"{work}/Client.java", str(d.port), "/a,/p,/b", str(ws.port), "/?program")
        expect("who answered", out.split("\n")[:-1], ["HTTP_2 app", "HTTP_2 program", "HTTP_2 app", "program"])
        d.close()


def pass_on(source, to):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            to.sendall(data)
        to.shutdown(socket.SHUT_WR)


def tacit(address):
    """The server at @address, but its 101 doesn't say to what: as Jetty 9.4 answers."""
    host, port = address.split(":")

    def handler(c, number):
        server = Connection(socket.create_connection((host, int(port)), PATIENCE))
        threading.Thread(target=pass_on, args=(c.socket, server.socket), daemon=True).start()
        server.fill()
        if server.buffer.startswith(b"HTTP/1.1 101"):
            c.send(re.sub(rb"(?i)\r\n(upgrade|connection):[^\r]*", b"", server.until(b"\r\n\r\n")))
        c.send(server.buffer)
        pass_on(server.socket, c.socket)
        server.close()
    return Server(handler)


@test
def an_upgrade_to_what_is_not_said():
    """Later requests go where they belong all the same."""
    with upgrading("app") as app, upgrading("program") as program:
        d = Divert(tacit(app), tacit(program), '{"path_filter": "^/p"}')
        for paths in (("/a", "/p1", "/b", "/p2"), ("/p1", "/a", "/p2")):
            urls = [f"http://127.0.0.1:{d.port}{p}" for p in paths]
            out = run("curl", "-sS", "-m", str(PATIENCE), "--http2", "-w", "\n%{http_version}\n", *urls).split("\n")[:-1]
            expect("who answered", [json.loads(answer)["name"] for answer in out[::2]], ["program" if p[1] == "p" else "app" for p in paths])
            expect("by what", out[1::2], ["2"] * len(paths))
        d.close()


GO = """
package main
import ("bytes"; "fmt"; "io"; "net/http"; "os")
func main() {
	for i := 0; i < 20; i++ {
		q, _ := http.NewRequest("POST", os.Args[1], io.NopCloser(bytes.NewReader(make([]byte, i*10000)))) // in chunks
		q.Trailer = http.Header{"X-Sum": {"7"}}
		if i%3 == 0 { q.Header.Set("X-User", "alice") }
		q.Header.Set("Expect", "100-continue")
		r, err := http.DefaultClient.Do(q)
		if err != nil { fmt.Println(err); os.Exit(1) }
		body, _ := io.ReadAll(r.Body)
		r.Body.Close()
		fmt.Println(string(body))
	}
}
"""


@test
def go():
    with tempfile.TemporaryDirectory() as work, servers("http") as (d, app, program):
        with open(f"{work}/client.go", "w") as f:
            f.write(GO)
        env = {**os.environ, "GOFLAGS": "-mod=mod", "GO111MODULE": "off", "GOCACHE": os.path.join(WORK, "go-cache"), "CGO_ENABLED": "0"}
        subprocess.run(["go", "build", "-o", f"{work}/client", f"{work}/client.go"], check=True, env=env)
        got = [json.loads(line) for line in run(f"{work}/client", f"http://127.0.0.1:{d.port}/").splitlines()]
        expect("who answered", [g["name"] for g in got], ["program" if n % 3 == 0 else "app" for n in range(20)])
        expect("bodies and trailers", [(g["length"], g["trailers"]) for g in got], [(n * 10000, {"x-sum": "7"}) for n in range(20)])


if __name__ == "__main__":
    sys.exit(main())

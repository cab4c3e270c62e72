#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""priorities.py DIVERT -- which stream of HTTP/2 is sent first when there is something of both, by the client's word (RFC 7540 section 5.3): on
which one it depends, its weight, and what is said of it later."""
import contextlib
import json
import subprocess
import sys

from kit import PATIENCE, Divert, expect, main, test, wait_for

SIZE = 200000

# An app, and a client of it by way of another port: two streams, a and b, whose answers wait for the client's windows. When all of both has been
# sent, one frame opens both windows, and it is told in which order the bytes come then, and how many of the other's had come at each one's end.
SCRIPT = r"""
const http2 = require('http2'), size = +process.argv[1], how = JSON.parse(process.argv[2]), order = [], had = {a: 0, b: 0}, beside = {};
let answers = 0, said = () => {};
const app = http2.createServer();
app.on('stream', s => {
  s.respond({':status': 200});
  s.end('x'.repeat(size));
  s.on('close', () => { if (++answers === 2) console.log('sent'); });
});
app.listen(0, '127.0.0.1', () => console.log(app.address().port));
require('readline').createInterface({input: process.stdin}).on('line', line => said(line));
said = port => {
  const c = http2.connect('http://127.0.0.1:' + port, {settings: {initialWindowSize: 1000}});
  const streams = {}, other = {a: 'b', b: 'a'};
  const meant = ({of, ...more}) => of ? {parent: streams[of].id, ...more} : more;
  const ask = name => streams[name] = c.request({':path': '/'}, meant(how[name] || {}));
  ask('a').on('ready', () => {
    ask('b');   // the connection is there, so b has its number at once
    // A frame of PRIORITY would overtake HEADERS that aren't sent yet, and be overtaken by SETTINGS, but for a round trip of PING.
    const heard = new Promise(ok => streams.b.on('response', () => {
      if (how.later) streams[how.later.on].priority(meant(how.later.to));
      c.ping(ok);
    }));
    said = () => heard.then(() => {
      while (streams.a.read() || streams.b.read());   // what the window let through before
      for (const name of 'ab') {
        streams[name].on('data', d => { had[name] += d.length; if (order[order.length - 1] !== name) order.push(name); });
        streams[name].on('end', () => { beside[name] = had[other[name]]; });
        streams[name].on('close', () => { if (!--answers) { console.log(JSON.stringify({order: order.join(' '), beside})); process.exit(); } });
      }
      c.settings({initialWindowSize: 1 << 20});
    });
  });
};
"""


def is_silent(port):
    """All that was sent on connections with @port has been read."""
    with open("/proc/net/tcp") as f:
        rows = [line.split()[1:5] for line in f][1:]
    return all(queues == "00000000:00000000" for a, b, state, queues in rows if state == "01" and f":{port:04X}" in a + b)


@contextlib.contextmanager
def both_sent(**how):
    """Gives what lets the client have them, and returns how they came."""
    argv = ["node", "--no-deprecation", "-e", SCRIPT, str(SIZE), json.dumps(how)]
    node = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    port = int(node.stdout.readline())
    d = Divert(f"127.0.0.1:{port}", f"127.0.0.1:{port}")
    node.stdin.write(f"{d.port}\n")
    node.stdin.flush()
    try:
        expect("both answers", node.stdout.readline(), "sent\n")
        wait_for("they are there", lambda: is_silent(port) and is_silent(d.port))
        yield lambda: json.loads(node.communicate("go\n", PATIENCE)[0])
    finally:
        node.kill()
        node.wait()
        d.close()


@test
def the_stream_that_another_depends_on_goes_first():
    for b, order in (({"of": "a"}, "a b"), ({"exclusive": True}, "b a")):  # exclusive: all others depend on it
        with both_sent(b=b) as receive:
            expect(f"order when b is {b}", receive()["order"], order)


@test
def a_later_word_counts():
    """A frame of PRIORITY turns round what was said when the streams began."""
    first = {"exclusive": True}
    for b, later, order in (({"of": "a"}, {"on": "b", "to": first}, "b a"), (first, {"on": "a", "to": first}, "a b"),
                            ({}, {"on": "b", "to": {"of": "a"}}, "a b")):
        with both_sent(b=b, later=later) as receive:
            expect(f"order when b is {b}, then {later}", receive()["order"], order)


@test
def weights_share_the_way():
    """Of what is sent while there is something of both, each has as much as its weight says; a frame is 16 KiB."""
    for how in ({"a": {"weight": 192}, "b": {"weight": 48}}, {"a": {"weight": 16}, "b": {"weight": 48}, "later": {"on": "a", "to": {"weight": 192}}}):
        with both_sent(**how) as receive:
            came = receive()
        expect(f"who ends first, {how}", came["order"][-1], "b")
        share = came["beside"]["a"] / SIZE
        expect(f"b had a quarter of what a had, {how}: {share:.2f}", 0.15 < share < 0.35, True)


if __name__ == "__main__":
    sys.exit(main())

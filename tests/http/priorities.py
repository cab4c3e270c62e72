#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""priorities.py DIVERT -- which stream of HTTP/2 is sent first when there is something of both, by the client's word (RFC 7540 section 5.3)."""
import subprocess
import sys

from kit import PATIENCE, Divert, expect, main, test, wait_for

# An app, and a client of it by way of another port: two streams whose answers wait for the client's windows, one of which depends on the other.
# When all of both has been sent, one frame opens both windows, and it is told in which order the bytes come then.
SCRIPT = r"""
const http2 = require('http2'), last = process.argv[1], order = [];
let answers = 0, open = 2, said = () => {};
const app = http2.createServer();
app.on('stream', s => {
  s.respond({':status': 200});
  s.end('x'.repeat(200000));
  s.on('close', () => { if (++answers === 2) console.log('sent'); });
});
app.listen(0, '127.0.0.1', () => console.log(app.address().port));
require('readline').createInterface({input: process.stdin}).on('line', line => said(line));
said = port => {
  const c = http2.connect('http://127.0.0.1:' + port, {settings: {initialWindowSize: 1000}});
  const ask = (name, more) => {
    const s = c.request({':path': '/'}, more);
    s.on('close', () => { if (!--open) { console.log(order.join(' ')); process.exit(); } });
    return s;
  };
  const a = ask('a', {});
  a.on('ready', () => {
    const b = ask('b', last === 'b' ? {parent: a.id} : {exclusive: true});   // then all others depend on it
    said = () => {
      while (a.read() || b.read());   // what the window let through before
      for (const [name, s] of [['a', a], ['b', b]]) s.on('data', () => { if (order[order.length - 1] !== name) order.push(name); });
      c.settings({initialWindowSize: 1 << 20});
    };
  });
};
"""


def is_silent(port):
    """All that was sent on connections with @port has been read."""
    with open("/proc/net/tcp") as f:
        rows = [line.split()[1:5] for line in f][1:]
    return all(queues == "00000000:00000000" for a, b, state, queues in rows if state == "01" and f":{port:04X}" in a + b)


@test
def the_stream_that_another_depends_on_goes_first():
    for first, last in ("ab", "ba"):
        node = subprocess.Popen(["node", "--no-deprecation", "-e", SCRIPT, last], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        port = int(node.stdout.readline())
        d = Divert(f"127.0.0.1:{port}", f"127.0.0.1:{port}")
        node.stdin.write(f"{d.port}\n")
        node.stdin.flush()
        expect("both answers", node.stdout.readline(), "sent\n")
        wait_for("they are there", lambda: is_silent(port))
        expect("order", node.communicate("go\n", PATIENCE)[0], f"{first} {last}\n")
        d.close()


if __name__ == "__main__":
    sys.exit(main())

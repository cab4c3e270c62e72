#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""fuzz/seeds_http.py -- writes the inputs that fuzzing HTTP starts from to fuzz/corpus, and the words for it to fuzz/NAME.dict."""
import pathlib
import struct

HERE = pathlib.Path(__file__).parent
CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
H1 = {
    "get": b"\xffGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "two": b"\4GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2?x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "length": b"\0POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n\r\n",
    "chunked": b"\x10" + CHUNKED + b"5;a=\"b\"\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "chunks": b"\0" + b"a\r\n0123456789\r\n0\r\n\r\n",
    "smuggled": b"\7POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "connect": b"\7CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "upgrade": b"\7GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nExpect: 100-continue\r\n\r\n",
    "absolute": b"\7GET http://a:80/x?y HTTP/1.1\r\nHost: b\r\n\r\n",
    "response": b"\7HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    "folded": b"\7GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
}


def hello(sni=b"shop.example"):
    name = b"\0\0" + struct.pack(">HHBH", len(sni) + 5, len(sni) + 3, 0, len(sni)) + sni
    alpn = b"\0\x10\0\x0e\0\x0c\x02h2\x08http/1.1"
    body = b"\3\3" + bytes(32) + b"\0\0\2\xc0\x2f\1\0" + struct.pack(">H", len(name + alpn)) + name + alpn
    message = b"\1" + struct.pack(">I", len(body))[1:] + body
    return b"\x16\3\1" + struct.pack(">H", len(message)) + message


SNIFF = {"http1": b"GET / HTTP/1.1\r\n", "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "tls": hello(), "no-name": b"\x16\3\1\0\x2d\1\0\0\x29\3\3" + bytes(39),
         "redis": b"*1\r\n$4\r\nPING\r\n", "empty-lines": b"\r\n\r\nPOST / HTTP/1.0\r\n"}
FILTER = {
    "header": b'{"header_filter": "^x-user: a"}\0',
    "all": b'{"all_of": [{"header": "a"}, {"path": "b"}, {"method": "GET"}, {"not": {"host": "c"}}], "ports": [80, 81]}\0',
    "body": b'{"body_filter": {"body": "json", "query": "$..a[?@.b==1]", "matches": "x"}}\0{"a": [{"b": 1}]}',
    "ours": b'{"any_of": [{"grpc": {"service": "shop.Cart"}}, {"cookie": {"a": "1"}}, {"client": ["10.0.0.0/8", "fd00::/8"]}, {"sni": "x"}]}\0',
    "method": b'{"method_filter": ["GET", "POST"]}\0',
}
JSONPATH = {
    "names": b"$.store['book'][0,-1].title\0" + b'{"store": {"book": [{"title": "x"}]}}',
    "slices": b"$[1:5:2,::-1]\0[0, 1, 2, 3.5, null, true]",
    "filter": b"$..[?@.price < 10 && !(@.a == 'b' || count(@.*) >= 2)]\0" + b'{"price": 8.95, "x": [{"price": 1e3}]}',
    "functions": b"$[?match(@.a, 'x.*') || search(@.b, $.c) || length(@) == 2 || typeof(@.*) == 'null' || value(@..d) != 1]\0" + b'[{"a": "xy", "b": "z"}]',
    "escapes": b"$[\"\\u00e9\\ud83d\\ude00\\n\"]\0" + b'{"\\u00e9": 1}',
}


def frame(kind, flags, stream, body=b""):
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def pieces(*parts):
    """{whose (0 and 1 servers, 2 the client), bytes}"""
    out = b""
    for whose, data in parts:
        for at in range(0, len(data), 64):
            part = data[at : at + 64]
            out += bytes([whose << 6 | len(part) - 1]) + part
    return out


GET = bytes([0x82, 0x84, 0x86, 0x41, 1, 0x61])
POST = bytes([0x83, 0x84, 0x86, 0x41, 1, 0x61])
OK = bytes([0x88])
H2 = {
    "get": pieces((2, frame(1, 5, 1, GET)), (0, frame(1, 4, 1, OK) + frame(0, 1, 1, b"hello"))),
    "two": pieces((2, frame(1, 5, 1, GET) + frame(1, 5, 3, GET)), (1, frame(4, 0, 0) + frame(1, 5, 1, OK)), (0, frame(1, 5, 1, OK))),
    "post": pieces((2, frame(1, 4, 1, POST) + frame(0, 0, 1, b"{}") + frame(0, 1, 1)), (0, frame(1, 4, 1, OK) + frame(1, 5, 1, b"\0\1a\1b"))),
    "reset": pieces((2, frame(1, 5, 1, GET) + frame(3, 0, 1, struct.pack(">I", 8))), (0, frame(3, 0, 1, struct.pack(">I", 7)))),
    "goaway": pieces((2, frame(1, 5, 1, GET)), (0, frame(7, 0, 0, bytes(8))), (2, frame(6, 0, 0, bytes(8)) + frame(8, 0, 0, struct.pack(">I", 9)))),
    "settings": pieces((2, frame(4, 0, 0, struct.pack(">HI", 4, 1))), (0, frame(4, 0, 0, struct.pack(">HI", 8, 1)))),
}
PICKER = {
    "each": b"\0\7GET /1 HTTP/1.1\r\nX-User: a\r\n\r\nGET /2 HTTP/1.1\r\n\r\n" + CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
    "body": b"\1\x10POST / HTTP/1.1\r\nContent-Length: 7\r\n\r\n{\"a\":1}GET / HTTP/1.1\r\n\r\n",
    "upgrade": b"\0\3GET / HTTP/1.1\r\nX-User: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x85abcdefghi",
    "refused": b"\2\xffGET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
    "tls": b"\1\x20" + hello(),
    "cut": b"\2\7" + CHUNKED + b"5\r\nhello\r\n1\r\n\r\n",
    "http2": b"\2\xffPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}
ALICE = GET + b"\x40\1a\1b"  # into the table
H2_PICKER = {  # 0 is a hole, 1 the program
    "two": b"\0" + pieces((2, frame(4, 0, 0) + frame(1, 5, 1, ALICE) + frame(1, 5, 3, GET + b"\xbe")), (1, frame(4, 0, 0) + frame(1, 5, 1, OK))),
    "parts": b"\0" + pieces((2, frame(1, 0x28, 1, b"\1" + bytes(5) + ALICE[:3] + b"\0") + frame(9, 4, 1, ALICE[3:]) + frame(0, 9, 1, b"\2xy\0\0")), (1, frame(4, 0, 0))),
    "body": b"\1" + pieces((2, frame(1, 4, 1, POST) + frame(0, 0, 1, b'{"a"') + frame(0, 0, 1, b':1}') + frame(1, 5, 1, b"\0\1t\1v")), (1, frame(4, 0, 0))),
    "hole": b"\0" + pieces((2, frame(1, 4, 1, ALICE) + frame(0, 0, 1, b"abcdefgh")[:12]), (0, b"defg"), (2, b"h" + frame(1, 5, 3, GET))),
    "leaving": b"\0" + pieces((2, frame(1, 5, 1, ALICE)), (1, frame(4, 0, 0, struct.pack(">HI", 3, 1)) + frame(7, 0, 0, bytes(8))), (2, frame(1, 5, 3, ALICE) + frame(3, 0, 3, bytes(4)))),
    "old": b"\0" + pieces((2, frame(1, 5, 1, ALICE)), (1, b"HTTP/1.1 400 No\r\n\r\n")),
}
GATEWAY = {  # 0 and 1 servers
    "get": pieces((2, frame(1, 5, 1, GET)), (0, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")),
    "chunks": pieces((2, frame(1, 4, 1, POST) + frame(0, 1, 1, b"body")), (0, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n")),
    "hints": pieces((2, frame(1, 5, 1, GET) + frame(1, 5, 3, GET)), (1, b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.0 200 OK\r\n\r\nuntil the end")),
    "reset": pieces((2, frame(1, 4, 1, POST) + frame(3, 0, 1, struct.pack(">I", 8))), (0, b"HTTP/1.1 200 OK\r\n\r\n")),
    "websocket": pieces((2, frame(1, 4, 1, b"\x02\7CONNECT\x84\x86\x41\1a\x00\x09:protocol\x09websocket")), (0, b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nhello"),
                        (2, frame(0, 0, 1, b"hello") + frame(0, 1, 1))),
}
OPTIONS = {
    "body": b'{"max_body_buffer_size": 1000, "max_body_buffer_timeout": 50, "inject_headers": true, "override_cache_control": true}',
    "tls": b'{"steal_tls": [{"port": 443, "agentAsServer": {"authentication": {"certPem": "/a", "keyPem": "/b"}, "alpnProtocols": ["h2"], "verification": {"trustRoots": ["/c"], '
           b'"allowAnonymous": true}}, "agentAsClient": {"verification": {"acceptAnyCert": true}}}], "tls_delivery": {"protocol": "tls", "server_name": "x"}}',
}
WORDS = {
    "h1": ["GET ", "POST ", "HEAD ", "CONNECT ", " HTTP/1.1\\x0d\\x0a", " HTTP/1.0\\x0d\\x0a", "HTTP/1.1 200 OK\\x0d\\x0a", "HTTP/1.1 101 \\x0d\\x0a", "\\x0d\\x0a\\x0d\\x0a", "\\x0d\\x0a", "\\x0a\\x0a",
           "Content-Length: ", "Transfer-Encoding: chunked\\x0d\\x0a", "Connection: close\\x0d\\x0a", "Connection: keep-alive\\x0d\\x0a", "Upgrade: h2c\\x0d\\x0a",
           "Expect: 100-continue\\x0d\\x0a", "Host: a\\x0d\\x0a", "0\\x0d\\x0a\\x0d\\x0a", "5\\x0d\\x0ahello\\x0d\\x0a", ";x=y\\x0d\\x0a", "\\x00", "\\x7f"],
    "picker": ["GET / HTTP/1.1\\x0d\\x0a", "X-User: a\\x0d\\x0a", "\\x0d\\x0a\\x0d\\x0a", "Content-Length: 7\\x0d\\x0a", "Transfer-Encoding: chunked\\x0d\\x0a", "{\\\"a\\\":1}",
               "Upgrade: x\\x0d\\x0aConnection: Upgrade\\x0d\\x0a", "Connection: close\\x0d\\x0a", "CONNECT ", "PRI * HTTP/2.0\\x0d\\x0a\\x0d\\x0aSM\\x0d\\x0a\\x0d\\x0a"],
    "sniff": ["GET /", "PRI * HTTP/2.0", "\\x16\\x03\\x01", "\\x00\\x00", "\\x00\\x10", "CONNECT ", " HTTP/1.1\\x0d\\x0a", "https://"],
    "filter": ["header_filter", "path_filter", "method_filter", "body_filter", "all_of", "any_of", "not", "header", "path", "method", "body", "json", "matches",
               "grpc", "service", "host", "cookie", "client", "sni", "ports", "(?i)", "(?=", "[a-z]+", ".*", "10.0.0.0/8"],
    "jsonpath": ["$", "@", "..", "[?", "[*]", "==", "!=", "<=", "&&", "||", "length(", "count(", "match(", "search(", "value(", "typeof(", "::-1", "\\\\u", "'", "null"],
    "options": ["steal_tls", "port", "agentAsServer", "agentAsClient", "authentication", "certPem", "keyPem", "alpnProtocols", "verification", "trustRoots", "allowAnonymous",
                "acceptAnyCert", "tls_delivery", "protocol", "server_name", "max_body_buffer_size", "max_body_buffer_timeout", "inject_headers", "override_cache_control"],
    "gateway": ["HTTP/1.1 200 OK\\x0d\\x0a", "HTTP/1.1 101 \\x0d\\x0a", "Content-Length: 2\\x0d\\x0a", "Transfer-Encoding: chunked\\x0d\\x0a", "\\x0d\\x0a\\x0d\\x0a", "0\\x0d\\x0a\\x0d\\x0a",
                "Connection: close\\x0d\\x0a"],
    "h2": ["\\x00\\x00\\x06\\x01\\x05\\x00\\x00\\x00", "\\x82\\x84\\x86\\x41", "\\x88", "\\x00\\x00\\x00\\x04", "\\x00\\x00\\x04\\x03", "\\x00\\x00\\x04\\x08", "\\x00\\x00\\x08\\x07"],
}

if __name__ == "__main__":
    WORDS["h2_picker"] = WORDS["h2"]
    WORDS["gateway"] += WORDS["h2"]
    for name, inputs in (("h1", H1), ("sniff", SNIFF), ("filter", FILTER), ("jsonpath", JSONPATH), ("h2", H2), ("picker", PICKER), ("h2_picker", H2_PICKER),
                         ("gateway", GATEWAY), ("options", OPTIONS)):
        (HERE / "corpus" / name).mkdir(parents=True, exist_ok=True)
        for key, data in inputs.items():
            (HERE / "corpus" / name / key).write_bytes(data)
        (HERE / f"{name}.dict").write_text("".join(f'"{word}"\n' for word in WORDS[name]))

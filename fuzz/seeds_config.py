#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""fuzz/seeds_config.py -- writes the inputs that fuzzing the configuration's readers and filters starts from to fuzz/corpus. What stands
there besides (found by a fuzzer) stays."""
import pathlib

CORPUS = pathlib.Path(__file__).parent / "corpus"

FILTERS = {
    "addresses": "10.0.0.0/8:80\n10.1.2.3\nudp://10.0.0.0/9\n[2001:db8::]/32:8000-8100\n::/0:1\n0.0.0.0/0:53\n\n10.1.2.3\n2001:db8::1\n::ffff:10.9.9.9\nPx",
    "names": "db\n*.example.com\n**.svc.cluster.local:80\napi-*.prod\n**.a.**.z\n*\n**\n\ndb\nwww.example.com\na.b.svc.cluster.local\napi-1.prod\nx.a.y.z",
    "ports": ":80\ntcp://:1-65535\nudp://\nany://:0\n\n\nb\n",
    "wrong": "meow://x\n:65536\n[::1\na..b\n1.2.3.4/33\n:9-8\n\nq",
}

for name, text in FILTERS.items():
    path = CORPUS / "address_filter" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)

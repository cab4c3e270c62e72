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

JSON, YAML, TOML = "0", "1", "2"  # the first byte, modulo 3
FILES = {
    "json": JSON + """{ // comment
 "target": {"pod": "a", "container": "b"}, # another
 "feature": {"network": {"incoming": {"mode": "steal", "ports": [1, 2], "port_mapping": [[1, 2]], "http_filter": {"path_filter": "^/a"}},
  "outgoing": {"filter": {"local": ["*.a", "::1", "x:1-2"]}}, "dns": false}, "env": {"override": {"A": "\\u00e4\\ud83d\\ude00\\n"}}}, /* end */ "key": null,}""",
    "json-wrong": JSON + '{"a": 1.5e-3, "agent": {"ttl": -1}, "feature": [], "target": {"labels": {"a": 1}}}',
    "json-template": JSON + '{"key": "{{ key }}-{{ get_env(name=\'SET\') }}{# c #}", "profile": "{{ get_env(name="X", default="y") }}"}',
    "json-cut": JSON + '{"a": "\\ud83d',
    "yaml": YAML + "a: &x [1, 2]\nb: *x\nagent: {ttl: 30}\nfeature:\n  network:\n    incoming: off\n    outgoing:\n      tcp: true\n'c': \"\\u00e4\"\n? d\n: ~\n",
    "yaml-block": YAML + "key: |\n  a\n  b\nprofile: >-\n  c\n  d\nskip_processes:\n- a\n- b\n",
    "yaml-laughs": YAML + "a: &a [x, x]\nb: &b [*a, *a, *a]\nc: &c [*b, *b, *b]\nd: [*c, *c, *c]\n",
    "toml": TOML + "key = 'a'\n[agent]\nttl = 0x1e\njson_log = true\n[feature.network.outgoing]\nfilter.local = ['a', \"\"\"b\\\n  c\"\"\"]\n"
            "[[agent.tolerations]]\na = { b = 1, c.d = 2 }\n[[agent.tolerations]]\n'x y'.\"z\" = 1_0.5e+3\n",
    "toml-wrong": TOML + "[a]\n[a.b]\n[a]\nx.y = 1\nx = 2\n",
}

ENV_FILES = {
    "plain": "# c\nA=1\nexport B = two words # c\nC=\nD=a=b#c\r\n",
    "quotes": "A='x\n$y'\nB=\"a\\n\\\"${SET}\\$\\\\\"\nC=it's {\"a\": 1}\n",
    "filled-in": "A=$SET-${SET}-$NOT$\nB=$A${A}\\$A ${ $$ ${}\n",
    "wrong": "A\n=x\nB='\nC=\"\\\"\nexport\nD='1' 2\n",
}


def write(target, files):
    for name, text in files.items():
        path = CORPUS / target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


write("address_filter", FILTERS)
write("config", FILES)
write("env_file", ENV_FILES)

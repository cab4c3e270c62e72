#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/config/files_test.py MIRRORD SOURCE -- what is made from the table of keys is up to date; the schema is a schema; the examples are good by
the loader and by a real validator; and loader and schema agree on every key. Prints TAP."""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import jsonschema
import yaml

try:
    import tomllib
except ImportError:  # before Python 3.11
    tomllib = None

MIRRORD, SOURCE = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2])
ENVIRONMENT = {"PATH": os.environ["PATH"]}
count = failed = 0


def ok(condition, what, detail=""):
    global count, failed
    count += 1
    print(f"{'' if condition else 'not '}ok {count} - {what}")
    if not condition:
        failed += 1
        for line in str(detail).splitlines()[:20]:
            print("# " + line)


def run(*argv, text=None):
    return subprocess.run([MIRRORD, *argv], input=text, capture_output=True, text=True, env=ENVIRONMENT)


def verify(text, *more):
    return json.loads(run("verify-config", "--file-alone", "--json", *more, "-", text=text).stdout)


# What is made is what stands in the tree.
for command, path in [("schema", "mirrord.schema.json"), ("reference", "docs/configuration.md"), ("compatibility", "docs/compatibility.md")]:
    ok(run("config", command).stdout == (SOURCE / path).read_text(), f"{path} is up to date",
       f"make it anew: build/mirrord config {command} >{path}")

MAN = (SOURCE / "man/mirrord.1").read_text()
for command in ("exec", "container", "ls", "port-forward", "dump", "diagnose", "verify-config"):
    options = re.findall(r"^  (?:-(\w), |    )--([\w-]+)", run(command, "--help").stdout, re.MULTILINE)
    missing = [name for letter, name in options if not re.search(rf"Fl (-{name}{'|' + letter if letter else ''})\b", MAN)]
    ok(options and not missing, f"the manual page has the options of {command}", missing)

# What only tests set has no place there; keys have theirs in docs/configuration.md.
variables = {v for path in sorted((SOURCE / "src").glob("*/*.c")) for v in re.findall(r'\bgetenv\("(MIRRORD_[A-Z_]+)"|is_true\("(MIRRORD_[A-Z_]+)"', path.read_text())}
variables = {a or b for a, b in variables} - {"MIRRORD_STEAL", "MIRRORD_TUNNEL"}
missing = [v for v in sorted(variables) if f"Ev {v}" not in MAN]
ok(variables and not missing, "the manual page has the environment variables", missing)

schema = json.loads(run("config", "schema").stdout)
try:
    jsonschema.Draft7Validator.check_schema(schema)
    ok(True, "the schema is one of draft 7")
except jsonschema.SchemaError as error:
    ok(False, "the schema is one of draft 7", error)
validator = jsonschema.Draft7Validator(schema)

# The examples
for path in sorted((SOURCE / "examples").glob("*.*")):
    if path.suffix == ".toml" and not tomllib:
        continue
    done = run("verify-config", "--file-alone", str(path))
    ok(done.returncode == 0 and "warning" not in done.stderr, f"{path.name} is good", done.stderr)
    result = json.loads(run("verify-config", "--file-alone", "--json", "--resolved", str(path)).stdout)
    if path.suffix == ".json":
        text = "\n".join(line for line in path.read_text().splitlines() if not line.strip().startswith("//"))
        data = json.loads(text)
    else:
        data = yaml.safe_load(path.read_text()) if path.suffix == ".yaml" else tomllib.loads(path.read_text())
    ok(validator.is_valid(data), f"{path.name} is good by the schema", list(validator.iter_errors(data)))
    resolved = result.get("resolved_config", {})
    ok(validator.is_valid(resolved), f"what {path.name} comes to is good by the schema", list(validator.iter_errors(resolved)))
    again = verify(json.dumps(resolved), "--resolved")
    ok(again.get("resolved_config") == resolved, f"what {path.name} comes to comes to itself", again)

# Loader and schema say the same of each value of each key. What one key demands of another, and what is in a text, only the loader knows.
VALUES = [True, False, None, "text", "", 5, -1, 1.5, 70000, 10**12, [], [5], ["text"], [["a"]], [[1, 2]], [[1, 2, 3]], [70000], {}, {"name": "text"}, {"name": 5},
          {"local": ["a"]}, {"remote": "a"}, {"local": []}, {"local": ["a"], "remote": ["b"]}, {"path": "pod/a"}, {"pod": "a"}, {"pod": 5}, [{}]]
CONTENT = ("feature.env.env_file", "agent.disabled_capabilities", "agent.log_level", "feature.network.debugger_ports", "feature.network.outgoing.unix_streams", "feature.network.incoming.http_filter.", "feature.network.incoming.steal_tls", "feature.network.incoming.https_delivery", "feature.network.incoming.tls_delivery.server_name")  # the loader looks into these
LOADER_ALONE = ("can't stand beside", "an empty", "there is nothing to steal", "without a target", "is more than", "an empty entry", "a target is a kind")


def paths(node, path=()):
    yield path
    for form in node.get("anyOf", [node]):
        for name, child in form.get("properties", {}).items():
            if name != "$schema" and not (path and path[0] == "target" and name not in ("path", "namespace")):
                yield from paths(child, path + (name,))


def compare(question):
    path, value = question
    data = value
    for name in reversed(path):
        data = {name: data}
    by_schema = validator.is_valid(data)
    result = verify(json.dumps(data))
    by_loader = result["type"] == "Success"
    if by_schema == by_loader:
        return None
    if by_schema and (".".join(path).startswith(CONTENT) or all(any(w in e for w in LOADER_ALONE) for e in result["errors"])):
        return None
    return f"{'.'.join(path)} = {json.dumps(value)}: schema {by_schema}, loader {by_loader} {result.get('errors', '')}"


def shape_of(node):
    """The schema without its words."""
    if isinstance(node, dict):
        return {k: shape_of(v) for k, v in node.items() if k not in ("description", "default")}
    return [shape_of(v) for v in node] if isinstance(node, list) else node


def node_at(path):
    node = schema
    for name in path:
        forms = [f for f in node.get("anyOf", [node]) if name in f.get("properties", {})]
        node = forms[0]["properties"][name]
    return node


# All values for one key of each shape, a few for its like.
questions, shapes = [], set()
for path in dict.fromkeys(paths(schema)):
    if path:
        shape = json.dumps(shape_of(node_at(path)))
        questions += [(path, value) for value in (VALUES if shape not in shapes else VALUES[1:7:2] + [{}])]
        shapes.add(shape)
with ThreadPoolExecutor(4) as pool:
    differences = [d for d in pool.map(compare, questions) if d]
ok(not differences, f"loader and schema agree in {len(questions)} cases", "\n".join(differences))
for target in ({"pod": "a", "job": "b"}, {"path": "pod/a", "job": "b"}, {"path": {"pod": "a", "job": "b"}}, {"path": {"container": "b"}}):
    ok(not validator.is_valid({"target": target}) and verify(json.dumps({"target": target}))["type"] == "Fail", f"{target} is one target too many or few")
undescribed = [path for path in paths(schema) if path and "description" not in node_at(path)]
ok(not undescribed and all("description" in node_at(("target", name)) for name in ("pod", "labels", "container")), "each key is described", undescribed)

# Files come from somewhere
with tempfile.TemporaryDirectory() as place:
    os.makedirs(place + "/.mirrord")

    def found(**more):
        done = subprocess.run([MIRRORD, "verify-config", "--json", "--resolved"], capture_output=True, text=True, cwd=place, env=ENVIRONMENT | more)
        return json.loads(done.stdout).get("resolved_config", {}).get("key", "?")
    for extension, text in [("toml", "key = 'toml'"), ("yml", "key: yml"), ("yaml", "key: yaml"), ("json", '{"key": "json"}')]:
        pathlib.Path(place, ".mirrord", "mirrord." + extension).write_text(text)
        ok(found() == extension, f".mirrord/mirrord.{extension} is found, before those behind it")
    pathlib.Path(place, "other.json").write_text('{"key": "other"}')
    ok(found(MIRRORD_CONFIG_FILE="other.json") == "other", "MIRRORD_CONFIG_FILE counts before it")
    ok(found(MIRRORD_KEY="variable") == "variable", "and a variable before the file")

done = run("verify-config", "-", text="{")
ok((done.returncode, done.stdout) == (1, "") and "standard input:1:2" in done.stderr, "a bad file: status 1", done)
ok(run("verify-config", "a", "b").returncode == 2, "two files: status 2")
shape = verify('{"agnet": 1}')
ok(shape == {"type": "Fail", "errors": ['standard input:1:2: agnet: unknown key; did you mean "agent"?'], "warnings": []}, "the shape of a failure", shape)
shape = verify('{"agent": {"ttl": "x"},\n "agnet": 1,\n "target": "pod/a", "feature": {"env": {"env_file": "no-such.env"}}, "key": 5}')
ok([e.split(": ")[0].split(":", 1)[1] for e in shape["errors"]] == ["1:19", "2:2", "3:53", "3:77"], "all errors, in the order of the lines", shape)
done = run("verify-config", "-", "--json", "--no-udp-outgoing", "--file-alone", text="{}")
ok(done.returncode == 0 and json.loads(done.stdout)["type"] == "Success", "options may stand behind the file", done)
for words, said in [(["-", "--jsno"], "unknown option --jsno; did you mean --json?"), (["-", "-Z"], "unknown option -Z"), (["-", "-t"], "option -t needs a value"),
                    (["-", "--key"], "option --key needs a value"), (["--json=1", "-"], "option --json takes no value")]:
    done = run("verify-config", *words, text="{}")
    ok(done.returncode == 2 and said in done.stderr, "verify-config " + " ".join(words), done)
shape = verify('{"target": "pod/a", "feature": {"fs": "read"}}')
ok((shape["type"], shape["config"], len(shape["warnings"])) == ("Success", {"path": {"pod": "a", "container": None}, "namespace": None}, 1), "the shape of a success", shape)
for path, want in [("deploy/a/container/b", {"deployment": "a", "container": "b"}), ("cronjob/a", {"cron_job": "a", "container": None}), ("targetless", "targetless"),
                   ("daemonset/a", {"daemon_set": "a", "container": None}), ("label/b=1,a=2", {"labels": {"b": "1", "a": "2"}}), ("label/b=1/container/c", {"labels": {"b": "1"}, "container": "c"}),
                   ("pid/1", "pid/1"), ("netns/a", "netns/a")]:
    ok(verify(json.dumps({"target": path})).get("config", {}).get("path") == want, f"target {path} in JSON")
    if isinstance(want, dict):
        ok(verify(json.dumps({"target": want})).get("config", {}).get("path") == want, f"{want} in JSON", verify(json.dumps({"target": want})))
for path in ("foo/bar", "pod", "pod/", "pod/A", "label/a", "x" * 300):
    shape = verify(json.dumps({"target": path}))
    ok(shape["type"] == "Fail" and shape["errors"][0].startswith("standard input:1:12: target.path: target"), f"{path[:20]} is no target", shape)
done = run("verify-config", "--ide", "-", text="{")
ok((done.returncode, json.loads(done.stdout)["type"]) == (0, "Fail"), "as plug-ins call it: JSON, and status 0", done)
ok(verify('{"feature": {"fs": "read"}}', "--strict")["type"] == "Fail", "strictly, what has no effect is an error")

# Options of exec count here as there
done = verify('{"target": "pod/{{ key }}", "feature": {"network": {"outgoing": {"udp": true}}}}', "--resolved", "--no-udp-outgoing", "-k", "mine")
ok(done.get("config", {}).get("path") == {"pod": "mine", "container": None} and done.get("origins", {}).get("feature.network.outgoing.udp") == "--no-udp-outgoing",
   "options of exec: in force, and named as origins", done)

# explain
FILE = '{"feature": {"network": {"outgoing": {"filter": {"local": ["*.vpn.test", "10.0.0.0/8:80-90", "tcp://db", "[fd00::]/8"]}}}}}'
LOCAL, NOTHING = "of feature.network.outgoing.filter.local", "no rule of feature.network.outgoing.filter.local matches"
for words, want in [
        (["a.vpn.test:80"], f'tcp a.vpn.test:80 leaves from this machine: "*.vpn.test" {LOCAL}\nits name is resolved by this machine: "*.vpn.test" (local)\n'),
        (["10.1.1.1:85"], f'tcp 10.1.1.1:85 leaves from this machine: "10.0.0.0/8:80-90" {LOCAL}\n'),
        (["10.1.1.1:95"], f"tcp 10.1.1.1:95 leaves from the target: {NOTHING}\n"),
        (["[fd00::1]:95", "udp"], f'udp [fd00::1]:95 leaves from this machine: "[fd00::]/8" {LOCAL}\n'),
        (["fd00::1", "icmp"], f'icmp fd00::1 leaves from this machine: "[fd00::]/8" {LOCAL}\n'),
        (["db:1", "udp"], f"udp db:1 leaves from the target: {NOTHING}\nits name is resolved by this machine: \"db\" (local)\n"
                          "rules for addresses decide as well, once the name's address is known\n"),
]:
    done = run("explain", "-", *words, text=FILE)
    ok((done.returncode, done.stdout) == (0, want), "explain " + " ".join(words), done)
for words in (["a..b:80"], ["a:b"], ["tcp://10.1.1.1:80"], ["http://a"], ["a b"], ["a:80", "sctp"], []):
    ok(run("explain", "-", *words, text=FILE).returncode == 2, "explain " + " ".join(words) + ": bad usage")
ok("MIRRORD_TCP_OUTGOING" in run("config", "explain", "feature.network.outgoing.tcp").stdout, "config explain")
for word, keys in [("MIRRORD_REMOTE_DNS", ["feature.network.dns.enabled"]), ("--steal", ["feature.network.incoming.mode"]), ("-t", ["target.path"]),
                   ("--no-outgoing", ["feature.network.outgoing.tcp", "feature.network.outgoing.udp"])]:
    done = run("config", "explain", word)
    ok((done.returncode, [line for line in done.stdout.splitlines() if not line.startswith(" ")]) == (0, keys), "config explain " + word, done)
for word, near in [("MIRRORD_REMOTE_DSN", "MIRRORD_REMOTE_DNS"), ("--agent-tll", "--agent-ttl"), ("feature.network.incoming.http_filter.header_filterr",
                   "feature.network.incoming.http_filter.header_filter")]:
    ok(f"did you mean {near}?" in run("config", "explain", word).stderr, "config explain: near " + word)
done = run("config", "explain", "feature.network.outgoing.tpc")
ok(done.returncode == 2 and "did you mean feature.network.outgoing.tcp" in done.stderr, "config explain: a near one", done)

# Options of the command line are those of the table
text = run("exec", "--help").stdout
for line in (SOURCE / "docs/configuration.md").read_text().splitlines():
    for flag in [w for w in line.replace("`", " ").replace(",", " ").split() if w.startswith("--") and line.startswith("| `")]:
        ok(flag in text, f"{flag} is an option of exec")

print(f"1..{count}")
sys.exit(failed > 0)

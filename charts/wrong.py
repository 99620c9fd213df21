#!/usr/bin/env python3
"""wrong.py HELM CHART: each setting of the chart set to a value of a wrong type, and an unknown setting beside it.

Every one must be refused by values.schema.json, with the path of the setting in the message. Settings come from the schema;
that the schema knows every setting of values.yaml is said by `additionalProperties: false`, which is demanded here.
"""
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

HELM, CHART = sys.argv[1:3]
# Objects whose members are the user's own words, as Kubernetes defines them.
FREE = {"global", "operator.affinity", "operator.nodeSelector", "operator.podAnnotations", "operator.podLabels",
        "operator.resources.limits", "operator.resources.requests", "metrics.podMonitor.labels"}


def settings(schema, path=()):
    """Every setting: (path, schema)."""
    for name, member in schema.get("properties", {}).items():
        yield path + (name,), member
        yield from settings(member, path + (name,))


def wrong(schema):
    """A value of a type that no setting of this kind has."""
    return 7.5 if schema.get("type") in ("object", "array", "string") else {"is": "wrong"}


def render(path, value):
    text = json.dumps(value)
    command = [HELM, "template", "kube-rasp", CHART, "--kube-version", "1.33.0", "--values", f"{CHART}/ci/minimal-values.yaml",
               "--set-json", ".".join(path) + "=" + text]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def judge(case):
    path, value, words = case
    done = render(path, value)
    if done.returncode == 0:
        return f"accepted: {'.'.join(path)}={json.dumps(value)}"
    if words not in done.stderr:
        return f"{'.'.join(path)}={json.dumps(value)} is refused without '{words}': {done.stderr}"
    return None


def main():
    with open(f"{CHART}/values.schema.json", encoding="utf-8") as file:
        schema = json.load(file)
    found = [((), schema), *settings(schema)]
    problems, cases = [], []
    for path, member in found:
        name = ".".join(path)
        if path:
            cases.append((path, wrong(member), "/" + "/".join(path)))
        if member.get("type") != "object" or name in FREE:
            continue
        if member.get("additionalProperties") is not False:
            problems.append(f"{name or 'the schema'}: additionalProperties is not false")
        cases.append((path + ("unknownSetting",), 1, "unknownSetting"))
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        problems += [problem for problem in pool.map(judge, cases) if problem]
    for problem in problems:
        print(f"charts: {problem}", file=sys.stderr)
    print(f"charts: {len(cases)} wrong values are refused" if not problems else f"charts: {len(problems)} of {len(cases)}")
    sys.exit(1 if problems or len(cases) < 40 else 0)


main()

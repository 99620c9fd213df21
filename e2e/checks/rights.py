#!/usr/bin/env python3
"""rights.py AUDIT_LOG [--partial] <ROLES.json: what the operator asked the API server for, against what it is granted.

Nothing may be denied, and nothing may be granted that was not used in all the end-to-end tests, except what EXCEPTIONS names
with the test that uses it. --partial: only a part of the tests ran, so what is unused says nothing.
"""
import json
import pathlib
import sys
from datetime import datetime, timedelta

ACCOUNT = "system:serviceaccount:kube-rasp:kube-rasp-operator"
ROLE = "kube-rasp-operator"
# An uninstall takes the rights away while the pods still end; a new installation's rights take a moment to be known.
SETTLING = timedelta(seconds=10)
# (group, resource, verb, name): (why no end-to-end test uses it, the test that does)
EXCEPTIONS = {
    ("events.k8s.io", "events", "patch", None):
        ("the same event on the same object after a minute of silence", "what_repeats_after_a_while_is_counted_in_the_event_that_is_there"),
    ("", "secrets", "update", "kube-rasp-webhook-tls"):
        ("a certificate that cannot be used", "a_certificate_that_cannot_be_served_is_replaced_in_its_secret"),
}


def time(event):
    return datetime.fromisoformat(event["requestReceivedTimestamp"].replace("Z", "+00:00"))


def read(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def gaps(events):
    """Times in which rights were gone: from the first of them that is deleted until the last is there again.

    Tests that take a right away for a while do so by an update of the role, and give it back by the next.
    """
    found, missing, since = [], set(), None
    for event in events:
        reference = event.get("objectRef", {})
        ok = event.get("responseStatus", {}).get("code", 500) < 300
        if reference.get("name") != ROLE or reference.get("apiGroup") != "rbac.authorization.k8s.io" or not ok:
            continue
        if event["verb"] == "delete":
            since = since or time(event)
            missing.add(reference["resource"])
        elif event["verb"] == "update" and not since:
            since = time(event)
            missing.add(reference["resource"])
        else:
            missing.discard(reference["resource"])
            if since and not missing:
                found.append((since, time(event) + SETTLING))
                since = None
    return found + ([(since, datetime.max.replace(tzinfo=since.tzinfo))] if since else [])


def granted(roles):
    for role in roles:
        if role["metadata"]["name"] != ROLE:
            continue
        namespace = role["metadata"].get("namespace")
        for rule in role["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for verb in rule["verbs"]:
                        for name in rule.get("resourceNames", [None]):
                            yield namespace, group, resource, verb, name


def uses(event):
    """(namespace, group, resource, verb, name) of one call."""
    reference = event["objectRef"]
    resource = "/".join(filter(None, [reference["resource"], reference.get("subresource")]))
    group = reference.get("apiGroup", "")
    found = [(reference.get("namespace"), group, resource, event["verb"], reference.get("name"))]
    # Server-side apply of what is not there needs the right to create as well, and is one call.
    if event["verb"] == "patch" and event.get("responseStatus", {}).get("code") == 201:
        found.append((*found[0][:3], "create", found[0][4]))
    return found


def covers(grant, use):
    return grant[1:4] == use[1:4] and grant[0] in (None, use[0]) and grant[4] in (None, use[4])


def text(right):
    namespace, group, resource, verb, name = right
    return f"{verb} {resource}" + (f".{group}" if group else "") + (f" {name}" if name else "") + (f" in {namespace}" if namespace else "")


def main():
    events = read(sys.argv[1])
    ours = [event for event in events if event["user"]["username"] == ACCOUNT and "objectRef" in event]
    roles = json.load(sys.stdin)["items"]
    grants, problems = list(granted(roles)), []
    if not ours or not grants:
        sys.exit(f"rights: {len(ours)} calls of {ACCOUNT} in the audit log, {len(grants)} rights: is it the right cluster?")

    without = gaps(events)
    for event in ours:
        denied = event.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid"
        if denied and not any(start <= time(event) <= end for start, end in without):
            problems.append(f"denied: {text(uses(event)[0])} at {event['requestReceivedTimestamp']}")

    used = {use for event in ours if event.get("annotations", {}).get("authorization.k8s.io/decision") != "forbid" for use in uses(event)}
    unused = [grant for grant in grants if not any(covers(grant, use) for use in used)]
    sources = "\n".join(path.read_text(encoding="utf-8") for path in pathlib.Path(__file__).parents[2].glob("operator/**/tests.rs"))
    for key, (_, test) in EXCEPTIONS.items():
        if f"fn {test}(" not in sources:
            problems.append(f"exception {key}: there is no test {test}")
        if not any(grant[1:] == key for grant in grants):
            problems.append(f"exception {key}: nothing like it is granted any more")
    if "--partial" not in sys.argv:
        problems += [f"granted and never used: {text(grant)}" for grant in unused if grant[1:] not in EXCEPTIONS]

    for problem in sorted(set(problems)):
        print(f"rights: {problem}", file=sys.stderr)
    print(f"rights: {len(ours)} calls, {len(grants) - len(unused)} of {len(grants)} rights used, {len(EXCEPTIONS)} exceptions")
    sys.exit(1 if problems else 0)


main()

"""run_requests.py [case...]: plays tests/requests/<case>/ against a server, and asks at the end whether it is well.

A case is a folder:
  request.http   the request, lines ending in LF. Host, Content-Length and "Connection: close" are added where they are missing,
                 the empty line between head and body is there even without a body, one newline at the very end is dropped. In it
                 stand for themselves: {{HOST}} {{PORT}} {{MODEL}}, {{ID}} the id of a small analysis made before ("The cat sat",
                 three tokens), {{repeat N TEXT}}, {{bytes FF FE}}.
  raw.http       instead: sent as it is but for line ends in the head; nothing is added.
  expect.json    {"status": 422 or a list, "detail": [patterns that problem's detail must match], "pointer": "/text",
                 "headers": {name: pattern}, "absent": [header names], "body": [patterns], "closed": true,
                  "by_library": true}; all but status optional.
Every answer must have the safety headers, every one of 400 or more a sound problem document; but for those of requests that the HTTP
library refuses by itself, in words of its own, before the program sees them (by_library).
"""
import json
import os
import re
import sys
import time

from server_under_test import MODEL, Server, SOURCE

CASES = os.path.join(SOURCE, "tests", "requests")
SAFETY = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "cross-origin-resource-policy": "same-origin"}


def fill_in(template, values):
    def value(found):
        word, _, rest = found[1].decode().partition(" ")
        if word == "repeat":
            count, _, text = rest.partition(" ")
            return text.encode() * int(count)
        if word == "bytes":
            return bytes.fromhex(rest)
        return values[word].encode()
    return re.sub(rb"\{\{([A-Za-z]+(?: .+?)?)\}\}", value, template)


def make_request(folder, values):
    raw = os.path.exists(os.path.join(folder, "raw.http"))
    with open(os.path.join(folder, "raw.http" if raw else "request.http"), "rb") as file:
        template = file.read()
    head, separator, body = template.partition(b"\n\n")
    head = fill_in(head.rstrip(b"\n"), values).split(b"\n")
    body = fill_in(body[:-1] if body.endswith(b"\n") else body, values)
    if raw:
        return b"\r\n".join(head) + b"\r\n\r\n" + body
    names = {line.split(b":")[0].lower() for line in head[1:]}
    if b"host" not in names:
        head.append(b"Host: " + values["HOST"].encode())
    if separator and body and b"content-length" not in names and b"transfer-encoding" not in names:
        head.append(b"Content-Length: %d" % len(body))
    if b"connection" not in names:
        head.append(b"Connection: close")
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def check_problem(status, headers, body, expect):
    if headers.get("content-type") != "application/problem+json":
        return [f"content-type {headers.get('content-type')}"]
    try:
        problem = json.loads(body)
    except ValueError as error:
        return [f"a problem document that is no JSON ({error})"]
    wrong = [f"no {name}" for name in ("type", "title", "status", "detail") if name not in problem]
    if problem.get("status") != status:
        wrong.append(f"status {problem.get('status')} in the document")
    wrong += [f"detail does not match {pattern!r}" for pattern in expect.get("detail", []) if not re.search(pattern, problem.get("detail", ""))]
    if "pointer" in expect and expect["pointer"] not in [error.get("pointer") for error in problem.get("errors", [])]:
        wrong.append(f"no error points to {expect['pointer']}")
    return wrong


def check(answer, expect):
    """What is wrong with the answer, as a list."""
    status, headers, body, closed = answer
    wanted = expect["status"] if isinstance(expect["status"], list) else [expect["status"]]
    wrong = [] if status in wanted else [f"{status} instead of {expect['status']}"]
    if not expect.get("by_library"):
        wrong += [f"{name}: {headers.get(name)}" for name, value in SAFETY.items() if headers.get(name) != value]
    wrong += [f"{name} is there" for name in headers if name.startswith("access-control-allow")]
    if status >= 400 and not expect.get("by_library"):
        wrong += check_problem(status, headers, body, expect)
    for name, pattern in expect.get("headers", {}).items():
        if not re.search(pattern, headers.get(name.lower(), "")):
            wrong.append(f"{name}: {headers.get(name.lower())} does not match {pattern!r}")
    wrong += [f"{name} is there" for name in expect.get("absent", []) if name.lower() in headers]
    wrong += [f"body does not match {pattern!r}" for pattern in expect.get("body", []) if not re.search(pattern.encode(), body)]
    if expect.get("closed") and not closed:
        wrong.append("the connection stayed open")
    return wrong


def ask(server, method, path, value=None):
    body = b"" if value is None else json.dumps(value).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n"
    if value is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    status, _, answer, _ = server.exchange(head.encode() + b"\r\n" + body)
    return status, answer


def play(server, name, values):
    folder = os.path.join(CASES, name)
    with open(os.path.join(folder, "expect.json"), encoding="utf-8") as file:
        expect = json.load(file)
    start = time.monotonic()
    try:
        answer = server.exchange(make_request(folder, values))
        wrong = check(answer, expect)
    except (AssertionError, OSError) as failure:
        answer, wrong = None, [str(failure)]
    print(f"{'wrong' if wrong else 'ok   '} {name} ({(time.monotonic() - start) * 1e3:.0f} ms){': ' if wrong else ''}{'; '.join(wrong)}", flush=True)
    if wrong and answer:
        print(f"      {answer[0]} {answer[1]} {answer[2][:400]!r}")
    return not wrong


def main(names):
    names = names or sorted(name for name in os.listdir(CASES) if os.path.isdir(os.path.join(CASES, name)))
    with Server() as server:
        status, answer = ask(server, "POST", "/api/v1/analyses", {"model": MODEL, "text": "The cat sat"})
        assert status == 200, f"{status}: {answer[:500]!r}"
        values = {"HOST": f"127.0.0.1:{server.port}", "PORT": str(server.port), "MODEL": MODEL, "ID": json.loads(answer)["id"]}
        failed = [name for name in names if not play(server, name, values)]
        status, answer = ask(server, "GET", "/healthz")
        assert status == 200, f"not healthy at the end: {status} {answer!r}"
        status, answer = ask(server, "POST", "/api/v1/analyses", {"model": MODEL, "text": "and still at work"})
        assert status == 200, f"no analyses any more: {status} {answer!r}"
    print(f"{len(names)} cases, {len(failed)} wrong{': ' if failed else ''}{', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

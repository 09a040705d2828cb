"""The documents say what is there: every statistic, every route, every flag and module has its place in them, and links lead somewhere."""
import glob
import os
import re
import sys

SOURCE = os.environ.get("HEADSCOPE_SOURCE") or os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DOCUMENTS = ["README.md", *sorted(os.path.relpath(path, SOURCE) for path in glob.glob(os.path.join(SOURCE, "docs", "*.md")))]


def read(*names):
    return "\n".join(open(os.path.join(SOURCE, name), encoding="utf-8").read() for name in names)


def sources(folder, pattern):
    return sorted(os.path.relpath(path, SOURCE) for path in glob.glob(os.path.join(SOURCE, folder, pattern)))


def headings(text):
    return re.findall(r"^#{1,6} (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)


def anchor(heading):
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def broken_links():
    for name in DOCUMENTS:
        for target in re.findall(r"\]\(([^)\s]+)\)|(?:srcset|src)=\"([^\"]+)\"", read(name)):
            path, _, place = (target[0] or target[1]).partition("#")
            if re.match(r"[a-z]+:", path):
                continue
            there = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
            if not os.path.exists(os.path.join(SOURCE, there)):
                yield f"{name}: {path} is not there"
            elif place and place not in [anchor(heading) for heading in headings(read(there))]:
                yield f"{name}: {there} has no #{place}"


def missing_statistics():
    names = re.findall(r'\[STAT_\w+\] = \{"(\w+)"', read("engine/statistics.c"))
    assert len(names) > 20, names
    text = read("docs/statistics.md")
    described = {word for heading in headings(text) for word in re.findall(r"\w+", heading)}
    for name in names:
        if name not in described and name.removesuffix("_without_sinks") not in described:
            yield f"docs/statistics.md does not define {name}"


def missing_routes():
    table = re.findall(r'\{"(GET|POST|DELETE)", "([^"]+)"', read(*sources("server", "rout*.c")))
    assert len(table) > 15, table
    text = read("docs/api.md")
    # `/analyses/ID/heads.csv`, `.json`: one address for several endings
    known = set()
    for line in re.findall(r"^\| ((?:GET|POST|DELETE) .*?) \|", text, re.M):
        method, words = line.split(" ", 1)
        base = None
        for word in re.findall(r"`([^`]+)`", words):
            word = word.split("?")[0]
            base = base if word.startswith(".") else word
            address = re.sub(r"\.\w+$", "", base) + word if word.startswith(".") else word
            known.add((method, address))
    for method, pattern in table:
        address = pattern.removeprefix("/api/v1")
        for name, short in (("{id}", "ID"), ("{layer}", "L"), ("{head}", "H"), ("{zoom}", "Z"), ("{x}", "X"), ("{y}", "Y"), ("{share}", "S")):
            address = address.replace(name, short)
        if address in ("/", "/a/ID", "/s/S") or address.startswith("/static/"):
            continue  # pages
        if (method, address) not in known:
            yield f"docs/api.md does not have {method} {address}"


def missing_modules():
    text = read("README.md")
    tour = text[text.index("## A tour of the source"):]
    words = set(re.findall(r"[\w*]+(?:\.\w+)?", tour))
    for folder, ends in (("engine", ("*.c",)), ("db", ("*.c",)), ("server", ("*.c",))):
        for path in (path for end in ends for path in sources(folder, end)):
            module = os.path.splitext(os.path.basename(path))[0]
            families = [word[:-1] for word in words if word.endswith("*") and len(word) > 3]
            suffixes = [word for word in words if word.startswith("_")]  # `kernels_plain` `_avx2`
            if module not in words and not any(module.startswith(family) for family in families) and not any(
                    module.endswith(suffix) for suffix in suffixes):
                yield f"README.md's tour does not name {path}"


def main():
    wrong = [*broken_links(), *missing_statistics(), *missing_routes(), *missing_modules()]
    print("\n".join(wrong) if wrong else f"{', '.join(DOCUMENTS)}: all well")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

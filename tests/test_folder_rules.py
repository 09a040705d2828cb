"""check_folder_rules.sh can fail: each violation here, planted alone in a copy of the tree, must be found, and named."""
import os
import shutil
import subprocess
import sys
import tempfile

SOURCE = os.environ.get("HEADSCOPE_SOURCE") or os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDERS = ("engine", "db", "server", "web", "tests")

# file, text appended to it (made if it is not there), words of the finding
PLANTED = [
    ("engine/model.c", "#include <sqlite3.h>", "sqlite3.h is included outside its place"),
    ("engine/planted.c", "#  include <microhttpd.h>", "microhttpd.h is included outside its place"),
    ("engine/planted.c", '#include "server/log.h"', "engine/ reaches outside"),
    ("engine/planted.c", '#include "db/cache.h"', "engine/ reaches outside"),
    ("engine/planted.c", "#include <jansson.h>", "jansson.h is included outside its place"),
    ("engine/planted.c", 'void f(void) { printf("x"); }', "a library prints"),
    ("engine/planted.c", "void f(void) { exit(1); }", "only main.c exits"),
    ("db/cache.c", '#include "engine/engine.h"', "db/ reaches outside"),
    ("db/cache.c", "#include <jansson.h>", "jansson.h is included outside its place"),
    ("db/cache.c", "void f(void) { fputs(\"x\", stderr); }", "a library prints"),
    ("server/options.c", '#include "engine/gguf.h"', "server/ reaches outside"),
    ("server/options.c", '#include "db/connection.h"', "server/ reaches outside"),
    ("server/options.c", "#include <sqlite3.h>", "sqlite3.h is included outside its place"),
    ("server/options.c", "#include <jansson.h>", "jansson.h is included outside its place"),
    ("server/routes.c", "#include <microhttpd.h>", "microhttpd.h is included outside its place"),
    ("server/options.c", "#include <png.h>", "png.h is included outside its place"),
    ("server/options.c", "void f(void) { exit (2); }", "only main.c exits"),
    ("engine/meson.build", "add_project_arguments('-ffast-math', language: 'c')", "the same in every build"),
    ("web/static/planted.js", "e.innerHTML = text;", "text must never become HTML"),
    ("web/static/planted.js", "e.insertAdjacentHTML('beforeend', text);", "text must never become HTML"),
    ("web/static/planted.js", "document.write(text);", "text must never become HTML"),
    ("web/static/planted.js", "eval(text);", "text must never become code"),
    ("web/static/planted.js", "import x from 'https://elsewhere.example/x.js';", "another host"),
    ("web/static/planted.js", "await fetch('/api/v1/models');", "the network belongs to api.js"),
    ("web/static/planted.js", "history.pushState(null, '', '/');", "the address belongs to url_state.js"),
    ("web/static/planted.css", "@import '//elsewhere.example/x.css';", "another host"),
    ("web/static/index.html", "<script>f()</script>", "inline script"),
    ("web/static/index.html", "<style>p { color: red }</style>", "inline style"),
    ("web/static/index.html", '<p style="color: red">x</p>', "inline style"),
    ("web/static/index.html", '<p onclick="f()">x</p>', "inline handler"),
    ("web/static/index.html", '<link rel="stylesheet" href="https://elsewhere.example/x.css">', "another host"),
    ("notes.txt", "anything", "not one of the things that stand at the top"),
]


def check(root):
    done = subprocess.run(["bash", os.path.join(SOURCE, "tests/check_folder_rules.sh"), root], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = os.path.join(folder, "tree")
        os.mkdir(tree)
        for name in FOLDERS:
            shutil.copytree(os.path.join(SOURCE, name), os.path.join(tree, name), ignore=shutil.ignore_patterns("golden"))
        for name in ("meson.build", "meson_options.txt", "LICENSE"):
            shutil.copy(os.path.join(SOURCE, name), tree)
        code, words = check(tree)
        if code != 0:
            print("the tree itself violates the rules:\n" + words)
            failed += 1
        for name, text, finding in PLANTED:
            path = os.path.join(tree, name)
            before = open(path, "rb").read() if os.path.exists(path) else None
            with open(path, "a") as file:
                file.write("\n" + text + "\n")
            code, words = check(tree)
            if code == 0 or finding not in words or name.split("/")[-1] not in words:
                print(f"not found: {text!r} in {name} ({finding})\n{words}")
                failed += 1
            if before is None:
                os.remove(path)
            else:
                open(path, "wb").write(before)
    print(f"{len(PLANTED)} planted violations, {failed} failure(s)")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())

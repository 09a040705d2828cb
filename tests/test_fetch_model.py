"""scripts/fetch_model, without a network: packages made here, in a folder that pip is told to look into."""
import contextlib
import hashlib
import importlib.machinery
import importlib.util
import io
import os
import sys
import tempfile
import zipfile

SOURCE = os.environ.get("HEADSCOPE_SOURCE") or os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
loader = importlib.machinery.SourceFileLoader("fetch_model", os.path.join(SOURCE, "scripts/fetch_model"))
sys.dont_write_bytecode = True
fetch_model = importlib.util.module_from_spec(importlib.util.spec_from_loader("fetch_model", loader))
loader.exec_module(fetch_model)

FIRST, SECOND = os.urandom(200000), os.urandom(70000)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def make_wheel(folder, name, files):
    path = os.path.join(folder, f"{name}-1.0-py3-none-any.whl")
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, data in files.items():
            wheel.writestr(member, data)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return sha256(open(path, "rb").read())


def run(*arguments):
    """Exit status and words."""
    words = io.StringIO()
    real = sys.stderr
    with tempfile.TemporaryFile("w+") as file:  # pip writes to the descriptor
        sys.stderr = file
        try:
            status = fetch_model.main(list(arguments))
        finally:
            sys.stderr = real
        file.seek(0)
        words.write(file.read())
    return status, words.getvalue()


def leftovers(folder):
    return [name for name in os.listdir(folder) if name.startswith(".")]


@contextlib.contextmanager
def changed(dictionary, key, value):
    before = dictionary[key]
    dictionary[key] = value
    yield
    dictionary[key] = before


def main():
    with tempfile.TemporaryDirectory() as folder:
        wheels, models = os.path.join(folder, "wheels"), os.path.join(folder, "deep", "models")
        os.mkdir(wheels)
        digests = [make_wheel(wheels, "headscope_test_one", {"one/part0": FIRST}),
                   make_wheel(wheels, "headscope_test_two", {"two/part1": SECOND, "two/config.json": b"{}"})]
        whole = FIRST + SECOND
        model = {"what": "two parts", "licence": "none", "notice": "Mind the terms.",
                 "packages": [("headscope-test-one==1.0", digests[0]), ("headscope-test-two==1.0", digests[1])], "target": "whole.gguf",
                 "files": [("whole.gguf", ["one/part0", "two/part1"], len(whole), sha256(whole))]}
        tree = {"what": "a folder", "licence": "none", "packages": model["packages"][1:], "target": "Tree",
                "files": [("Tree/config.json", ["two/config.json"], 2, sha256(b"{}")),
                          ("Tree/weights", ["two/part1"], len(SECOND), sha256(SECOND))]}
        fetch_model.MODELS = {"whole": model, "tree": tree}
        os.environ.update(HEADSCOPE_MODELS=models, PIP_NO_INDEX="1", PIP_FIND_LINKS=wheels, PIP_CONFIG_FILE="/dev/null")
        for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT"):
            os.environ.pop(name, None)
        path = os.path.join(models, "whole.gguf")

        # what cannot be right leaves nothing behind, and says why
        with changed(model, "packages", [("headscope-test-one==1.0", digests[0]), ("headscope-test-two==1.0", digests[0])]):
            status, words = run("whole")
            assert status == 1 and "is not the package" in words and digests[1] in words, words
            assert not os.path.exists(path) and not leftovers(models)
        with changed(model, "files", [("whole.gguf", ["one/part0"], len(FIRST), sha256(whole))]):
            status, words = run("whole")
            assert status == 1 and "is not the file" in words, words
            assert not os.path.exists(path) and not leftovers(models)
        with changed(model, "files", [("whole.gguf", ["one/absent"], len(FIRST), sha256(whole))]):
            status, words = run("whole")
            assert status == 1 and "has no one/absent" in words, words
        with changed(os.environ, "PIP_FIND_LINKS", os.path.join(folder, "nothing")):
            status, words = run("whole")
            assert status == 1 and "check the network" in words, words
            assert not leftovers(models)
        real = fetch_model.shutil.disk_usage
        fetch_model.shutil.disk_usage = lambda _: type("usage", (), {"free": 1000})
        status, words = run("whole")
        fetch_model.shutil.disk_usage = real
        assert status == 1 and "not enough room" in words and "HEADSCOPE_MODELS" in words, words
        status, words = run("absent")
        assert status == 2 and "no model is called" in words and "whole" in words, words
        status, words = run()
        assert status == 2 and "usage" in words, words

        # what is left of a killed run goes
        os.makedirs(os.path.join(models, ".fetching-999999999"))
        status, words = run("whole")
        assert status == 0 and "Mind the terms." in words, words
        assert open(path, "rb").read() == whole and not leftovers(models), os.listdir(models)
        with changed(os.environ, "PIP_FIND_LINKS", os.path.join(folder, "nothing")):  # needs nothing once it is there
            status, words = run("whole")
            assert status == 0 and "is there" in words, words
        status, words = run("tree")
        assert status == 0 and sorted(os.listdir(os.path.join(models, "Tree"))) == ["config.json", "weights"], words
        with open(path, "ab") as file:
            file.write(b"x")
        status, words = run("whole")
        assert status == 1 and "move" in words and os.path.getsize(path) == len(whole) + 1, words
    print("fetch_model: all well")


if __name__ == "__main__":
    main()

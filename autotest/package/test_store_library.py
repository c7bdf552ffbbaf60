"""The store as README.md describes it to users: built without GDAL, installed, found and used by a program in C."""
import os
from pathlib import Path
import re
import subprocess

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          **options)
    assert done.returncode == 0, "%s\n%s" % (" ".join(map(str, command)), done.stdout)
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """Where the library is installed."""
    prefix = tmp_path_factory.mktemp("prefix")
    run("cmake", "--preset", "store", cwd=ROOT)
    run("cmake", "--build", "--preset", "store", cwd=ROOT)
    run("cmake", "--install", ROOT / "build" / "store", "--prefix", prefix)
    return prefix


@pytest.fixture(scope="module")
def example(prefix, tmp_path_factory):
    """store/example.c, built by the CMakeLists.txt of README.md."""
    source = tmp_path_factory.mktemp("example")
    text, = re.findall(r"^```cmake\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (source / "CMakeLists.txt").write_text(text)
    (source / "example.c").write_bytes((ROOT / "store" / "example.c").read_bytes())
    run("cmake", "-G", "Ninja", "-S", source, "-B", source / "build", "-DCMAKE_PREFIX_PATH=%s" % prefix,
        "-DCMAKE_C_FLAGS=-Wall -Wextra -Wpedantic -Werror")
    run("cmake", "--build", source / "build")
    return source / "build" / "example"


def test_example(example, tmp_path):
    lines = run(example, tmp_path / "repository").splitlines()
    assert lines[:2] == ["49098 49099 49100 49101", "50098 50099 50100 50101"]
    assert [re.sub(r"^[0-9A-Z]{20} \d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", "", line) for line in lines[2:]] == [
        "The first heights", "Repository initialized"]


def test_example_says_what_is_wrong(example, tmp_path):
    run(example, tmp_path)
    again = subprocess.run([example, tmp_path], stderr=subprocess.PIPE, text=True)
    assert again.returncode == 1
    assert str(tmp_path) in again.stderr and "already" in again.stderr


def test_example_needs_no_gdal(example):
    libraries = run("ldd", example)
    assert "libzstd" in libraries
    assert not re.search("gdal|proj|curl", libraries)


def test_headers_include_only_installed_ones(prefix):
    include = prefix / "include" / "sgc_store"
    headers = [path for path in include.rglob("*") if path.is_file()]
    assert include / "store" / "store.h" in headers
    for header in headers:
        assert header.suffix == ".h" and not header.stem.endswith("_private")
        for name in re.findall(r'^#include "(.*)"', header.read_text(), re.MULTILINE):
            assert (include / name).is_file(), "%s includes %s, which is not installed" % (header, name)


def test_store_header_includes_all_others(prefix):
    include = prefix / "include" / "sgc_store"
    used = run("cc", "-M", "-I", include, "-x", "c", include / "store" / "store.h").replace("\\\n", " ").split()
    installed = {os.path.realpath(path) for path in include.rglob("*.h")}
    assert installed <= {os.path.realpath(path) for path in used[1:]}


def test_nothing_of_the_source_tree_is_in_the_package(prefix):
    for file in (prefix / "lib" / "cmake" / "sgc_store").iterdir():
        assert str(ROOT) not in file.read_text(), file


def test_uninstall(prefix, tmp_path):
    build = ROOT / "build" / "store"
    run("cmake", "--install", build, "--prefix", tmp_path)
    assert (tmp_path / "include" / "sgc_store" / "store" / "store.h").is_file()
    run("cmake", "--build", build, "--target", "uninstall")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]

"""The sgc command, on cubes of both versions of Icechunk, and the options that concern their history."""
import json
import re
import subprocess
import time

import numpy as np
from osgeo import gdal
import pytest

from conftest import ROOT
import demo_formula

CHUNK = 256
WINDOWS = [(50432 + i * CHUNK, 75520, CHUNK, CHUNK) for i in range(4)]  # one chunk each


@pytest.fixture(params=[1, 2])
def version(request):
    return request.param


@pytest.fixture
def filled(cube, version):
    """A cube with a commit for each window."""
    for window in WINDOWS:
        dataset = gdal.OpenEx("SGC:%s,dataset=Demo,create=yes,chunk_size=%d,spec_version=%d" % (cube, CHUNK, version))
        dataset.ReadAsArray(*window)
    return cube


def commits(run, name):
    lines = run(["sgc", "log", name]).stdout.splitlines()
    return [re.fullmatch(r"(\w{20})  (\S+)  (.*)", line).groups() for line in lines]


def check_pixels(name, windows=WINDOWS):
    dataset = gdal.OpenEx(name + ",download=no")
    for window in windows:
        assert np.array_equal(dataset.ReadAsArray(*window), demo_formula.window(*window))


def damage(file):
    with open(file, "r+b") as stream:
        stream.truncate(20)


def test_version_of_a_new_cube(filled, version):
    assert (filled / "repo").exists() == (version == 2)
    assert (filled / "refs").exists() == (version == 1)
    check_pixels("SGC:%s" % filled)


def test_log(filled, run):
    messages = [message for _, _, message in commits(run, "SGC:%s" % filled)]
    assert len(messages) == len(WINDOWS) + 2
    assert messages[0].startswith("Load 1 chunk") and messages[-1] == "Repository initialized"


def test_verify(filled, run):
    for options in [], ["--chunks"]:
        assert "no defects" in run(["sgc", "verify", "SGC:%s" % filled, *options]).stdout


@pytest.mark.parametrize("kind", ["chunks", "manifests", "transactions"])
def test_verify_names_what_is_damaged(filled, run, kind):
    victim = sorted((filled / kind).iterdir())[0]
    damage(victim)
    done = run(["sgc", "verify", "SGC:%s" % filled], fails=True)
    assert "%s/%s" % (kind, victim.name) in done.stdout and "1 defect" in done.stdout
    assert "damaged" in done.stderr


def test_expire_and_collect(filled, run):
    name = "SGC:%s" % filled
    before = commits(run, name)
    for command in "expire", "gc":
        assert "would" in run(["sgc", command, name, "--older-than=0m", "--dry-run"]).stdout
    assert commits(run, name) == before
    assert "forgot %d snapshots" % (len(before) - 2) in run(["sgc", "expire", name, "--older-than=0m"]).stdout
    assert "--force" in run(["sgc", "gc", name, "--older-than=0m"], fails=True).stderr
    assert "removed %d snapshots" % (len(before) - 2) in run(["sgc", "gc", name, "--older-than=0m", "--force"]).stdout
    assert commits(run, name) == [before[0], before[-1]]
    run(["sgc", "verify", name, "--chunks"])
    check_pixels(name)
    more = (WINDOWS[-1][0] + CHUNK, WINDOWS[-1][1], CHUNK, CHUNK)
    assert np.array_equal(gdal.OpenEx(name).ReadAsArray(*more), demo_formula.window(*more))


def test_provenance_outlives_the_commits(filled, run, version):
    """What was loaded from where is still told when the commits that said so have expired."""
    run(["sgc", "expire", "SGC:%s" % filled, "--older-than=0m"])
    file = filled / "repo"
    if version == 1:
        file = filled / "snapshots" / json.loads((filled / "refs/branch.main/ref.json").read_text())["snapshot"]
    payload = unpack(file)
    if version == 2:
        assert payload.count(b"sgc_patch_count") >= 1
    else:
        assert payload.count(b"\xa7seconds") >= len(WINDOWS)


def unpack(file):
    """The content of a metadata file, behind its header."""
    return subprocess.run(["zstd", "-dcq"], input=file.read_bytes()[39:], stdout=subprocess.PIPE, check=True).stdout


def test_copy(filled, run, tmp_path):
    name, copy = "SGC:%s" % filled, tmp_path / "copy"
    run(["sgc", "copy", name, copy])
    check_pixels("SGC:%s" % copy)
    assert commits(run, "SGC:%s" % copy) == [commits(run, name)[0], commits(run, name)[-1]]
    assert "already" in run(["sgc", "copy", name, copy], fails=True).stderr


def test_a_time_in_the_past(filled, run):
    name = "SGC:%s" % filled
    ids = [id for id, _, _ in commits(run, name)]
    now = time.time()
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + ".%03dZ" % (now % 1 * 1000)
    more = (WINDOWS[-1][0] + CHUNK, WINDOWS[-1][1], CHUNK, CHUNK)
    gdal.OpenEx(name).ReadAsArray(*more)
    then = "%s,asof=%s" % (name, moment)
    assert commits(run, then)[0][0] == ids[0] != commits(run, name)[0][0]
    check_pixels(then)
    with pytest.raises(RuntimeError, match="never gets more"):
        gdal.OpenEx(then).ReadAsArray(*more)


def test_a_time_is_a_whole_second(filled, run):
    """A time as the log shows it means the commit that it shows there."""
    name = "SGC:%s" % filled
    newest, when, _ = commits(run, name)[0]
    assert commits(run, "%s,asof=%s" % (name, when))[0][0] == newest


def test_tag(filled, run):
    name = "SGC:%s" % filled
    run(["sgc", "tag", name, "v1"])
    more = (WINDOWS[-1][0] + CHUNK, WINDOWS[-1][1], CHUNK, CHUNK)
    gdal.OpenEx(name).ReadAsArray(*more)
    assert len(commits(run, name + ",tag=v1")) == len(commits(run, name)) - 1
    assert "already" in run(["sgc", "tag", name, "v1"], fails=True).stderr
    assert "letters" in run(["sgc", "tag", name, "a/b"], fails=True).stderr


def test_a_chunk_of_many_commits_is_reported_once(filled, run):
    victim = max((filled / "chunks").iterdir(), key=lambda file: file.stat().st_size)
    victim.unlink()
    done = run(["sgc", "verify", "SGC:%s" % filled], fails=True)
    assert done.stdout.count(victim.name) == 1 and "1 defect" in done.stdout


def test_what_has_lost_its_branches_is_not_made_anew(filled, version, failure):
    """Data that somebody may want to rescue must not become garbage of another cube."""
    if version == 2:
        (filled / "repo").unlink()
    else:
        (filled / "refs/branch.main/ref.json").unlink()
    for options in "", ",dataset=Demo,create=yes":
        message = failure(lambda: gdal.OpenEx("SGC:%s%s" % (filled, options)))
        assert "not empty" in message and str(filled) in message


def test_copies_go_to_empty_directories(filled, run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("x")
    assert "thesis.txt" in run(["sgc", "copy", "SGC:%s" % filled, tmp_path / "mine"], fails=True).stderr
    assert "directories" in run(["sgc", "copy", "SGC:%s" % filled, "s3://bucket/x"], fails=True).stderr
    run(["sgc", "copy", "SGC:%s" % filled, "SGC:%s" % (tmp_path / "named")])
    check_pixels("SGC:%s" % (tmp_path / "named"))


@pytest.mark.parametrize("options,part", [
    ("asof=yesterday", "no time"), ("asof=1980-01-01", "no snapshot that is so old"),
    ("asof=2026-01-01,tag=v1", "at most one"), ("spec_version=3", "SPEC_VERSION")])
def test_options_that_make_no_sense(filled, failure, options, part):
    assert part in failure(lambda: gdal.OpenEx("SGC:%s,%s" % (filled, options)))


@pytest.mark.parametrize("args", [
    [], ["log"], ["prune", "SGC:x"], ["gc", "SGC:x"], ["verify", "SGC:x", "--dry-run"], ["copy", "SGC:x"],
    ["log", "SGC:x", "--older-than=1d"], ["log", "SGC:x", "SGC:y"], ["log", "--fast", "SGC:x"]])
def test_wrong_usage(run, args):
    done = run(["sgc", *args], fails=True)
    assert done.returncode == 2 and "usage:" in done.stderr and done.stdout == ""


def test_no_cube_there(run, tmp_path):
    for command in ["log"], ["verify"], ["expire", "--older-than=1d"], ["gc", "--older-than=1d"]:
        done = run(["sgc", command[0], "SGC:%s/nothing" % tmp_path, *command[1:]], fails=True)
        assert "holds no repository" in done.stderr
    assert not (tmp_path / "nothing").exists()


def test_ages(filled, run):
    done = run(["sgc", "gc", "SGC:%s" % filled, "--older-than=soon"], fails=True)
    assert "soon" in done.stderr and "2026-03-01" in done.stderr


def test_datasets(run, tmp_path, monkeypatch):
    mine = json.loads((ROOT / "datasets" / "definitions" / "TCTrend2019.json").read_text())
    mine["title"] = "A title of mine"
    (tmp_path / "TCTrend2019.json").write_text(json.dumps(mine))
    (tmp_path / "incomplete.json").write_text(json.dumps({**mine, "bands": []}))
    needs = {**mine, "parameters": {"v": {"values": ["a"]}, "w": {"pattern": "[0-9]"}}}
    (tmp_path / "needs.json").write_text(json.dumps(needs))
    (tmp_path / "mine.json").write_text("no JSON")
    monkeypatch.setenv("SGC_DATASETS_PATH", str(tmp_path))
    lines = run(["sgc", "datasets"]).stdout.splitlines()
    titles = {name: title.strip() for name, _, title in (line.partition(" ") for line in lines)}
    assert list(titles) == sorted(titles, key=str.lower)
    assert titles["ArcticDEM32m"] == "ArcticDEM mosaic v4.1, 32 m"
    assert titles["TCTrend2019"] == mine["title"]
    assert titles["mine"].startswith("cannot be used: ") and "mine.json:1: not valid JSON" in titles["mine"]
    assert "/bands: must be a list" in titles["incomplete"]
    assert titles["needs"] == mine["title"]
    assert [title for title in titles.values() if "cannot be used" in title and "GDAL 3.7" not in title] == [
        titles["incomplete"], titles["mine"]]

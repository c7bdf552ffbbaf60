"""The cost of one commit and of one read, with 10^3 to 10^6 chunk references, ours and the official library's.

Run with any Python 3 after autotest/test.sh has built everything; SGC_BUILD_DIR is build/release unless set, and
SGC_INTEROP_PYTHON (build/interop/bin/python) has icechunk and zarr. Both libraries work on the same disk in the same
run. Ours writes cubes as the driver does; the official library has its defaults (no splitting).
"""
import json
import os
from pathlib import Path
import subprocess
import sys
import tempfile

ROOT = Path(__file__).resolve().parents[2]
TOOL = Path(os.environ.get("SGC_BUILD_DIR", ROOT / "build/release")) / "autotest/bench/store_cost"
OFFICIAL_PYTHON = os.environ.get("SGC_INTEROP_PYTHON", str(ROOT / "build/interop/bin/python"))
SECONDS_PER_ID = 0.3e-6
# Name, side in chunks, arrays, steps.
SHAPES = [("10^3", 32, 1, 1), ("10^4", 100, 1, 1), ("10^5", 316, 1, 1), ("10^6", 1000, 1, 1),
          ("64 x 8 x 196", 14, 64, 8)]

OFFICIAL = r"""
import json, os, statistics, sys, time
import icechunk, numpy, zarr

place, times = sys.argv[1], int(sys.argv[2])

def commit_one(step):
    repo = icechunk.Repository.open(icechunk.local_filesystem_storage(place))
    session = repo.writable_session("main")
    root = zarr.open_group(session.store, mode="r+")
    root["a0"][0, 64:128, 64:128] = (numpy.arange(4096).reshape(64, 64) * 31 + step).astype("u1")
    root.attrs["loaded_patches"] = root.attrs["loaded_patches"] + ["new_%d_10m_v4.1" % step]
    session.commit("one chunk")

def read_one():
    repo = icechunk.Repository.open(icechunk.local_filesystem_storage(place))
    session = repo.readonly_session("main")
    return zarr.open_group(session.store, mode="r")["a0"][0, 64:128, 64:128]

def median(work):
    seconds = []
    for i in range(times):
        start = time.perf_counter()
        work(i)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)

print(json.dumps({"commit": median(commit_one), "read": median(lambda i: read_one())}))
sys.stdout.flush()
os._exit(0)
"""


def make(place, side, arrays, steps, split):
    subprocess.run([TOOL, "make", place, str(side), str(arrays), str(steps), str(int(split))], check=True)


def measure_ours(place, times):
    return json.loads(subprocess.run([TOOL, "measure", place, str(times)], check=True, stdout=subprocess.PIPE).stdout)


def measure_official(place, times):
    result = subprocess.run([OFFICIAL_PYTHON, "-W", "ignore", "-c", OFFICIAL, place, str(times)], check=True,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(result.stdout.splitlines()[-1])  # the library may print warnings before it


def main():
    figures = {}
    print(f"{'references':>14} {'ids':>7} | {'commit':>9} {'read':>9} {'bytes':>9} | official {'commit':>9} {'read':>9}")
    with tempfile.TemporaryDirectory() as directory:
        for name, side, arrays, steps in SHAPES:
            ours, theirs = Path(directory, name.replace(" ", "_")), Path(directory, "official")
            make(ours, side, arrays, steps, True)
            make(theirs, side, arrays, steps, False)
            ids = side * side * arrays * steps // 10
            figure = figures[name] = dict(measure_ours(ours, 21), ids=ids, official=measure_official(theirs, 3))
            subprocess.run(["rm", "-rf", ours, theirs], check=True)
            print(f"{name:>14} {ids:>7} | {figure['commit'] * 1e3:6.1f} ms {figure['read'] * 1e3:6.1f} ms "
                  f"{figure['bytes']:>9} | {'':>8} {figure['official']['commit'] * 1e3:6.0f} ms "
                  f"{figure['official']['read'] * 1e3:6.0f} ms", flush=True)
    failed = []
    small, large, middle = figures["10^3"], figures["10^6"], figures["10^5"]
    for what in "commit", "read":
        allowed = 2 * small[what] + SECONDS_PER_ID * large["ids"]
        if large[what] > allowed:
            failed.append(f"{what} at 10^6: {large[what] * 1e3:.1f} ms, more than {allowed * 1e3:.1f} ms")
        if middle["official"][what] < 10 * middle[what]:
            failed.append(f"{what} at 10^5: only {middle['official'][what] / middle[what]:.1f} times faster than the official library")
    print("\n".join(failed) if failed else "all ratios as wanted")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

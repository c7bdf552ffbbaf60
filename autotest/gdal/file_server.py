"""http_server.py, a server of files, in a process of its own."""
import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "servers" / "http_server.py"


class FileServer:
    def __init__(self, directory):
        self.process = subprocess.Popen([sys.executable, str(SCRIPT), str(directory)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        port = re.fullmatch(r"PORT (\d+)\n", self.process.stdout.readline())
        assert port, "the server did not start"
        self.url = "http://127.0.0.1:%s" % port[1]

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()

    def _call(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(self.url + path, data, timeout=30) as response:
            return json.load(response)

    def log(self):
        return self._call("/__log")

    def reset(self):
        self._call("/__reset", {})

    def fault(self, path, **rule):
        self._call("/__fault", {"path": path, **rule})

    def paths(self):
        """What was asked for, each once."""
        return {entry["path"] for entry in self.log()}

    def bytes_asked(self):
        """The sum of all ranges that were served."""
        total = 0
        for entry in self.log():
            if entry["status"] == 206:
                first, last = re.fullmatch(r"bytes=(\d+)-(\d+)", entry["range"]).groups()
                total += int(last) - int(first) + 1
        return total

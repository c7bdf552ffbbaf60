#!/usr/bin/env python3
"""A file server with ranges that counts requests and misbehaves on command.

    http_server.py DIRECTORY

prints "PORT <n>" when it listens on 127.0.0.1 and ends when its standard input closes.

    POST /__fault   {"path": "/a.tif", "times": 3, ...}   the next 3 requests for /a.tif misbehave
    GET  /__log     the requests so far, a JSON list
    POST /__reset   forgets faults and log, wakes delayed answers

A fault holds one or more of

    "delay_ms": n          wait before answering
    "status": n            answer n, with "body" and "content_type" when given
    "retry_after": s       send this Retry-After, a number or a date
    "redirect_to": url     answer "status", or 302, with this Location, and "body" when given
    "headers": {…}         send these headers instead of those of the same names
    "drip_ms": n           send the body byte by byte, with n ms between
    "truncate": n          close the connection after n bytes of the body
    "reset": true          reset the connection without an answer
    "ignore_range": true   answer 200 with the whole file
    "chunked": true        do not tell the size

With "skip": n it begins after n good answers; without "times" it lasts. Other servers subclass RangeFileHandler, extend serve() and hand
their class to RangeFileServer.
"""

import json
import os
import re
import socket
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


class FaultTable:
    """Which requests shall misbehave, by path."""

    def __init__(self):
        self._lock = threading.Lock()
        self._faults = []
        self._woken = threading.Event()

    def add(self, fault):
        with self._lock:
            self._faults.append(dict(fault))

    def take(self, path):
        """The fault of one request for path; {} when it shall be served well."""
        with self._lock:
            for fault in self._faults:
                if fault["path"] != path:
                    continue
                if fault.get("skip", 0) > 0:
                    fault["skip"] -= 1
                    continue
                if "times" in fault:
                    fault["times"] -= 1
                    if fault["times"] == 0:
                        self._faults.remove(fault)
                return fault
        return {}

    def wait(self, milliseconds):
        self._woken.wait(milliseconds / 1000)

    def clear(self):
        with self._lock:
            self._faults.clear()
            self._woken.set()
            self._woken = threading.Event()


class RequestLog:
    """What was asked, with the number of requests that were being answered at that moment."""

    def __init__(self):
        self._lock = threading.Lock()
        self._entries = []
        self._running = 0

    def begin(self, entry):
        with self._lock:
            self._running += 1
            entry["running"] = self._running
            self._entries.append(entry)

    def end(self):
        with self._lock:
            self._running -= 1

    def entries(self):
        with self._lock:
            return [dict(entry) for entry in self._entries]

    def clear(self):
        with self._lock:
            self._entries.clear()


class RangeFileServer(ThreadingHTTPServer):
    """Serves the files of one directory."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, directory, handler_class=None, port=0):
        super().__init__(("127.0.0.1", port), handler_class or RangeFileHandler)
        self.directory = Path(directory).resolve()
        self.faults = FaultTable()
        self.log = RequestLog()

    def handle_error(self, request, client_address):
        """Clients that hang up are part of the tests."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class RangeFileHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self):
        self.fault = {}
        self.is_running = False
        self.path_only = unquote(urlsplit(self.path).path)
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path_only.startswith("/__"):
            return self.obey()
        self.entry = {
            "method": self.command,
            "path": self.path,
            "range": self.headers.get("Range"),
            "headers": dict(self.headers),
            "body": self.body.decode("utf-8", "replace"),
            "connection": self.client_address[1],
            "status": None,
        }
        self.server.log.begin(self.entry)
        self.is_running = True
        try:
            self.misbehave(self.server.faults.take(self.path_only))
        finally:
            self.leave()

    do_HEAD = do_POST = do_GET

    def leave(self, status=None):
        """Comes before the answer, else a quick client's next request would count beside it."""
        if self.is_running:
            self.is_running = False
            self.entry["status"] = status
            self.server.log.end()

    def obey(self):
        if self.path_only == "/__log":
            return self.respond_json(self.server.log.entries())
        if self.path_only == "/__fault":
            self.server.faults.add(json.loads(self.body))
        elif self.path_only == "/__reset":
            self.server.faults.clear()
            self.server.log.clear()
        return self.respond_json({})

    def misbehave(self, fault):
        self.fault = fault
        if "delay_ms" in fault:
            self.server.faults.wait(fault["delay_ms"])
        if fault.get("reset"):
            return self.hang_up()
        if "redirect_to" in fault:
            location = {"Location": fault["redirect_to"]}
            return self.respond(fault.get("status", 302), fault.get("body", "").encode(), headers=location)
        if "status" in fault:
            body = fault.get("body", "").encode()
            return self.respond(fault["status"], body, fault.get("content_type", "text/plain"))
        return self.serve()

    def hang_up(self):
        """Closes the connection with a reset."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()

    def serve(self):
        """What a good server does."""
        path = (self.server.directory / self.path_only.lstrip("/")).resolve()
        if self.server.directory not in path.parents or not path.is_file():
            return self.respond(404, b"no such file\n", "text/plain")
        content = path.read_bytes()
        stat = path.stat()
        headers = {"ETag": f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"', "Accept-Ranges": "bytes"}
        return self.respond_part(content, headers)

    def is_known(self, headers):
        """Whether the client says that it has what these headers name."""
        return "ETag" in headers and self.headers.get("If-None-Match") == headers["ETag"]

    def respond_part(self, content, headers):
        if self.is_known(headers):
            return self.respond(304, headers=headers)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if wanted is None or self.fault.get("ignore_range"):
            return self.respond(200, content, "application/octet-stream", headers)
        first = int(wanted[1])
        last = min(int(wanted[2] or len(content)), len(content) - 1)
        if first > last:
            headers["Content-Range"] = f"bytes */{len(content)}"
            return self.respond(416, headers=headers)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        return self.respond(206, content[first : last + 1], "application/octet-stream", headers)

    def respond_json(self, value, status=200):
        self.respond(status, json.dumps(value).encode(), "application/json")

    def respond(self, status, body=b"", content_type=None, headers=None):
        """Sends a whole answer, spoilt by the fault of this request."""
        fault = self.fault
        headers = {"Content-Length": str(len(body)), **(headers or {})}
        if content_type is not None:
            headers["Content-Type"] = content_type
        if "retry_after" in fault:
            headers["Retry-After"] = str(fault["retry_after"])
        headers.update(fault.get("headers", {}))
        if fault.get("chunked"):
            del headers["Content-Length"]
            headers["Transfer-Encoding"] = "chunked"
            chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
            body = chunk + b"0\r\n\r\n"
        self.leave(status)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.send_body(body[: fault.get("truncate")])
        if "truncate" in fault:
            self.close_connection = True

    def send_body(self, body):
        if "drip_ms" not in self.fault:
            return self.wfile.write(body)
        for i in range(len(body)):
            self.wfile.write(body[i : i + 1])
            self.wfile.flush()
            self.server.faults.wait(self.fault["drip_ms"])

    def log_message(self, *_):
        """The log is /__log."""


def run(server):
    """Serves until standard input closes."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"PORT {server.server_address[1]}", flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    run(RangeFileServer(sys.argv[1]))

#!/usr/bin/env python3
"""A registry of one image, with faults: serves an OCI layout over HTTP on loopback.

    faulty_registry.py PORT LAYOUT LOG FAULT

FAULT is a file that is read at each request of a layer; its words say what is done to those of more than 64 KiB:
    break N      the connection ends after N bytes
    stall N      nothing more comes after N bytes, and the connection stays
    lie          a byte is another
    short N      there are only N bytes, and the answer says so
None of them, or no file: it is served as it is. LOG gets a line for each request: STATUS PATH RANGE."""

import http.server
import json
import os
import sys
import time

port, layout, log, fault = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]


def blob(digest):
    with open(os.path.join(layout, "blobs", *digest.split(":")), "rb") as file:
        return file.read()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, kind="application/octet-stream", cut=None, headers=()):
        with open(log, "a") as file:
            file.write(f"{status} {self.path} {self.headers.get('Range', '')}\n")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut])
            self.wfile.flush()

    def do_GET(self):
        parts = self.path.split("/")
        if self.path == "/v2/":
            return self.answer(200, b"{}")
        if "manifests" in parts:
            with open(os.path.join(layout, "index.json")) as file:
                entry = json.load(file)["manifests"][0]
            return self.answer(200, blob(entry["digest"]), entry["mediaType"])
        body = blob(parts[-1])
        words = []
        if len(body) > 65536 and os.path.exists(fault):
            with open(fault) as file:
                words = file.read().split()
        if words[:1] == ["lie"]:
            body = body[:-100] + bytes([body[-100] ^ 1]) + body[-99:]
        if words[:1] == ["short"]:
            body = body[:int(words[1])]
        status, headers = 200, []
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes="):
            start = int(asked[6:].split("-")[0])
            headers.append(("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}"))
            status, body = 206, body[start:]
        if words[:1] == ["break"]:
            self.answer(status, body, cut=int(words[1]), headers=headers)
            self.close_connection = True
        elif words[:1] == ["stall"]:
            self.answer(status, body, cut=int(words[1]), headers=headers)
            time.sleep(600)
        else:
            self.answer(status, body, headers=headers)

    do_HEAD = do_GET


http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()

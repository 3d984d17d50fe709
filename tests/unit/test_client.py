from __future__ import annotations

import os
import socketserver
import threading
from http.server import BaseHTTPRequestHandler

import pytest

from pyhost.client import Client, ServerUnreachableError


class OtherService(BaseHTTPRequestHandler):
    """Answers as something that is no pyhost server."""

    status, content_type = 200, "text/html"

    def do_GET(self):
        self.send_response(self.status)
        self.send_header("Content-Type", self.content_type)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def address_string(self):
        return "unix"

    def log_message(self, *_arguments: object):
        pass


@pytest.mark.parametrize(("status", "content_type"), [(200, "text/html"), (404, "application/json")])
def test_a_socket_of_another_service_is_named_as_such(tmp_path, status, content_type):
    path = tmp_path / "other.sock"
    handler = type("Handler", (OtherService,), {"status": status, "content_type": content_type})
    with socketserver.UnixStreamServer(os.fspath(path), handler) as service:
        thread = threading.Thread(target=service.serve_forever)
        thread.start()
        try:
            with Client(path) as client, pytest.raises(ServerUnreachableError) as caught:
                client.overview()
        finally:
            service.shutdown()
            thread.join()
    assert str(caught.value) == (
        f"what listens on {path} is no pyhost server (it answered {status} and {content_type}); "
        "name the server's socket with --socket"
    )

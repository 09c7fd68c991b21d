"""Local HTTP server with scripted replies: whole, limited, broken or none."""

import gzip
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from flood_assets_tests.ea.test_parse import HEADER, line


class Server:
    """Server that gives its replies in order and repeats the last one; a reply is a function of the handler.

    `asked` are the requested paths, `headers` the headers of each request.
    """

    def __init__(self):
        self.replies = []
        self.asked = []
        self.headers = []
        self.lock = threading.Lock()
        self.released = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                with outer.lock:
                    outer.asked.append(self.path)
                    outer.headers.append(self.headers)
                    reply = outer.replies[min(len(outer.asked), len(outer.replies)) - 1]
                reply(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        # A client that closes early is what is tested here, not a fault of this server.
        self.http.handle_error = lambda *_: None
        self.url = f"http://127.0.0.1:{self.http.server_port}/flood-monitoring"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.released.set()
        self.http.shutdown()
        self.http.server_close()

    def answer(self, *replies):
        self.replies = list(replies)
        self.asked.clear()
        self.headers.clear()

    def stall(self, handler):
        """Send nothing until the test is over."""
        self.released.wait(30)
        handler.close_connection = True


def whole(body, *, status=200, kind="text/csv", framing="length", packed=True, cut=None, **headers):
    """Return a reply with a body; with `cut`, only that many bytes follow the headers, which promise all."""
    sent = gzip.compress(body, mtime=0) if packed else body
    head = [f"HTTP/1.1 {status} Something", f"Content-Type: {kind}"]
    head += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if packed:
        head.append("Content-Encoding: gzip")
    if framing == "length":
        head.append(f"Content-Length: {len(sent)}")
    elif framing == "chunked":
        head.append("Transfer-Encoding: chunked")
        pieces = [sent[at : at + 50] for at in range(0, len(sent), 50)]
        sent = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    raw = "\r\n".join([*head, "", ""]).encode() + sent[:cut]

    def reply(handler):
        handler.wfile.write(raw)
        handler.close_connection = cut is not None or framing == "close"

    reply.size = len(sent)
    return reply


def reset(after=b""):
    """Return a reply that resets the connection after these bytes."""

    def reply(handler):
        handler.wfile.write(after)
        handler.wfile.flush()
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        handler.close_connection = True

    return reply


def redirect(to):
    return whole(b"", status=302, packed=False, Location=to)


def readings(*values, first=0):
    """Return a CSV with one reading per value, each of a different measure."""
    rows = [line(value, f"m{first + number}") for number, value in enumerate(values)]
    return "".join(f"{row}\r\n" for row in (HEADER, *rows)).encode()

"""An SMTP server on a free port of 127.0.0.1 that keeps what it is sent."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class Mailbox:
    """What came.

    Attributes:
        port: of the server.
        mails: in order.
        full: True to refuse each mail.
    """

    port: int
    mails: list[EmailMessage] = field(default_factory=list)
    full: bool = False

    @property
    def url(self) -> str:
        """The URL by which Apprise sends here."""
        return f"mailto://127.0.0.1:{self.port}?from=flood@example.org&to=duty@example.org&mode=insecure"


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """Run a server."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 mailbox")
            while line := self.rfile.readline():
                word = line.strip().upper()
                if word == b"QUIT":
                    return self._say("221 bye")
                if word.startswith(b"EHLO"):
                    self._say("250 mailbox")
                elif word == b"DATA" and not found.full:
                    self._say("354 go on")
                    lines = iter(self.rfile.readline, b".\r\n")
                    body = b"".join(each.removeprefix(b".") for each in lines)
                    found.mails.append(message_from_bytes(body, policy=policy.default))
                    self._say("250 kept")
                else:
                    self._say("452 full" if word == b"DATA" else "250 fine")
            return None

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    found = Mailbox(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""A platform with its own wallet answers callbacks with one function, on nothing but the standard library.

    python examples/own_wallet_function.py 9001

Then send it a callback (the security hash is `my-own-wallet-hash`):

    echo '{"transaction_id":"1","action":"bet","user_id":"alice","currency":"EUR","amount":5.25}' > bet.json
    curl -s http://127.0.0.1:9001/callbacks/transaction --data-binary @bet.json \\
        -H "X-Security-Hash: $(stakewire sign --secret my-own-wallet-hash bet.json)"
"""

from __future__ import annotations

import asyncio
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from own_wallet_store import SqliteWallet
from stakewire.wallet.library import handle_callback
from stakewire.wire.sportsbook.signing import Secret

SECRETS = [Secret("my-own-wallet-hash")]  # yours comes from your vault
PATHS = {"/callbacks/transaction": "transaction", "/callbacks/transaction-rollback": "transaction-rollback"}
MOST_BYTES = 64 * 1024


class Callbacks(BaseHTTPRequestHandler):
    """One request of the operator."""

    wallet: SqliteWallet

    def do_POST(self) -> None:
        """Read the raw bytes, let `handle_callback` decide, send what it says."""
        endpoint = PATHS.get(self.path)
        length = self.headers.get("content-length", "")
        if endpoint is None or not length.isdigit() or int(length) > MOST_BYTES:
            self.send_error(404 if endpoint is None else 413)
            return
        raw = self.rfile.read(int(length))
        status, body = asyncio.run(
            handle_callback(endpoint, raw, self.headers.items(), secrets=SECRETS, store=self.wallet)
        )
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(port: int, database: str) -> None:
    """Serve until interrupted."""
    Callbacks.wallet = SqliteWallet(database)
    Callbacks.wallet.open_account("alice", "EUR", 100_00)
    server = HTTPServer(("127.0.0.1", port), Callbacks)
    print(f"own wallet ready on http://127.0.0.1:{server.server_port}/callbacks", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9001, sys.argv[2] if len(sys.argv) > 2 else ":memory:")

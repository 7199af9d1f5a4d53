"""nchan, the peer written in C: an nginx of our own with its module, and a publisher that POSTs the feed.

`python -m benchmarks.hub.nchan PORT EVERY` is the publisher.
"""

from __future__ import annotations

import http.client
import os
import sys
import time
from pathlib import Path

from benchmarks.hub import feed

MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
NGINX = Path("/usr/sbin/nginx")

_CONFIG = """
load_module {module};
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile 15000;
pid {folder}/pid;
error_log {folder}/error.log crit;
events {{ worker_connections 12000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /hub {{
            nchan_subscriber websocket;
            nchan_channel_id games;
            nchan_subscriber_first_message newest;
        }}
        location = /publish {{
            nchan_publisher;
            nchan_channel_id games;
            client_body_buffer_size 16k;
        }}
    }}
}}
"""


def installed() -> bool:
    """Whether Debian's nginx and libnginx-mod-nchan are here."""
    return MODULE.exists() and NGINX.exists()


def nginx(folder: Path, port: int) -> list[str]:
    """Write the configuration into `folder`; return the command that serves it."""
    user = "user root;" if os.getuid() == 0 else ""
    path = folder / "nginx.conf"
    path.write_text(_CONFIG.format(module=MODULE, folder=folder, port=port, user=user))
    return [str(NGINX), "-c", str(path), "-p", str(folder), "-e", str(folder / "error.log")]


def publish(port: int, every: float) -> None:
    """POST version after version at a steady pace, over one kept connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    due = time.monotonic()
    version = 0
    while True:
        version += 1
        connection.request("POST", "/publish", feed.message(version), {"Content-Type": "text/plain"})
        answer = connection.getresponse()
        answer.read()
        if answer.status not in (200, 201, 202):
            raise SystemExit(f"nchan answered {answer.status}")
        due = max(due + every, time.monotonic() - every)
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    publish(int(sys.argv[1]), float(sys.argv[2]))

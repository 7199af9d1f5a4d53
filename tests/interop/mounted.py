"""The hub as an ASGI application, for `uvicorn tests.interop.mounted:app` and `granian`.

`BASE` in the environment is the address under which the server answers.
"""

from __future__ import annotations

import os

from tests.interop.server import new_hub, redirecting_hub

app = new_hub().asgi(around=redirecting_hub(f"{os.environ['BASE']}/hub").asgi())

"""`stakewire hub`: what a SignalR hub offers, as documents and clients."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stakewire.cli.common import Context, command
from stakewire.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from stakewire.net.signalr import Hub

app = typer.Typer(no_args_is_help=True, help="Describe a SignalR hub.")

_JSON_INDENT = 2


@command(app, "describe")
def describe_command(
    ctx: Context,
    hub: Annotated[
        str, typer.Argument(metavar="MODULE:HUB", help="The hub class, such as `shop.chat:ChatHub`.")
    ],
    form: Annotated[
        Literal["asyncapi", "typescript", "python"],
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="`asyncapi` (a document, as JSON), `typescript` or `python` (a typed client).",
        ),
    ] = "asyncapi",
    path: Annotated[str, typer.Option("--path", metavar="PATH", help="Where the hub is.")] = "/hub",
) -> None:
    """Print the AsyncAPI 3 document of a hub, or a typed client for it; the hub need not run."""
    from stakewire.net.signalr.describe import asyncapi, python_client, typescript
    from stakewire.net.signalr.methods import describe_hub

    described = describe_hub(_find(hub))
    if form == "asyncapi":
        import json

        document = asyncapi(described, path=path)
        ctx.out(document, json.dumps(document, ensure_ascii=False, indent=_JSON_INDENT))
        return
    text = typescript(described) if form == "typescript" else python_client(described)
    ctx.out({"format": form, "text": text}, text.removesuffix("\n"))


def _find(name: str) -> type[Hub]:
    from stakewire.net.signalr import Hub

    module_name, colon, attribute = name.partition(":")
    if not colon or not attribute:
        raise InvalidInput(f"{name!r} names no class; write it as MODULE:HUB, such as `shop.chat:ChatHub`")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as with `python -m`: the module may be in the folder where one stands
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        raise NotFound(f"there is no module {error.name!r}; is it in this folder, or installed?") from error
    found = getattr(module, attribute, None)
    if not (isinstance(found, type) and issubclass(found, Hub)):
        raise NotFound(f"{module_name} has no class {attribute} that is a Hub")
    return found

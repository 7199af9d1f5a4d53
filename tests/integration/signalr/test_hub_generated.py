"""Claims about generated clients: they pass the strictest checks and work against their hub."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.signalr.serving import serving
from tests.unit.signalr.shop import ShopHub

from stakewire.client.signalr import ClientOptions, HubConnection, HubError
from stakewire.net.signalr import HubServer

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent
NODE_MODULES = ROOT / "web" / "node_modules"
TSC = ("--strict", "--target", "es2022", "--module", "nodenext", "--moduleResolution", "nodenext")


def described(form: str, file: Path) -> Path:
    """What `stakewire hub describe` says, in a file."""
    command = ["hub", "describe", "tests.unit.signalr.shop:ShopHub", "--format", form]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("STAKEWIRE_")}
    made = subprocess.run(
        [sys.executable, "-m", "stakewire", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=True,
    )
    file.write_bytes(made.stdout)
    return file


@pytest.fixture(scope="module")
def python_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated Python module."""
    return described("python", tmp_path_factory.mktemp("generated") / "shop_client.py")


@pytest.fixture(scope="module")
def python_module(python_file: Path) -> Any:
    """The same, imported, under no name of the project's."""
    spec = importlib.util.spec_from_file_location("generated_shop_client", python_file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where msgspec looks up annotations
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def node_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated TypeScript and a program that uses it, compiled with `tsc --strict`."""
    folder = tmp_path_factory.mktemp("typescript")
    described("typescript", folder / "shop.ts")
    (folder / "main.ts").write_text((HERE / "shop_client.ts").read_text())
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "node_modules").symlink_to(NODE_MODULES)
    compiled = subprocess.run(
        ["node", str(NODE_MODULES / "typescript" / "bin" / "tsc"), *TSC, "main.ts"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert compiled.returncode == 0, compiled.stdout
    return folder / "main.js"


def test_the_python_client_passes_mypy(python_file: Path) -> None:
    """In strict mode, and apart from the hub's own code, which it does not import."""
    assert "tests" not in python_file.read_text()
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(python_file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("protocol", ["json", "messagepack"])
async def test_the_python_client_calls_the_hub(python_module: Any, protocol: str) -> None:
    """Every kind of type and method goes there and back, in both protocols."""
    made = python_module

    async def prices() -> AsyncIterator[Any]:
        yield made.Price(amount_minor=1)
        yield made.Price(amount_minor=2, currency="USD")

    async with (
        serving(HubServer(ShopHub)) as base,
        HubConnection(f"{base}/hub", options=ClientOptions(protocol=protocol)) as connection,
    ):
        shop = made.ShopHubClient(connection)
        price = await shop.price_of("apple")
        assert (price.amount_minor, price.currency, price.rates) == (250, "EUR", [])
        assert price.until.isoformat() == "2026-11-20T00:00:00+00:00"
        assert await shop.buy(["apple"]) == 1
        assert await shop.buy(["apple"], 2, gift=True) == 3
        with pytest.raises(TypeError, match="at the end only"):
            await shop.buy(["apple"], gift=True)
        moved = await shop.move(made.Point(x=1.5), made.Pair(left=1, right="a"), made.Options(), "a")
        assert moved == made.Point(x=2.5)
        page = await shop.customers(3)
        assert page.items[0].friends[0].id == uuid.UUID(int=3)
        assert await shop.area(made.Square(side=2.0)) == 4
        assert await shop.stock() == {"apples": 3}
        assert [one.amount_minor async for one in shop.prices(["apple", "pear"])] == [1, 1]
        assert [total async for total in shop.totals(prices())] == [1, 3]
        assert await shop.sum_up(10, prices()) == 13
        with pytest.raises(HubError, match="unauthorized"):
            await shop.close()

        changed: list[Any] = []
        shop.on_price_changed(lambda thing, new: changed.append((thing, new.amount_minor)))
        shop.on_really(lambda question: question == "really?")
        assert await shop.ask_me("really?") is True
        assert changed == [("apple", 99)]


async def test_the_typescript_client_calls_the_hub(node_program: Path) -> None:
    """Compiled strictly against `@microsoft/signalr`, it runs in Node over the stock client."""
    async with serving(HubServer(ShopHub)) as base:
        process = await asyncio.create_subprocess_exec(
            "node", str(node_program), f"{base}/hub", stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
    got = json.loads(output)
    assert got.pop("price")["amountMinor"] == 250
    ((thing, price),) = got.pop("changed")
    assert (thing, price["amountMinor"], price["colour"]) == ("apple", 99, "red")
    assert "because user is unauthorized" in got.pop("closed")
    assert got == {
        "bought": [1, 3],
        "moved": [2, 0],
        "area": 9,
        "customers": [1],
        "asked": True,
        "prices": 2,
        "sum": 103,
    }

"""The wheel: holds the pages and the SQL, and runs everything after `pip install`, without make or Node."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest
from tests.acceptance.processes import Running, environment, get, three_free_ports

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).with_name("uv")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    [built] = out.glob("stakewire-*-py3-none-any.whl")
    return built


def test_the_wheel_holds_pages_sql_types_and_licence(wheel: Path) -> None:
    """All that is in the package's folders, and nothing of the repository around it."""
    names = zipfile.ZipFile(wheel).namelist()
    for page in ("sportsbook", "site"):
        assert f"stakewire/static/{page}/index.html" in names
        assert any(name.startswith(f"stakewire/static/{page}/assets/") for name in names)
    package = ROOT / "src" / "stakewire"
    for pattern in ("**/*.sql", "**/*.py", "py.typed"):
        expected = {f"stakewire/{path.relative_to(package)}" for path in package.glob(pattern)}
        assert expected
        assert expected <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"stakewire"}


def test_the_wheel_asks_for_what_is_locked_for_running(wheel: Path) -> None:
    """Whoever installs from the lock gets every requirement of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith("METADATA")]
        text = archive.read(metadata).decode()
    wanted = {
        line.removeprefix("Requires-Dist: ").split("<")[0].split(">")[0].strip()
        for line in text.splitlines()
        if line.startswith("Requires-Dist: ") and "extra ==" not in line
    }
    lock = (ROOT / "requirements" / "run.txt").read_text()
    locked = {line.split("==")[0] for line in lock.splitlines() if "==" in line}
    assert wanted
    assert wanted <= locked


@pytest.mark.slow
def test_up_runs_from_an_installed_wheel_without_make_or_node(wheel: Path, folder: Path) -> None:
    """A fresh environment with the locked packages, an empty PATH: all sides answer, the page is there."""
    venv = folder / "venv"
    python = venv / "bin" / "python"
    _uv("venv", "--python", sys.executable, str(venv))
    lock = str(ROOT / "requirements" / "run.txt")
    _uv("pip", "install", "--python", str(python), "--require-hashes", "-r", lock)
    _uv("pip", "install", "--python", str(python), "--no-deps", str(wheel))
    (folder / "empty").mkdir()
    port = three_free_ports()
    with Running(
        "up",
        "--port",
        str(port),
        "--data",
        "data",
        cwd=folder,
        env={"PATH": str(folder / "empty")},
        program=[str(venv / "bin" / "stakewire")],
    ) as running:
        running.wait_for_line("Ctrl-C stops everything")
        for one in range(port, port + 3):
            assert get(f"http://127.0.0.1:{one}/health/ready")[0] == 200
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as page:
            assert b"<script" in page.read()
        running.signal(signal.SIGINT)
        assert running.wait() == 0


def _uv(*arguments: str) -> None:
    done = subprocess.run([str(UV), *arguments], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

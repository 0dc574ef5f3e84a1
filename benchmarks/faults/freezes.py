"""SIGSTOP: there, and dead to the world; for a while, or for good."""

import signal
from dataclasses import dataclass
from datetime import timedelta

from benchmarks.faults.scene import Scene, end_daemon, live_cli, pass_by, send
from benchmarks.watch import is_there


@dataclass(frozen=True)
class FreezeDaemon:
    """SIGSTOP for longer than a lease; what its children have done meanwhile counts once."""

    thaws: bool

    @property
    def label(self) -> str:
        """With how it ends."""
        return "freeze daemon" + ("" if self.thaws else " for good")

    async def strike(self, scene: Scene) -> None:
        """Stop it, and let it go on, or have it replaced by the next start."""
        async with scene.hands:
            scene.watch.pause()
            try:
                send(scene.daemon.pid, signal.SIGSTOP)
                await pass_by(scene.lease * 1.2 + scene.moment(1))
                send(scene.daemon.pid, signal.SIGCONT if self.thaws else signal.SIGSTOP)
            finally:
                scene.watch.resume()
        if not self.thaws:
            await end_daemon(scene, label=self.label)


@dataclass(frozen=True)
class FreezeForkServer:
    """It is there, and forks nothing."""

    thaws: bool

    @property
    def label(self) -> str:
        """With how it ends."""
        return "freeze fork server" + ("" if self.thaws else " for good")

    async def strike(self, scene: Scene) -> None:
        """Stop it while there is work for it."""
        for pid in scene.cast.fork_servers:
            send(pid, signal.SIGSTOP)
            await scene.load.some_work()
            if self.thaws:
                await pass_by(scene.moment(scene.lease.total_seconds() * 1.5))
                send(pid, signal.SIGCONT)
            else:
                # It holds children that nobody reaps; whoever wants a new one finds out.
                await _until_gone(pid, within=timedelta(seconds=40))


@dataclass(frozen=True)
class FreezeChild:
    """A worker that gives no sign of life; its lease tells."""

    thaws: bool

    @property
    def label(self) -> str:
        """With how it ends."""
        return "freeze child" + ("" if self.thaws else " for good")

    async def strike(self, scene: Scene) -> None:
        """Stop a child in the middle of its job."""
        if (found := await scene.live_child()) is None:
            return
        pid, run = found
        scene.hit([run], label=self.label)
        send(pid, signal.SIGSTOP)
        if self.thaws:
            await pass_by(scene.moment(scene.lease.total_seconds() * 1.5))
            send(pid, signal.SIGCONT)


@dataclass(frozen=True)
class FreezeCli:
    """A worker that lives, and a CLI below it that does not."""

    thaws: bool

    @property
    def label(self) -> str:
        """With how it ends."""
        return "freeze CLI" + ("" if self.thaws else " for good")

    async def strike(self, scene: Scene) -> None:
        """Stop a CLI: only the silence of the transcript tells."""
        if (found := await live_cli(scene)) is None:
            return
        pid, run = found
        scene.hit([run], label=self.label)
        send(pid, signal.SIGSTOP)
        if self.thaws:
            await pass_by(scene.moment(3))
            send(pid, signal.SIGCONT)


async def _until_gone(pid: int, *, within: timedelta) -> None:
    for _ in range(int(within / timedelta(milliseconds=100))):
        if not is_there(pid):
            return
        await pass_by(timedelta(milliseconds=100))

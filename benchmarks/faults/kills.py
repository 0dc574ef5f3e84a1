"""kill -9, of whatever there is; and the orderly ends, which are to lose nothing either."""

import signal
from contextlib import suppress

from benchmarks.faults.scene import Scene, end_daemon, live_cli, pass_by, send


class KillDaemon:
    """The plug is pulled."""

    label = "kill daemon"

    async def strike(self, scene: Scene) -> None:
        """Kill it wherever it is."""
        await end_daemon(scene, label=self.label)


class KillStarting:
    """The plug is pulled again before it has come up."""

    label = "kill daemon at its start"

    async def strike(self, scene: Scene) -> None:
        """Kill it, and its successor at a moment of its start."""
        async with scene.hands:
            scene.watch.pause()
            try:
                for _ in range(2):
                    left = scene.cast.all
                    scene.daemon.kill()
                    scene.doomed += left
                    scene.daemon.start()
                    await pass_by(scene.moment(3))
                await scene.daemon.answers()
            finally:
                scene.watch.resume()


class TakeOver:
    """`agentos up --takeover` while a daemon runs."""

    label = "takeover"

    async def strike(self, scene: Scene) -> None:
        """The new one asks the old one to end, and goes on with its work."""
        async with scene.hands:
            scene.watch.pause()
            try:
                left = scene.cast.all
                await scene.daemon.take_over()
                scene.doomed += left
                await scene.daemon.answers()
            finally:
                scene.watch.resume()


class StopDaemon:
    """An orderly end, and the next start."""

    label = "stop daemon"

    async def strike(self, scene: Scene) -> None:
        """SIGTERM, as a machine does when it goes down."""
        async with scene.hands:
            scene.watch.pause()
            try:
                left = scene.cast.all
                await scene.daemon.stop()
                scene.doomed += left
                scene.daemon.start()
                await scene.daemon.answers()
            finally:
                scene.watch.resume()


class KillForkServer:
    """All children go with it."""

    label = "kill fork server"

    async def strike(self, scene: Scene) -> None:
        """Kill it; its children die by the death of their parent."""
        if await scene.live_child() is None:
            return
        for pid in scene.cast.fork_servers:
            scene.hit(scene.watch.live(), label=self.label)
            send(pid, signal.SIGKILL)


class KillChild:
    """One worker dies in the middle of its job."""

    label = "kill child"

    async def strike(self, scene: Scene) -> None:
        """Kill a child that does something."""
        if (found := await scene.live_child()) is not None:
            scene.hit([found[1]], label=self.label)
            send(found[0], signal.SIGKILL)


class KillCli:
    """The CLI below a worker dies, the worker does not."""

    label = "kill CLI"

    async def strike(self, scene: Scene) -> None:
        """Kill a CLI, once there is one."""
        if (found := await live_cli(scene)) is not None:
            pid, run = found
            scene.hit([run], label=self.label)
            send(pid, signal.SIGKILL)


class KillGateway:
    """What stands between the CLIs and the model dies."""

    label = "kill gateway"

    async def strike(self, scene: Scene) -> None:
        """Kill it; the daemon starts it again at the same address."""
        for pid in scene.cast.gateways:
            send(pid, signal.SIGKILL)


class KillPm:
    """The owner's command dies in the middle of what it does."""

    label = "kill pm"

    async def strike(self, scene: Scene) -> None:
        """Kill it at a moment of its short life: its job is there once, or not at all."""
        _, process = await scene.load.pm_adds()
        await pass_by(scene.moment(0.5))
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

"""A pipe that is cut, while both of its ends are there."""

import signal

from benchmarks.cast import cut_pipe
from benchmarks.faults.scene import Scene, send


class CutChildPipe:
    """The pipe between daemon and child is gone; both ends are there."""

    label = "cut pipe of child"

    async def strike(self, scene: Scene) -> None:
        """Shut a live child's socket down, from outside of both."""
        if (found := await scene.live_child()) is None:
            return
        pid, run = found
        try:
            if cut_pipe(pid, made_by=scene.daemon.pid):
                scene.hit([run], label=self.label)
        except PermissionError:  # here nobody may trace anybody: the drills of the load must do
            scene.load.drills += 1
        except ProcessLookupError:
            pass  # it has just ended by itself


class CutForkPipe:
    """The pipe between daemon and fork server is gone."""

    label = "cut pipe of fork server"

    async def strike(self, scene: Scene) -> None:
        """Shut its socket down."""
        if await scene.live_child() is None:
            return
        for pid in scene.cast.fork_servers:
            live = scene.watch.live()
            try:
                if cut_pipe(pid, made_by=scene.daemon.pid):
                    scene.hit(live, label=self.label)
            except PermissionError:
                scene.hit(live, label=self.label)
                send(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

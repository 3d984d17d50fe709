"""Objects: a small operating system's tasks pass packets on. Methods, attributes, and objects that live shortly."""

from __future__ import annotations

import pyhost

SLICE = 4
"""Packets that a task handles before the next one has its turn."""


class Packet:
    """What tasks give each other."""

    def __init__(self, number: int, hops: int) -> None:
        self.number = number
        self.hops = hops
        self.path: list[str] = []


class Task:
    """Takes packets from its queue, by priority among the tasks."""

    def __init__(self, name: str, priority: int) -> None:
        self.name = name
        self.priority = priority
        self.queue: list[Packet] = []
        self.handled = 0

    def is_ready(self) -> bool:
        """Whether it has something to do."""
        return bool(self.queue)

    def step(self, system: System) -> None:
        """Handle a few packets."""
        batch, self.queue = self.queue[:SLICE], self.queue[SLICE:]
        for packet in batch:
            self.handled += 1
            packet.path.append(self.name)
            self.handle(system, packet)

    def handle(self, system: System, packet: Packet) -> None:
        """Do the task's work with one packet."""
        raise NotImplementedError


class Source(Task):
    """Makes the packets, one for each that has arrived."""

    def __init__(self, name: str, priority: int, packets: int) -> None:
        super().__init__(name, priority)
        self.left = packets
        self.state = 1

    def is_ready(self) -> bool:
        """As long as there are packets to make."""
        return self.left > 0

    def step(self, system: System) -> None:
        """Send the next packet."""
        self.left -= 1
        self.handled += 1
        self.state = (self.state * 1_103_515_245 + 12_345) % 2**31
        system.send(Packet(self.state >> 8, hops=2 + (self.state >> 16) % 4))


class Worker(Task):
    """Passes a packet on until it has made its hops."""

    def handle(self, system: System, packet: Packet) -> None:
        """Change the packet and send it to somebody else."""
        packet.hops -= 1
        packet.number = (packet.number * 31 + self.handled) % 1_000_003
        system.send(packet)


class Sink(Task):
    """Takes what has arrived."""

    def __init__(self, name: str, priority: int) -> None:
        super().__init__(name, priority)
        self.checksum = 0

    def handle(self, system: System, packet: Packet) -> None:  # noqa: ARG002 - it sends nothing
        """Add the packet to the checksum."""
        self.checksum = (self.checksum * 33 + packet.number + len("".join(packet.path))) % 2**61


class System:
    """All tasks, and who is next."""

    def __init__(self, packets: int) -> None:
        self.sink = Sink("sink", 9)
        self.workers = [Worker(f"worker-{index}", 2 + index % 3) for index in range(5)]
        self.tasks = sorted(
            [Source("source", 1, packets), *self.workers, self.sink], key=lambda task: task.priority, reverse=True
        )

    def send(self, packet: Packet) -> None:
        """Queue a packet where it goes next."""
        task = self.workers[packet.number % len(self.workers)] if packet.hops else self.sink
        task.queue.append(packet)

    def run(self) -> None:
        """Step the ready task of the highest priority until none is ready."""
        while (task := next((task for task in self.tasks if task.is_ready()), None)) is not None:
            task.step(self)


@pyhost.export
def run(size: int) -> int:
    """Send ``size`` packets through the system; a checksum of those that arrived."""
    system = System(size)
    system.run()
    return system.sink.checksum * 2 + (system.sink.handled == size)

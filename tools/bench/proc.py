"""Processes of the bench: started pinned and bound to the runner's life, ended by pid, and what
they cost: CPU from schedstat, memory from smaps_rollup."""

import os
import subprocess
import time

STOP_SECONDS = 5


class BenchError(Exception):
    """Something a person must read; the bench ends or the row fails."""


class Process:
    """A child of the runner, pinned to one CPU, its output in a file. The kernel ends it when the
    runner dies."""

    running = []

    def __init__(self, name, cpu, argv, log=None, env=None, pipes=False):
        self.name = name
        self.log = log
        wrapped = ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(cpu), *argv]
        output = open(log, "w", encoding="utf-8") if log else None
        self.popen = subprocess.Popen(
            wrapped, env={**os.environ, **(env or {})}, text=True,
            stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
            stdout=subprocess.PIPE if pipes else output,
            stderr=output if output else None)
        if output:
            output.close()
        self.pid = self.popen.pid
        Process.running.append(self)

    def check(self):
        """Raises when the process has ended, with the end of its output."""
        if self.popen.poll() is None:
            return
        text = ""
        if self.log:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                text = file.read()[-2000:]
        raise BenchError(f"{self.name} ended with status {self.popen.returncode}: {text.strip()}")

    def stop(self):
        if self in Process.running:
            Process.running.remove(self)
        if self.popen.stdin:
            self.popen.stdin.close()
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        if self.popen.stdout:
            self.popen.stdout.close()

    @classmethod
    def stop_all(cls):
        for process in list(reversed(cls.running)):
            process.stop()

    def pids(self):
        """The process and its descendants (nginx works in a child)."""
        found, left = [], [self.pid]
        while left:
            pid = left.pop()
            found.append(pid)
            for task in tasks(pid):
                left += [int(child) for child in read(f"{task}/children").split()]
        return found

    def cpu_seconds(self):
        """CPU time of all threads so far. Exact while they sleep."""
        stats = [read(f"{task}/schedstat").split() for pid in self.pids() for task in tasks(pid)]
        return sum(int(stat[0]) for stat in stats if stat) / 1e9

    def anonymous_kib(self):
        """Private memory that is not file: heap, stacks, what the process wrote. A page shared
        between master and worker counts once."""
        return sum(int(line.split()[1])
                   for pid in self.pids() for line in read(f"/proc/{pid}/smaps_rollup").splitlines()
                   if line.startswith(("Pss_Anon:", "SwapPss:")))

    def cpus(self):
        """The CPUs its threads may run on."""
        return {line.split()[1]
                for pid in self.pids() for task in tasks(pid)
                for line in read(f"{task}/status").splitlines()
                if line.startswith("Cpus_allowed_list:")}


def read(path):
    """The text of a /proc file; empty when its process has gone."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def tasks(pid):
    try:
        return [f"/proc/{pid}/task/{tid}" for tid in os.listdir(f"/proc/{pid}/task")]
    except FileNotFoundError:
        return []


def cpu_busy_seconds(cpu):
    """Time that `cpu` was not idle, for anybody (10 ms steps)."""
    for line in read("/proc/stat").splitlines():
        fields = line.split()
        if fields[0] == f"cpu{cpu}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[1:9])
            busy = user + nice + system + irq + softirq + steal
            return busy / os.sysconf("SC_CLK_TCK")
    raise BenchError(f"CPU {cpu} is not in /proc/stat")


def cpu_queue_seconds(cpu):
    """CPU time of everything that ran on `cpu` so far, kernel threads too, up to the last switch of
    tasks: the seventh figure of its run queue."""
    for line in read("/proc/schedstat").splitlines():
        fields = line.split()
        if fields[0] == f"cpu{cpu}":
            return int(fields[7]) / 1e9
    raise BenchError(f"CPU {cpu} is not in /proc/schedstat")


def settled(measure, seconds=3.0, step=0.1, tolerance=0.002):
    """The value of measure() once it stops changing; the last one after `seconds`."""
    deadline = time.monotonic() + seconds
    last = measure()
    while time.monotonic() < deadline:
        time.sleep(step)
        value = measure()
        if abs(value - last) <= tolerance * max(value, last):
            return value
        last = value
    return last

"""Stopping one thread of a process, as a kernel that does not come back would."""
import ctypes
import os

from wire import until

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000


def ptrace(libc, request, thread):
    if libc.ptrace(request, thread, None, None) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")


def thread_of(one, name):
    for task in os.scandir(f"/proc/{one.process.pid}/task"):
        if open(f"{task.path}/comm").read().strip() == name:
            return int(task.name)
    raise AssertionError(f"no thread {name}")


def stop_thread(one, name):
    """Stops one thread alone. Returns what lets it go on, and what waits for it to have ended with
    its process, which does not end before that was done."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    thread = thread_of(one, name)
    ptrace(libc, PTRACE_SEIZE, thread)
    ptrace(libc, PTRACE_INTERRUPT, thread)
    os.waitpid(thread, WALL)
    return (lambda: ptrace(libc, PTRACE_DETACH, thread),
            lambda: until(lambda: os.waitpid(thread, WALL | os.WNOHANG)[0], "the thread has ended", 30))

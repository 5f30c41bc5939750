# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Processes and temporary files that are gone when the demo ends, however it ends."""
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class Failure(Exception):
    """The demo failed; the text is the reason."""


class Interrupted(BaseException):
    """A signal asked the demo to end."""


def install_handlers():
    def handler(number, _frame):
        for each in SIGNALS:  # one is enough: what follows is cleaning up, and that is bounded
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(signal.Signals(number).name)

    for number in SIGNALS:
        signal.signal(number, handler)


@contextlib.contextmanager
def shielded():
    """No signal between making something and remembering that it has to be cleaned up."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def in_child():
    """Should the demo be killed, its processes end, too."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def make_folder(stack):
    """A temporary folder that is short enough for a socket's path."""
    with shielded():
        base = tempfile.gettempdir()
        path = tempfile.mkdtemp(prefix="bounce-demo-", dir=base if len(base) < 60 else "/tmp")
        stack.callback(shutil.rmtree, path, ignore_errors=True)
    return path


def start(stack, command, log_path, stdin=subprocess.DEVNULL, environment=None):
    """Starts a process in a session of its own, with its output in a file."""
    with shielded(), open(log_path, "ab") as log:
        try:
            process = subprocess.Popen(command, stdin=stdin, stdout=log, stderr=log,
                                       start_new_session=True, preexec_fn=in_child, env=environment)
        except OSError as error:
            raise Failure(f"cannot start {command[0]}: {error.strerror}") from None
        stack.callback(stop, process)
    process.log_path = log_path
    return process


def stop(process, how=signal.SIGTERM, patience=5):
    """Ends a process and waits for it. Returns its exit status."""
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def last_words(process):
    """The end of what a process printed, as one line."""
    with open(process.log_path, encoding="utf-8", errors="replace") as file:
        lines = [line.strip() for line in file if line.strip()]
    return lines[-1] if lines else "it said nothing"


def finish(process, name, timeout):
    """Waits for a process that has to end well."""
    try:
        status = process.wait(timeout)
    except subprocess.TimeoutExpired:
        raise Failure(f"{name} did not end within {timeout} s") from None
    if status != 0:
        raise Failure(f"{name} ended with status {status}: {last_words(process)}")


def wait_for(condition, process, name, timeout):
    """Waits until condition() is true; fails when the process ends before."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        if process.poll() is not None:
            raise Failure(f"{name} ended with status {process.returncode}: {last_words(process)}")
        if time.monotonic() > end:
            raise Failure(f"{name} was not ready within {timeout} s")
        time.sleep(0.02)
    return value


def storage_daemon(stack, folder, name, blockdevs, queues):
    """Starts qemu-storage-daemon with one vhost-user-blk export of node d0. Returns the process and its socket."""
    socket = os.path.join(folder, f"{name}.sock")
    command = ["qemu-storage-daemon"]
    for blockdev in blockdevs:
        command += ["--blockdev", blockdev]
    command += ["--export", f"type=vhost-user-blk,id=e0,node-name=d0,addr.type=unix,addr.path={socket},"
                            f"writable=on,num-queues={queues}"]
    process = start(stack, command, os.path.join(folder, f"{name}.log"))
    wait_for(lambda: os.path.exists(socket), process, "qemu-storage-daemon", 10)
    return process, socket

"""What `tests/test_bounded_process.py` has run in a process of its own: it does what the request says."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from srn_deploy.system.bounded_process import answer_request


def answer(request: bytes) -> bytes:
    """Do one thing, named by the request, and answer with what it is about."""
    match request.decode():
        case "print":
            sys.stdout.write("to stdout\n")
            os.write(1, b"past Python\n")
            sys.stderr.write("to stderr\n")
        case "exit":
            raise SystemExit(3)
        case "crash":
            os.kill(os.getpid(), 8)
        case "sleep":
            time.sleep(600)
        case "children":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            sys.stderr.write(f"{child.pid}\n")
            time.sleep(600)
        case "memory":
            filled = bytearray(b"1") * 2**29
            time.sleep(600 + filled[0])
        case "memory of children":
            subprocess.run([sys.executable, "-c", "import time; filled = b'1' * 2**29; time.sleep(600)"], check=False)
        case "held":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
            return f"{child.pid}".encode()
    return request[::-1]


if __name__ == "__main__":
    answer_request(answer)

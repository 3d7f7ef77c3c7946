"""How long the command line and the contract take to start: CPU seconds of fresh processes."""

import resource
import statistics
import subprocess
import sys

from clock import machine

ROUNDS = 7
CASES = {
    "society --help": ["-c", "import sys; sys.argv=['society','--help']; "
                       "from society.cli import main; main()"],
    "import worlds": ["-c", "import worlds"],
    "import society": ["-c", "import society"],
    "python -c pass": ["-c", "pass"],
}  # fmt: skip


def cpu_seconds(arguments):
    """User and system seconds of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    print(machine("typer", "rich"))
    for name, arguments in CASES.items():
        cpu_seconds(arguments)
        seconds = [cpu_seconds(arguments) for _ in range(ROUNDS)]
        print(f"{name:16} median {statistics.median(seconds):.3f} s of {ROUNDS}")


if __name__ == "__main__":
    main()

"""Programs that take turns, so that a change of the machine's speed meets all of them; bench/protocol.h has the protocol."""
import json
import os
import statistics
import subprocess
import threading

PEERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers")
PEERS_ENVIRONMENT = os.path.normpath(os.path.join(PEERS, "..", "..", "build", "peers"))  # of bench/setup-peers
# What a peer says, as its first line, where it cannot run here; then why.
UNAVAILABLE = "unavailable: "
PATIENCE = 240  # seconds a program may take to answer: compilers of the peers are slow, but not that slow


def peers_python():
    """The interpreter of bench/setup-peers, or the system's."""
    python = os.path.join(PEERS_ENVIRONMENT, "bin", "python")
    return python if os.path.exists(python) else "/usr/bin/python3"


class Unavailable(Exception):
    """The program cannot run here: its library is missing, or it failed."""


class Program:
    def __init__(self, name, command, threads=None):
        environment = dict(os.environ)
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        self.name = name
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
        except OSError as error:
            raise Unavailable(f"{name}: {command[0]}: {error.strerror}") from None

    def read_line(self):
        watchdog = threading.Timer(PATIENCE, self.process.kill)
        watchdog.start()
        try:
            line = self.process.stdout.readline().strip()
        finally:
            watchdog.cancel()
        if line.startswith(UNAVAILABLE):
            raise Unavailable(f"{self.name}: {line[len(UNAVAILABLE):]}")
        if not line:
            self.process.kill()
            raise Unavailable(f"{self.name} ended with status {self.process.wait()} without an answer")
        return line

    def prepare(self):
        """Lets a peer, which was started and has done its imports, get ready."""
        line = self.read_line()
        if line != "started":
            raise Unavailable(f"{self.name} said '{line}' instead of 'started'")
        self.send("prepare")
        self.wait_ready()

    def wait_ready(self):
        line = self.read_line()
        if line != "ready":
            raise Unavailable(f"{self.name} said '{line}' instead of 'ready'")

    def send(self, request):
        try:
            self.process.stdin.write(f"{request}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Unavailable(f"{self.name} has ended") from None

    def ask(self, request):
        self.send(request)
        return json.loads(self.read_line())

    def stop(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.stdout.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_peers(commands, threads=None):
    """Starts {name: command} all at once, since their imports take seconds. ([programs], {name: why not})"""
    programs, skipped = [], {}
    for name, command in commands.items():
        try:
            programs.append(Program(name, command, threads))
        except Unavailable as error:
            skipped[name] = str(error)
    return programs, skipped


def statistic(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "n": len(values)}


def ratio(ours, theirs):
    """How many times as fast as theirs ours is: the ratio of the medians, and the ratios of single rounds."""
    pairs = [a / b for a, b in zip(ours, theirs)]
    return {"median": statistics.median(ours) / statistics.median(theirs), "min": min(pairs), "max": max(pairs)}


def interleave(programs, rounds, request):
    """Asks each program in turn, `rounds` times; request(program name) is what it is asked. {name: [answers]}"""
    answers = {program.name: [] for program in programs}
    for _ in range(rounds):
        for program in programs:
            answers[program.name].append(program.ask(request(program.name)))
    return answers


def steps_for(program, seconds, least=2):
    """How many steps fill about `seconds`, by the program's own speed."""
    answer = program.ask(least)
    while answer["seconds"] < seconds / 20:  # too short to tell
        answer = program.ask(10 * answer["steps"])
    return max(least, round(seconds * answer["steps"] / answer["seconds"]))


def git_revision():
    """QMSE_REVISION, where it is set: copies of the checkout may lack git."""
    if os.environ.get("QMSE_REVISION"):
        return os.environ["QMSE_REVISION"]
    folder = os.path.dirname(os.path.abspath(__file__))
    command = ["git", "-C", folder, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"
    except OSError:
        return "unknown"


def write_json(path, record):
    """Whole or not at all; drivers write after every case, so that a run broken off leaves what it has."""
    if path:
        with open(path + ".tmp", "w") as file:
            json.dump(record, file, indent=1)
            file.write("\n")
        os.replace(path + ".tmp", path)

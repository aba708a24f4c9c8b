"""A system that answers requests in a process of its own."""

import json
import subprocess


class AnswerError(Exception):
    """The system could not run a statement."""


class System:
    """One running process; requests are answered one after the other."""

    def __init__(self, name: str, command: list[str]):
        self.name = name
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **request) -> dict:
        """Sends a request and waits for its answer."""
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise AnswerError(f"{self.name} ended without an answer")
        answer = json.loads(line)
        if "error" in answer:
            raise AnswerError(f"{self.name}: {answer['error']}")
        return answer

    def stop(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait(60)

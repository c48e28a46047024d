"""The process behind build/bin/text_server, one question at a time."""

import json
import subprocess


class Server:
    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")

    def ask(self, **question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the server died (exit {self.process.wait()}) on {json.dumps(question)[:2000]}")
        return json.loads(line)

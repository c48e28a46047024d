#!/usr/bin/env python3
"""tools/peers without the peers: the order of the runs, what one that fails leaves, the tables."""

import json
import pathlib
import types
import unittest

import peers
import report

CASES = peers.CASES[:1]
TESTS = peers.TESTS[:2]


def options(**changes):
    given = {"cases": CASES, "tests": TESTS, "engines": list(peers.ENGINES), "rounds": 3, "threads": 2,
             "repetitions": 3, "seconds": 2.0, "gyrator": pathlib.Path("gyrator"),
             "peers": pathlib.Path("peers"), "revision": "1", "machine": {}}
    return types.SimpleNamespace(**{**given, **changes})


def run(rates, args, failing=""):
    """Rows of runs whose rates are taken from `rates` in turn, and the order of the engines."""
    order, rates = [], iter(rates)

    def measure(engine, _case, test, _args):
        order.append(engine)
        if engine == failing:
            return {"error": "exit code 9: q4_k is not supported"}
        return {"rate": next(rates), "repetitions": 3, "version": "v", "isa": "i", "settings": engine,
                "token_bytes": 1e9 if engine == "gyrator" and test.kind == "decode" else 0}

    def limits(_words):
        order.append("read")
        return {"cpu": "a CPU", "isa": "avx2", "read_gb_s": 40.0 + len(order)}

    return peers.run_rounds(args, measure, limits), order


class PeersTest(unittest.TestCase):
    def test_the_engines_take_turns_and_the_read_is_measured_between(self):
        rows, order = run(range(1, 100), options())
        self.assertEqual((list(peers.ENGINES) + ["read"]) * 3 * len(TESTS), order)
        self.assertEqual([1, 4, 7], [found["rate"] for found in rows[0]["engines"]["gyrator"]])
        self.assertEqual([44.0, 48.0, 52.0], rows[0]["read_gb_s"])

    def test_who_fails_is_not_asked_again_and_is_named(self):
        args = options()
        rows, order = run(range(1, 100), args, failing="gyrator")
        self.assertEqual(len(TESTS), order.count("gyrator"))
        result = report.summary(rows, args, [])
        self.assertIn("gyrator failed: exit code 9: q4_k is not supported", report.text(result))
        self.assertIn("| failed | ", report.markdown(result))
        self.assertEqual("-", report.ratio(result["tests"][0]["engines"], "llama.cpp"))

    def test_the_tables_have_medians_spread_and_ratios(self):
        args = options()
        rows, _ = run([100, 50, 20, 120, 60, 40, 110, 55, 80] * 2, args)
        result = json.loads(json.dumps(report.summary(rows, args, [{"file": "f", "bytes": 1,
                                                                    "sha256": "ab"}])))
        cells = report.cells(result["tests"][1])
        self.assertEqual("110.0 (100.0..120.0)", cells[2])
        self.assertEqual("40.0 (20.0..80.0)", cells[4])
        self.assertEqual(("2.00", "2.75"), cells[5:7])
        read = report.median(result["tests"][1]["read_gb_s"])
        self.assertEqual(f"{100 * 110 / read:.0f} %", cells[8])
        self.assertEqual("-", report.cells(result["tests"][0])[8])  # prefill has no such limit
        text = report.text(result)
        for part in ("a CPU", "avx2", "2 threads", "3 interleaved runs", "f: 1 bytes, SHA-256 ab"):
            self.assertIn(part, text)
        self.assertEqual(len(report.HEADS) + 1, report.markdown(result).splitlines()[0].count("|"))

    def test_every_engine_does_the_same_test(self):
        args = options()
        for test in peers.TESTS:
            for engine in peers.ENGINES:
                words = peers.command(engine, CASES[0], test, args)
                given = dict(zip(words, words[1:]))
                tokens = given.get("--tokens") or given["-p" if test.kind == "prefill" else "-n"]
                self.assertEqual(str(test.tokens), tokens)
                if test.kind == "decode":
                    self.assertEqual(str(test.depth), given.get("--depth") or given["-d"])
                self.assertEqual("2", given.get("--threads") or given["-t"])


if __name__ == "__main__":
    unittest.main()

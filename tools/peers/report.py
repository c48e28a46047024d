"""What peers.py found, as one result (JSON) and as tables: text and Markdown."""
import dataclasses

HEADS = ("model", "test", "Gyrator", "llama.cpp", "OpenVINO", "of llama.cpp", "of OpenVINO", "read GB/s",
         "of the read")


def median(values):
    """As gyrator bench has it: of an even number the upper one of the middle."""
    return sorted(values)[len(values) // 2]


def spread(runs):
    """Median, least and most of one engine's runs; its error when the last one failed."""
    if runs and "error" in runs[-1]:
        return {"error": runs[-1]["error"]}
    rates = [run["rate"] for run in runs]
    return {"tokens_s": median(rates), "min": min(rates), "max": max(rates), "rates": rates,
            "repetitions": [run["repetitions"] for run in runs]}


def summary(rows, args, files):
    """All that was found, ready for JSON."""
    tests, engines, loads = [], {}, []
    for row in rows:
        entry = {"model": row["case"].name, "test": row["test"].name, "gguf": row["case"].gguf,
                 "openvino_weights": row["case"].openvino_weights, "read_gb_s": row["read_gb_s"],
                 "engines": {name: spread(runs) for name, runs in row["engines"].items()}}
        for name, runs in row["engines"].items():
            loads += [run["load"] for run in runs]
            for run in runs:
                if "settings" in run:
                    told = engines.setdefault(name, {"version": run["version"], "isa": run["isa"],
                                                     "settings": []})
                    if run["settings"] not in told["settings"]:
                        told["settings"].append(run["settings"])
                if run.get("token_bytes"):  # decode: what the bandwidth allows
                    entry["limit_tokens_s"] = median(row["read_gb_s"]) * 1e9 / run["token_bytes"]
        tests.append(entry)
    machine = {name: args.machine[name] for name in ("cpu", "isa")}
    return {"cpu": machine["cpu"], "isa": machine["isa"], "threads": args.threads,
            "rounds": args.rounds, "load_average_max": max(loads), "engines": engines, "files": files,
            "cases": [dataclasses.asdict(case) for case in args.cases], "tests": tests}


def cell(found):
    if found is None:
        return "-"
    if "error" in found:
        return "failed"
    digits = 0 if found["tokens_s"] >= 200 else 1
    return f"{found['tokens_s']:.{digits}f} ({found['min']:.{digits}f}..{found['max']:.{digits}f})"


def ratio(engines, peer):
    ours, theirs = engines.get("gyrator"), engines.get(peer)
    if not ours or not theirs or "error" in ours or "error" in theirs:
        return "-"
    return f"{ours['tokens_s'] / theirs['tokens_s']:.2f}"


def cells(entry):
    engines = entry["engines"]
    share = "-"
    if "limit_tokens_s" in entry and "tokens_s" in engines.get("gyrator", {}):
        share = f"{100 * engines['gyrator']['tokens_s'] / entry['limit_tokens_s']:.0f} %"
    read = entry["read_gb_s"]
    return (entry["model"], entry["test"], *(cell(engines.get(name)) for name in
            ("gyrator", "llama.cpp", "openvino")), ratio(engines, "llama.cpp"),
            ratio(engines, "openvino"), f"{median(read):.1f} ({min(read):.1f}..{max(read):.1f})", share)


def facts(result):
    """Lines that say what was measured, with what, and what failed."""
    lines = [f"{result['cpu']}, {result['isa']}, {result['threads']} threads; tokens a second, median "
             f"(least..most) of {result['rounds']} interleaved runs, each a process of its own and "
             "itself the median of its repetitions",
             f"load average of the machine at most {result['load_average_max']:.1f} (this run alone "
             f"makes about {result['threads']})",
             "of llama.cpp, of OpenVINO: Gyrator's rate over theirs; of the read: Gyrator's decode over "
             "what the bandwidth allows for the bytes of its weights, cache included",
             "OpenVINO's prefill is prompt tokens / time to first token, its decode 1 / time per output "
             "token"]
    for name, engine in result["engines"].items():
        lines.append(f"{name}: {engine['version']} ({engine['isa']}); {'; '.join(engine['settings'])}")
    for case in result["cases"]:
        lines.append(f"{case['name']}: {case['gguf']}; OpenVINO: {case['openvino']} "
                     f"({case['openvino_weights']})")
    for file in result["files"]:
        lines.append(f"{file['file']}: {file['bytes']} bytes, SHA-256 {file['sha256']}")
    for entry in result["tests"]:
        for name, found in entry["engines"].items():
            if "error" in found:
                lines.append(f"{entry['model']}, {entry['test']}: {name} failed: {found['error']}")
    return lines


def markdown(result):
    table = ["| " + " | ".join(HEADS) + " |", "|" + "---|" * len(HEADS)]
    table += ["| " + " | ".join(cells(entry)) + " |" for entry in result["tests"]]
    return "\n".join([*table, "", *(f"- {line}" for line in facts(result))]) + "\n"


def text(result):
    rows = [HEADS, *(cells(entry) for entry in result["tests"])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADS))]
    table = ["  ".join(value.ljust(width) for value, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([*table, "", *facts(result)]) + "\n"

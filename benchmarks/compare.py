"""Every workload in every framework, in one sitting: `python -m benchmarks.compare`.

    --workloads a,b        some of those in workloads.py; all if not given
    --implementations a,b  some of driver.IMPLEMENTATIONS; all if not given
    --bench-python PATH    the Python with Keras and PyTorch; `make bench` makes one
    --out PATH             where the rows go; benchmarks/results.json if not given
    --table                print what is stored, write and draw it again
    --first-step           only from a process's start to the end of its first step

In results.json rows of the same workload, device and machine are replaced; then the
table goes into README.md and the picture to speed.png. The rows of --first-step go into
first_step.json likewise. With another --out the table is only printed. What is
measured, and how, is told in README.md.
"""

import argparse
import datetime
import statistics
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from benchmarks import driver
from benchmarks.driver import OURS, PEERS, PLAIN
from benchmarks.workloads import WORKLOADS, find

README = driver.HERE / "README.md"
RESULTS = driver.HERE / "results.json"
FIRST_STEP = driver.HERE / "first_step.json"
BEGIN, END = "<!-- table: compare.py writes it -->", "<!-- end of table -->"
FIRST_BEGIN = "<!-- first step: compare.py --first-step writes it -->"
FIRST_END = "<!-- end of first step -->"
EAGER = ("keras", "torch")  # whose first step is soonest
PALETTE = list(matplotlib.color_sequences["petroff10"])
NAMES = {OURS: "gencourse", PLAIN: "plain Flax"}
TOLERANCE = 0.05  # losses of one network in several frameworks, beyond which we shout


# --- statistics ----------------------------------------------------------------


def speeds(facts):
    return [r["images_per_second"] for r in facts["rounds"]]


def best(found, names):
    """Of `names` that ran, the one with the highest median speed, or None."""
    ran = [name for name in names if name in found]
    return max(
        ran, key=lambda name: statistics.median(speeds(found[name])), default=None
    )


def ratio(found, other):
    """Our speed over that of `other`, round by round; the median."""
    pairs = zip(speeds(found[OURS]), speeds(found[other]), strict=True)
    return statistics.median(a / b for a, b in pairs)


def rows_of(w, found, about):
    """The rows of one workload: a dict for each implementation.

    Args:
      found: what `driver.measure` gave.
      about: what all of them share: machine, date, command.
    """
    rows = []
    for name, facts in found.items():
        cpu = [r["cpu_seconds_per_1000_images"] for r in facts["rounds"]]
        row = {
            "workload": w.name,
            "device": facts["device"],
            "implementation": name,
            "images_per_second": statistics.median(speeds(facts)),
            "low": min(speeds(facts)),
            "high": max(speeds(facts)),
            "cpu_seconds_per_1000_images": statistics.median(cpu),
            "peak_memory_mb": facts["peak_memory_mb"],
            "import_seconds": facts["import_seconds"],
            "first_step_seconds": facts["first_step_seconds"],
            "first_step_cpu_seconds": facts.get("first_step_cpu_seconds"),
            "loss": facts["losses"],
            "parameters": facts["parameters"],
            "batch": w.batch,
            "rounds": len(facts["rounds"]),
            "versions": facts["versions"],
            "device_name": facts["device_name"],
            **about,
        }
        if name == OURS:
            peer = best(found, [n for names in PEERS.values() for n in names])
            row["fastest_peer"] = peer
            row["ratio_to_fastest_peer"] = ratio(found, peer) if peer else None
            others = {"flax": PLAIN, "torch_plain": "torch_plain"}
            for kind, one in others.items():
                row[f"ratio_to_{kind}"] = ratio(found, one) if one in found else None
        rows.append({k: rounded(v) for k, v in row.items()})
    return rows


def first_step_rows(w, found, about):
    """The rows of one workload, of what `driver.first_steps` gave: medians."""
    rows = []
    for name, starts in found.items():
        seconds = [facts["first_step_seconds"] for facts in starts]
        row = {
            "workload": w.name,
            "device": starts[0]["device"],
            "implementation": name,
            "first_step_seconds": statistics.median(seconds),
            "low": min(seconds),
            "high": max(seconds),
            "rounds": len(seconds),
            "versions": starts[0]["versions"],
            "device_name": starts[0]["device_name"],
            **about,
        }
        for key in ("import_seconds", "first_step_cpu_seconds"):
            row[key] = statistics.median(facts[key] for facts in starts)
        rows.append({k: rounded(v) for k, v in row.items()})
    return rows


def rounded(value):
    """Five digits are more than any of this is worth."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return float(f"{value:.5g}") if isinstance(value, float) else value


def merged(old, new):
    """`old` rows and `new` ones. Of a workload, device and machine that `new` measured,
    all old rows go: ratios hold within one sitting alone."""

    def key(row):
        return row["workload"], row["device"], row["machine"], row["implementation"]

    sitting = {key(row)[:3] for row in new}
    old = [row for row in old if key(row)[:3] not in sitting]
    rows = {key(row): row for row in [*old, *new]}
    machines = sorted({row["machine"] for row in rows.values()})
    order = [*WORKLOADS], ["cpu", "gpu"], machines, driver.IMPLEMENTATIONS
    return [rows[k] for k in sorted(rows, key=lambda k: _places(k, order))]


def _places(key, orders):
    return [o.index(k) if k in o else len(o) for k, o in zip(key, orders, strict=True)]


def strays(found, tolerance=TOLERANCE):
    """Words about every loss that is farther than this from the others' median."""
    words = []
    losses = {n: f["losses"]["loss"] for n, f in found.items() if f["losses"]}
    for name, loss in losses.items():
        others = [other for n, other in losses.items() if n != name]
        middle = statistics.median(others) if others else loss
        if not abs(loss - middle) <= tolerance * abs(middle):
            words.append(f"{name} has loss {loss:.4g}, the others {middle:.4g}")
    return words


# --- showing -------------------------------------------------------------------


def by_workload(rows):
    """[(workload, device, machine, {implementation: row})], the worst ratio first."""
    groups = {}
    for row in rows:
        where = row["workload"], row["device"], row["machine"]
        groups.setdefault(where, {})[row["implementation"]] = row

    def worst(item):
        value = item[1].get(OURS, {}).get("ratio_to_fastest_peer")
        return float("inf") if value is None else value

    return [(*key, group) for key, group in sorted(groups.items(), key=worst)]


def processor(machine):
    """Its name, of what `driver.machine` tells."""
    return machine.partition(",")[0]


def fastest(group, names):
    """The row of the quickest of `names` in a group, or None."""
    ran = [group[name] for name in names if name in group]
    return max(ran, key=lambda row: row["images_per_second"], default=None)


def markdown(header, lines):
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, rule, *lines])


def number(value, spec=",.3g"):
    return "" if value is None else f"{value:{spec}}"


def speed(row):
    if row is None:
        return ""
    kind = "" if row["implementation"] not in ("keras_xla", "torch_compile") else "\\*"
    low, high = (f"{row[k]:,.0f}" for k in ("low", "high"))
    return f"{row['images_per_second']:,.0f}{kind} ({low} to {high})"


def table(rows):
    """Two tables in Markdown: speed, the worst ratio first; and what else it costs."""
    fast = []
    for name, device, machine, group in by_workload(rows):
        ours = group.get(OURS, {})
        fast.append(
            [
                f"{name}, {device}",
                number(ours.get("ratio_to_fastest_peer"), ".2f"),
                ours.get("fastest_peer") or "",
                number(ours.get("ratio_to_flax"), ".2f"),
                speed(ours or None),
                speed(group.get(PLAIN)),
                *(speed(fastest(group, names)) for names in PEERS.values()),
                speed(group.get("torch_plain")),
                number(ours.get("ratio_to_torch_plain"), ".2f"),
                processor(machine),
            ]
        )
    header = (
        "workload|ratio|fastest peer|to Flax|gencourse|Flax|Keras|PyTorch|"
        "PyTorch, plain|ratio to that|machine"
    )
    costs = []
    for name, device, machine, group in by_workload(rows):
        for row in group.values():
            loss = ", ".join(
                f"{number(v)} ({k.removesuffix('_loss')})" if k != "loss" else number(v)
                for k, v in row["loss"].items()
                if k.endswith("loss")
            )
            costs.append(
                [
                    f"{name}, {device}, {row['implementation']}",
                    f"{row['images_per_second']:,.0f}",
                    f"{row['cpu_seconds_per_1000_images']:.2f}",
                    f"{row['peak_memory_mb']:,.0f}",
                    f"{row['import_seconds']:.1f}",
                    f"{row['first_step_seconds']:.1f}",
                    loss,
                    processor(machine),
                ]
            )
    more = (
        "workload, implementation|images/s|CPU s / 1000|MB|import s|first step s|loss|"
        "machine"
    )
    return (
        markdown(header.split("|"), fast)
        + "\n\n"
        + markdown(more.split("|"), costs)
        + "\n\n"
        + "\n".join(f"- {line}" for line in sittings(rows))
    )


def first_step_table(rows):
    """In Markdown: seconds until the first step is done, the worst ratio first."""
    lines = []
    for name, device, machine, group in by_workload(rows):
        peers = [group[k] for k in EAGER if k in group]
        best = min((row["first_step_seconds"] for row in peers), default=None)
        for row in group.values():
            seconds = row["first_step_seconds"]
            lines.append(
                [
                    f"{name}, {device}, {row['implementation']}",
                    f"{seconds:.1f} ({row['low']:.1f} to {row['high']:.1f})",
                    number(seconds / best if best else None, ".2f"),
                    f"{row['import_seconds']:.1f}",
                    f"{row['first_step_cpu_seconds']:.1f}",
                    processor(machine),
                ]
            )
    header = "workload, implementation|first step s|ratio|import s|CPU s|machine"
    told = "\n".join(f"- {line}" for line in sittings(rows))
    return markdown(header.split("|"), lines) + "\n\n" + told


def sittings(rows):
    """Where and when the rows were measured, each place once."""
    places = {}
    for row in rows:
        where = row["machine"], row["device_name"], row["date"], row["rounds"]
        versions, names = places.setdefault(where, ({}, []))
        versions.update(row["versions"])
        names += [row["workload"]] if row["workload"] not in names else []
    for (machine, device, date, rounds), (versions, names) in places.items():
        device = "" if device == "cpu" else f", {device}"
        used = ", ".join(f"{k} {v}" for k, v in sorted(versions.items()))
        yield f"{date}: {', '.join(names)}; {machine}{device}; {rounds} rounds; {used}"


def picture(rows):
    """Bars: images a second relative to the fastest peer's. None without peers."""
    several = len({row["machine"] for row in rows}) > 1
    shown = [
        (
            name
            + f", {device}" * (device != "cpu")
            + f"\n{processor(machine)}" * several,
            group,
        )
        for name, device, machine, group in by_workload(rows)
        if any(fastest(group, names) for names in PEERS.values())
    ]
    if not shown:
        return None
    kinds = {NAMES[OURS]: (OURS,), **PEERS, NAMES[PLAIN]: (PLAIN,)}
    hatches = ["", "//", "..", "xx"]
    figure = Figure(figsize=(8, 1 + 0.95 * len(shown)), layout="constrained", dpi=100)
    ax = figure.add_subplot(
        title="Training speed, relative to the fastest peer",
        xlabel="images a second / those of the faster of Keras and PyTorch",
        ylabel="workload",
    )
    height = 0.8 / len(kinds)
    for i, (kind, names) in enumerate(kinds.items()):
        values = []
        for _, group in shown:
            one = max(
                row["images_per_second"]
                for row in (fastest(group, peers) for peers in PEERS.values())
                if row
            )
            mine = fastest(group, names) or {"images_per_second": 0}
            value = mine["images_per_second"] / one
            values.append(mine.get("ratio_to_fastest_peer") or value)
        at = [j + (i - (len(kinds) - 1) / 2) * height for j in range(len(shown))]
        style = {"color": PALETTE[i], "hatch": hatches[i], "edgecolor": "white"}
        bars = ax.barh(at, values, height, label=kind, linewidth=0, **style)
        texts = [f"{v:.2f}" if v else "" for v in values]
        ax.bar_label(bars, texts, padding=2, fontsize=7)
    ax.axvline(1, color="0.3", linestyle="--", linewidth=1)
    ax.set_yticks(range(len(shown)), [name for name, _ in shown])
    ax.invert_yaxis()
    ax.margins(x=0.1)
    ax.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside lower center", ncols=len(kinds))
    return figure


def show(path, first_step=False):
    """Print the table; if the rows are the repository's, publish it."""
    rows = driver.read(path)
    if first_step:
        text = first_step_table(rows)
        print(text)
        if path == FIRST_STEP:
            driver.publish(README, FIRST_BEGIN, FIRST_END, text)
        return
    text = table(rows)
    print(text)
    if path != RESULTS:
        return
    driver.publish(README, BEGIN, END, text)
    if figure := picture(rows):
        figure.savefig(driver.HERE / "speed.png", metadata={"Software": None})


# --- measuring -----------------------------------------------------------------


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    several = {"type": lambda text: text.split(",")}
    parser.add_argument("--workloads", default=[*WORKLOADS], **several)
    names = driver.IMPLEMENTATIONS
    parser.add_argument("--implementations", default=names, **several)
    parser.add_argument("--rounds", type=int, help="7, or 5 of --first-step")
    parser.add_argument("--seconds", type=float, default=1.5, help="of a round")
    parser.add_argument(
        "--loss-steps", type=int, help="the workload's own if not given"
    )
    parser.add_argument("--bench-python", default=driver.BENCH_PYTHON)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--first-step", action="store_true", help="only that")
    parser.add_argument("--table", action="store_true", help="of what is stored")
    args = parser.parse_args()
    args.rounds = args.rounds or (5 if args.first_step else 7)
    args.out = args.out or (FIRST_STEP if args.first_step else RESULTS)
    if unknown := set(args.implementations) - set(names):
        parser.error(f"unknown: {sorted(unknown)}; there are {names}")
    try:
        args.workloads = [find(name) for name in args.workloads]
    except (KeyError, ValueError) as error:
        parser.error(f"{error}; there are {[*WORKLOADS]}")
    return args


def command(args):
    """What was run, without the places of this machine."""
    named = ",".join(w.name for w in args.workloads)
    text = f"benchmarks/compare.py --workloads {named} --rounds {args.rounds}"
    text += f" --implementations {','.join(args.implementations)}"
    if args.first_step:
        return text + " --first-step"
    text += f" --seconds {args.seconds:g}"
    return text + (f" --loss-steps {args.loss_steps}" if args.loss_steps else "")


def main():
    args = arguments()
    if args.table:
        return show(args.out, args.first_step)
    about = {
        "machine": driver.machine(),
        "date": datetime.date.today().isoformat(),
        "command": command(args),
    }
    implementations = driver.available(args.implementations, args.bench_python)
    for w in args.workloads:
        print(f"{w.name}:", flush=True)
        if args.first_step:
            pythons = driver.pythons(args.bench_python)
            found = driver.first_steps(w, implementations, pythons, args.rounds)
            rows = merged(driver.read(args.out), first_step_rows(w, found, about))
            driver.write(args.out, rows)
            continue
        found = driver.measure(
            w,
            implementations,
            driver.pythons(args.bench_python),
            args.rounds,
            args.seconds,
            args.loss_steps or w.loss_steps,
        )
        if w.game != "gan":
            for words in strays(found):
                print(f"  !!! {w.name}: {words} after the same steps", flush=True)
        rows = merged(driver.read(args.out), rows_of(w, found, about))
        driver.write(args.out, rows)
    show(args.out, args.first_step)


if __name__ == "__main__":
    main()

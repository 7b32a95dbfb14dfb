"""Say where the minutes of the last `make test` went; write them in CONTRIBUTING.md.

    python -m tools.minutes

It reads what pytest left in build/tests.xml, prints the seconds of each file of tests,
and fills the table between the two comments in CONTRIBUTING.md.
"""

import collections
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
REPORT, TARGET = ROOT / "build" / "tests.xml", ROOT / "CONTRIBUTING.md"
TABLE = re.compile(r"(<!-- minutes -->\n).*?(<!-- /minutes -->)", re.DOTALL)
KINDS = {  # what the name of a test begins with; the rest are "other tests"
    "test_a_notebook_runs": "notebooks",
    "test_asserts_about_training": "untrained",
    "test_every_exercise_is_checked": "blank exercises",
    "test_the_right_answer": "right answers",
    "test_every_wrong_answer": "wrong answers",
}
KINDS_AND_REST = [*KINDS.values(), "other tests"]


def seconds(report):
    """Return (minutes on the clock, {kind: seconds}, {file: seconds})."""
    kinds, files = collections.Counter(), collections.Counter()
    suite = ElementTree.parse(report).getroot().find("testsuite")
    for case in suite.iter("testcase"):
        found = (KINDS[start] for start in KINDS if case.get("name").startswith(start))
        kinds[next(found, "other tests")] += float(case.get("time"))
        files[case.get("classname").rpartition(".")[2]] += float(case.get("time"))
    return float(suite.get("time")) / 60, kinds, files


def table(total, kinds):
    """Return the Markdown: minutes of each kind, all workers together."""
    names = ["on the clock", *KINDS_AND_REST]
    numbers = [total, *(kinds[name] / 60 for name in KINDS_AND_REST)]
    rows = names, ["---:"] * len(names), [f"{number:.1f}" for number in numbers]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main():
    if not REPORT.exists():
        sys.exit("minutes: build/tests.xml is not there: run `make test` first")
    total, kinds, files = seconds(REPORT)
    for name, spent in files.most_common():
        print(f"{spent:7.0f} s  {name}")
    text, filled = TARGET.read_text(encoding="utf-8"), table(total, kinds)
    changed = TABLE.sub(lambda match: match[1] + filled + match[2], text)
    TARGET.write_text(changed, encoding="utf-8")
    print(filled, end="")


if __name__ == "__main__":
    main()

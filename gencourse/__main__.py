"""Look at this machine (doctor), the data sets (data), what is kept (cache)."""

import argparse
import sys
import time

from gencourse import data
from gencourse.cli.doctor import doctor, state_of_set
from gencourse.data import tfds_store
from gencourse.data.registry import SETS, SPLITS
from gencourse.system import compile_cache, paths


def main(argv=None) -> int:
    """Run one command; the exit code is 1 where something is off, 2 for misuse."""
    parser = argparse.ArgumentParser(prog="python -m gencourse", description=__doc__)
    commands = parser.add_subparsers(title="commands")
    command = commands.add_parser("doctor", help="is this machine ready? 15 seconds")
    command.set_defaults(run=lambda args: doctor())
    command = commands.add_parser("cache", help="where what is kept lies")
    command.add_argument("--clear", action="store_true", help="delete compiled code")
    command.set_defaults(run=lambda args: clear() if args.clear else list_kept())
    command = commands.add_parser("data", help="list and prepare data sets")
    command.set_defaults(run=lambda args: list_sets(), data_dir=None)
    commands = command.add_subparsers(title="commands")
    command = commands.add_parser("list", help="what is embedded, prepared, cached")
    command.add_argument("--data-dir", help="where TFDS keeps its sets")
    command.set_defaults(run=lambda args: list_sets(args.data_dir))
    command = commands.add_parser("prepare", help="make a whole set with TFDS, once")
    command.add_argument("name", metavar="NAME", choices=SETS, help=", ".join(SETS))
    command.add_argument("--from", dest="from_", metavar="DIR", help="original files")
    command.add_argument("--data-dir", help="where TFDS keeps its sets")
    command.set_defaults(run=prepare)
    args = parser.parse_args(argv)
    if not hasattr(args, "run"):
        parser.print_help()
        return 0
    try:
        return args.run(args) or 0
    except data.DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing half-made is left", file=sys.stderr)
        return 130


def prepare(args):
    data.prepare(args.name, args.from_, args.data_dir)
    start = time.perf_counter()
    for split in SPLITS:
        data.load(args.name, split, full=True, data_dir=args.data_dir)
    seconds = time.perf_counter() - start
    print(f"decoded and cached in {seconds:.0f} s: {paths.cache_dir()}")
    where = f', data_dir="{args.data_dir}"' if args.data_dir else ""
    print(f'in Python: data.load("{args.name}", full=True{where})')


def list_sets(data_dir=None):
    print(f"prepared sets: {tfds_store.home(data_dir)}\ncache: {paths.cache_dir()}\n")
    print(f"{'set':<15}{'embedded':<18}whole set")
    for name, entry in SETS.items():
        part = _counts(entry.embedded) or "-"
        whole = f"{_counts(entry.examples)}, " if entry.examples else ""
        print(f"{name:<15}{part:<18}{whole}{state_of_set(name, data_dir)}")


def list_kept():
    sets = sum(file.stat().st_size for file in paths.cache_dir().glob("*.npy"))
    code, home = compile_cache.size(), compile_cache.home()
    print(f"compiled code   {code / 1e6:,.1f} MB in {home}")
    print(f"decoded sets    {sets / 1e6:,.1f} MB in {paths.cache_dir()}")


def clear():
    deleted = compile_cache.clear() / 1e6
    print(f"deleted {deleted:,.1f} MB of compiled code in {compile_cache.home()}")
    print("decoded sets were left as they are")


def _counts(examples):
    return " + ".join(f"{n:,}" for n in examples.values())


if __name__ == "__main__":
    sys.exit(main())

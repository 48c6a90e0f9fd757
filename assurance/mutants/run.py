"""Mutation testing with one build: every mutant that `cargo mutants` knows stands behind a switch in a copy of the crate.

    run.py SCRATCH [--files GLOB…] [--exclude GLOB…] [--tests NAME…] [--cargo=ARGUMENT…] [--through CMD] [--jobs N] [--quick SECONDS]

Each test is run once alone to see which mutants it comes by, and then each mutant against the tests that do, until one fails or hangs.
Ends with the counts, and fails where a mutant survives that survivors.md does not explain. SCRATCH holds the copy, its build and the
results; another call goes on where the last one stopped, and judges again what survived unexplained. Mutants of a feature need a SCRATCH
of their own:

    run.py SCRATCH2 --files src/crypto/gcm/aws_lc.rs --exclude --tests lib --cargo=--features=aws-lc
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import threading
import time

import schemata

HERE = pathlib.Path(__file__).resolve().parent
CRATE = HERE.parent.parent
PARTS = ["crypto", "format", "envelope", "floe", "keys"]
# Those that need no other program and nothing of the source's own text, cheapest first.
TESTS = """lib envelopes keys files archive memory""".split()
COPIED = ["Cargo.toml", "Cargo.lock", "README.md", "CHANGELOG.md", "SECURITY.md", "src", "tests", "examples", "benches"]
MEMORY = 8 << 30
# A group of tests that takes this many seconds longer than five times as long as without a mutant hangs.
PATIENCE = 10


def listed(globs, excluded):
    command = ["cargo", "mutants", "--list", "--json"]
    for option, of in (("-f", globs), ("-e", excluded)):
        for glob in of:
            command += [option, glob]
    mutants = json.loads(subprocess.run(command, cwd=CRATE, check=True, capture_output=True, text=True).stdout)
    for number, mutant in enumerate(mutants, 1):
        mutant["id"] = number
        line = (CRATE / mutant["file"]).read_text().split("\n")[mutant["span"]["start"]["line"] - 1].strip()
        what = mutant["name"].split(": ", 1)[1]
        # Where it stands without numbers, which every other change moves.
        mutant["key"] = f"{mutant['file']}: {what} | {line}"
    return mutants


class Copy:
    """The mutated crate in a folder of its own, and its build."""

    def __init__(self, scratch, mutants, arguments, through):
        self.root = scratch / "crate"
        self.mutants = mutants
        self.arguments = arguments
        self.through = through
        self.unviable = {}  # by name, why
        self.constant = set()  # the names

    def write(self):
        """The copy of now, with all mutants but those that are known not to build. What has not changed is not written, nor built again."""
        mutated = {m["file"] for m in self.mutants}
        for name in COPIED:
            found = [CRATE / name] if (CRATE / name).is_file() else [p for p in (CRATE / name).rglob("*") if p.is_file()]
            for path in found:
                relative = path.relative_to(CRATE)
                if str(relative) not in mutated:
                    self.put(relative, self.adapted(str(relative), path.read_bytes()))
        self.put("src/mutation.rs", (HERE / "switch.rs").read_bytes())
        self.rewrite()

    def adapted(self, name, content):
        if name == "Cargo.toml":
            lints, profile = content.index(b"[lints.rust]"), content.index(b"[profile.test]")
            return content[:lints] + content[profile:]
        return content.replace(b"mod crypto;", b"mod mutation;\nmod crypto;") if name == "src/lib.rs" else content

    def put(self, name, content):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)

    def rewrite(self):
        by_file = collections.defaultdict(list)
        for mutant in self.mutants:
            if mutant["name"] not in self.unviable:
                by_file[mutant["file"]].append(mutant)
        for name in {m["file"] for m in self.mutants}:
            switched = schemata.Schemata((CRATE / name).read_bytes(), by_file[name])
            self.put(name, switched.rendered())
            for mutant, reason in switched.left_out:
                if reason == "constant":
                    self.constant.add(mutant["name"])
                else:
                    self.unviable[mutant["name"]] = reason

    def cargo(self, *arguments):
        command = [*self.through, "cargo", *arguments, "--message-format=json", *self.arguments]
        environment = {**os.environ, "RUSTFLAGS": "--cap-lints=allow", "CARGO_TARGET_DIR": str(self.root.parent / "target")}
        done = subprocess.run(command, cwd=self.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return done, [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def leave_out_what_does_not_build(self):
        while True:
            done, messages = self.cargo("check", "--lib")
            if done.returncode == 0:
                return
            blamed = {}
            for message in (m["message"] for m in messages if m["reason"] == "compiler-message"):
                if message["level"] == "error":
                    blamed |= self.blamed(message)
            if not blamed:
                sys.exit(done.stderr + "".join(m["message"]["rendered"] for m in messages if m["reason"] == "compiler-message"))
            print(f"{len(blamed)} mutants do not build", flush=True)
            self.unviable |= {m["name"]: blamed[m["id"]] for m in self.mutants if m["id"] in blamed}
            self.rewrite()

    def blamed(self, message):
        code = (message["code"] or {}).get("code", "")
        spans = sorted(message["spans"], key=lambda span: not span["is_primary"])
        for span in spans:
            path = self.root / span["file_name"]
            if path.is_relative_to(self.root) and path.exists():
                ids = schemata.mutants_at(path.read_bytes(), span["byte_start"], span["byte_end"])
                if ids:
                    return {i: f"{code}: {message['message']}" for i in ids}
        return {}

    def tests(self, wanted):
        """The test programs by name, or none of them where they do not build."""
        selected = [a for name in wanted for a in (["--lib"] if name == "lib" else ["--test", name])]
        done, messages = self.cargo("test", "--no-run", *selected)
        if done.returncode != 0:
            print(done.stderr, *(m["message"]["rendered"] for m in messages if m["reason"] == "compiler-message"))
            return {}
        made = [m for m in messages if m["reason"] == "compiler-artifact" and m["executable"] and m["profile"]["test"]]
        return {("lib" if "lib" in m["target"]["kind"] else m["target"]["name"]): m["executable"] for m in made}


class Bench:
    """The test programs, what each test reaches and how long it takes."""

    def __init__(self, copy, programs):
        self.copy = copy
        self.programs = programs
        self.reached = {}  # by (program, test): the ids
        self.seconds = {}
        self.slowest = None

    def run(self, program, names, mutant, trace, patience):
        environment = {**os.environ, "MUTANT": str(mutant), "RUST_BACKTRACE": "0", "PROPTEST_MAX_SHRINK_ITERS": "0"}
        environment["CARGO_MANIFEST_DIR"] = str(self.copy.root)
        if trace:
            environment["MUTANT_TRACE"] = str(trace)
        # The clock runs once the command that it goes through lets it.
        command = [*self.copy.through, "timeout", "--signal=KILL", str(patience), self.programs[program]]
        began = time.monotonic()
        done = subprocess.run(
            [*command, "--test-threads=1", "--exact", *names],
            cwd=self.copy.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
        )
        if done.returncode in (137, -9) and time.monotonic() - began >= patience:
            return "timeout", "", patience
        output = done.stdout.decode(errors="replace")
        failed = [line.split()[1] for line in output.splitlines() if line.startswith("test ") and line.endswith("FAILED")]
        outcome = "passed" if done.returncode == 0 else "caught"
        return outcome, f"{program} {failed[0] if failed else 'died'}", time.monotonic() - began

    def trace(self, scratch, pool):
        """Runs every test alone, without a mutant; what that told of a program is kept for as long as it is the same."""
        path = scratch / "traces.json"
        kept = json.loads(path.read_text()) if path.exists() else {}
        traces = {}
        for program, executable in self.programs.items():
            built = pathlib.Path(executable).stat().st_mtime
            if program in kept and kept[program]["built"] == built:
                traces[program] = kept[program]
                continue
            tests = list(pool.map(lambda name: self.traced(scratch, program, name), self.listed(program)))
            traces[program] = {"built": built, "tests": tests}
            path.write_text(json.dumps(kept | traces))
        for program, trace in traces.items():
            for name, outcome, seconds, ids in trace["tests"]:
                if outcome == "passed":
                    self.reached[program, name] = set(ids)
                    self.seconds[program, name] = seconds
                else:
                    print(f"left out, it fails without a mutant: {program} {name}", flush=True)

    def traced(self, scratch, program, name):
        trace = scratch / f"trace.{program}.{name}"
        trace.unlink(missing_ok=True)
        outcome, _, seconds = self.run(program, [name], 0, trace, 600)
        ids = [int(line) for line in trace.read_text().split()] if trace.exists() else []
        trace.unlink(missing_ok=True)
        return name, outcome, seconds, ids

    def listed(self, program):
        """The tests of a program that are not ignored."""
        all_tests, ignored = (
            subprocess.run(
                [self.programs[program], "--list", "--format=terse", *only], cwd=self.copy.root, check=True, capture_output=True, text=True
            ).stdout.splitlines()
            for only in ([], ["--ignored"])
        )
        return [line.removesuffix(": test") for line in all_tests if line.endswith(": test") and line not in ignored]

    def judge_constant(self, mutant):
        """What is computed when the crate is built needs a build of its own: of the library's own tests, and of the others where these pass."""
        path = self.copy.root / mutant["file"]
        switched = path.read_bytes()
        path.write_bytes(schemata.replaced((CRATE / mutant["file"]).read_bytes(), mutant))
        own = self.programs
        try:
            for wanted in (["lib"], [name for name in own if name != "lib"]):
                self.programs = self.copy.tests(wanted)
                if not self.programs:
                    return "unviable", ""
                for program in self.programs:
                    names = [name for of, name in self.reached if of == program]
                    patience = PATIENCE + 5 * sum(self.seconds[program, name] for name in names)
                    outcome, by, _ = self.run(program, names, 0, None, patience)
                    if outcome != "passed":
                        return outcome, by
            return "survived", ""
        finally:
            self.programs = own
            path.write_bytes(switched)

    def groups(self, mutant, killers):
        """The tests that reach the mutant, in groups that grow: first what failed most for the mutants of the same file."""
        quick = lambda test: self.slowest is None or self.seconds[test] <= self.slowest
        tests = [test for test, ids in self.reached.items() if mutant["id"] in ids and quick(test)]
        killed = killers[mutant["file"]]
        tests.sort(key=lambda test: (self.seconds[test] + 0.01) / (1 + killed[test]))
        budget, group, spent = 0.3, [], 0
        for test in tests:
            group.append(test)
            spent += self.seconds[test]
            if spent > budget or (budget < 1 and len(group) == 12):
                yield group
                budget, group, spent = budget * 5, [], 0
        if group:
            yield group

    def judge(self, mutant, killers):
        reached = False
        for group in self.groups(mutant, killers):
            by_program = collections.defaultdict(list)
            for program, name in group:
                by_program[program].append(name)
            for program, names in by_program.items():
                reached = True
                patience = PATIENCE + 5 * sum(self.seconds[program, name] for name in names)
                outcome, by, _ = self.run(program, names, mutant["id"], None, patience)
                if outcome != "passed":
                    return outcome, by or " ".join([program, *names[:5]])
        return "survived", "" if reached or self.slowest is not None else "no test reaches it"


def explained():
    """The keys of survivors.md: the lines in code style that begin with a path."""
    path = HERE / "survivors.md"
    lines = path.read_text().splitlines() if path.exists() else []
    return {line[3:-1] for line in lines if line.startswith("- `src/")}


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("scratch", type=pathlib.Path)
    parser.add_argument("--files", nargs="+", default=[f"src/{part}/**" for part in PARTS])
    parser.add_argument("--exclude", nargs="*", default=["src/crypto/gcm/aws_lc.rs"])
    parser.add_argument("--tests", nargs="+", default=TESTS)
    parser.add_argument("--cargo", action="append", default=[], help="an argument of cargo, as in --cargo=--features=aws-lc")
    parser.add_argument("--through", nargs="+", default=[], help="a command before each build and test, such as `nice`")
    parser.add_argument("--quick", type=float, help="leave out the tests that take longer than these seconds")
    parser.add_argument("--jobs", type=int, default=2)
    wanted = parser.parse_args()
    wanted.scratch.mkdir(parents=True, exist_ok=True)

    mutants = listed(wanted.files, wanted.exclude)
    copy = Copy(wanted.scratch.resolve(), mutants, wanted.cargo, wanted.through)
    unviable = wanted.scratch / "unviable.json"
    if unviable.exists():
        copy.unviable = json.loads(unviable.read_text())
    copy.write()
    copy.leave_out_what_does_not_build()
    unviable.write_text(json.dumps(copy.unviable, indent=1))
    programs = copy.tests(wanted.tests)
    if not programs:
        sys.exit(1)

    results_path = wanted.scratch / "results.jsonl"
    results = {}
    if results_path.exists():
        results = {r["name"]: r for r in map(json.loads, results_path.read_text().splitlines())}
    pool = concurrent.futures.ThreadPoolExecutor(wanted.jobs)
    bench = Bench(copy, programs)
    bench.trace(wanted.scratch, pool)
    bench.slowest = wanted.quick
    print(f"{len(bench.reached)} tests, {sum(bench.seconds.values()):.0f} s", flush=True)

    killers = collections.defaultdict(collections.Counter)
    writing = threading.Lock()
    out = results_path.open("a")

    def one(mutant):
        began = time.monotonic()
        outcome, by = bench.judge_constant(mutant) if mutant["name"] in copy.constant else bench.judge(mutant, killers)
        result = {k: mutant[k] for k in ("name", "key", "genre", "file")}
        result |= {"outcome": outcome, "by": by, "seconds": round(time.monotonic() - began, 1)}
        with writing:
            if outcome == "caught" and len(by.split()) == 2:
                killers[mutant["file"]][tuple(by.split())] += 1
            results[mutant["name"]] = result
            out.write(json.dumps(result) + "\n")
            out.flush()

    known = explained()
    is_open = lambda m: m["name"] not in results or (results[m["name"]]["outcome"] == "survived" and m["key"] not in known)
    left = [m for m in mutants if m["name"] not in copy.unviable and is_open(m)]
    # All of what is left is asked for in the order of the parts.
    left.sort(key=lambda m: (next((i for i, part in enumerate(PARTS) if f"/{part}/" in m["file"]), 9), m["id"]))
    list(pool.map(one, [m for m in left if m["name"] not in copy.constant]))
    for mutant in left:
        if mutant["name"] in copy.constant:
            one(mutant)
    report(mutants, copy, results)


def report(mutants, copy, results):
    known = explained()
    counts = collections.Counter()
    unexplained = []
    for mutant in mutants:
        if mutant["name"] in copy.unviable:
            outcome = "unviable"
        else:
            outcome = results[mutant["name"]]["outcome"]
        if outcome == "survived":
            outcome = "explained" if mutant["key"] in known else "unexplained"
            if outcome == "unexplained":
                unexplained.append(mutant["key"])
        counts[outcome] += 1
        counts[f"{mutant['file'].split('/')[1]}, {outcome}"] += 1
        counts[f"{mutant['genre']}, {outcome}"] += 1
    for what, count in sorted(counts.items()):
        print(f"{count:6} {what}")
    for key in unexplained:
        print(f"survived: {key}")
    sys.exit(bool(unexplained))


if __name__ == "__main__":
    main()

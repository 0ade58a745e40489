"""Called by .ci/tour, which says what this is.

Every block of `sh` in README and docs is either run or stands in NOT_RUN with the reason. What is put in the place of what
is written: the database's URL, which README calls "yours"; the tests' build where an optimised one is spoken of.
"""

import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGAN = time.monotonic()
PATIENCE = 180

NOT_RUN = {
    ("README.md", "Two commands"): "the first is the part `demo` of .ci/run, the second its part `test`",
    ("README.md", "Rust"): "tests/it/examples.rs runs the example",
    ("README.md", "Docker"): ".ci/deploy does what can be done without an engine",
    ("docs/events.md", "Queries"): "needs whoever answers; tests/it/events has both",
    ("docs/events.md", "Subscriptions"): "needs that handler and that queue; tests/it/events has both",
    ("docs/serverless.md", "Sending"): "needs an empty database of that name; the tests install schemas",
}

# A command that does not end, by how it begins, and what shows that it is up.
SERVERS = {
    "npm start": "listening at",
    "strawboss run": "serving /metrics",
    "prometheus ": "Server is ready to receive web requests",
}


def step(name):
    print(f"== {name} ({time.monotonic() - BEGAN:.0f} s)", flush=True)


def fail(why):
    sys.exit(f".ci/tour: {why}")


def blocks(page):
    """Of each fenced block: the heading it is under, the prose since the block before, its language, its text."""
    heading, prose, inside = "", [], None
    for line in (ROOT / page).read_text().splitlines():
        if inside is not None:
            if line == "```":
                yield heading, " ".join(prose), language, "\n".join(inside) + "\n"
                inside, prose = None, []
            else:
                inside.append(line)
        elif line.startswith("```"):
            inside, language = [], line[3:].split(",")[0]
        elif line.startswith("#"):
            heading, prose = line.lstrip("# "), []
        else:
            prose.append(line)


class Terminal:
    """A shell that is typed into."""

    def __init__(self, name, environment, directory):
        self.name = name
        self.out = TMP / f"{name}.out"
        self.turns = 0
        words = open(self.out, "w")
        self.shell = subprocess.Popen(["bash", "--noprofile", "--norc"], stdin=subprocess.PIPE, stdout=words,
                                      stderr=subprocess.STDOUT, start_new_session=True, text=True,
                                      cwd=directory, env=environment)
        TERMINALS.append(self)
        self.type("set -eo pipefail")

    def type(self, text):
        self.shell.stdin.write(text + "\n")
        self.shell.stdin.flush()

    def said(self):
        return self.out.read_text(errors="replace")

    def until(self, text):
        for _ in range(PATIENCE * 5):
            if text in self.said():
                return
            if self.shell.poll() is not None:
                fail(f"{self.name}: a command failed before it said {text!r}:\n{self.said()[-3000:]}")
            time.sleep(0.2)
        fail(f"{self.name}: waited in vain for {text!r}:\n{self.said()[-3000:]}")

    def run(self, block):
        """Types a block and waits until it is done, or until what it starts is up; what was said meanwhile."""
        before = len(self.said())
        last = [line for line in block.splitlines() if line.strip()][-1].strip()
        shown = next((text for start, text in SERVERS.items() if last.startswith(start)), None)
        self.type(block)
        if shown:
            self.until(shown)
        else:
            self.turns += 1
            mark = f"[turn {self.turns} of {self.name}]"
            # In two pieces, so that what is typed is not taken for what is said.
            self.type(f"echo '{mark[:5]}''{mark[5:]}'")
            self.until(mark)
        return self.said()[before:]

    def end(self):
        if self.shell.poll() is None:
            os.killpg(self.shell.pid, signal.SIGTERM)
            try:
                self.shell.wait(40)
            except subprocess.TimeoutExpired:
                os.killpg(self.shell.pid, signal.SIGKILL)


def like(line):
    """A line of what is shown, as a pattern: columns may be wider, an ellipsis stands for anything, and so do digits after
    a point, which are times."""
    words = (re.escape(word).replace("…", ".*?") for word in line.split())
    return re.compile(r"\s+".join(re.sub(r"\\\.\d+", r"\\.[\\d.e-]+", word) for word in words))


def compare(shown, said, where):
    for line in filter(None, shown.splitlines()):
        if not like(line).search(said):
            fail(f"{where}: this is not shown: {line}\nbut\n{said[-3000:]}")


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free(*ports):
    for port in ports:
        if listens(port):
            fail(f"something listens on port {port}, which README's commands are about")


def until(port, listened, terminal):
    """Waits until somebody listens on a port, or nobody any more."""
    for _ in range(PATIENCE * 5):
        if listens(port) == listened:
            return
        time.sleep(0.2)
    fail(f"{terminal.name}: waited in vain for port {port}:\n{terminal.said()[-3000:]}")


def checkout(node):
    """A copy of what is tracked, with a build in it, and the environment of a person who has Node."""
    place = TMP / "strawboss"
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)
    (place / "target/release").mkdir(parents=True)
    (place / "target/release/strawboss").symlink_to(ROOT / "target/debug/strawboss")
    environment = {key: value for key, value in os.environ.items()
                   if not re.match(r"(STRAWBOSS|PGBOSS|DATABASE|OTEL|EMAIL)_|PORT$|HOST$", key)}
    return place, {**environment, "PATH": f"{node.parent}:{environment['PATH']}", "NO_COLOR": "1"}


def node():
    """Node 22, as the tests have it or from npm."""
    def fits(program):
        said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip().lstrip("v")
        return bool(said) and tuple(map(int, said.split(".")[:2])) >= (22, 12)
    for candidate in [shutil.which("node"), *sorted(ROOT.glob("target/tmp/node-*/node/node_modules/*/bin/node"))]:
        if candidate and fits(candidate):
            return pathlib.Path(candidate)
    subprocess.run(["npm", "install", "--prefix", TMP / "node", "--no-audit", "--no-fund", "--silent", "node@22.18.0"], check=True)
    return TMP / "node/node_modules/node/bin/node"


class Tour:
    def __init__(self):
        self.place, self.environment = checkout(node())
        self.terminals, self.done = {}, set()
        step("a database, as README says: demo --keep")
        free(3000, 9095, 9464, 9465)
        demo = self.terminal("demo")
        with socket.create_server(("127.0.0.1", 9464)):
            # It takes another port than the one that README's own commands are about.
            demo.type("target/release/strawboss demo --keep")
            demo.until("For an app of your own")
        demo.until("/app'")
        self.url = re.findall(r"export DATABASE_URL='([^']+)'", demo.said())[-1]

    def terminal(self, name, directory=None):
        if name not in self.terminals:
            self.terminals[name] = Terminal(name, self.environment, directory or self.place)
        return self.terminals[name]

    def written(self, text):
        text = text.replace("postgres://postgres@127.0.0.1:5432/postgres", self.url)
        return text.replace("cargo build --release\n", "test -x target/release/strawboss\n")

    def sections(self, page, *wanted):
        """The blocks of these sections, marked as run."""
        for heading, prose, language, text in blocks(page):
            if heading in wanted:
                self.done.add((page, heading))
                yield heading, prose, language, self.written(text)

    def five_minutes(self):
        step("five minutes with a Node app")
        at, said = None, ""
        for _, prose, language, text in self.sections("README.md", "Five minutes with a Node app"):
            for name in ("first", "second", "third", "fourth"):
                if re.search(rf"(?i)in (a|the) {name} (terminal|one)", prose):
                    at = name
            if at == "fourth" and "Back in the third" in prose:
                at = "third"
            for promised in re.findall(r"`(mail to [^`]+)`", prose):
                self.terminal("first").until(promised)
            if language == "sh":
                if "queues list" in text:
                    # The last of the three is dead-lettered at once, the second after a second.
                    self.terminal("second").until("dead")
                said = self.terminal(at).run(text)
            elif language == "text":
                compare(text, said, f"the {at} terminal")

    def elsewhere(self):
        """What README shows beyond the tour, on its database."""
        third = self.terminal("third")
        for heading, _, language, text in self.sections("README.md", "Commands", "Events", "Watching it", "Benchmarks"):
            if language == "sh":
                step(f"README, {heading}")
                said = third.run(text)
                if heading == "Watching it" and not re.search(r"^email +\S+ +\d", said, re.M):
                    fail(f"README, {heading}: nothing of the queue email in\n{said}")

    def api(self):
        step("README, The API")
        empty = TMP / "empty"
        empty.mkdir()
        asking = self.terminal("curl")
        for _, _, language, text in self.sections("README.md", "The API"):
            if language == "sh" and text.startswith("strawboss run"):
                serving = self.terminal("api", empty)
                serving.type(f"export DATABASE_URL={shlex.quote(self.url)} PATH={self.place}/target/release:$PATH")
                serving.run(text)
            elif language == "sh":
                said = asking.run(text)
                if said.count('"ok":true') != text.count("curl "):
                    fail(f"README, The API: {said}")
        self.terminals.pop("api").end()

    def api_page(self):
        step("docs/api.md")
        directory = TMP / "api-page"
        directory.mkdir()
        exports = f"export DATABASE_URL={shlex.quote(self.url)} STRAWBOSS_API_TOKEN=of-the-tour PATH={self.place}/target/release:$PATH"
        served = False
        asking = self.terminal("curl of the page")
        asking.type(exports)
        for _, _, language, text in self.sections("docs/api.md", "The API over HTTP"):
            if language == "toml" and not served:
                (directory / "strawboss.toml").write_text(text)
                serving = self.terminal("api of the page", directory)
                serving.type(exports)
                serving.run("strawboss run")
                served = True
            elif language == "sh":
                said = asking.run(text)
                # The answer of the one in $(…) is not shown.
                if said.count('"ok":true') != text.count("curl ") - text.count("$(curl "):
                    fail(f"docs/api.md: {said}")
        self.terminals.pop("api of the page").end()

    def logs(self):
        step("docs/logs.md")
        for _, _, language, text in self.sections("docs/logs.md", "What is logged"):
            for line in text.splitlines() if language == "sh" else ():
                running = Terminal("logs", self.environment, TMP / "empty")
                running.type(f"export DATABASE_URL={shlex.quote(self.url)} PATH={self.place}/target/release:$PATH")
                running.type(line)
                # At `warn` it need not say anything.
                until(9464, True, running)
                running.end()
                until(9464, False, running)

    def pages(self):
        third = self.terminal("third")
        # The reader's configuration there wants one, as the example's does.
        third.type("export EMAIL_WEBHOOK_SECRET=whsec_c2VjcmV0LW9mLXRoZS1leGFtcGxl")
        for page in ("docs/events.md", "docs/moving-a-queue.md"):
            step(page)
            for heading, _, language, text in list(blocks(page)):
                if language != "sh" or (page, heading) in NOT_RUN:
                    continue
                self.done.add((page, heading))
                if "strawboss run" in text:
                    # The configuration shown above it is the reader's own; `check` reads the example's here.
                    text = text.replace("strawboss.toml", "examples/node-app/strawboss.toml").replace("strawboss run", "strawboss check")
                # It has findings here, and says so by its exit code.
                third.run(text.replace("strawboss doctor\n", "strawboss doctor || [ $? = 1 ]\n"))

    def nothing_left_out(self):
        pages = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))]
        there = {(page, heading) for page in pages for heading, _, language, _ in blocks(page) if language == "sh"}
        there -= {(page, heading) for page, heading in there if page == "docs/runbook.md"}
        left = there - self.done - set(NOT_RUN)
        if left:
            fail(f"nobody runs the commands of {sorted(left)}")
        if set(NOT_RUN) - there:
            fail(f"NOT_RUN names what is not there: {sorted(set(NOT_RUN) - there)}")


def main():
    tour = Tour()
    tour.five_minutes()
    tour.elsewhere()
    tour.api()
    tour.api_page()
    tour.logs()
    tour.pages()
    tour.nothing_left_out()
    step("all of it is as written")


TERMINALS = []
TMP = pathlib.Path(tempfile.mkdtemp(prefix="strawboss-tour."))
TMP.chmod(0o755)
try:
    main()
finally:
    for terminal in reversed(TERMINALS):
        terminal.end()
    shutil.rmtree(TMP, ignore_errors=True)
    shutil.rmtree("/tmp/strawboss-tour", ignore_errors=True)

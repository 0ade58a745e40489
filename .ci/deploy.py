"""Called by .ci/deploy, which says what this is."""

import http.server
import json
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
import threading
import time
import urllib.parse
import urllib.request

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGAN = time.monotonic()
# Jobs a second that the app sends itself, and for how long before the panels are asked.
RATE, LOAD = 40, 45
# `.ci/deploy DIRECTORY` draws README's pictures into that directory, too.
SCHEMA = "shop"
PICTURES = pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None
STARTED = []


def step(name):
    print(f"== {name} ({time.monotonic() - BEGAN:.0f} s)", flush=True)


def fail(why):
    sys.exit(f".ci/deploy: {why}")


def check(holds, why):
    if not holds:
        fail(why)


def run(command, **options):
    done = subprocess.run(command, text=True, capture_output=True, **options)
    check(done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(name, command, **options):
    """Begins a process in a group of its own, with its words in a file."""
    words = open(TMP / f"{name}.out", "w+")
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=words, stderr=subprocess.STDOUT,
                               start_new_session=True, **options)
    STARTED.append((name, process))
    return process


def said(name):
    return (TMP / f"{name}.out").read_text()


def until(what, process, name, done, patience=90):
    for _ in range(patience * 5):
        if done():
            return
        check(process.poll() is None, f"{name} ended before {what}:\n{said(name)[-3000:]}")
        time.sleep(0.2)
    fail(f"waited in vain for {what}:\n{said(name)[-3000:]}")


def again(name, command, **options):
    """What starts it, as often as it is called."""
    return lambda: start(name, command, **options)


def stop(name, process, code=0):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        fail(f"{name} does not stop")
    check(process.returncode == code, f"{name} ended with {process.returncode}:\n{said(name)[-3000:]}")
    STARTED[:] = [(n, p) for n, p in STARTED if p is not process]


def get(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()


def answers(url):
    try:
        get(url)
        return True
    except OSError:
        return False


# The compose file.

def compose(profiles):
    environment = {**os.environ, "COMPOSE_PROFILES": profiles}
    text = run(["docker-compose", "--env-file", ".env.example", "config"], cwd=ROOT, env=environment)
    return yaml.safe_load(text)


def check_compose():
    step("compose file")
    everything = compose("demo,metrics,traces")
    services = everything["services"]
    alone = [name for name, service in services.items() if not service.get("profiles")]
    check(alone == ["strawboss"], f"without a profile only the worker starts, not {alone}")
    for name, service in services.items():
        check(re.search(r":[^:/]*\d", service["image"]), f"{name}: {service['image']} is not pinned")
        for on in service.get("depends_on", {}):
            theirs, ours = services[on].get("profiles"), service.get("profiles")
            check(theirs == ours, f"{name} waits for {on}, which is of another profile")
        for source in mounts(service).values():
            check(source.exists(), f"{name}: there is no {source}")
    wanted = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    given = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.M))
    check(given - {"COMPOSE_PROFILES"} == wanted,
          f".env.example and docker-compose.yml part in {(given - {'COMPOSE_PROFILES'}) ^ wanted}")
    return services


def mounts(service):
    """Where in the container which file or directory of ours is."""
    pairs = (volume.split(":")[:2] for volume in service.get("volumes", []))
    return {inside: pathlib.Path(source) for source, inside in pairs if source.startswith("/")}


def placed(text, service):
    """A text of a container, with the paths of this machine."""
    for inside, source in sorted(mounts(service).items(), key=lambda pair: -len(pair[0])):
        text = re.sub(rf"(?<![\w/.-]){re.escape(inside)}(?![\w-])", str(source), text)
    return text


# The Dockerfile.

def dockerfile():
    """The stages, each a list of (instruction, rest)."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    stages = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        instruction, rest = line.split(None, 1)
        if instruction == "FROM":
            stages.append([])
            check(re.search(r":\S*\d", rest), f"FROM {rest} is not pinned")
        stages[-1].append((instruction, rest))
    return stages


def build(services):
    """Runs the steps of the first stage in a clean directory. Optimised it would take minutes and be the same sources by
    the same lock file, so `--release` is left out; the dependencies are those that the tests have built."""
    step("Dockerfile, its steps as plain commands")
    first, last = dockerfile()
    toolchain = re.search(r"rust:(\d+)\.(\d+)", first[0][1])
    least = re.search(r'rust-version = "(\d+)\.(\d+)', (ROOT / "Cargo.toml").read_text())
    check(tuple(map(int, toolchain.groups())) >= tuple(map(int, least.groups())), "the image's Rust is too old")
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    clean = TMP / "src"
    clean.mkdir()
    tracked = run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT).split("\n")
    # Incremental files of another path would be of no use to anybody.
    environment = {**os.environ, "CARGO_TARGET_DIR": str(ROOT / "target"), "CARGO_INCREMENTAL": "0"}
    for instruction, rest in first[1:]:
        if instruction == "WORKDIR":
            check(rest == "/src", "WORKDIR is /src")
        elif instruction == "COPY":
            *sources, into = rest.split()
            for source in sources:
                check(source in kept, f".dockerignore keeps {source} out")
                for name in (n for n in tracked if n == source or n.startswith(source + "/")):
                    target = clean / (pathlib.Path(into) / name[len(source):].lstrip("/") if len(sources) == 1 and into != "./" else name)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / name, target)
        elif instruction == "RUN":
            check("--release" in rest, "the image is optimised")
            run(["sh", "-c", rest.replace("--release ", "")], cwd=clean, env=environment)
        else:
            fail(f"the first stage has {instruction}, which this script does not know")
    binary = None
    for instruction, rest in last[1:]:
        if instruction == "COPY":
            source, target = rest.removeprefix("--from=build ").split()
            check(source == "/src/target/release/strawboss" and target == "/usr/local/bin/strawboss", rest)
            binary = TMP / "bin" / "strawboss"
            binary.parent.mkdir()
            shutil.copy(ROOT / "target/debug/strawboss", binary)
        elif instruction == "RUN":
            packages = re.search(r"--no-install-recommends ([\w -]+) &&", rest).group(1).split()
            run(["apt-cache", "show", *packages])
    instructions = dict(last[1:])
    check(instructions["USER"].split(":")[0] not in ("root", "0"), "the image runs as root")
    check(json.loads(instructions["ENTRYPOINT"]) == ["strawboss"], "the entry point is the program")
    health = json.loads(instructions["HEALTHCHECK"].split("CMD ", 1)[1])
    run([binary, *health[1:], "--help"])
    service = services["strawboss"]
    check(service["healthcheck"]["test"][:4] == ["CMD", *health], "both health checks are one")
    return binary, instructions["USER"]


# What goes with Prometheus and Grafana.

def check_files(services):
    step("rules, their tests, dashboards, runbook")
    alerts = ROOT / "grafana/alerts"
    for rules in alerts.glob("*.rules.yml"):
        run(["promtool", "check", "rules", rules])
    tests = sorted((alerts / "tests").glob("*.test.yml"))
    run(["promtool", "test", "rules", *tests])
    rules = [rule for file in alerts.glob("*.rules.yml") for group in yaml.safe_load(file.read_text())["groups"]
             for rule in group["rules"]]
    tested = {}
    for file in tests:
        for test in yaml.safe_load(file.read_text())["tests"]:
            for each in test["alert_rule_test"]:
                tested.setdefault(each["alertname"], set()).add(bool(each["exp_alerts"]))
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs/runbook.md").read_text(), re.M)
    for rule in (rule for rule in rules if "alert" in rule):
        name = rule["alert"]
        check(tested.get(name) == {True, False}, f"{name} has no test that fires it and one that does not")
        anchor = rule["annotations"]["runbook"].split("#")[1]
        check(anchor in (heading.lower() for heading in headings), f"{name}: docs/runbook.md has no section {anchor}")
    for command in set(re.findall(r"`strawboss ([a-z]+(?: [a-z]+)?)", (ROOT / "docs/runbook.md").read_text())):
        run([ROOT / "target/debug/strawboss", *command.split()[:2], "--help"])

    made = TMP / "grafana"
    shutil.copytree(ROOT / "grafana", made, ignore=shutil.ignore_patterns("node_modules"))
    shutil.copytree(ROOT / "docs", TMP / "docs")
    run(["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"], cwd=made)
    before = {path: path.read_text() for path in sorted((ROOT / "grafana").rglob("*")) if path.suffix in (".json", ".yml")
              and "node_modules" not in path.parts and path.name != "package.json"}
    for path in before:
        (made / path.relative_to(ROOT / "grafana")).unlink()
    run(["node", "generate.mjs"], cwd=made)
    for path, text in before.items():
        again = made / path.relative_to(ROOT / "grafana")
        check(again.exists() and again.read_text() == text, f"{path} is not what `npm run generate` makes")

    dashboards = [json.loads(path.read_text()) for path in sorted((ROOT / "grafana/dashboards").glob("*.json"))]
    runbook = {panel["id"] for board in dashboards if board["uid"] == "strawboss-runbook" for panel in board["panels"]}
    for board in dashboards:
        for panel in flat(board["panels"]):
            if panel["type"] in ("row", "text"):
                continue
            where = f"{board['title']}: {panel['title']}"
            check(panel.get("description"), f"{where} has no description")
            check(panel["type"] == "heatmap" or panel["fieldConfig"]["defaults"].get("unit"), f"{where} has no unit")
            for link in panel.get("links", []):
                check(int(link["url"].split("viewPanel=")[1]) in runbook, f"{where} leads nowhere: {link['url']}")
    grafana = services["grafana"]
    provider = yaml.safe_load((ROOT / "grafana/provisioning/dashboards/strawboss.yaml").read_text())["providers"][0]
    check(placed(provider["options"]["path"], grafana) == str(ROOT / "grafana/dashboards"), "Grafana finds no dashboards")
    home = placed(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"], grafana)
    check(pathlib.Path(home).exists(), f"there is no {home}")
    sources = yaml.safe_load((ROOT / "grafana/provisioning/datasources/strawboss.yaml").read_text())["datasources"]
    for source in sources:
        check(urllib.parse.urlsplit(source["url"]).hostname in services, f"nobody is {source['url']}")

    collector = yaml.safe_load((ROOT / "deploy/otel-collector.yaml").read_text())
    tempo = yaml.safe_load((ROOT / "deploy/tempo.yaml").read_text())
    port = collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"].split(":")[1]
    check(services["strawboss"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == f"http://otel-collector:{port}",
          "the collector listens elsewhere")
    grpc = tempo["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].split(":")[1]
    check(collector["exporters"]["otlp"]["endpoint"] == f"tempo:{grpc}", "Tempo listens elsewhere")
    asked = f"http://tempo:{tempo['server']['http_listen_port']}"
    check(any(source["url"] == asked for source in sources), "Tempo is asked elsewhere")
    for pipeline in collector["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            check(set(pipeline[kind]) <= set(collector[kind]), f"the collector has no such {kind}")
    return rules, dashboards


def flat(panels):
    for panel in panels:
        yield panel
        yield from flat(panel.get("panels", []))


METRIC = re.compile(r"(?<![\w:{,\"])((?:pgboss|event|http_push|process|strawboss)[:_][\w:]+|up)(?=[\s{\[)]|$)")


def named(expression):
    return set(METRIC.findall(expression))


def check_names(rules, dashboards, exported):
    step("every metric that is named is there")
    # README's table is compared with the registry by the tests; a series of its own it has only once there is a value.
    there = set(re.findall(r"`((?:pgboss|event|http_push)_\w+)`", (ROOT / "README.md").read_text()))
    there |= set(re.findall(r"^# TYPE (\w+)", exported, re.M)) | {"up"}
    there |= {rule["record"] for rule in rules if "record" in rule}
    # A rule of the user's own, see docs and the head of alerts.mjs.
    there.add("strawboss:queue_objective_seconds")
    later = {line for line in (ROOT / "grafana/without-data.txt").read_text().split("\n")
             if line and not line.startswith("#")}
    check(later <= there, f"grafana/without-data.txt lists what is not there: {sorted(later - there)}")
    asked = [rule["expr"] for rule in rules]
    asked += [target["expr"] for board in dashboards for panel in flat(board["panels"]) for target in panel.get("targets", [])]
    count = 0
    for expression in asked:
        names = named(expression)
        check(names, f"no metric is found in {expression}")
        for name in names:
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            check(name in there | later or base in there | later, f"there is no metric {name}, which {expression} asks for")
            count += 1
    print(f"{count} names in {len(asked)} expressions; {len(later)} have no series here")
    return later


# All of it at work.

class Sink(http.server.BaseHTTPRequestHandler):
    """A collector that counts who sends it spans."""
    senders = set()

    def do_POST(self):
        if self.headers.get("transfer-encoding") == "chunked":
            body = b""
            while length := int(self.rfile.readline(), 16):
                body += self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["content-length"]))
        Sink.senders |= {name for name in ("node-app", "strawboss") if name.encode() in body and self.path == "/v1/traces"}
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def node():
    """A Node that the example runs with: this machine's, or that of the tests, or npm's."""
    def new_enough(program):
        version = tuple(map(int, run([program, "--version"]).strip().lstrip("v").split(".")[:2]))
        return version >= (22, 12)
    candidates = [shutil.which("node"), *sorted(ROOT.glob("target/tmp/node-*/node/node_modules/*/bin/node"))]
    for candidate in candidates:
        if candidate and new_enough(str(candidate)):
            return pathlib.Path(candidate)
    run(["npm", "install", "--prefix", TMP / "node", "--no-audit", "--no-fund", "--silent", "node@22.18.0"])
    return TMP / "node/node_modules/node/bin/node"


def lowered(user):
    """What drops privileges as the image does, where there are any to drop."""
    if os.getuid() != 0:
        return []
    uid, gid = user.split(":")
    return ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs"]


def substituted(environment, ports, database):
    """The environment of a container, with the addresses of this machine."""
    made = {}
    for key, value in environment.items():
        value = database if key == "DATABASE_URL" else str(value)
        for host, port in ports.items():
            value = value.replace(host, f"127.0.0.1:{port}")
        made[key] = value
    # The demo's own worker serves the queues of its schema, and would take every other job.
    return {**made, "PGBOSS_SCHEMA": SCHEMA}


def live(services, binary, user, rules, dashboards):
    step("PostgreSQL, the app, the worker, Prometheus")
    demo = start("demo", [binary, "demo", "--keep"], cwd=TMP, env={k: v for k, v in os.environ.items() if k != "DATABASE_URL"})
    until("the demo", demo, "demo", lambda: "until Ctrl-C" in said("demo"))
    database = re.search(r"export DATABASE_URL='([^']+)'", said("demo")).group(1)

    sink = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    ports = {"app:3000": free_port(), "0.0.0.0:9464": free_port(), "otel-collector:4318": sink.server_address[1]}
    worker_at = f"127.0.0.1:{ports['0.0.0.0:9464']}"

    service = services["app"]
    home = TMP / "home"
    home.mkdir()
    environment = {**substituted(service["environment"], ports, database), "PORT": str(ports["app:3000"]),
                   "HOST": "127.0.0.1", "DEMO_RATE": str(RATE), "HOME": str(home),
                   "PATH": f"{node().parent}:{os.environ['PATH']}",
                   # How this machine reaches npm; a container has ways of its own.
                   **{k: v for k, v in os.environ.items()
                      if re.match(r"npm_config_|\w+_proxy$|NODE_EXTRA_CA_CERTS$|SSL_CERT_", k, re.I)}}
    if (pathlib.Path.home() / ".npmrc").exists():
        environment["npm_config_userconfig"] = str(pathlib.Path.home() / ".npmrc")
    begin_app = again("app", [placed(word, service) for word in service["command"]], cwd=home, env=environment)
    app = begin_app()
    health = service["healthcheck"]["test"][1:]
    until("the app", app, "app", lambda: "listening at" in said("app"), 120)
    health = [word.replace("127.0.0.1:3000", f"127.0.0.1:{ports['app:3000']}") for word in health]
    run(health, env=environment)

    service = services["strawboss"]
    environment = {**substituted(service["environment"], ports, database), "PATH": f"{binary.parent}:/usr/bin:/bin"}
    # The image's user has to be able to read what is mounted, wherever this checkout lies.
    configuration = TMP / "etc"
    configuration.mkdir()
    arguments = []
    for word in service["command"]:
        path = pathlib.Path(placed(word, service))
        if path.is_file():
            word = str(shutil.copy(path, configuration / path.name))
        arguments.append(word)
    for path in [TMP, configuration, binary.parent]:
        path.chmod(0o755)
    for path in [binary, *configuration.iterdir()]:
        path.chmod(0o755)
    begin_worker = again("strawboss", [*lowered(user), str(binary), *arguments], cwd=configuration, env=environment)
    worker = begin_worker()
    asked = [*lowered(user), str(binary), "check", "--live", "--config", arguments[-1]]
    ready = lambda: subprocess.run(asked, env=environment, capture_output=True).returncode == 0
    until("the health check", worker, "strawboss", ready)

    service = services["prometheus"]
    check("strawboss:9464" in (ROOT / "deploy/prometheus.yml").read_text(), "Prometheus scrapes the worker")
    run(["promtool", "check", "config", prometheus_configuration(service, worker_at)])
    port = free_port()
    (TMP / "prometheus").mkdir()
    flags = [placed(flag, service).replace("=/prometheus", f"={TMP}/prometheus") for flag in service["command"]]
    flags[0] = f"--config.file={TMP}/prometheus.yml"
    prometheus = start("prometheus", ["prometheus", *flags, f"--web.listen-address=127.0.0.1:{port}"], cwd=TMP)
    at = f"http://127.0.0.1:{port}"
    until("Prometheus", prometheus, "prometheus", lambda: answers(f"{at}/-/ready"))

    if PICTURES:
        app, worker = a_bad_day(at, binary, database, app, begin_app, worker, begin_worker)
    else:
        step(f"{RATE} jobs a second for {LOAD} s")
        time.sleep(LOAD)
    exported = get(f"http://{worker_at}/metrics")
    later = check_names(rules, dashboards, exported)
    ask_panels(at, dashboards, later)
    ask_rules(at)
    check(Sink.senders == {"node-app", "strawboss"}, f"of the app and the worker only {Sink.senders} sent spans")

    step("the end")
    stop("strawboss", worker)
    stop("app", app)
    stop("prometheus", prometheus)
    stop("demo", demo)


def a_bad_day(at, binary, database, app, begin_app, worker, begin_worker):
    """The pictures of README: a wave, an app that is down, a worker that is killed. Answers the app and the worker there
    are at the end."""
    step("a bad day, for the pictures")

    def send(queue, count, data):
        jobs = "".join(json.dumps(data(n)) + "\n" for n in range(count))
        run([binary, "send", queue, "-", "--database-url", database, "--schema", SCHEMA], input=jobs)

    def mails(count):
        send("email", count, lambda n: {"to": f"user-{n}@example.com"})

    def kill(process):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        STARTED[:] = [(n, p) for n, p in STARTED if p is not process]

    begin, marks = time.time(), []
    time.sleep(20)
    since = time.time()
    mails(3000)
    send("thumbnail", 300, lambda n: {"picture": n})
    time.sleep(25)
    marks.append((since, time.time(), "a wave of 3,300 jobs"))
    time.sleep(20)
    since = time.time()
    kill(app)
    while time.time() < since + 15:
        mails(40)
        time.sleep(1)
    app = begin_app()
    until("the app", app, "app", lambda: "listening at" in said("app"), 120)
    marks.append((since, time.time(), "the app is down"))
    time.sleep(10)
    since = time.time()
    run([binary, "redrive", "email-dead", "--database-url", database, "--schema", SCHEMA])
    time.sleep(5)
    marks.append((since, time.time(), "redrive"))
    time.sleep(20)
    send("thumbnail", 100, lambda n: {"picture": n})
    time.sleep(2)
    since = time.time()
    kill(worker)
    time.sleep(5)
    worker = begin_worker()
    time.sleep(10)
    marks.append((since, time.time(), "the worker is killed"))
    time.sleep(30)
    # By the python3 of the PATH, which may have matplotlib; the system's has not.
    run(["python3", ROOT / "grafana/pictures.py", at, PICTURES, str(begin), str(time.time() - 1), json.dumps(marks)])
    return app, worker


def prometheus_configuration(service, worker_at):
    text = placed((ROOT / "deploy/prometheus.yml").read_text(), service).replace("strawboss:9464", worker_at)
    if PICTURES:
        # What takes seconds is to be seen.
        text = text.replace("scrape_interval: 5s", "scrape_interval: 1s")
    (TMP / "prometheus.yml").write_text(text)
    return TMP / "prometheus.yml"


def query(at, expression):
    answer = json.loads(get(f"{at}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"))
    check(answer["status"] == "success", f"{expression}: {answer}")
    return answer["data"]["result"]


def ask_panels(at, dashboards, later):
    step("every query of every panel")
    asked = left = 0
    for board in dashboards:
        for variable in board.get("templating", {}).get("list", []):
            inner = re.match(r"label_values\((.*), (\w+)\)", variable.get("definition", ""))
            if inner:
                check(any(series["metric"].get(inner.group(2)) for series in query(at, inner.group(1))),
                      f"{board['title']}: the variable {variable['name']} has no values")
        for panel in flat(board["panels"]):
            for target in panel.get("targets", []):
                expression = target["expr"].replace("$__rate_interval", "40s").replace("$instance", ".*").replace("$queue", ".*")
                if any(re.sub(r"_(bucket|sum|count)$", "", name) in later for name in named(expression)):
                    left += 1
                    continue
                values = [series["value"][1] for series in query(at, expression)]
                check(any(value != "NaN" for value in values),
                      f"{board['title']}, {panel['title']}: no data for {expression} ({values})")
                asked += 1
    print(f"{asked} queries have data; {left} ask for what has no series here")


def ask_rules(at):
    step("every rule is evaluated")
    for _ in range(100):
        groups = json.loads(get(f"{at}/api/v1/rules"))["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        if rules and all(rule["health"] != "unknown" for rule in rules):
            break
        time.sleep(0.5)
    check(rules, "Prometheus has found no rules")
    for rule in rules:
        check(rule["health"] == "ok", f"{rule['name']}: {rule['health']} {rule.get('lastError')}")
    # A page on a system in order wakes somebody for nothing; that of the pictures was not in order.
    woken = [rule["name"] for rule in rules if rule.get("state") == "firing" and rule["labels"]["severity"] == "page"]
    check(PICTURES or not woken, f"fires on a system in order: {woken}")


def main():
    os.environ.pop("DATABASE_URL", None)
    services = check_compose()
    rules, dashboards = check_files(services)
    binary, user = build(services)
    live(services, binary, user, rules, dashboards)
    step("all of it is in order")


TMP = pathlib.Path(tempfile.mkdtemp(prefix="strawboss-deploy."))
TMP.chmod(0o755)
try:
    main()
finally:
    # The demo ends its private server by itself, if it is asked.
    for name, process in STARTED:
        process.terminate()
    for name, process in STARTED:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    shutil.rmtree(TMP, ignore_errors=True)

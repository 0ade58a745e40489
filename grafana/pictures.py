"""Draws panels of the dashboards from what a Prometheus has: pictures.py URL DIRECTORY BEGIN END [MARKS]. Wants matplotlib.

The queries are the dashboards' own. `.ci/deploy docs/pictures` has a real worker make the data for those in README, and
says in MARKS what it did meanwhile: a JSON list of [from, to, what], in seconds of Unix time as BEGIN and END are.
"""

import json
import math
import pathlib
import re
import sys
import urllib.parse
import urllib.request

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

AT, INTO = sys.argv[1], pathlib.Path(sys.argv[2])
BEGIN, END = map(float, sys.argv[3:5])
MARKS = json.loads(sys.argv[5]) if len(sys.argv) > 5 else []
HERE = pathlib.Path(__file__).parent
# What the variables of the dashboards are set to, and how far apart the points are, in seconds.
RATE, QUEUE, STEP = "8s", "email|thumbnail", 2
PICTURES = {
    "overview": [("queue", "Outcomes"), ("overview", "Jobs by state"), ("overview", "Oldest due job by queue"),
                 ("overview", "Dead letters")],
    "queue": [("queue", "Wait, percentiles"), ("queue", "Run, percentiles"), ("queue", "In flight against limit"),
              ("queue", "Rescued, refused by the fence")],
}
# What the title has to say beside the dashboard's own.
UNITS = {"s": "seconds", "ops": "a second", "percentunit": "share", "short": ""}
COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#7f7f7f"]
# The same kind of thing has the same colour in every picture.
OF = {"completed": "#009e73", "retried": "#e69f00", "dead_lettered": "#d55e00", "failed": "#d55e00", "active": "#0072b2",
      "ready": "#56b4e9", "deferred": "#e69f00", "p50": "#56b4e9", "p95": "#0072b2", "p99": "#cc79a7",
      "email": "#0072b2", "thumbnail": "#cc79a7", "rescued: heartbeat": "#0072b2"}


def panel(board, title):
    dashboard = json.loads((HERE / f"dashboards/{board}.json").read_text())
    found = [each for row in dashboard["panels"] for each in (row, *row.get("panels", [])) if each["title"] == title]
    return next(each for each in found if each["type"] == "timeseries")


def series(target):
    expression = target["expr"].replace("$__rate_interval", RATE).replace("$instance", ".*").replace("$queue", QUEUE)
    asked = urllib.parse.urlencode({"query": expression, "start": BEGIN, "end": END, "step": STEP})
    with urllib.request.urlopen(f"{AT}/api/v1/query_range?{asked}") as answer:
        for found in json.load(answer)["data"]["result"]:
            label = target["legendFormat"]
            for key, value in found["metric"].items():
                label = label.replace("{{" + key + "}}", value)
            known = {round(float(at) - BEGIN): float(value) for at, value in found["values"]}
            # Nothing is drawn where nothing is known.
            yield label, [known.get(at, math.nan) for at in range(0, round(END - BEGIN) + 1, STEP)]


def draw(axis, shown):
    lines = [line for target in shown["targets"] for line in series(target)]
    # What has been zero all the while says nothing in a picture.
    lines = [line for line in lines if any(value > 0 for value in line[1])] or lines[:1]
    for number, (label, values) in enumerate(sorted(lines, key=lambda line: line[0])):
        limit = label.endswith(" limit")
        colour = OF.get(label.split(" ")[0], COLOURS[number % len(COLOURS)])
        axis.plot(range(0, len(values) * STEP, STEP), values, label=label.replace("_", " "), color=colour,
                  linewidth=1 if limit else 1.4, linestyle=":" if limit else "-", solid_joinstyle="round")
    unit = UNITS.get(shown["fieldConfig"]["defaults"]["unit"], "")
    axis.set_title(shown["title"] + (f", {unit}" if unit else ""), loc="left", fontsize=9, fontweight="bold")
    axis.set_ylim(bottom=0)
    axis.margins(x=0)
    axis.locator_params(axis="y", nbins=4)
    axis.legend(loc="upper left", bbox_to_anchor=(1.01, 1.05), frameon=False, handlelength=1.4)
    for begin, end, _ in MARKS:
        axis.axvspan(begin - BEGIN, end - BEGIN, color="#000000", alpha=0.07, linewidth=0)


INTO.mkdir(parents=True, exist_ok=True)
# Of one run the same bytes; opaque, so that they can be read on a dark page, too.
plt.rcParams.update({"font.size": 8, "axes.grid": True, "grid.color": "#e4e4e4", "grid.linewidth": 0.6,
                     "axes.edgecolor": "#b0b0b0", "xtick.color": "#404040", "ytick.color": "#404040",
                     "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "strawboss",
                     "path.simplify_threshold": 0.5})
for name, panels in PICTURES.items():
    figure, axes = plt.subplots(len(panels), 1, figsize=(8.6, 1.45 * len(panels) + 0.3), sharex=True, layout="constrained")
    for axis, (board, title) in zip(axes, panels):
        draw(axis, panel(board, title))
    for begin, end, what in MARKS:
        axes[0].annotate(what, ((begin + end) / 2 - BEGIN, 1), xycoords=("data", "axes fraction"), xytext=(0, 16),
                         textcoords="offset points", ha="center", fontsize=8, color="#404040")
    axes[-1].xaxis.set_major_locator(matplotlib.ticker.MultipleLocator(30))
    axes[-1].xaxis.set_major_formatter(lambda at, _: f"{int(at) // 60}:{int(at) % 60:02}")
    axes[-1].set_xlabel("minutes")
    into = INTO / f"{name}.svg"
    figure.savefig(into, metadata={"Date": None}, facecolor="white")
    # A tenth of a point is as fine as can be seen.
    into.write_text(re.sub(r' d="[^"]*"', lambda d: re.sub(r"(\.\d)\d+", r"\1", d[0]), into.read_text()))

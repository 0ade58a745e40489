"""Draws panels of the dashboards from what a Prometheus has, for README: pictures.py URL DIRECTORY. Wants matplotlib.

The queries are the dashboards' own; `.ci/deploy DIRECTORY` has a real worker make the data.
"""

import json
import pathlib
import sys
import time
import urllib.parse
import urllib.request

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

AT, INTO = sys.argv[1], pathlib.Path(sys.argv[2])
HERE = pathlib.Path(__file__).parent
SECONDS = 170
PICTURES = {
    "overview": [("overview", "Throughput"), ("overview", "Jobs by state"), ("overview", "Oldest due job by queue"),
                 ("overview", "Error ratio by queue")],
    "queue": [("queue", "Wait, percentiles"), ("queue", "Run, percentiles"), ("queue", "Outcomes"),
              ("queue", "In flight against limit")],
}
UNITS = {"s": "seconds", "ops": "per second", "percentunit": "share", "short": ""}


def panel(board, title):
    dashboard = json.loads((HERE / f"dashboards/{board}.json").read_text())
    found = [each for row in dashboard["panels"] for each in (row, *row.get("panels", [])) if each["title"] == title]
    return next(each for each in found if each["type"] == "timeseries")


def series(target):
    expression = target["expr"].replace("$__rate_interval", "20s").replace("$instance", ".*").replace("$queue", ".*")
    now = time.time()
    asked = urllib.parse.urlencode({"query": expression, "start": now - SECONDS, "end": now, "step": 2})
    with urllib.request.urlopen(f"{AT}/api/v1/query_range?{asked}") as answer:
        for found in json.load(answer)["data"]["result"]:
            label = target["legendFormat"]
            for key, value in found["metric"].items():
                label = label.replace("{{" + key + "}}", value)
            points = [(float(at) - now + SECONDS, float(value)) for at, value in found["values"]]
            yield label, [at for at, _ in points], [value for _, value in points]


INTO.mkdir(parents=True, exist_ok=True)
plt.rcParams.update({"font.size": 8, "axes.grid": True, "grid.alpha": 0.3,
                     "axes.spines.top": False, "axes.spines.right": False})
for name, panels in PICTURES.items():
    figure, axes = plt.subplots(2, 2, figsize=(9, 5), constrained_layout=True)
    for axis, (board, title) in zip(axes.flat, panels):
        shown = panel(board, title)
        lines = [line for target in shown["targets"] for line in series(target)]
        # What has been zero all the while says nothing in a picture.
        for label, at, values in [line for line in lines if max(line[2], default=0) > 0] or lines[:1]:
            axis.plot(at, values, label=label, linewidth=1.2)
        axis.set_title(title, fontsize=9, loc="left")
        axis.set_ylabel(UNITS.get(shown["fieldConfig"]["defaults"]["unit"], ""))
        axis.set_ylim(bottom=0)
        axis.legend(fontsize=6, frameon=False, loc="best")
    for axis in axes[1]:
        axis.set_xlabel("seconds")
    figure.savefig(INTO / f"{name}.png", dpi=110)

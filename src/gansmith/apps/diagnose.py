"""What ails a run: from its directory, whether it is finished, running, stopped or killed."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gansmith.core.errors import ConfigError, MissingExtra
from gansmith.core.paths import write_atomic
from gansmith.training.rundir import RunDir
from gansmith.watch.attend import to_json
from gansmith.watch.course import FIRST_WORD
from gansmith.watch.illnesses import ILLNESSES
from gansmith.watch.treatment import EARLIEST
from gansmith.watch.verdicts import unjudged, verdicts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]
OVER_TIME = {
    "losses": "_loss",
    "gradient of the generator": "g_gradient",
    "how well D ranks reals above fakes (½ is chance)": "ranks",
    "D: trained on above held out (½ is chance)": "overfit",
    "diversity of fakes, by the reals'": "diversity",
    "reals that fakes miss": "missed",
    "distance from the reals": "distance",
    "shift of fixed latents' samples": "shift",
}
"""What the report shows of every run, by the signals' names or their endings."""


@dataclass(frozen=True)
class Diagnosis:
    """What ails a run.

    Attributes:
        run: its directory.
        state: how it stands: running, finished, interrupted, ill, diverged, killed.
        images: real images seen by the last look; `progress` is the part of the run that they are.
        illnesses: as health.jsonl has them, the likeliest first.
        unjudged: illnesses that cannot be told.
        looks: that all this is by, the oldest first.
    """

    run: Path
    state: str
    images: int
    progress: float
    illnesses: list[dict[str, Any]]
    unjudged: list[str]
    looks: Sequence[Row]

    @property
    def healthy(self) -> bool:
        return not self.illnesses

    @property
    def caution(self) -> str:
        """What is to be said of an early verdict; nothing of others."""
        is_early = self.progress < EARLIEST and any(ill["name"] != "sick_data" for ill in self.illnesses)
        return f"This is at {self.progress:.0%} of the run; what ends well is often restless at first." * is_early

    def to_json(self) -> dict[str, Any]:
        return {
            "healthy": self.healthy,
            "illnesses": self.illnesses,
            "unjudged": self.unjudged,
            "state": self.state,
            "images": self.images,
            "progress": round(self.progress, 4),
            "looks": len(self.looks),
        }

    def text(self) -> str:
        """For people."""
        if self.healthy:
            early = len(self.looks) < FIRST_WORD
            lines = [f"nothing ails it ({self.state}, {self.images} images, {len(self.looks)} looks)"]
            lines += [f"too early: a verdict takes {FIRST_WORD} looks"] * early
        else:
            lines = []
        for ill in self.illnesses:
            since = f", since {ill['since_images']} images" if ill["since_images"] else ""
            lines.append(f"{ill['name']}: {ill['probability']:.0%}, {ill['severity']}{since}")
            lines += [f"  {ill['evidence']}", *(f"  try: {cure}" for cure in ill["cures"])]
        lines += [self.caution] if self.caution else []
        return "\n".join(lines + ([f"not judged: {', '.join(self.unjudged)}"] if self.unjudged else []))


def diagnose(path: str | Path) -> Diagnosis:
    """What ails the run in a directory.

    Raises:
        ConfigError: there is no run, or nobody looked at it.
    """
    run = RunDir(Path(path))
    config, spec = run.config(), run.spec()
    rows = run.looks()
    if not rows:
        raise ConfigError(f"{run.path}: the doctor has not looked at it: train.looks=0, or it has only just begun")
    status = run.read("status.json")
    state = str(status.get("state", "killed"))
    if state == "running" and not run.is_running():
        state = "killed"
    signals = [row["signals"] for row in rows]
    found = verdicts(signals, str(status.get("message", "it diverged")) if state == "diverged" else "")
    data = [ill for ill in rows[-1]["illnesses"] if ill["name"] == "sick_data"]
    illnesses = [to_json(verdict, config, spec) for verdict in found] + data
    images = int(rows[-1]["images"])
    return Diagnosis(run.path, state, images, images / run.plan().total, illnesses, unjudged(signals), rows)


def save_report(diagnosis: Diagnosis, path: Path) -> None:
    """A page that shows a person what ails a run: verdicts with what they are by, all signals over time, the film.

    Raises:
        MissingExtra: without matplotlib.
        GansmithError: the page cannot be written.
    """
    if not find_spec("matplotlib"):
        raise MissingExtra.needs("the report", "plots")
    signals = [row["signals"] for row in diagnosis.looks]
    parts = [verdict_part(ill, signals) for ill in diagnosis.illnesses]
    if diagnosis.healthy:
        parts = ["<p class=well>Nothing ails it.</p>"]
    if diagnosis.caution:
        parts.append(f"<p>{diagnosis.caution}</p>")
    if diagnosis.unjudged:
        parts.append(f"<p>Not judged: {', '.join(name.replace('_', ' ') for name in diagnosis.unjudged)}.</p>")
    shown = {label: names for label, ending in OVER_TIME.items() if (names := ending_in(signals, ending))}
    everything = [drawn(signals, names, label) for label, names in shown.items()]
    page = PAGE.format(
        title=html.escape(str(diagnosis.run)),
        state=f"{diagnosis.state}, {diagnosis.images:,} images, {len(diagnosis.looks)} looks",
        verdicts="\n".join(parts),
        signals="\n".join(everything),
        film=film(diagnosis.run),
    )
    with RunDir(diagnosis.run).writing():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, page)


def verdict_part(ill: Row, signals: Sequence[Row]) -> str:
    """One verdict, with its cures and plots."""
    name, illness = ill["name"], ILLNESSES.get(ill["name"])
    cures = "".join(f"<li><code>{html.escape(cure)}</code></li>" for cure in ill["cures"])
    names = [name for name in (illness.shown if illness else ()) if ending_in(signals, name)]
    plots = "".join(drawn(signals, [name], name, ill["since_images"]) for name in names)
    since = f"since {ill['since_images']:,} images" if ill["since_images"] else ""
    return (
        f"<section><h2>{name.replace('_', ' ')} <small>{ill['probability']:.0%}, {ill['severity']} {since}</small></h2>"
        f"<p>{html.escape(illness.what + '.' if illness else '')}</p><p>{html.escape(ill['evidence'])}.</p>"
        f"{'<p>What to try, the mildest first:</p><ol>' + cures + '</ol>' if cures else ''}{plots}</section>"
    )


def ending_in(signals: Sequence[Row], ending: str) -> list[str]:
    """Names of signals that end so."""
    return list(dict.fromkeys(name for look in signals for name in look if name.endswith(ending)))


def drawn(signals: Sequence[Row], names: Sequence[str], label: str, since: int = 0) -> str:
    """Signals against images seen, as an image element."""

    def draw(axes: Axes) -> None:
        for name in names:
            points = [(look["images"] / 1000, look[name]) for look in signals if name in look]
            axes.plot(*zip(*points, strict=True), linewidth=1.4, marker=".", markersize=3, label=name)
        if since:
            axes.axvspan(since / 1000, signals[-1]["images"] / 1000, color="tab:red", alpha=0.08)
        if len(names) > 1:
            axes.legend(fontsize=7)
        if names == ["g_gradient"]:
            axes.set_yscale("log")

    return plotted(draw, label)


def plotted(draw: Callable[[Axes], None], label: str) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, 2.2), layout="constrained")
    axes = figure.subplots()
    draw(axes)
    axes.set_title(label, fontsize=9)
    axes.set_xlabel("thousand images", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.25)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return f'<img alt="{html.escape(label)}" src="{embedded(buffer.getvalue(), "png")}">'


def film(run: Path) -> str:
    """Some grids of the fixed latents, from the first to the last."""
    frames = sorted(path for path in (run / "samples").glob("*.png") if path.stem.isdigit())
    chosen = [frames[i * (len(frames) - 1) // 4] for i in range(5)] if len(frames) > 5 else frames
    pictures = [
        f'<figure><img alt="" src="{embedded(frame.read_bytes(), "png")}">'
        f"<figcaption>{int(frame.stem):,} images</figcaption></figure>"
        for frame in chosen
    ]
    return "\n".join(pictures)


def embedded(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Health of {title}</title>
<meta name="viewport" content="width=device-width">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
h1 {{ font-size: 1.4rem }} h2 {{ font-size: 1.1rem; margin-bottom: .2rem }}
small {{ color: #777; font-weight: normal }} code {{ background: #f3f3f3; padding: .1rem .3rem }}
section {{ border-left: 4px solid #c33; padding-left: 1rem; margin: 1.5rem 0 }}
.well {{ border-left: 4px solid #3a3; padding-left: 1rem }}
img {{ width: 30rem; max-width: 100% }} figure {{ display: inline-block; margin: 0 .5rem 1rem 0 }}
figure img {{ width: 11rem; image-rendering: pixelated }} figcaption {{ color: #777; font-size: .8rem }}
</style>
<h1>Health of {title} <small>{state}</small></h1>
{verdicts}
<h2>Fixed latents, from the first to the last</h2>
{film}
<h2>All signals</h2>
{signals}
</html>
"""

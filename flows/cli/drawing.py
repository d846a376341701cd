"""Drawing the graph from the catalogue, as Mermaid text and as SVG."""

from __future__ import annotations

import io

import networkx as nx

from imperv.layers.catalogue import CATALOGUE, DEFAULT, topological_order

COLOURS = {
    "source": "#d9d9d9",
    "reference": "#c6dbef",
    "feature": "#c7e9c0",
    "model": "#dadaeb",
    "interim": "#fff7bc",
    "final": "#fdae6b",
}
"""Fill of a node by its kind."""


def mermaid(targets: list[str] | None = None, product: str = DEFAULT) -> str:
    """The graph as a Mermaid flow chart."""
    shown = topological_order(targets, product)
    lines = ["flowchart LR"]
    for symbol in shown:
        layer = CATALOGUE[symbol]
        size = f"<br/>{layer.resolution:g} m" if layer.resolution else ""
        lines.append(f'    {symbol}["{symbol}{size}"]:::{layer.kind}')
    lines += [f"    {a} --> {b}" for a, b in _arrows(shown)]
    lines += [f"    classDef {kind} fill:{colour},stroke:#555,color:#111" for kind, colour in COLOURS.items()]
    return "\n".join(lines) + "\n"


def _arrows(shown: list[str]) -> list[tuple[str, str]]:
    """(input, output) of all that is shown."""
    return sorted((name, symbol) for symbol in shown for name in CATALOGUE[symbol].inputs if name in shown)


def svg(targets: list[str] | None = None, product: str = DEFAULT) -> str:
    """The graph as SVG, from left to right in order of work."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import FancyArrowPatch

    shown = topological_order(targets, product)
    graph: nx.DiGraph = nx.DiGraph()
    graph.add_nodes_from(shown)
    graph.add_edges_from((a, b) for a, b in _arrows(shown))
    places = _layout(graph)
    across = 1 + max(x for x, _ in places.values())
    down = 1 + max(y for _, y in places.values())
    figure = Figure(figsize=(2.1 * across, 0.62 * down + 0.6))
    axes = figure.add_axes((0, 0, 1, 1))
    for a, b in graph.edges:
        (x0, y0), (x1, y1) = places[a], places[b]
        axes.add_patch(
            FancyArrowPatch((x0 + 0.36, -y0), (x1 - 0.36, -y1), arrowstyle="-|>", mutation_scale=8, color="#999", lw=0.7,
                            connectionstyle="arc3,rad=0.04", zorder=1)
        )  # fmt: skip
    for symbol, (x, y) in places.items():
        layer = CATALOGUE[symbol]
        label = f"{symbol}  {layer.resolution:g} m" if layer.resolution else symbol
        axes.text(
            x, -y, label, ha="center", va="center", fontsize=8, zorder=2,
            bbox={"boxstyle": "round,pad=0.3", "fc": COLOURS[layer.kind], "ec": "#555", "lw": 0.8},
        )  # fmt: skip
    handles = [Line2D([], [], marker="s", ls="", ms=9, mfc=c, mec="#555", label=kind) for kind, c in COLOURS.items()]
    axes.legend(handles=handles, loc="upper center", ncols=len(COLOURS), frameon=False, fontsize=9)
    axes.set_xlim(-0.6, across - 0.4)
    axes.set_ylim(-down + 0.3, 1.2)
    axes.axis("off")
    out = io.StringIO()
    with rc_context({"svg.hashsalt": "imperv"}):  # else every drawing has other names in it
        FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None})
    return out.getvalue()


def _layout(graph: nx.DiGraph) -> dict[str, tuple[float, float]]:
    """Column by the longest way from a source; rows by the mean row of a node's inputs, so that arrows stay short."""
    columns = [sorted(g, key=list(CATALOGUE).index) for g in nx.topological_generations(graph)]
    tallest = max(map(len, columns))
    places: dict[str, tuple[float, float]] = {}
    for x, column in enumerate(columns):
        if x:
            column = sorted(column, key=lambda n: sum(places[i][1] for i in graph.predecessors(n)) / graph.in_degree(n))
        step = tallest / len(column)
        for k, node in enumerate(column):
            places[node] = (x, (k + 0.5) * step)
    return places

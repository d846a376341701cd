"""A production opened from Python: what `imperv.open` returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from imperv.tasks.family.findings import Finding
    from imperv.tasks.settings.production import Production as Settings
    from imperv.tasks.store.store import Store

Tiles = str | Iterable[str] | None
"""A tile, several, or None for all of the production."""

Targets = str | Sequence[str] | None
"""A layer, several, or None for all."""


def open(config: str | Path = "production.toml") -> Production:
    """Open a production by its file.

    Parameters
    ----------
    config : path
        Production file (TOML), as ``imperv init`` writes it.

    Returns
    -------
    Production

    Raises
    ------
    InputError
        If the file is missing or wrong; one line for every mistake.
    """
    return Production(config)


class Production:
    """A production: its layers, and what makes and checks them.

    Parameters
    ----------
    config : path
        Production file.

    Attributes
    ----------
    config : Path
        The file, absolute.
    settings : imperv.tasks.settings.production.Production
        What it says.
    """

    def __init__(self, config: str | Path) -> None:
        from imperv.tasks.settings.production import Production as Settings

        self.config = Path(config).absolute()
        self.settings: Settings = Settings.read(self.config)

    def __repr__(self) -> str:
        return f"imperv.open({str(self.config)!r})"

    @property
    def tiles(self) -> list[str]:
        """Names of the tiles."""
        return list(self.settings.tile_names)

    @property
    def store(self) -> Store:
        """The store; layers that it lacks are those of its base, where it is a scratch store."""
        from imperv.tasks.store.overlay import store_of

        return store_of(self.settings)

    def layers(self, tile: str | None = None) -> pd.DataFrame:
        """What is in the store: a row for each layer, tile and period.

        Parameters
        ----------
        tile : str, optional
            Only of this tile.
        """
        return self.store.layers(tile)

    def open(self, layer: str, tile: str, period: str | None = None, *, masked: bool = False) -> xr.DataArray | xr.Dataset:
        """A finished layer, lazy, with CF attributes.

        Parameters
        ----------
        layer : str
            Symbol, such as ``IMD_now``.
        tile : str
            EEA tile.
        period : str, optional
            Folder of the period, where the store has several.
        masked : bool
            NaN for no data instead of the code.

        Returns
        -------
        DataArray (y, x), or for features a Dataset

        Raises
        ------
        InputError
            If there is no such layer, or it is not done.
        """
        return self.store.open(layer, tile, period, masked=masked)

    def mosaic(
        self, layer: str, tiles: Tiles = None, period: str | None = None, *, masked: bool = False
    ) -> xr.DataArray | xr.Dataset:
        """A layer of several tiles as one lazy array; see `open`."""
        return self.store.mosaic(layer, None if tiles is None else self._named(tiles), period, masked=masked)

    def plan(self, tiles: Tiles = None, targets: Targets = None) -> pd.DataFrame:
        """What a run would do; nothing is run.

        Parameters
        ----------
        tiles
            All by default.
        targets
            Layers asked for, with what they need; all by default.

        Returns
        -------
        DataFrame
            A row a node: ``tile``, ``node``, ``state`` (run, maybe, up to date), ``reason``, ``bytes``, ``core_seconds``,
            ``memory`` (bytes), ``bytes_decoded``.
        """
        from dataclasses import asdict

        import pandas as pd

        from imperv.flows.plan.planning import plan_tile
        from imperv.tasks.job import Job

        return pd.DataFrame(
            asdict(s) for tile in self._named(tiles) for s in plan_tile(Job.of(self.settings, tile), _listed(targets))
        )

    def run(self, tiles: Tiles = None, targets: Targets = None, *, refresh_scenes: bool = False) -> dict[str, Exception]:
        """Make what is missing, in this process; the same as ``imperv run``.

        Returns
        -------
        dict
            Tiles that failed and why; one failed tile does not stop the others.
        """
        from imperv.flows.production.running import run_tiles

        return dict(run_tiles(self._named(tiles), str(self.config), _listed(targets), refresh_scenes))

    def verify(self, tiles: Tiles = None, targets: Targets = None) -> dict[str, list[Finding]]:
        """Check all products that are delivered, and name those that are missing; the same as ``imperv verify --config``.

        Returns
        -------
        dict
            Findings by file; a rule is broken where ``ok`` is False.
        """
        from imperv.flows.plan.targets import resolve_targets, steps
        from imperv.tasks.families import family
        from imperv.tasks.job import Job

        jobs, product = [Job.of(self.settings, tile) for tile in self._named(tiles)], self.settings.product
        products = steps(resolve_targets(_listed(targets), product), product=product)[1]
        found, missing = family(product).form.verify(jobs, products, {})
        for name, finding in (entry for tile in missing.values() for entry in tile.items()):
            found.setdefault(name, []).append(finding)
        return found

    def evaluate(
        self, truth: str | Path | None = None, tiles: Tiles = None, *, rasters: Sequence[str] = (), trials: int = 0
    ) -> dict[str, Any]:
        """Accuracy of stored layers against a truth, and with `trials` of the models beside per-pixel ones.

        Parameters
        ----------
        truth : path, optional
            Folder with truth_imd_now.tif, truth_ibu_now.tif and the like.
        tiles
            All by default.
        rasters : sequence of str
            Single rasters, such as ``"imd_now=FILE"``.
        trials : int
            Trainings of each model on blocks held out; 0 judges the stored layers alone.

        Returns
        -------
        dict
            What ``imperv evaluate --json`` prints.
        """
        from imperv.flows.cli.imperviousness.evaluating import evaluate_tiles
        from imperv.tasks.imperviousness.assessment.truth import Truth
        from imperv.tasks.job import Job

        jobs = [Job.of(self.settings, tile) for tile in self._named(tiles)]
        return evaluate_tiles(jobs, Truth.find(Path(truth) if truth else None, rasters), trials)

    def _named(self, tiles: Tiles) -> list[str]:
        from imperv.flows.cli.parts.names import tile_names

        return self.tiles if tiles is None else tile_names([tiles] if isinstance(tiles, str) else list(tiles)) or []


def _listed(targets: Targets) -> list[str] | None:
    return None if targets is None else [targets] if isinstance(targets, str) else list(targets)

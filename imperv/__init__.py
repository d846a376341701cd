"""The production chain of the Copernicus HRL Imperviousness, as open software; from Python.

>>> import imperv
>>> production = imperv.open("production.toml")
>>> production.layers()
>>> production.open("IMD_now", "E38N31", masked=True).plot.imshow()

What is listed in ``__all__`` is the public interface. Science is importable below it, such as `imperv.layers.rmsd.rmsd`.
"""

from imperv.api import Production, open
from imperv.tasks.errors import ImpervError, InputError, WorkError


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version

        return version("imperv")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["ImpervError", "InputError", "Production", "WorkError", "open"]

"""Pictures in, pictures out: no clock, thread, socket or page. `from pipeline import Puppet` is the library.

Read `core/animator.py` first: the types that all share, and the `Animator` that `meshwarp/` and `liveportrait/`
implement. `core/registry.py` lists the animators, `load.py` chooses one, `driving/` decides what it shows, `files/`
runs it from file to file, `puppet.py` for other programs, and `bench/` measures it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.puppet import Puppet

__all__ = ["Puppet"]


def __getattr__(name: str) -> Any:
    if name == "Puppet":  # imported when it is used: `pipeline` itself needs no package
        from pipeline.puppet import Puppet

        return Puppet
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

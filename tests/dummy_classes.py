"""Small stand-ins for the classes that a configuration names, so that planning is tested without torch."""

from dataclasses import dataclass
from typing import ClassVar

from scbench.errors import ScbenchError


@dataclass(frozen=True)
class Dense:
    uses_budget: ClassVar[bool] = False
    family_key: ClassVar[str] = "dense"
    stages: ClassVar[tuple[str, ...]] = ()
    observes: ClassVar[bool] = False
    repeats: ClassVar[bool] = False
    rewrites: ClassVar[bool] = False
    needs_dense: ClassVar[bool] = False
    weights: ClassVar[None] = None
    files: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def only_plans(cls) -> bool:
        return cls.stages == ("generation",)


@dataclass(frozen=True)
class Streaming:
    uses_budget: ClassVar[bool] = True
    family_key: ClassVar[str] = "dense"
    stages: ClassVar[tuple[str, ...]] = ("compression",)
    observes: ClassVar[bool] = False
    repeats: ClassVar[bool] = True
    rewrites: ClassVar[bool] = False
    needs_dense: ClassVar[bool] = False
    weights: ClassVar[None] = None
    files: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def only_plans(cls) -> bool:
        return cls.stages == ("generation",)

    sinks: int = 4
    window: int = 64

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ScbenchError(f"window={self.window}: expected at least 1")


@dataclass(frozen=True)
class Sparse:
    uses_budget: ClassVar[bool] = False
    family_key: ClassVar[str] = "sparse"
    stages: ClassVar[tuple[str, ...]] = ("generation",)
    observes: ClassVar[bool] = True
    repeats: ClassVar[bool] = False
    rewrites: ClassVar[bool] = False
    needs_dense: ClassVar[bool] = False
    weights: ClassVar[None] = None
    files: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def only_plans(cls) -> bool:
        return cls.stages == ("generation",)

    pattern: str = "a"
    layers: tuple[int, ...] = (0, 1)


@dataclass(frozen=True)
class Task:
    length: int = 1024
    limit: int | None = 2
    seed: int = 0
    turns: int = 5
    max_new_tokens: int = 8
    data: str | None = None
    published: ClassVar[str] = "kv"

    @classmethod
    def ingredients(cls) -> str:
        return ""

    @classmethod
    def has_items(cls) -> bool:
        return True


@dataclass(frozen=True)
class TaskWithoutItems(Task):
    @classmethod
    def has_items(cls) -> bool:
        return False


@dataclass(frozen=True)
class Mode:
    kind: str


@dataclass(frozen=True)
class Engine:
    NOT_HASHED: ClassVar[tuple[str, ...]] = ("chunk", "model.parallel")
    local: ClassVar[bool] = True
    shares: ClassVar[bool] = True
    serial: ClassVar[bool] = False

    device: str = "cpu"
    chunk: int = 128

    def check(self, cell) -> None:
        """It runs everything."""

    def identity(self) -> int:
        return 1


@dataclass(frozen=True)
class SummingEngine(Engine):
    """Its sums over several devices are other sums."""

    NOT_HASHED: ClassVar[tuple[str, ...]] = ("chunk",)

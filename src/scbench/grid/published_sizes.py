"""How large the published data is: what an estimate goes by before the data is read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Sessions, the mean number of tokens of a context, and turns."""

    sessions: int
    context: int
    turns: int


# SCBench (arXiv 2412.10319), table of its data sets; sessions and turns as the data set on the hub has them.
SIZES = {
    "scbench_kv": Sizes(100, 125_000, 5),
    "scbench_prefix_suffix": Sizes(100, 112_000, 5),
    "scbench_vt": Sizes(90, 124_000, 5),
    "scbench_repoqa": Sizes(88, 65_000, 5),
    "scbench_qa_eng": Sizes(69, 198_000, 5),
    "scbench_qa_chn": Sizes(35, 1_500_000, 5),
    "scbench_choice_eng": Sizes(58, 188_000, 5),
    "scbench_mf": Sizes(100, 120_000, 6),
    "scbench_many_shot": Sizes(54, 22_000, 5),
    "scbench_summary": Sizes(70, 104_000, 5),
    "scbench_summary_with_needles": Sizes(70, 105_000, 8),
    "scbench_repoqa_and_kv": Sizes(88, 68_000, 8),
}

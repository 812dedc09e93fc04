"""The names that tasks have in the original's files, and scbench's own."""

from __future__ import annotations

from collections.abc import Mapping

PUBLISHED: Mapping[str, str] = {
    "scbench_kv": "retr_kv",
    "scbench_prefix_suffix": "retr_prefix_suffix",
    "scbench_vt": "retr_multihop",
    "scbench_repoqa": "code_repoqa",
    "scbench_qa_eng": "en_qa",
    "scbench_qa_chn": "zh_qa",
    "scbench_choice_eng": "en_multichoice",
    "scbench_mf": "math_find",
    "scbench_many_shot": "icl_manyshot",
    "scbench_summary": "en_sum",
    "scbench_passkey": "passkey",
    "scbench_summary_with_needles": "mix_sum_niah",
    "scbench_repoqa_and_kv": "mix_repoqa_kv",
}

PARTS: Mapping[str, tuple[str, ...]] = {
    "scbench_summary_with_needles": ("scbench_summary", "scbench_passkey"),
    "scbench_repoqa_and_kv": ("scbench_repoqa", "scbench_kv"),
}
"""The parts of a mix, in the order in which the original writes their numbers."""

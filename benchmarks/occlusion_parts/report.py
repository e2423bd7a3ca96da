"""The page of docs/benchmarks, from what was measured."""

from __future__ import annotations

from collections.abc import Iterator

from occlusion_parts import fidelity, first_picture, localisation, memory, precision, rivals, speed
from occlusion_parts.results import Results

HEAD = """# Fast occlusion: time, fidelity, localisation, memory

FMO, the published fast multi-resolution occlusion, could not be run: its code, mask sizes, strides, fusion and fill are
not public. "Ours" is `multi_resolution_occlusion`, our own design under a name that others used before, and the
published ratios are set against our own runs of each rival, on this machine. A ratio against dense occlusion is set by
the stride of the dense baseline, so patch, stride and positions are printed with each.

A forward-equivalent is the multiplications of one forward pass. Intervals are 95 % bootstrap intervals over
photographs. Where n is below what was asked for, measuring was stopped early; photographs are taken in a random order,
so the ones that were measured are a random sample. Nothing was tuned on them. The same commands go on where they
stopped. Every table names its own command; misses are printed as such.
"""


def page() -> str:
    return "\n".join([HEAD, *_sections()]).rstrip() + "\n"


def _sections() -> Iterator[str]:
    parts = (
        ("Exact against the strongest dense form", "speed", speed.tables, "speed", ""),
        (
            "Fidelity to dense occlusion at equal cost", "fidelity", fidelity.tables, "fidelity",
            "100 held-out photographs are asked for. Each method's map is ranked against the exact dense map of the "
            "same patch, stride and fill. RISE and HiPe are not made to estimate that map; how near they come says "
            "what a reader of one would learn of the other. Coarse lattices are measured exactly and joined by a "
            "bicubic spline; as many windows as the budget pays for, once by the incremental engine and once by plain "
            "passes.",
        ),
        ("Calibration of the certificate", "calibrate", fidelity.calibration, "calibration", ""),
        (
            "The published ratios", "rivals", rivals.tables, "rivals",
            "Seconds of a rival over seconds of ours at its default budget, both on one thread, one image at a time. "
            "Slow rivals are not run in full: setup and seconds an evaluation come from two short runs, and are "
            "counted up to the stated budget; dense occlusion runs in its strongest batched form on some windows. The "
            "goal is twice the published ratio. `--data voc2007`, `coco2014` or `imagenet` with `--weights "
            "torchvision` runs the comparison on the published images where they are at hand.",
        ),
        (
            "Localisation at reduced budgets", "localisation", localisation.tables, "localisation",
            "Rivals get about 200 forward-equivalents each, ours its default of 96; published budgets are larger, so "
            "this says what each gives for little work, not what it gives at its best. COCO's photographs go through "
            "`benchmarks/imagenet_to_coco.csv`: a photograph counts with each category that covers at least 1 % of the "
            "network's input and of which an ImageNet class is among the network's five best; that class is explained "
            "(MobileNetV2). Pointing within 7 pixels of 224, as 15 of 500; within 3 of 96 on rendered scenes "
            "(scenes_object).",
        ),
        ("Memory", "memory", memory.tables, "memory", ""),
        ("The first picture", "first-picture", first_picture.tables, "first_picture", ""),
        ("bfloat16 against float32", "precision", precision.tables, "precision", ""),
    )  # fmt: skip
    for title, command, tables, name, words in parts:
        yield f"## {title}"
        yield ""
        if name != "speed" or Results(name).rows:  # which has a page of its own
            yield "```"
            yield f"python benchmarks/occlusion.py {command}"
            yield "```"
            yield ""
        if words:
            yield words
            yield ""
        yield from tables(Results(name))
        yield ""

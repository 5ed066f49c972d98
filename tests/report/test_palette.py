"""The colours: each can be read on its paper."""

import pytest

from herl_bench.report.palette import PALETTE


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_and_series_can_be_read_on_their_paper(theme):
    """WCAG 2.2, 1.4.3: 4.5 to 1."""
    colors = PALETTE[theme]
    for role in set(colors) - {"paper", "raised", "grid", "shade"}:
        for paper in ("paper", "raised"):
            light, dark = sorted((luminance(colors[role]), luminance(colors[paper])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (theme, role, paper)

"""Colours by role, for a light page, a dark page and paper; and what else tells a series from another: dash and mark.

A colour is a role (`ink`, `soft`, `grid`, `series0` …), never a value, wherever something is drawn or laid out.
"""

from __future__ import annotations

SERIES = 6
DASHES: tuple[tuple[float, ...], ...] = ((7, 4), (), (2, 3), (10, 3, 2, 3), (4, 2), (12, 4))
MARKS = ("o", "s", "^", "D", "v", "P")
"""In matplotlib's words."""

# Each at least 4.5 : 1 on its paper; hues that red-green and blue-yellow blind readers tell apart (Wong 2011, darkened
# or lightened to that contrast).
COLORS = """
    role     light    dark
    paper    #fdfcfa  #15171b
    raised   #f4f2ed  #1e2127
    ink      #1d1f23  #e8e6e1
    soft     #5a5f68  #a5a9b1
    grid     #dedad2  #343841
    shade    #c9c4b9  #4a5060
    good     #00694e  #5fd0a8
    bad      #a33a06  #ff9c66
    series0  #b24a0a  #ff9d5c
    series1  #0b62a8  #74b7f5
    series2  #00735a  #4fcfa6
    series3  #98397a  #ee9bcd
    series4  #75600a  #dcc055
    series5  #4f5966  #b6bec9
"""
(_, *_ROLES), *_THEMES = zip(*map(str.split, COLORS.strip().splitlines()), strict=True)
PALETTE = {theme: dict(zip(_ROLES, colors, strict=True)) for theme, *colors in _THEMES}
"""Theme → role → colour."""


def name_series(position: int) -> str:
    """The role of the method at this position."""
    return f"series{position % SERIES}"

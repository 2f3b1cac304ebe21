"""Hung-yi Lee's lecture "Life Long Learning" with every demonstration made: `lifelong lecture` runs them and writes one page."""

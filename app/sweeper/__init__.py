"""Notices silence: monitors past their deadline, and rows past their time."""

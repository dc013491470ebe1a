"""ROOM: takes what programs report by themselves."""

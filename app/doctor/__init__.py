"""DOOR: `missedbeat-server doctor`: what is misconfigured, and how to mend it, a line each. Changes nothing, sends nothing but a
request for the public address's /livez, prints no secret; every question has a time limit."""

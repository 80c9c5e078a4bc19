#!/usr/bin/python3
"""Checks OpenMetrics 1.0 text on standard input, strictly, and prints its samples as a JSON object: `name{label="value",...}`, labels in the order of
their names, to a number. Ends with 1 and the line that is wrong."""

import json
import re
import sys

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
SUFFIXES = {"counter": {"_total", "_created"}, "gauge": {""}, "info": {"_info"}, "unknown": {""}}


def labels(text):
    found, at = {}, 0
    while at < len(text):
        match = LABEL.match(text, at)
        assert match, f"labels {text!r}"
        assert match[1] not in found, f"label {match[1]} twice"
        found[match[1]], at = match[2], match.end()
        if at < len(text):
            assert text[at] == "," and at + 1 < len(text), f"labels {text!r}"
            at += 1
    return found


def check(text):
    assert text.endswith("# EOF\n"), "it does not end with # EOF and a newline"
    samples, families = {}, {}
    current = None
    lines = text[: -len("# EOF\n")].split("\n")
    assert lines.pop() == "", "the line before # EOF does not end"
    for line in lines:
        try:
            assert line and line == line.strip() and "\t" not in line, "blanks"
            if line.startswith("#"):
                words = line.split(" ", 3)
                assert len(words) == 4 and words[1] in {"HELP", "TYPE", "UNIT"} and re.fullmatch(NAME, words[2]), "no metadata"
                _, kind, name, value = words
                if name != current:
                    assert name not in families, f"family {name} comes again"
                    families[name], current = {}, name
                family = families[name]
                assert kind not in family, f"{kind} twice"
                assert not family.get("samples"), f"{kind} after samples"
                family[kind] = value
                if kind == "TYPE":
                    assert value in SUFFIXES, f"type {value}"
                if kind == "UNIT":
                    assert name.endswith("_" + value), f"unit {value} is not in the name"
                continue
            match = re.fullmatch(rf"({NAME})(?:\{{(.*)\}})? (\S+)", line)
            assert match, "no sample"
            name, given, value = match.groups()
            family = families[current]
            assert name.startswith(current) and name[len(current):] in SUFFIXES[family["TYPE"]], "not of its family"
            assert "HELP" in family, "no HELP"
            number = float(value)
            assert number == number, "not a number"
            assert family["TYPE"] != "counter" or number >= 0, "a counter below 0"
            found = labels(given) if given is not None else {}
            key = name + "{" + ",".join(f'{k}="{v}"' for k, v in sorted(found.items())) + "}"
            assert key not in samples, "the sample comes again"
            samples[key] = number
            family["samples"] = True
        except (AssertionError, KeyError, ValueError) as error:
            sys.exit(f"{error}: {line!r}")
    for name, family in families.items():
        if "TYPE" not in family:
            sys.exit(f"family {name} has no TYPE")
    return samples


def main():
    try:
        print(json.dumps(check(sys.stdin.read())))
    except AssertionError as error:
        sys.exit(str(error))


main()

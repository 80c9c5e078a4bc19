"""recipes.py FILE: types the commands of a page of recipes into one bash, and compares what they print with what the page says.

Commands stand after four blanks: `$ ` begins one, `!$ ` one that fails, `> ` goes on with it; what is below is what it prints. In that, `...`
is anything, alone on a line any lines, and blanks are one blank.
"""

import re
import subprocess
import sys

MARK = "--- end of the command: "


def steps(text):
    """(line number, it fails, command, output) of every command."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("    "):
            continue
        line = line[4:]
        if line.startswith(("$ ", "!$ ")):
            found.append((number, line[0] == "!", [line.split("$ ", 1)[1]], []))
        elif not found:
            raise SystemExit(f"line {number}: no command stands before {line!r}")
        elif line.startswith(">") and not found[-1][3]:
            found[-1][2].append(line[2:])
        else:
            found[-1][3].append(line)
    return found


def pattern(lines):
    """What the output must match."""
    parts = []
    for line in lines:
        if line.strip() == "...":
            parts.append(r"(?:.*\n)*")
        else:
            words = " ".join(line.split())
            parts.append(".*".join(re.escape(part) for part in words.split("...")) + r"\n")
    return "".join(parts)


def plain(text):
    return "".join(" ".join(line.split()) + "\n" for line in text.splitlines())


def main():
    found = steps(open(sys.argv[1]).read())
    shell = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for number, fails, command, wanted in found:
        # Standard input is where the next command comes from.
        shell.stdin.write("{ " + "\n".join(command) + f"\n}} </dev/null; printf '%s%s\\n' '{MARK}' $?\n")
        shell.stdin.flush()
        output = ""
        while MARK not in output:
            line = shell.stdout.readline()
            if not line:
                raise SystemExit(f"line {number}: the shell has ended: {output}")
            output += line
        output, status = output.rsplit(MARK, 1)
        shown = "\n".join(command) + f"\nended with {status.strip()} and printed\n{output}"
        if (status.strip() != "0") != fails:
            raise SystemExit(f"line {number}: it should have {'failed' if fails else 'succeeded'}: {shown}")
        if not re.fullmatch(pattern(wanted), plain(output)):
            raise SystemExit(f"line {number}: {shown}instead of\n" + "\n".join(wanted))
    shell.stdin.close()
    if shell.wait(timeout=10):
        raise SystemExit(f"the shell ended with {shell.returncode}")
    print(f"{len(found)} commands")


main()

"""embed_text.py IN.txt OUT.h: the text as a C string, `probe_text`, in pieces that every compiler takes."""
import json
import sys

with open(sys.argv[1], encoding="ascii") as source, open(sys.argv[2], "w", encoding="ascii") as out:
    text = source.read()
    pieces = [text[i:i + 2000] for i in range(0, len(text), 2000)]
    out.write("static const char probe_text[] =\n")
    out.write("\n".join("    " + json.dumps(piece) for piece in pieces) + ";\n")

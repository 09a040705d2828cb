"""embed_sql.py IN.sql... OUT.h: each file's SQL as a C string of its name, `schema_sql`, one literal a line."""
import json
import os
import sys

with open(sys.argv[-1], "w", encoding="ascii") as out:
    for name in sys.argv[1:-1]:
        with open(name, encoding="ascii") as source:
            out.write(f"static const char {os.path.basename(name).replace('.', '_')}[] =\n")
            out.write("\n".join("    " + json.dumps(line) for line in source) + ";\n")

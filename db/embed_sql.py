"""embed_sql.py IN.sql OUT.h: the SQL as a C string, `schema_sql`, one literal a line."""
import json
import sys

with open(sys.argv[1], encoding="ascii") as source, open(sys.argv[2], "w", encoding="ascii") as out:
    out.write("static const char schema_sql[] =\n")
    out.write("\n".join("    " + json.dumps(line) for line in source) + ";\n")

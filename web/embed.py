#!/usr/bin/env python3
"""Turns a folder into a C file that holds it: embed.py OUTPUT.c DEPFILE FOLDER

Every file gets its path, content type, and a strong ETag from the SHA-256 of its bytes (embedded.h). The depfile names the
files and their folders, so that a new or changed file is embedded at the next build.
"""
import hashlib
import os
import sys

TYPES = {
    '.css': 'text/css; charset=utf-8',
    '.html': 'text/html; charset=utf-8',
    '.ico': 'image/x-icon',
    '.js': 'text/javascript; charset=utf-8',
    '.json': 'application/json',
    '.map': 'application/json',
    '.md': 'text/plain; charset=utf-8',
    '.mjs': 'text/javascript; charset=utf-8',
    '.png': 'image/png',
    '.svg': 'image/svg+xml',
    '.txt': 'text/plain; charset=utf-8',
    '.wasm': 'application/wasm',
    '.webmanifest': 'application/manifest+json',
    '.woff2': 'font/woff2',
}


def content_type(path):
    if os.path.basename(path).startswith('LICENSE'):
        return 'text/plain; charset=utf-8'
    extension = os.path.splitext(path)[1]
    if extension not in TYPES:
        sys.exit(f'{path}: no content type is known for "{extension}"; add it to {os.path.basename(__file__)} and server/pages.c')
    return TYPES[extension]


def find_files(folder):
    """All files and folders below, sorted; hidden ones and editors' leftovers stay out."""
    files, folders = [], []
    for here, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith('.'))
        folders.append(here)
        files += [os.path.join(here, name) for name in sorted(names) if not name.startswith('.') and not name.endswith('~')]
    return sorted(files), folders


def c_string(text):
    return '"' + ''.join(c if 32 <= ord(c) < 127 and c not in '"\\?' else f'\\{ord(c):03o}' for c in text) + '"'


def write_c(out, folder, files):
    out.write('/* Made by embed.py. */\n#include "web/embedded.h"\n\n')
    rows = []
    for number, path in enumerate(files):
        with open(path, 'rb') as file:
            content = file.read()
        out.write(f'static const unsigned char file_{number}[] = {{')
        for at in range(0, len(content), 32):
            out.write('\n' + ','.join(map(str, content[at:at + 32])) + ',')
        out.write('0};\n\n' if not content else '\n0};\n\n')
        name = os.path.relpath(path, folder).replace(os.sep, '/')
        tag = hashlib.sha256(content).hexdigest()[:32]
        rows.append(f'    {{{c_string(name)}, {c_string(content_type(path))}, "\\"{tag}\\"", file_{number}, {len(content)}}},\n')
    out.write('const struct web_file web_files[] = {\n' + ''.join(rows) + '    {0, 0, 0, 0, 0},\n};\n')
    out.write(f'const size_t web_file_count = {len(files)};\n')


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    output, depfile, folder = sys.argv[1:]
    files, folders = find_files(folder)
    with open(output, 'w', encoding='utf-8') as out:
        write_c(out, folder, files)
    with open(depfile, 'w', encoding='utf-8') as out:
        out.write(f'{output}: ' + ' '.join(name.replace(' ', '\\ ') for name in folders + files) + '\n')


if __name__ == '__main__':
    main()

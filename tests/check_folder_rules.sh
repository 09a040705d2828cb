#!/usr/bin/env bash
# check_folder_rules.sh [ROOT]: holds the source tree against the rules of its layout: which folder may include what, what
# the page may do, what stands at the top. Prints every violation and exits 1 if there is one. Sizes are reported, not judged.
set -euo pipefail
shopt -s lastpipe # violation counts in this shell
cd "${1:-${HEADSCOPE_SOURCE:-$(dirname "${BASH_SOURCE[0]}")/..}}"

violations=0
violation() { # what: the lines on stdin are the places; none is fine
  local what=$1 line
  while IFS= read -r line; do
    echo "$what: $line"
    violations=$((violations + 1))
  done
}
c_files() { find "$1" -name '*.[ch]' | sort; }

# All includes as FILE<tab>NAME, system headers in <>.
includes() {
  c_files "$1" | xargs -r grep -HE '^[[:space:]]*#[[:space:]]*include' |
    sed -E 's/^([^:]*):[[:space:]]*#[[:space:]]*include[[:space:]]*("([^"]*)"|(<[^>]*>)).*/\1\t\3\4/' || true
}
# Lines of code that match, comment lines left out.
code() { # PATTERN FILE...
  local pattern=$1
  shift
  [ $# -gt 0 ] || return 0
  grep -HnE "$pattern" "$@" | grep -vE '^[^:]*:[0-9]+:[[:space:]]*(//|\*|/\*)' || true
}
# Includes of a library outside the files that may have it: FILE PATTERN of the files allowed.
library() { # HEADER ALLOWED
  local header=$1 allowed=$2
  { includes engine; includes db; includes server; } |
    awk -F '\t' -v header="<$header>" -v allowed="^($allowed)\$" '$2 == header && $1 !~ allowed { print $1 }' |
    violation "$header is included outside its place"
}

# ---- what a folder may include -------------------------------------------------------------------------------------
own() { # FOLDER ALLOWED
  includes "$1" | awk -F '\t' -v allowed="^($2)\$" '$2 !~ /^</ && $2 !~ allowed { print $1 " includes " $2 }' |
    violation "$1/ reaches outside what it may see"
}
own engine 'engine/[a-z0-9_]+\.h|probe_text\.h'
own db 'db/[a-z0-9_]+\.h|schema\.h'
own server 'server/[a-z0-9_]+\.h|engine/engine\.h|db/cache\.h|web/embedded\.h'

library microhttpd.h 'server/http\.c'
library sqlite3.h 'db/.*'
library jansson.h 'server/json_[a-z0-9_]+\.[ch]|engine/json_[a-z0-9_]+\.[ch]'
library png.h 'server/[a-z0-9_]*png\.c'
library zlib.h 'server/[a-z0-9_]*(gzip|compress)\.c'
library zstd.h 'server/[a-z0-9_]*zstd\.c'
library cblas.h 'engine/.*'
library pcre2.h 'engine/.*'

# ---- libraries neither print nor exit ------------------------------------------------------------------------------
mapfile -t libraries < <(c_files engine; c_files db)
mapfile -t server < <(c_files server | grep -v '^server/main\.c$')
code '(^|[^_[:alnum:]])((printf|fprintf|puts|putchar|perror)[[:space:]]*\(|stdout|stderr)' "${libraries[@]}" |
  violation "a library prints"
code '(^|[^_[:alnum:]])(exit|_exit|quick_exit|abort)[[:space:]]*\(' "${libraries[@]}" "${server[@]}" |
  violation "only main.c exits"
{ grep -HnE -e '-ffast-math|-Ofast|-funsafe-math' meson.build */meson.build || true; } | { grep -vE '^[^:]*:[0-9]+:[[:space:]]*#' || true; } |
  violation "the numbers must mean the same in every build"

# ---- the page ------------------------------------------------------------------------------------------------------
if [ -d web/static ]; then
  mapfile -t scripts < <(find web/static -name '*.js' | sort)
  mapfile -t pages < <(find web/static -name '*.html' | sort)
  mapfile -t styles < <(find web/static -name '*.css' | sort)
  code 'innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc' "${scripts[@]}" "${pages[@]}" |
    violation "text must never become HTML"
  code '(^|[^_[:alnum:].])(eval|Function)[[:space:]]*\(|setTimeout[[:space:]]*\([[:space:]]*["'"'"'`]' "${scripts[@]}" |
    violation "text must never become code"
  if [ ${#pages[@]} -gt 0 ]; then
    html() { grep -HniE "$1" "${pages[@]}" | grep -viE "${2:-^$}" || true; } # lines that match $1 and not $2
    html '<script([[:space:]]|>)' '<script[^>]*[[:space:]]src=' | violation "inline script"
    html '<style|[[:space:]]style=' | violation "inline style"
    html '[[:space:]]on[a-z]+=' | violation "inline handler"
    html '(src|href|action)=["'"'"']?(https?:)?//' '<a[[:space:]]' | violation "another host"
  fi
  code '(import|fetch|importScripts|WebSocket|EventSource)[^;]*["'"'"'`](https?:|wss?:)?//' "${scripts[@]}" | violation "another host"
  code '(url\(|@import)[[:space:]]*["'"'"']?(https?:)?//' "${styles[@]}" | violation "another host"
  code '(^|[^_#[:alnum:].])(fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon)([^_[:alnum:]]|$)' \
    "${scripts[@]/web\/static\/api.js/\/dev\/null}" | violation "the network belongs to api.js"
  code 'history\.(pushState|replaceState)|location\.(hash|href|assign|replace)[^=]*=[^=]' \
    "${scripts[@]/web\/static\/url_state.js/\/dev\/null}" | violation "the address belongs to url_state.js"
fi

# ---- the top folder ------------------------------------------------------------------------------------------------
allowed=' .ci .git .gitignore LICENSE README.md bench db docs engine meson.build meson_options.txt scripts server tests web '
for name in .[!.]* *; do
  [ -e "$name" ] || continue
  case $allowed in *" $name "*) continue ;; esac
  git check-ignore -q "$name" 2>/dev/null && continue # builds and the like
  [[ $name == build* ]] && continue
  echo "$name"
done | violation "not one of the things that stand at the top"

# ---- sizes, for information ----------------------------------------------------------------------------------------
sizes() { # LIMIT FILE...
  local limit=$1
  shift
  [ $# -gt 0 ] || return 0
  wc -l "$@" | awk -v limit="$limit" '$2 != "total" && $1 > limit { print "long: " $2 ": " $1 " lines (" limit " read well)" }'
}
mapfile -t headers < <(for f in engine db server; do find $f -name '*.h'; done | sort)
mapfile -t sources < <(for f in engine db server; do find $f -name '*.c'; done | sort)
sizes 100 "${headers[@]}"
sizes 500 "${sources[@]}"
sizes 200 "${scripts[@]:-}"
echo "$violations violation(s) in ${#headers[@]} headers, ${#sources[@]} sources, ${#scripts[@]} scripts of the page"
[ "$violations" = 0 ]

# packages.sh: sourced by run and test. need_packages NAME... makes sure that Debian packages are there: as root or through
# sudo it installs what is missing, otherwise it prints the line to run. Asks dpkg only, so that nothing happens, and no
# network is needed, when all is there.

# What building and running takes; the comment says what for.
build_packages=(
  gcc libc6-dev pkg-config meson ninja-build  # the build
  libopenblas-dev                             # matrix products
  libpcre2-dev                                # tokenizers' patterns
  libutf8proc-dev                             # Unicode
  nettle-dev                                  # SHA-256
  libmicrohttpd-dev                           # HTTP
  libjansson-dev                              # JSON
  libsqlite3-dev                              # the cache of results
  libpng-dev                                  # maps as pictures
  python3 python3-pip ca-certificates         # fetching models
)

# What the tests take beside it.
test_packages=(
  check                                       # unit tests in C
  python3-requests python3-numpy              # tests over HTTP
  python3-selenium chromium chromium-driver   # tests in a browser
)

need_packages() {
  command -v dpkg-query >/dev/null || {
    echo "This is neither Debian nor Ubuntu: install what matches these packages, if it is not there: $*" >&2
    return 0
  }
  local missing=() package
  local -A installed=()
  while read -r package; do installed[$package]=1; done < <(
    dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p')
  for package in "$@"; do [ "${installed[$package]:-}" ] || missing+=("$package"); done
  [ ${#missing[@]} -gt 0 ] || return 0

  local install=(apt-get install -y -q --no-install-recommends "${missing[@]}") as=()
  if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null || { ! sudo -n true 2>/dev/null && [ ! -t 0 ]; }; then
      echo "Packages are missing, and only root may install them. Run this as root, then try again:" >&2
      echo "apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
      return 1
    fi
    as=(sudo)
  fi
  echo "Installing ${missing[*]}" >&2
  "${as[@]}" apt-get update -q >&2 || echo "apt-get update failed; trying with the package lists that are there" >&2
  "${as[@]}" env DEBIAN_FRONTEND=noninteractive "${install[@]}" >&2 || {
    echo "The packages could not be installed: check the network and apt's words above, then try again." >&2
    return 1
  }
}

# Shared by the scripts of this folder: `. "$(dirname "$0")/common.sh"`.
# Makes a temp folder, goes there, and removes it at the end.

set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tmp=$(mktemp -d "${TMPDIR:-/tmp}/finding.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"

# expect WHAT WANTED SEEN: prints what was seen, and fails where it is not what was wanted.
expect() {
  if [ "$2" != "$3" ]; then
    printf 'CHANGED  %s\n  wanted: %s\n  seen:   %s\n' "$1" "$2" "$3" >&2
    exit 1
  fi
  printf 'ok  %s: %s\n' "$1" "$3"
}

# npm_packages NAME@VERSION...: installs them here. No script of theirs is run.
npm_packages() {
  echo '{ "type": "module", "private": true }' > package.json
  npm install --silent --no-audit --no-fund --ignore-scripts "$@"
}

# debian FOLDER SUITES PACKAGE=VERSION...: unpacks packages of Debian's suites into a folder, with
# everything that they depend on. The mirror is the one that this machine's apt uses. Nothing is
# installed.
debian() {
  local root=$tmp/$1 suites=$2 apt=$tmp/$1.apt mirror suite f
  shift 2
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' |
    grep -E '/debian/?$' | sort -u | head -n 1)
  mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$root"
  : > "$apt/status"
  for suite in $suites; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
  done > "$apt/sources.list"
  printf 'Package: *\nPin: release n=*\nPin-Priority: 500\n' > "$apt/preferences"
  cat > "$apt/apt.conf" <<EOF
Dir::State "$apt";
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
Dir::Cache::archives "$apt/archives";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "$apt/preferences";
Dir::Etc::preferencesparts "/dev/null";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
EOF
  APT_CONFIG=$apt/apt.conf apt-get -qq update > "$apt/log" 2>&1
  APT_CONFIG=$apt/apt.conf apt-get -qq install -y --download-only "$@" >> "$apt/log" 2>&1 || {
    tail "$apt/log" >&2
    exit 1
  }
  for f in "$apt"/archives/*.deb; do dpkg -x "$f" "$root"; done
  rm -rf "$apt"
}

# program FOLDER NAME: the path of a script that runs a program of such a folder, with the C
# library and the libraries that came with it.
program() {
  local root=$tmp/$1 ld lib wrapper=$tmp/$1-$2
  ld=$root/lib64/ld-linux-x86-64.so.2
  [ -e "$ld" ] || ld=$root/usr/lib64/ld-linux-x86-64.so.2
  lib=$root/usr/lib/x86_64-linux-gnu
  cat > "$wrapper" <<EOF
#!/bin/sh
export QEMU_MODULE_DIR="$lib/qemu"
exec "$ld" --library-path "$lib:$root/lib/x86_64-linux-gnu" "$root/usr/bin/$2" "\$@"
EOF
  chmod +x "$wrapper"
  echo "$wrapper"
}

# qemu FOLDER: the same of qemu-system-x86_64, which finds its firmware there.
qemu() {
  local wrapper
  wrapper=$(program "$1" qemu-system-x86_64)
  sed -i "s|\"\\\$@\"\$|-L $tmp/$1/usr/share/qemu -L $tmp/$1/usr/share/seabios \"\$@\"|" "$wrapper"
  echo "$wrapper"
}

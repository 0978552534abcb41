#!/usr/bin/env bash
# casync 2 (Debian sid), desync 1.0.4.
#
# Expected: `extract INDEX FILE` over a file that is there makes it the blob, as `cp` would.
#
# What happens: casync writes the blob over the beginning and leaves what lies behind it: an older,
# longer file keeps its length and its tail. It exits 0. desync cuts the file to the blob's length.
#
# Output seen (a blob of 300000 bytes, extracted over 900000):
#   casync: exit 0, 900000 bytes, the first 300000 are the blob
#   desync: exit 0, 300000 bytes, the first 300000 are the blob
#
# Why it matters: images of one name differ in length from day to day, and a block that grows back
# behind the end of a shorter image holds another day's memory. Remove the file first.

. "$(dirname "$0")/common.sh"
debian peers sid casync=2+20201210-2.2 desync=1.0.4-1
casync=$(program peers casync)
desync=$tmp/peers/usr/bin/desync

head -c 300000 /dev/urandom > blob
mkdir store
"$desync" make -s store blob.caibx blob > make.log 2>&1

extracted() {
  local status=0
  head -c 900000 /dev/zero | tr '\0' x > "$1.out"
  "${@:2}" blob.caibx "$1.out" > "$1.log" 2>&1 || status=$?
  cmp -s -n 300000 blob "$1.out" && echo "$status $(stat -c %s "$1.out")"
}
seen=$(extracted casync "$casync" extract --store=store)
expect 'casync, exit status and length' '0 900000' "$seen"
seen=$(extracted desync "$desync" extract -s store)
expect 'desync, exit status and length' '0 300000' "$seen"

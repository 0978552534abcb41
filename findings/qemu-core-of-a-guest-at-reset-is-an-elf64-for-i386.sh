#!/usr/bin/env bash
# QEMU 11.1.3 (7.2.22 and 10.0.2 do the same), gdb 18.1.
#
# Expected: dump-guest-memory of qemu-system-x86_64 writes an ELF core for x86-64, which gdb opens.
#
# What happens: the machine in the header is what the CPU does at that moment, not what it is. As
# long as it is not in 64-bit mode (a boot loader, a 32-bit system) the core says "Intel 80386".
# The class is decided apart from that, by the highest address of the whole machine, and a PC's
# firmware ends at 4 GiB. So the core is an ELF64 for the 80386, a pair that gdb does not know: it
# opens nothing, neither memory nor registers. It stays so if only the first MiB is asked for. And
# in every core e_ehsize, the size of the ELF header itself, is 8 where it should be 64.
#
# Output seen:
#   class and machine: 2 3
#   e_ehsize: 8
#   class and machine of the first MiB alone: 2 3
#   gdb: file format not recognized
#
# Why it matters: a core is made of memory that moved just to be looked at. Who writes cores should
# state the machine, and who reads QEMU's must not go by class, machine or e_ehsize.

. "$(dirname "$0")/common.sh"
debian peers 'trixie trixie-backports' \
  qemu-system-x86=1:11.1.3+ds-1~bpo13+1 gdb-minimal=18.1-3~bpo13+1

cat > run.mjs <<EOF
import { start } from '$here/qemu.mjs';
const vm = await start('$(qemu peers)');
const dump = (name, part) =>
  vm.execute('dump-guest-memory', { paging: false, protocol: 'file:$tmp/' + name, ...part });
await dump('core', {});
await dump('part', { begin: 0, length: 0x100000 });
process.exit();
EOF
node run.mjs

number() { od -An -t "u$3" -j "$2" -N "$3" "$1" | tr -d ' '; }
expect 'class and machine' '2 3' "$(number core 4 1) $(number core 18 2)"
expect 'e_ehsize' 8 "$(number core 52 2)"
expect 'class and machine of the first MiB alone' '2 3' "$(number part 4 1) $(number part 18 2)"

gdb=$(program peers gdb)
"$gdb" -nx -batch -ex 'x/1wx 0xffff0' core > gdb.out 2>&1 || true
expect 'gdb' 'file format not recognized' "$(grep -o 'file format not recognized' gdb.out)"

#!/usr/bin/env bash
# tar 7.5.23 of npm, GNU tar 1.34 (Debian bookworm).
#
# Expected: an archive made by `tar -S` of an image with holes gives the image back, or an error.
#
# What happens: of GNU's old format nothing is extracted; of its PAX formats what is extracted are
# the pieces without the holes between them, 16 KiB for an image of 8 MiB, in format 0.0 even under
# the right name and in 1.0 in a folder GNUSparseFile.NUMBER, with the map of the holes in front.
# There is no warning and no error, with `strict: true` neither.
#
# Output seen (files, their lengths, warnings; the image has 8388608 bytes):
#   --format=gnu: none, 0 warnings; strict: none, 0 warnings
#   --sparse-version=0.0: image 16384, 0 warnings; strict: image 16384, 0 warnings
#   --sparse-version=1.0: GNUSparseFile.N/image 16896, 0 warnings; strict: the same
#
# Why it matters: images of memory are mostly holes, and -S is how they are packed.

. "$(dirname "$0")/common.sh"
debian peers bookworm tar=1.34+dfsg-1.2+deb12u1
npm_packages tar@7.5.23
gnu_tar=$tmp/peers/bin/tar

truncate -s 8M image
printf head | dd of=image conv=notrunc status=none
head -c 12288 /dev/urandom | dd of=image bs=4096 seek=1000 conv=notrunc status=none
"$gnu_tar" --format=gnu -Scf gnu.tar image
"$gnu_tar" --format=posix --sparse-version=0.0 -Scf pax-0.0.tar image
"$gnu_tar" --format=posix --sparse-version=1.0 -Scf pax-1.0.tar image

cat > run.mjs <<'EOF'
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { extract } from 'tar';
for (const name of ['gnu', 'pax-0.0', 'pax-1.0']) {
  const outcome = [];
  for (const strict of [false, true]) {
    const cwd = `${name}-${strict}`;
    mkdirSync(cwd);
    let warnings = 0;
    let seen;
    try {
      await extract({ file: `${name}.tar`, cwd, strict, onwarn: () => warnings++ });
      seen = readdirSync(cwd, { recursive: true })
        .filter((path) => statSync(`${cwd}/${path}`).isFile())
        .map((path) => `${path.replace(/\.\d+/, '.N')} ${statSync(`${cwd}/${path}`).size}`)
        .join(' ') || 'none';
    } catch (error) {
      seen = error.code ?? error.message;
    }
    outcome.push(`${seen}, ${warnings} warnings`);
  }
  console.log(`${name}|${outcome.join('; strict: ')}`);
}
EOF
node run.mjs > out
both() { echo "$1, 0 warnings; strict: $1, 0 warnings"; }
value() { sed -n "s/^$1|//p" out; }
expect 'the old format of GNU' "$(both none)" "$(value gnu)"
expect 'PAX 0.0' "$(both 'image 16384')" "$(value pax-0.0)"
expect 'PAX 1.0' "$(both 'GNUSparseFile.N/image 16896')" "$(value pax-1.0)"

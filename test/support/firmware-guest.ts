/**
 * A guest that needs no software: firmware of 64 KiB, nearly all of it zero, whose processor fills
 * pages of RAM in real mode and never rests.
 *
 *     0x20000..0x24000  pages 32 to 35: each word is its page's segment; written once
 *     0x10000..0x14000  pages 16 to 19: each word is its page's segment plus a count; one page after the other, over and over
 *     0x30000           the word 0x55aa, written when the first are there
 *
 * So the second four, at any moment, have the same count in all words up to one place, and from
 * there on the count before.
 */
export function guestFirmware(): Uint8Array {
  const firmware = new Uint8Array(65536);
  // Hand-assembled; the numbers in the comments are addresses in the segment F000.
  firmware.set([
    0xfa, //             00  cli
    0xfc, //             01  cld
    0xb8,
    0x00,
    0x20, // 02  mov ax, 2000
    0x8e,
    0xc0, //       05  mov es, ax
    0x31,
    0xff, //       07  xor di, di
    0xb9,
    0x00,
    0x08, // 09  mov cx, 800
    0xf3,
    0xab, //       0c  rep stosw
    0x05,
    0x00,
    0x01, // 0e  add ax, 100
    0x3d,
    0x00,
    0x24, // 11  cmp ax, 2400
    0x72,
    0xef, //       14  jb 05
    0xb8,
    0x00,
    0x30, // 16  mov ax, 3000
    0x8e,
    0xc0, //       19  mov es, ax
    0x26,
    0xc7,
    0x06,
    0x00,
    0x00,
    0xaa,
    0x55, // 1b  mov word [es:0], 55aa
    0x31,
    0xd2, //       22  xor dx, dx
    0xbb,
    0x00,
    0x10, // 24  mov bx, 1000
    0x8e,
    0xc3, //       27  mov es, bx
    0x89,
    0xd8, //       29  mov ax, bx
    0x01,
    0xd0, //       2b  add ax, dx
    0x31,
    0xff, //       2d  xor di, di
    0xb9,
    0x00,
    0x08, // 2f  mov cx, 800
    0xf3,
    0xab, //       32  rep stosw
    0x81,
    0xc3,
    0x00,
    0x01, // 34  add bx, 100
    0x81,
    0xfb,
    0x00,
    0x14, // 38  cmp bx, 1400
    0x72,
    0xe9, //       3c  jb 27
    0x42, //             3e  inc dx
    0xeb,
    0xe3, //       3f  jmp 24
  ]);
  firmware.set([0xea, 0x00, 0x00, 0x00, 0xf0], 0xfff0); // jmp f000:0000
  return firmware;
}

/**
 * Says what is wrong with the RAM of a guest that was stopped at some moment after it had begun;
 * undefined if it is right.
 */
export function guestProblem(ram: Uint8Array): string | undefined {
  const words = new DataView(ram.buffer, ram.byteOffset, ram.byteLength);
  const word = (address: number): number => words.getUint16(address, true);
  for (let address = 0x20000; address < 0x24000; address += 2) {
    if (word(address) !== (address & 0xff000) >> 4)
      return `0x${address.toString(16)} holds ${word(address)}`;
  }
  const counts = Array.from(
    { length: 0x2000 },
    (_, i) => (word(0x10000 + 2 * i) - (((0x10000 + 2 * i) & 0xff000) >> 4)) & 0xffff,
  );
  const [first, last] = [counts[0]!, counts.at(-1)!];
  if (first !== last && first !== ((last + 1) & 0xffff))
    return `the counts go from ${first} to ${last}`;
  const change = counts.indexOf(last);
  if (!counts.every((count, i) => count === (i < change ? first : last)))
    return 'pages of different moments';
  for (let address = 0; address < Math.min(ram.length, 0xa0000); address += 2) {
    const page = address >> 12;
    const used = (page >= 16 && page < 20) || (page >= 32 && page < 36) || address === 0x30000;
    if (!used && word(address) !== 0) return `0x${address.toString(16)} is not zero`;
  }
  return word(0x30000) === 0x55aa ? undefined : 'the guest had not begun';
}

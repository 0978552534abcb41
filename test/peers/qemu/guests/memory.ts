/**
 * What guests of the live tests do: programs without an operating system. Each CPU increments a
 * byte of its own in every page from {@link GUEST_START} of the RAM to an end, pass after pass:
 * byte 0 of a page is CPU 0's, byte 1 is CPU 1's. CPU 0 writes `A` to the serial port when it
 * begins, and `B` after each pass.
 *
 * So at any moment, along the pages, a CPU's bytes are `n + 1` up to some page and `n` from there
 * on. A page that was lost, or is older or newer than the moment of the switch, breaks that.
 */

export const PAGE = 4096;
/** Below are addresses of a PC's firmware and video memory, and programs of other machines. */
export const GUEST_START = 1 << 20;

/**
 * Why `memory`, up to the end of the guest's pages, is not what a guest with `cpus` CPUs could have
 * had at one moment; undefined if it is.
 */
export function brokenInvariant(memory: Uint8Array, cpus = 1): string | undefined {
  for (let cpu = 0; cpu < cpus; cpu++) {
    const first = memory[GUEST_START + cpu]!;
    let current = first;
    for (let page = GUEST_START; page < memory.length; page += PAGE) {
      const value = memory[page + cpu]!;
      if (value === current) continue;
      if (current !== first || value !== ((first + 255) & 255))
        return `CPU ${cpu}'s byte at ${page} is ${value} after ${current}; it was ${first} at first`;
      current = value;
    }
  }
  return undefined;
}

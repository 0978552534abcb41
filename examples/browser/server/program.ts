import { Guest } from 'multifd';

const PAGE = 4096;
const MEBIBYTES = 64;
const PAGES = (MEBIBYTES * 2 ** 20) / PAGE;
/**
 * Of each sixteen neighbouring pages, so many have a text from the beginning on; the others are
 * zero until the program comes to them.
 */
const WRITTEN_OF_16 = 9;
/** The program writes so many pages at a time, so many milliseconds apart. */
const BURST_PAGES = 24;
const BURST_MS = 8;
/**
 * It goes through a part of so many pages again and again; most of what a program changes it
 * changes often.
 */
const WORKING_SET = 1536;

/** What a page says from the beginning on. */
export function pageText(page: number): string {
  return `This is page ${page} of a program's memory. `;
}

/**
 * A program in a WebAssembly memory: it counts up in pages that have a text, over and over, while
 * it is moved.
 */
export class Program {
  readonly memory = new WebAssembly.Memory({ initial: (PAGES * PAGE) / 65536 });
  readonly guest: Guest;
  #turn: NodeJS.Timeout | undefined;
  #next = 0;

  constructor() {
    const bytes = new Uint8Array(this.memory.buffer);
    const encoder = new TextEncoder();
    for (let page = 0; page < PAGES; page++)
      if (hasText(page)) bytes.set(encoder.encode(pageText(page)), page * PAGE);
    this.guest = new Guest({
      blocks: [{ id: 'program', memory: this.memory }],
      stop: () => this.stop(),
      resume: () => this.start(),
    });
  }

  start(): void {
    this.#turn = setInterval(() => this.#work(), BURST_MS);
  }

  stop(): void {
    clearInterval(this.#turn);
  }

  /** Counts up in the last eight bytes of the pages, some of which had been zero. */
  #work(): void {
    const view = new DataView(this.memory.buffer);
    for (let n = 0; n < BURST_PAGES; n++) {
      // A step that is prime to the number of pages spreads them, and comes to each.
      this.#next = (this.#next + 7) % WORKING_SET;
      const at = (this.#next * 5 + 4000) * PAGE + PAGE - 8;
      view.setBigUint64(at, view.getBigUint64(at) + 1n);
    }
  }
}

function hasText(page: number): boolean {
  // Two regions, and between them one that nobody has used.
  return page % 16 < WRITTEN_OF_16 && (page < PAGES * 0.4 || page > PAGES * 0.65);
}

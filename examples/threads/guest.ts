/**
 * The guest: several threads over one shared memory, each with a part of the pages. A thread goes
 * through its pages, over and over, and counts each one up. Where it is it keeps in memory too, so
 * that a process that has the memory can go on.
 *
 * ```
 * 0      i32  1: the threads are asked to rest
 * 4      i32  how many of them do
 * 8      i32  microseconds that a thread pauses for after each few pages
 * 64 * (1 + t)      i32  thread t's next page
 * 64 * (1 + t) + 4  i32  the pass over its pages that it is in, from 1 on
 * page p, from 4096 on: i32 at offset p % 4096 & ~3: how many passes have come by
 * ```
 *
 * So at any moment the pages of a thread have its pass up to its next page, and the one before from
 * there on.
 */
const REST: usize = 0;
const RESTING: usize = 4;
const PAUSE: usize = 8;
/** Pages between two pauses. */
const STINT: i32 = 8;
const PAGE: usize = 4096;

function state(thread: i32): usize {
  return 64 * (1 + <usize>thread);
}

function place(page: i32): usize {
  return <usize>page * PAGE + ((<usize>page % PAGE) & ~3);
}

/**
 * Goes on until the threads are asked to rest. Pages are `first`, `first + step` and so on, below
 * `end`.
 */
export function work(thread: i32, first: i32, step: i32, end: i32): void {
  const at = state(thread);
  let page = max(first, load<i32>(at));
  let pass = max(1, load<i32>(at, 4));
  for (let n = 1; !atomic.load<i32>(REST); n++) {
    const count = place(page);
    // Up by one, and not to the pass's number: a page that was lost on its way stays wrong for
    // good.
    store<i32>(count, load<i32>(count) + 1);
    page += step;
    if (page >= end) {
      page = first;
      pass++;
    }
    store<i32>(at, page);
    store<i32>(at, pass, 4);
    // Ends at once when the threads are asked to rest.
    if (n % STINT == 0) atomic.wait<i32>(REST, 0, 1000 * <i64>atomic.load<i32>(PAUSE));
  }
  // Publishes all that this thread has written to the thread that waits for the count.
  atomic.add<i32>(RESTING, 1);
  atomic.notify(RESTING, 1);
}

/** How many of a resting thread's pages have another count than they should. */
export function wrong(thread: i32, first: i32, step: i32, end: i32): i32 {
  const next = load<i32>(state(thread));
  const pass = load<i32>(state(thread), 4);
  let found = 0;
  for (let page = first; page < end; page += step) {
    if (load<i32>(place(page)) != (page < next ? pass : pass - 1)) found++;
  }
  return found;
}

/** The pass that a thread is in. */
export function passOf(thread: i32): i32 {
  return load<i32>(state(thread), 4);
}

/** Runs one thing at a time in a later turn of the event loop, after all else that is due. */
export class Turns {
  #run: (() => void) | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #post: () => void;

  constructor() {
    if (typeof setImmediate === 'function') {
      this.#post = () => void setImmediate(this.#take);
      return;
    }
    // A browser's timers wait for milliseconds; its messages do not.
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = this.#take;
    this.#post = () => port2.postMessage(undefined);
  }

  /** Runs it in the next turn, or in one some milliseconds later. */
  schedule(run: () => void, delay: number): void {
    this.#run = run;
    if (delay === 0) this.#post();
    else this.#timer = setTimeout(this.#take, delay);
  }

  cancel(): void {
    this.#run = undefined;
    clearTimeout(this.#timer);
  }

  /**
   * A turn that was taken back finds nothing to run, or what was scheduled since, whose own turn
   * then finds nothing.
   */
  readonly #take = (): void => {
    const run = this.#run;
    this.#run = undefined;
    run?.();
  };
}

import type { DeviceReport, OutgoingOptions } from 'multifd';
import type { PageStates } from './states.ts';

/** A block that the page shows. */
export interface ShownBlock {
  readonly id: string;
  /** Bytes, whole pages. */
  readonly usedLength: number;
  readonly states: PageStates;
}

/** What the page shows: a memory that was received, or is being, or an image. */
export interface Shown {
  readonly kind: 'received' | 'image';
  /** For people. */
  readonly name: string;
  readonly pageSize: number;
  readonly blocks: readonly ShownBlock[];
  /** Once they are known; they come last, so that all is complete then. */
  readonly devices?: readonly DeviceReport[] | 'not described';
  /** The page at byte `offset` of a block. */
  read(block: number, offset: number): Promise<Uint8Array>;
  /** The same for sending, once it is complete. */
  outgoing(): Pick<OutgoingOptions, 'blocks' | 'image'>;
}

/** A page of a block. */
export interface Place {
  readonly block: number;
  /** Bytes from the block's beginning. */
  readonly offset: number;
}

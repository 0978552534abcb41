import { type IncomingOptions, type OutgoingOptions, receive, send } from 'multifd';
import { bytesOf, fill, newMemory } from '../../conformance/memory.ts';

/**
 * The two ends of a migration between runtimes. What is compared is a hash, which each end makes of
 * its own memory.
 */

const PAGES = 256;

export interface EndReport {
  hash: string;
  /** Pages with content, and zero pages. */
  normal: number;
  duplicate: number;
}

export async function runSource(options: Omit<OutgoingOptions, 'blocks'>): Promise<EndReport> {
  const memory = newMemory('unshared', PAGES);
  fill(memory, 77);
  const { ram } = await send({ ...options, blocks: [{ id: 'heap', source: memory }] });
  return report(memory, ram);
}

/** @param onReady called with where it listens, once it does. */
export async function runTarget(
  options: Omit<IncomingOptions, 'blocks'>,
  onReady: (uri: string) => void = () => {},
): Promise<EndReport> {
  const memory = newMemory('unshared', PAGES);
  bytesOf(memory).fill(0xee);
  const incoming = await receive({ ...options, blocks: { heap: memory } });
  onReady(incoming.uri);
  const { ram } = await incoming.completed;
  return report(memory, ram);
}

async function report(
  memory: WebAssembly.Memory,
  { normal, duplicate }: { normal: number; duplicate: number },
): Promise<EndReport> {
  const digest = new Uint8Array(
    await crypto.subtle.digest('SHA-256', memory.buffer as ArrayBuffer),
  );
  return {
    hash: Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join(''),
    normal,
    duplicate,
  };
}

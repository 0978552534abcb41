import { CAPABILITIES, type Capabilities, type Capability, type Io } from './capabilities.ts';
import type { Case } from './case.ts';
import { CORE_CASES } from './core-cases.ts';
import { ENGINE_CASES } from './engine-cases.ts';
import { ERROR_CASES } from './error-cases.ts';
import { UNSUPPORTED } from './unsupported.ts';
import { LIVE_CASES } from './live-cases.ts';
import { newMemory } from './memory.ts';
import { transferCases } from './transfer-cases.ts';

export interface Result {
  capability: Capability;
  name: string;
  /** `unsupported`: the runtime has not what it takes, and what was tried was refused as documented. */
  outcome: 'ok' | 'unsupported' | 'failed';
  /** What the refusal, or the failure, said. */
  detail?: string;
}

/** A case that takes longer has hung: each takes well under a second. */
const LIMIT_MS = 20_000;

const BLOCKING: Case = {
  capability: 'blockingWait',
  name: 'this thread may block',
  async run() {
    Atomics.wait(new Int32Array(newMemory('shared', 1).buffer), 0, 0, 1);
  },
};

/** The whole of the package on the runtime at hand, one result after the other. */
export async function* conformance(can: Capabilities, io: Io): AsyncGenerator<Result> {
  const cases = [
    ...CORE_CASES,
    ...ENGINE_CASES,
    BLOCKING,
    ...transferCases(io),
    ...LIVE_CASES,
    ...ERROR_CASES,
  ];
  for (const { capability, name, needs = [], run } of cases) {
    if ([capability, ...needs].every((need) => can.has(need)))
      yield await outcome(capability, name, async () => (await run(io), { outcome: 'ok' }));
  }
  for (const capability of Object.keys(CAPABILITIES) as Capability[]) {
    if (can.has(capability)) continue;
    const lack = UNSUPPORTED.find((entry) => entry.capability === capability);
    yield await outcome(capability, `has no ${CAPABILITIES[capability]}`, async () => {
      if (lack === undefined) throw new Error('every runtime has to have it');
      return { outcome: 'unsupported', detail: await lack.refused(io) };
    });
  }
}

async function outcome(
  capability: Capability,
  name: string,
  work: () => Promise<Pick<Result, 'outcome' | 'detail'>>,
): Promise<Result> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const hung = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it hung for ${LIMIT_MS / 1000} s`)), LIMIT_MS);
  });
  try {
    return { capability, name, ...(await Promise.race([work(), hung])) };
  } catch (error) {
    const { message, code, stack } = error as Error & { code?: string };
    return {
      capability,
      name,
      outcome: 'failed',
      detail: code === undefined ? `${message}\n${stack}` : `${code}: ${message}`,
    };
  } finally {
    clearTimeout(timer);
  }
}

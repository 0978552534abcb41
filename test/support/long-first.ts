import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** The files that take longest, longest first: none of them is left to run alone in the end. */
const LONGEST = [
  'peers/qemu/rows',
  'peers/runtimes/conformance',
  'peers/tls/qemu',
  'peers/bench/bench',
  'peers/qemu/endings',
  'peers/image/qemu-devices',
  'peers/qemu/stopped',
  'peers/qemu/files',
  'system/cli/round-trip',
  'peers/examples/worker',
  'system/transport/failures',
  'peers/runtimes/pairs',
  'system/migration/receiver-memory',
  'peers/examples/browser',
  'system/migration/truncated',
  'system/live/snapshot',
  'system/engine/traffic',
  'system/live/loop',
  'peers/examples/browser-qemu',
].map((name) => `/${name}.test.ts`);

/** Runs the files of {@link LONGEST} before all others, whatever their project. */
export class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const found = LONGEST.findIndex((name) => moduleId.endsWith(name));
      return found < 0 ? LONGEST.length : found;
    };
    return (await super.sort(files)).sort((a, b) => place(a) - place(b));
  }
}

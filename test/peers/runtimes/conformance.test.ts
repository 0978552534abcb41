import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { receive } from 'multifd';
import {
  afterAll,
  beforeAll,
  describe,
  expect,
  onTestFinished,
  test,
  type TestContext,
} from 'vitest';
import type { Io } from '../conformance/capabilities.ts';
import { sameBytes } from '../conformance/check.ts';
import { bytesOf, pairOf } from '../conformance/memory.ts';
import type { Result } from '../conformance/suite.ts';
import { Authority, x509Folder } from '../../support/authority.ts';
import { capabilitiesOf, type Place } from './declared.ts';
import type { PageApi } from './entries/page.ts';
import { bundleForProcess, install, type Installed } from './installed.ts';
import { binaryOf } from './locate.ts';
import { type Meeting, openMeeting } from './meeting.ts';
import { Pages } from './page.ts';
import { type ProcessRuntime, RuntimeProcess } from './process-runtime.ts';
import { startWorkerd } from './workerd.ts';

const LIMIT = 240_000;

let installed: Installed;
let tls: NonNullable<Io['tls']>;

beforeAll(async () => {
  installed = install();
  await bundleForProcess(installed);
  const authority = await Authority.create();
  await x509Folder(
    installed.folder,
    'target',
    authority,
    'server',
    await authority.issue('server', { ip: ['127.0.0.1'] }),
  );
  await x509Folder(
    installed.folder,
    'source',
    authority,
    'client',
    await authority.issue('client'),
  );
  tls = { source: join(installed.folder, 'source'), target: join(installed.folder, 'target') };
}, LIMIT);

afterAll(() => installed.remove());

/** Of one test: what failed in another may be waiting there still. */
async function ownMeeting(): Promise<Meeting> {
  const meeting = await openMeeting();
  onTestFinished(() => meeting.close());
  return meeting;
}

/**
 * Keeps the results for the table, and expects that none is a failure, and each capability was
 * asked for.
 */
function judge({ task }: TestContext, place: Place, results: Result[]): void {
  task.meta.placeResults = { place, results };
  expect(
    results
      .filter(({ outcome }) => outcome === 'failed')
      .map(({ name, detail }) => `${name}: ${detail}`),
  ).toEqual([]);
  const has = new Set(
    results.filter(({ outcome }) => outcome === 'ok').map(({ capability }) => capability),
  );
  expect([...has].sort()).toEqual(capabilitiesOf(place).sort());
}

describe.each([
  'node20',
  'node24',
  'node26',
  'deno',
  'bun',
] as const satisfies readonly ProcessRuntime[])('%s', (runtime) => {
  test('does all that it can, and refuses what it lacks', { timeout: LIMIT }, async (context) => {
    const path = binaryOf(runtime, context);
    const folder = join(installed.folder, runtime);
    mkdirSync(folder);
    const { values, problem } = await new RuntimeProcess(runtime, path, installed, [
      'process.js',
      JSON.stringify({ can: capabilitiesOf(runtime), folder, tls }),
    ]).all<Result>();
    expect(problem).toBeUndefined();
    judge(context, runtime, values);
  });
});

test('workerd does all that it can, and refuses what it lacks', {
  timeout: LIMIT,
}, async (context) => {
  const workerd = await startWorkerd(binaryOf('workerd', context), installed);
  try {
    const meeting = await ownMeeting();
    const { source, target } = pairOf('unshared');
    const incoming = await receive({ uri: 'http://127.0.0.1:0/', blocks: { heap: target } });
    const options = JSON.stringify({
      can: capabilitiesOf('workerd'),
      addresses: {
        meeting: { source: meeting.source, target: meeting.target },
        httpTarget: incoming.uri,
      },
    });
    const response = await fetch(
      `http://${workerd.host}/conformance?options=${encodeURIComponent(options)}`,
    );
    const lines = (await response.text()).split('\n').filter((line) => line !== '');
    judge(
      context,
      'workerd',
      lines.map((line) => JSON.parse(line) as Result),
    );
    await incoming.completed;
    sameBytes(bytesOf(target), bytesOf(source), 'what came by HTTP');
  } finally {
    workerd.stop();
  }
});

describe('Chromium', () => {
  let pages: Pages | undefined;
  afterAll(() => pages?.stop());

  test.for([
    { place: 'chromium', isolated: true },
    { place: 'page without isolation', isolated: false },
  ] as const)(
    '$place does all that it can, and refuses what it lacks',
    { timeout: LIMIT },
    async ({ place, isolated }, context) => {
      pages ??= await Pages.start(binaryOf('chromium', context), installed);
      const page = await pages.open(isolated);
      const meeting = await ownMeeting();
      const addresses = {
        meeting: { source: meeting.source, target: meeting.target },
        httpTarget: meeting.http,
      };
      const results = await page.evaluate(
        ([can, given]) => (globalThis as unknown as { api: PageApi }).api.conformance(can, given),
        [capabilitiesOf(place), addresses] as const,
      );
      judge(context, place, results);
    },
  );
});

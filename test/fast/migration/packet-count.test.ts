import { receive, send } from 'multifd';
import { expect, it } from 'vitest';
import { LAUNCHERS, PAGE, withFolder } from '../../support/migration.ts';

const PACKET_PAGES = 128;

it.each(LAUNCHERS)('both ends count the same packets, page by page ($name)', ({ inline }) =>
  withFolder(async (folder) => {
    const pages = 3 * PACKET_PAGES + 1;
    const memory = new SharedArrayBuffer(pages * PAGE);
    for (let page = 0; page < pages; page++)
      new Uint8Array(memory).fill(1 + (page % 255), page * PAGE, (page + 1) * PAGE);
    const target = new Uint8Array(pages * PAGE);
    const incoming = await receive({
      uri: `unix:${folder}/socket`,
      channels: 1,
      blocks: { ram: target },
      inline,
    });
    const sent = await send({
      uri: incoming.uri,
      channels: 1,
      blocks: [{ id: 'ram', source: memory }],
      inline,
    });
    const received = await incoming.completed;
    // Four with pages, and a SYNC at the start, after the round, and at the end.
    expect(sent.channels).toMatchObject([{ packets: 4 + 3, normal: pages, duplicate: 0 }]);
    expect(received.channels).toMatchObject([{ packets: 4 + 3, normal: pages, duplicate: 0 }]);
    expect(Buffer.compare(target, new Uint8Array(memory))).toBe(0);
  }),
);

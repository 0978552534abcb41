import { proxy, receive } from 'multifd';
import { describe, expect, it } from 'vitest';
import { errorOf } from '../../support/migration.ts';

/** What `to` of a proxy is made into: read, and written again. */
async function through(uri: string): Promise<string> {
  const running = await proxy({ from: 'tcp:127.0.0.1:0', to: uri });
  await running.close();
  return running.toUri;
}

describe('a URI', () => {
  it.each([
    ['ws://example.com/vm', 'ws://example.com:80/vm'],
    ['wss://example.com', 'wss://example.com:443/'],
    ['http://example.com', 'http://example.com:80/'],
    ['https://example.com/a%20b?x=1&y', 'https://example.com:443/a%20b?x=1&y'],
    ['wss://example.com:80/', 'wss://example.com:80/'],
    ['ws://example.com:443/', 'ws://example.com:443/'],
    ['ws://[::1]:8080/vm', 'ws://[::1]:8080/vm'],
    ['https://[2001:db8::7]/', 'https://[2001:db8::7]:443/'],
    ['ws://127.0.0.1:0/', 'ws://127.0.0.1:0/'],
    ['ws://EXAMPLE.com:8080/../A', 'ws://example.com:8080/A'],
    ['tcp:[::1]:4444', 'tcp:[::1]:4444'],
    ['tcp:example.com:4444', 'tcp:example.com:4444'],
    ['tcp://example.com:4444', 'tcp:example.com:4444'],
    ['tcp://example.com:4444/', 'tcp:example.com:4444'],
    ['tcp://[::1]:4444', 'tcp:[::1]:4444'],
    ['unix:/run/a b', 'unix:/run/a b'],
  ])('%s is %s, and stays that', async (uri, formatted) => {
    expect(await through(uri)).toBe(formatted);
    expect(await through(formatted)).toBe(formatted);
  });

  it.each([
    ['', 'unknown kind'],
    ['ws:', 'no host'],
    ['ws:example.com', 'no host'],
    ['ws://', 'no host'],
    ['ws:///vm', 'no host'],
    ['ws://\\example.com/', 'no host'],
    ['ws:\\\\example.com/', 'no host'],
    ['ws://exa mple.com/', 'no host'],
    ['ws://exa\nmple.com/', 'no host'],
    ['ws://example.com/a\\b', 'no host'],
    ['ws://example.com:65536/', 'no host'],
    ['ws://example.com:x/', 'no host'],
    ['ws://[::1/', 'no host'],
    ['ws://user@example.com/', 'names a user'],
    ['wss://user:secret@example.com/', 'names a user'],
    ['http://example.com/#here', 'fragment'],
    ['http://example.com/#', 'fragment'],
    ['WS://example.com/', 'unknown kind'],
    ['ftp://example.com/', 'unknown kind'],
    ['javascript:alert(1)', 'unknown kind'],
    ['tcp:example.com', 'no host and port'],
    ['tcp:example.com:99999', 'above 65535'],
    ['tcp://example.com', 'no host and port'],
    ['tcp://example.com:4444/vm', 'no host and port'],
    ['tcp:///example.com:4444', 'no host and port'],
    ['unix:', 'no path'],
    ['unix:/a\0b', 'no path'],
  ])('%j is none: %s', async (uri, why) => {
    const error = await errorOf(receive({ uri, blocks: {} }));
    expect(error.code).toBe('ERR_URI');
    expect(error.message).toContain(why);
  });
});

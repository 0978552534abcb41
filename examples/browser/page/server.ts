/** What the server of this page offers, besides the page. */
export interface OfferedSource {
  name: string;
  /** For people. */
  about: string;
}

/** One end of a migration at the server, that waits for this page. */
export interface ServerEnd {
  uri: string;
  channels: number;
  token: string;
  /** Of a target: the image that it writes. */
  path?: string;
}

/** Nothing from servers that know nothing of it, as those of plain files. */
export async function offeredSources(): Promise<OfferedSource[] | undefined> {
  const response = await fetch('sources').catch(() => undefined);
  return response?.ok ? ((await response.json()) as OfferedSource[]) : undefined;
}

export function startSource(name: string, signal: AbortSignal): Promise<ServerEnd> {
  return post(`sources/${encodeURIComponent(name)}`, signal);
}

export function startTarget(signal: AbortSignal): Promise<ServerEnd> {
  return post('targets', signal);
}

/** Asks the server for an end of a migration. */
export async function post(path: string, signal?: AbortSignal): Promise<ServerEnd> {
  const response = await fetch(path, { method: 'POST', ...(signal && { signal }) });
  if (!response.ok) throw new Error(await response.text());
  return (await response.json()) as ServerEnd;
}

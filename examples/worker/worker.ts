import { ImageHolder } from './image-holder.ts';

export { ImageHolder };

interface Environment {
  /** Who has it may do everything. Without one (null), nobody may do anything. */
  readonly TOKEN: string | null;
  readonly HOLDER: {
    idFromName(name: string): unknown;
    get(id: unknown): { fetch(request: Request): Promise<Response> };
  };
}

export default {
  async fetch(request: Request, { TOKEN, HOLDER }: Environment): Promise<Response> {
    if (!TOKEN || !(await isSame(request.headers.get('authorization') ?? '', `Bearer ${TOKEN}`))) {
      return new Response('give the token: Authorization: Bearer TOKEN\n', {
        status: 401,
        headers: { 'www-authenticate': 'Bearer' },
      });
    }
    return HOLDER.get(HOLDER.idFromName('image')).fetch(request);
  },
};

/** Compares texts without telling by the time it takes how much of them is the same. */
async function isSame(given: string, wanted: string): Promise<boolean> {
  const [one, other] = await Promise.all(
    [given, wanted].map(
      async (text) =>
        new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))),
    ),
  );
  return one!.reduce((difference, byte, index) => difference | (byte ^ other![index]!), 0) === 0;
}

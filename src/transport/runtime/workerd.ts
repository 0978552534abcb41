import { refusal } from '../adapters/http.ts';
import { PROTOCOL } from '../adapters/admission.ts';
import type { WebSocketLike } from '../adapters/web-socket.ts';
import { formatUri } from '../schemes.ts';
import type * as node from './node.ts';
import { http, webSocketConnection, webSockets, without } from './web.ts';

export {
  fdInput,
  fdOutput,
  loadClientTls,
  loadServerTls,
  socketFdOf,
} from './web.ts';

/** workerd's WebSockets have to be accepted before they say anything. */
type AcceptedSocket = WebSocketLike & { accept(): void };
declare const WebSocketPair: new () => { 0: AcceptedSocket; 1: AcceptedSocket };

export const ADAPTERS: typeof node.ADAPTERS = {
  tcp: without('TCP sockets of our own'),
  unix: without('Unix sockets'),
  ws: webSockets(async (uri, token) => {
    // Only a request that asks for the upgrade itself can have headers.
    const url = formatUri({ ...uri, kind: 'http' });
    const headers = {
      Upgrade: 'websocket',
      'Sec-WebSocket-Protocol': PROTOCOL,
      ...(token !== undefined && { Authorization: `Bearer ${token}` }),
    };
    const response = (await fetch(url, { headers })) as Response & {
      webSocket: AcceptedSocket | null;
    };
    if (response.webSocket === null) throw refusal(uri, response.status);
    response.webSocket.accept();
    return webSocketConnection(response.webSocket, formatUri(uri));
  }),
  http,
};

export const acceptUpgrade: typeof node.acceptUpgrade = (_, protocol) => {
  const { 0: client, 1: server } = new WebSocketPair();
  server.accept();
  const response = {
    status: 101,
    webSocket: client,
    headers: protocol === undefined ? {} : { 'Sec-WebSocket-Protocol': protocol },
  };
  return { socket: server, response: new Response(null, response as ResponseInit) };
};

/**
 * The migration level in browsers: without files, sockets and ports to listen on. Connections come
 * by WebSocket, HTTP, MessagePort, or any pair of streams.
 */
export * from './common.ts';
export * from './files-only.ts';

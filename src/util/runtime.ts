/**
 * Whether this is Node itself, and not a runtime that has modules like Node's: for what leans on
 * how Node is made.
 */
export function isNode(): boolean {
  return process.versions['deno'] === undefined && process.versions['bun'] === undefined;
}

/** What importing a module was seen to do besides defining things. */
export interface Observed {
  /** What keeps the process, and was not there before. */
  resources: string[];
  /** Calls of what should wait until somebody calls the package. */
  calls: string[];
  /** Properties of the global object that were not there before, or have another value. */
  globals: string[];
}

const calls: string[] = [];

/** Puts a watch on a function of `owner`. */
function watch(owner: object, name: string): void {
  const original = Reflect.get(owner, name) as unknown;
  if (typeof original !== 'function') return;
  const proxy = new Proxy(original, {
    apply: (target, self, args) => (calls.push(name), Reflect.apply(target, self, args)),
    construct: (target, args, newTarget) => (
      calls.push(name), Reflect.construct(target, args, newTarget) as object
    ),
  });
  Object.defineProperty(owner, name, { value: proxy, writable: true, configurable: true });
}

for (const name of [
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
  'fetch',
  'Worker',
  'WebSocket',
  'MessageChannel',
  'BroadcastChannel',
])
  watch(globalThis, name);
for (const name of ['compile', 'instantiate', 'Module', 'Instance', 'Memory'])
  watch(WebAssembly, name);

/**
 * By their names, where they have a value: runtimes make some of their own when they are first
 * asked for.
 */
const globals = (): Map<string, unknown> =>
  new Map(
    Object.entries(Object.getOwnPropertyDescriptors(globalThis)).map(([key, { value }]) => [
      key,
      value as unknown,
    ]),
  );
const resources = (): string[] => process.getActiveResourcesInfo();

const before = { globals: globals(), resources: resources() };
calls.length = 0;
await import(process.argv[2]!);
const seen = [...calls];
const after = { globals: globals(), resources: resources() };
const observed: Observed = {
  resources: after.resources.filter((resource) => !before.resources.includes(resource)),
  calls: seen,
  globals: [...after.globals]
    .filter(
      ([key, value]) =>
        !before.globals.has(key) ||
        (before.globals.get(key) !== undefined && !Object.is(before.globals.get(key), value)),
    )
    .map(([key]) => key),
};
console.log(JSON.stringify(observed));

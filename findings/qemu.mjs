// Shared by the scripts of this folder: starts a QEMU and talks QMP to it.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** Starts a small PC that stands still, with QMP on its standard input and output. */
export async function start(command, ...args) {
  const machine = ['-machine', 'pc', '-accel', 'tcg', '-m', '16', '-S', '-vga', 'none'];
  const child = spawn(
    command,
    [...machine, ...args, '-nodefaults', '-display', 'none', '-qmp', 'stdio'],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const kill = () => child.kill('SIGKILL');
  process.on('exit', kill);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();

  /** Executes one command; what it returns, or `{ error }` with the words of the refusal. */
  const execute = async (name, parameters = {}) => {
    child.stdin.write(`${JSON.stringify({ execute: name, arguments: parameters })}\n`);
    for (;;) {
      const { value, done } = await lines.next();
      if (done) throw new Error(`QEMU ended in the middle of ${name}`);
      const answer = JSON.parse(value);
      if (answer.error) return { error: answer.error.desc };
      if ('return' in answer) return answer.return;
    }
  };

  const capability = (name) =>
    execute('migrate-set-capabilities', { capabilities: [{ capability: name, state: true }] });

  /** Migrates, and waits until that is over, whatever came of it. */
  const migrate = async (uri) => {
    const refused = await execute('migrate', { uri });
    if (refused.error) return refused;
    for (;;) {
      const info = await execute('query-migrate');
      if (/^(completed|failed|cancelled)$/.test(info.status)) return info;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };

  await lines.next();
  await execute('qmp_capabilities');
  const { qemu } = await execute('query-version');
  return { execute, capability, migrate, kill, version: [qemu.major, qemu.minor].join('.') };
}

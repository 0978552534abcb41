/** What breaks a rule in the tree at `root`, this project's by default: a line each. */
export function broken(root?: string): string[];

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

const markdown = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.md'))
  .map((name) => `docs/${name}`);
const DOCUMENTS = ['README.md', 'CHANGELOG.md', ...markdown];

/** What npm packs whatever `files` says. */
const ALWAYS = ['README.md', 'LICENSE', 'package.json'];
const { files } = JSON.parse(read('package.json')) as { files: string[] };

/** Whether a path is packed, by package.json's `files`; of its patterns only those with no `*`. */
function isPacked(path: string): boolean {
  const covers = (entry: string): boolean => path === entry || path.startsWith(`${entry}/`);
  const left = files.filter((entry) => entry.startsWith('!')).map((entry) => entry.slice(1));
  return ALWAYS.includes(path) || (files.some(covers) && !left.some(covers));
}

/** The text without what is code. */
const prose = (text: string): string =>
  text.replace(/^```[\s\S]*?^```/gm, '').replace(/(`+)[^`][\s\S]*?\1(?!`)/g, '');

/** By what GitHub makes of headings. */
function anchorsOf(text: string): string[] {
  const seen = new Map<string, number>();
  return [...text.replace(/^```[\s\S]*?^```/gm, '').matchAll(/^#+ (.*)$/gm)].map(([, heading]) => {
    const slug = heading!
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_\s-]/gu, '')
      .replaceAll(' ', '-');
    const times = seen.get(slug) ?? 0;
    seen.set(slug, times + 1);
    return times === 0 ? slug : `${slug}-${times}`;
  });
}

/** What is wrong with a link; undefined if nothing is. */
function problemOf(document: string, link: string): string | undefined {
  const [path = '', anchor] = link.split('#');
  const target = path === '' ? document : normalize(join(dirname(document), path));
  if (!existsSync(join(ROOT, target))) return 'leads nowhere';
  if (!isPacked(target)) return 'leads to what is not packed';
  if (anchor !== undefined && !anchorsOf(read(target)).includes(anchor)) return 'has no heading';
  return undefined;
}

test.each(DOCUMENTS)('each relative link of %s leads to something that is packed', (document) => {
  const links = [...prose(read(document)).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!);
  const wrong = links
    .filter((link) => !/^\w+:/.test(link))
    .map((link) => ({ link, problem: problemOf(document, link) }))
    .filter(({ problem }) => problem !== undefined);
  expect(wrong).toEqual([]);
});

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ArrayType, Comment, Converter, ReferenceType, ReflectionKind, UnknownType } from 'typedoc';
import { ModuleRouter } from 'typedoc-plugin-markdown';

// Makes docs/api small enough to be packed: what typedoc-plugin-markdown gives, without what says
// nothing, or says it twice.

/** A file for each entry, beside each other: `multifd/live` is live.md. */
class EntryRouter extends ModuleRouter {
  getIdealBaseName(reflection) {
    const name = super.getIdealBaseName(reflection);
    return reflection.kindOf(ReflectionKind.Module) ? name.split('/').at(-1) : name;
  }
}

/** A report without the names that it had before 0.2. */
function withoutOldNames(type) {
  if (type instanceof ArrayType) return new ArrayType(withoutOldNames(type.elementType));
  const hasOldNames = type instanceof ReferenceType && type.name === 'WithOldNames';
  return hasOldNames ? type.typeArguments[0] : type;
}

/** A union whose members have words of their own: a row for each. */
function tellMembers(reflection) {
  const { types = [], elementSummaries = [] } = reflection.type;
  if (elementSummaries.length === 0) return;
  const rows = types.map((type, index) => {
    const words = Comment.combineDisplayParts(elementSummaries[index]);
    return `| \`${type.value}\` | ${words.replaceAll('\n', ' ')} |`;
  });
  const table = ['\n', '| Value | |', '|-|-|', ...rows].join('\n');
  reflection.comment.summary.push({ kind: 'text', text: table });
  reflection.type = new UnknownType('one of these');
}

function simplify({ project }) {
  for (const reflection of Object.values(project.reflections)) {
    if (reflection.type === undefined) continue;
    reflection.type = withoutOldNames(reflection.type);
    tellMembers(reflection);
    // A type that its docstring tells, and that has no name but its own.
    if (reflection.kindOf(ReflectionKind.TypeAlias) && reflection.type.name === reflection.name)
      reflection.type = new UnknownType('one of these');
  }
}

/** What is inherited from something documented is said there. */
function leaveInheritedOut({ project }) {
  const kinds = ReflectionKind.Interface | ReflectionKind.Class;
  const documented = project.getReflectionsByKind(kinds).map(({ name }) => name);
  const bases = new Set([...documented, 'Omit', 'Pick']);
  for (const reflection of Object.values(project.reflections)) {
    const base = reflection.inheritedFrom?.name.split('.')[0];
    if (bases.has(base)) project.removeReflection(reflection);
  }
}

const ARGUMENTS = /#+ Parameters\n\n\| Parameter .*\n\|.*\n((?:\|.*\n)+)/g;

/** Those arguments of which something is said; the signature has the types of all. */
const listArguments = (_, rows) =>
  rows
    .split('\n')
    .map((row) => /^\| (`[^`]+`) \|.*[^\\]\| ([^|]+) \|$/.exec(row))
    .filter((row) => row !== null && row[2] !== '-')
    .map(([, name, words]) => `- ${name}: ${words}\n`)
    .join('');

/** Each pattern of what a page has too much, and what stands there instead. */
const INSTEAD = [
  [/\\<`ArrayBuffer(?:Like)?`\\>/g, ''],
  [/, `any`, `any`\\>/g, '\\>'],
  [/`([^`\n]+)`\\<`([^`\n]+)`\\>/g, '`$1<$2>`'],
  [/#+ Parameters\n\n\| Parameter \| Type \|\n\|.*\n(?:\|.*\n)+\n?/g, ''],
  [ARGUMENTS, listArguments],
  [/#+ Type Parameters\n\n(?:\|.*\n)+\n?/g, ''],
  [/#+ Returns\n\n.*\n\n(?=#|\*\*\*|$)/g, ''],
  [/#+ Returns\n\n.*\n\n/g, '**Returns** '],
  [/#+ Throws\n\n/g, '**Throws** '],
  [/#+ (?:Extended by|Overrides|Implementation of)\n\n(?:- .*\n|`.*`\n)+\n/g, ''],
  [/#+ (?:Constructors|Get Signature|Type Declaration|Call Signature)\n\n/g, ''],
  [/\n\*\*\*\n/g, ''],
  [/^\| (?:------ \| )*------ \|$/gm, (line) => line.replaceAll(' ------ ', '-')],
  [/(?<=\|) - (?=\|)/g, ' '],
  [/<a id="[^"]*"><\/a> /g, ''],
];

/** By what GitHub makes of headings: of each of a page's, its anchor; those of the top come first. */
function anchorsOf(page) {
  const anchors = new Map();
  const seen = new Map();
  for (const [, level, heading] of page.matchAll(/^(#+) (.*)$/gm)) {
    const name = heading.replaceAll('\\', '').replace(/\(\)\??$|\?$/, '');
    const slug = heading
      .toLowerCase()
      .replace(/[^\w\s-]/g, '')
      .replaceAll(' ', '-');
    const times = seen.get(slug) ?? 0;
    seen.set(slug, times + 1);
    const anchor = times === 0 ? slug : `${slug}-${times}`;
    if (level === '##' || !anchors.has(name)) anchors.set(name, anchor);
  }
  return anchors;
}

/** Leads each link to the heading of its text; without one, it is no link. */
const withLinks = (page, own, anchors) =>
  page.replace(/\[([^\]\n]+)\]\(([\w-]*(?:\.md)?)#[^)]*\)/g, (_, text, file) => {
    const name = text
      .replace(/^`|`$|\\/g, '')
      .split('.')
      .at(-1);
    const ofPage = anchors.get(file === '' ? own : file);
    const anchor = ofPage?.get(name) ?? ofPage?.get(name.replace(/s$/, ''));
    return anchor === undefined ? text : `[${text}](${file}#${anchor})`;
  });

/** All pages, once they are written. */
function compact({ outputDirectory }) {
  const names = readdirSync(outputDirectory).filter((name) => name.endsWith('.md'));
  const pages = names.map((name) =>
    INSTEAD.reduce(
      (text, [pattern, instead]) => text.replace(pattern, instead),
      readFileSync(join(outputDirectory, name), 'utf8'),
    ),
  );
  const anchors = new Map(names.map((name, index) => [name, anchorsOf(pages[index])]));
  for (const [index, name] of names.entries()) {
    const text = withLinks(pages[index], name, anchors);
    writeFileSync(join(outputDirectory, name), `${text.trimEnd()}\n`);
  }
}

export function load(app) {
  app.renderer.defineRouter('entry', EntryRouter);
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, simplify);
  app.converter.on(Converter.EVENT_RESOLVE_END, leaveInheritedOut);
  app.renderer.postRenderAsyncJobs.push(async (output) => compact(output));
}

/**
 * The element of the page with that id. Throws if there is none, or another kind: the page and its
 * code belong together.
 */
export function byId<T extends Element>(id: string, kind: abstract new () => T): T {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return element;
}

type Attributes = Readonly<Record<string, string | number>>;

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

export function makeSvg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** A row of a table; numbers stand to the right. */
export function row(...cells: (string | number | Node)[]): HTMLTableRowElement {
  return make(
    'tr',
    {},
    ...cells.map((cell) =>
      typeof cell === 'number'
        ? make('td', { class: 'number' }, cell.toLocaleString('en'))
        : make('td', {}, cell),
    ),
  );
}

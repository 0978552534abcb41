/** Where a block is in the map. In pixels of the canvas. */
export interface MapArea {
  /** Of its first row of cells; its name is above. */
  readonly top: number;
  readonly rows: number;
  readonly pages: number;
}

/** Blocks below each other, each in rows of cells from left to right. In pixels of the canvas. */
export interface MapLayout {
  /** A cell's side, with the gap to the next one. */
  readonly cell: number;
  /** Pages in a cell, a power of two. */
  readonly group: number;
  /** Cells in a row. */
  readonly columns: number;
  readonly areas: readonly MapArea[];
  readonly height: number;
}

export interface MapRoom {
  width: number;
  /** For the cells of all blocks; their names come on top of that. */
  height: number;
  /** For a block's name. */
  label: number;
  /** Of a cell's side. */
  most: number;
}

/**
 * The largest cells with which all fits; when those of one pixel are too many, several pages share
 * one.
 */
export function layOut(
  pages: readonly number[],
  { width, height, label, most }: MapRoom,
): MapLayout {
  let cell = most;
  let group = 1;
  const columns = (): number => Math.max(1, Math.floor(width / cell));
  const rows = (count: number): number => Math.ceil(Math.ceil(count / group) / columns());
  while (pages.reduce((sum, count) => sum + rows(count) * cell, 0) > height) {
    if (cell > 1) cell--;
    else if (pages.every((count) => count <= group)) break;
    else group *= 2;
  }
  let top = 0;
  const areas = pages.map((count) => {
    top += label;
    const area = { top, rows: rows(count), pages: count };
    top += area.rows * cell;
    return area;
  });
  return { cell, group, columns: columns(), areas, height: Math.max(top, 1) };
}

/** The page at a pixel; undefined where there is none. */
export function pageAt(
  { cell, group, columns, areas }: MapLayout,
  x: number,
  y: number,
): { block: number; page: number } | undefined {
  const block = areas.findIndex(({ top, rows }) => y >= top && y < top + rows * cell);
  const column = Math.floor(x / cell);
  if (block === -1 || column < 0 || column >= columns) return undefined;
  const { top, pages } = areas[block]!;
  const page = (Math.floor((y - top) / cell) * columns + column) * group;
  return page < pages ? { block, page } : undefined;
}

/** Where a page's cell begins. */
export function cellOf(
  { cell, group, columns, areas }: MapLayout,
  block: number,
  page: number,
): { x: number; y: number } {
  const index = Math.floor(page / group);
  return { x: (index % columns) * cell, y: areas[block]!.top + Math.floor(index / columns) * cell };
}

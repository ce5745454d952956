// Objects as the server sends them (serve/studio/wire.py): a JSON header, then streams of variable-length integers.

export interface Objects {
  readonly size: readonly [height: number, width: number];
  readonly revision: number;
  readonly keys: Int32Array;
  readonly labels: Int32Array;
  readonly areas: Int32Array;
  readonly scores: Float32Array | null;
  readonly ids: readonly number[] | null;
  /** Where objects overlap, the highest is on top. */
  readonly orders: Int32Array | null;
  /** Run r of object i, for r from offsets[i] to offsets[i + 1] - 1: column x, rows y0 to y1 - 1. */
  readonly x: Int32Array;
  readonly y0: Int32Array;
  readonly y1: Int32Array;
  readonly offsets: Int32Array;
  /** x0, y0, x1, y1 of each object, half-open. */
  readonly boxes: Int32Array;
  /** Of a large image: no runs are here, see large.ts. */
  readonly large?: boolean;
}

export interface Header {
  size: [number, number];
  revision: number;
  keys: number[];
  labels: number[];
  areas: number[];
  scores: number[] | null;
  ids: number[] | null;
  orders?: number[] | null;
  removed?: number[];
  gone?: number;
  notice?: string;
  classes?: string[];
  /** Objects of a large image that were read so far: they are not there yet. */
  reading?: number;
  /** Of a large image: the number of objects, and whether they have scores. */
  count?: number;
  scored?: boolean;
}

export function decode(data: ArrayBuffer): { header: Header; objects: Objects } {
  const length = new DataView(data).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length))) as Header;
  const bytes = new Uint8Array(data, 4 + length);
  let at = 0;
  const next = (): number => {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
  };
  const signed = (): number => {
    const value = next();
    return value % 2 ? -((value + 1) / 2) : value / 2;
  };
  if (header.count !== undefined) return { header, objects: columnsOf(header, next, signed) };
  const count = header.keys.length;
  const offsets = new Int32Array(count + 1);
  for (let i = 0; i < count; i++) offsets[i + 1] = offsets[i] + next();
  const runs = offsets[count];
  const [x, y0, lengths] = [next, signed, signed].map((read) => {
    const out = new Int32Array(runs);
    for (let i = 0; i < count; i++) {
      let value = 0;
      for (let r = offsets[i]; r < offsets[i + 1]; r++) out[r] = value += read();
    }
    return out;
  });
  for (let r = 0; r < runs; r++) lengths[r] += y0[r];
  const objects: Objects = {
    size: header.size,
    revision: header.revision,
    keys: Int32Array.from(header.keys),
    labels: Int32Array.from(header.labels),
    areas: Int32Array.from(header.areas),
    scores: header.scores && Float32Array.from(header.scores),
    ids: header.ids,
    orders: header.orders ? Int32Array.from(header.orders) : null,
    x,
    y0,
    y1: lengths,
    offsets,
    boxes: boxesOf(x, y0, lengths, offsets),
  };
  return { header, objects };
}

/** All objects of a large image, without their runs. */
function columnsOf(header: Header, next: () => number, signed: () => number): Objects {
  const count = header.count!;
  const column = (read: () => number, summed: boolean): Int32Array => {
    const out = new Int32Array(count);
    for (let i = 0, value = 0; i < count; i++) out[i] = value = read() + (summed ? value : 0);
    return out;
  };
  const [keys, labels, areas] = [column(next, true), column(next, false), column(next, false)];
  const boxes = new Int32Array(4 * count);
  for (let k = 0; k < 4; k++) column(k < 2 ? signed : next, k < 2).forEach((v, i) => (boxes[4 * i + k] = k < 2 ? v : v + boxes[4 * i + k - 2]));
  const scores = header.scored ? Float32Array.from(column(next, false), (v) => v / 10_000) : null;
  const none = new Int32Array(0);
  const { size, revision } = header;
  return { size, revision, keys, labels, areas, scores, ids: null, orders: null, x: none, y0: none, y1: none, offsets: new Int32Array(count + 1), boxes, large: true };
}

function boxesOf(x: Int32Array, y0: Int32Array, y1: Int32Array, offsets: Int32Array): Int32Array {
  const boxes = new Int32Array(4 * (offsets.length - 1));
  for (let i = 0; i + 1 < offsets.length; i++) {
    const [from, to] = [offsets[i], offsets[i + 1]];
    if (from === to) continue;
    let top = y0[from];
    let bottom = y1[from];
    for (let r = from + 1; r < to; r++) {
      if (y0[r] < top) top = y0[r];
      if (y1[r] > bottom) bottom = y1[r];
    }
    boxes.set([x[from], top, x[to - 1] + 1, bottom], 4 * i);
  }
  return boxes;
}

/** The objects after a change: those that went are left out, changed and new ones come in; keys ascend. */
export function changed(old: Objects, part: Objects, removed: readonly number[]): Objects {
  const gone = new Set([...removed, ...part.keys]);
  const fresh = [...part.keys.keys()].sort((a, b) => part.keys[a] - part.keys[b]);
  // row i of the old objects as i, row i of the new ones as -1 - i
  const order = new Int32Array(old.keys.length + fresh.length);
  let count = 0;
  let k = 0;
  old.keys.forEach((key, i) => {
    if (gone.has(key)) return;
    while (k < fresh.length && part.keys[fresh[k]] < key) order[count++] = -1 - fresh[k++];
    order[count++] = i;
  });
  while (k < fresh.length) order[count++] = -1 - fresh[k++];
  const rows = order.subarray(0, count);
  const taken = <T extends Int32Array | Float32Array>(make: (n: number) => T, a: ArrayLike<number> | null, b: ArrayLike<number> | null, empty = 0): T => {
    const out = make(count);
    rows.forEach((row, i) => (out[i] = (row < 0 ? b?.[-1 - row] : a?.[row]) ?? empty));
    return out;
  };
  const ints = (n: number): Int32Array => new Int32Array(n);
  const boxes = new Int32Array(4 * count);
  rows.forEach((row, i) => {
    const [from, at] = row < 0 ? [part.boxes, 4 * (-1 - row)] : [old.boxes, 4 * row];
    for (let side = 0; side < 4; side++) boxes[4 * i + side] = from[at + side];
  });
  const { ids, scores, orders } = (part.keys.length || !old.keys.length) && !old.large ? part : old;
  return {
    size: old.size,
    revision: part.revision,
    keys: taken(ints, old.keys, part.keys),
    labels: taken(ints, old.labels, part.labels),
    areas: taken(ints, old.areas, part.areas),
    scores: scores && taken((n) => new Float32Array(n), old.scores, part.scores, 1),
    ids: ids && Array.from(rows, (row) => (row < 0 ? part.ids?.[-1 - row] : old.ids?.[row]) ?? 0),
    orders: orders && taken(ints, old.orders, part.orders),
    ...(old.large ? { x: old.x, y0: old.y0, y1: old.y1, offsets: new Int32Array(count + 1), large: true } : runsOf(old, part, rows)),
    boxes,
  };
}

function runsOf(old: Objects, part: Objects, rows: Int32Array): Pick<Objects, "x" | "y0" | "y1" | "offsets"> {
  const offsets = new Int32Array(rows.length + 1);
  const of = (row: number): [Objects, number] => (row < 0 ? [part, -1 - row] : [old, row]);
  rows.forEach((row, k) => {
    const [set, i] = of(row);
    offsets[k + 1] = offsets[k] + set.offsets[i + 1] - set.offsets[i];
  });
  const runs = (name: "x" | "y0" | "y1"): Int32Array => {
    const out = new Int32Array(offsets[rows.length]);
    rows.forEach((row, k) => {
      const [set, i] = of(row);
      out.set(set[name].subarray(set.offsets[i], set.offsets[i + 1]), offsets[k]);
    });
    return out;
  };
  return { x: runs("x"), y0: runs("y0"), y1: runs("y1"), offsets };
}

/** Whether object i covers the pixel in column x, row y. */
export function covers(o: Objects, i: number, x: number, y: number): boolean {
  if (x < o.boxes[4 * i] || y < o.boxes[4 * i + 1] || x >= o.boxes[4 * i + 2] || y >= o.boxes[4 * i + 3]) return false;
  for (let r = firstRun(o, i, x); r < o.offsets[i + 1] && o.x[r] === x; r++) if (o.y0[r] <= y && y < o.y1[r]) return true;
  return false;
}

/** The first run of object i in column x or right of it. */
export function firstRun(o: Objects, i: number, x: number): number {
  let low = o.offsets[i];
  let high = o.offsets[i + 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (o.x[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

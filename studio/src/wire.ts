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
    return value & 1 ? -((value + 1) / 2) : value / 2;
  };
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
  const from = new Map<number, [Objects, number]>();
  old.keys.forEach((key, i) => from.set(key, [old, i]));
  part.keys.forEach((key, i) => from.set(key, [part, i]));
  removed.forEach((key) => from.delete(key));
  const order = [...from.keys()].sort((a, b) => a - b).map((key) => from.get(key)!);
  const offsets = new Int32Array(order.length + 1);
  order.forEach(([set, i], k) => (offsets[k + 1] = offsets[k] + set.offsets[i + 1] - set.offsets[i]));
  const runs = (name: "x" | "y0" | "y1"): Int32Array => {
    const out = new Int32Array(offsets[order.length]);
    order.forEach(([set, i], k) => out.set(set[name].subarray(set.offsets[i], set.offsets[i + 1]), offsets[k]));
    return out;
  };
  const boxes = new Int32Array(4 * order.length);
  order.forEach(([set, i], k) => boxes.set(set.boxes.subarray(4 * i, 4 * i + 4), 4 * k));
  const { ids, scores, orders } = part.keys.length || !old.keys.length ? part : old;
  return {
    size: old.size,
    revision: part.revision,
    keys: Int32Array.from(order, ([set, i]) => set.keys[i]),
    labels: Int32Array.from(order, ([set, i]) => set.labels[i]),
    areas: Int32Array.from(order, ([set, i]) => set.areas[i]),
    scores: scores && Float32Array.from(order, ([set, i]) => set.scores?.[i] ?? 1),
    ids: ids && order.map(([set, i]) => set.ids?.[i] ?? 0),
    orders: orders && Int32Array.from(order, ([set, i]) => set.orders?.[i] ?? 0),
    x: runs("x"),
    y0: runs("y0"),
    y1: runs("y1"),
    offsets,
    boxes,
  };
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

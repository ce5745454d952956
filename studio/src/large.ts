// The objects of a large image: their boxes are all here, their masks are read a tile at a time, as they are seen there.

import { readObjects } from "./api";
import { type Dots, type Style, paint } from "./paint";
import { type Objects, covers } from "./wire";

const TILE = 512;
const CELL = 1024; // side of a square of the index, in pixels of the image
const SEEN = 4; // pixels of the screen from which on an object is more than a dot
const KEPT = 200; // tiles whose masks are kept

/** What is shown of all objects: the place of each in the order from the lowest to the highest, or -1. */
type Rank = Int32Array;

export class Large {
  private readonly tiles = new Map<string, Objects | null>();
  private readonly whole = new Map<number, Objects | null>();
  private rank: Rank = new Int32Array(0);
  private ranked: Int32Array | null = null;
  private columns = 0;
  private rows = 0;
  private starts = new Int32Array(1);
  private items = new Int32Array(0); // objects by the square of their middle
  private widest = 0;

  constructor(
    private readonly number: number,
    private objects: Objects,
    private readonly arrived: (tile: boolean) => void,
    private readonly failed: (why: string) => void,
  ) {
    this.index();
  }

  /** Whether objects are these: other ones without their masks are of another reading. */
  has(objects: Objects): boolean {
    return objects === this.objects;
  }

  /** Take objects after a change; masks are read again of what lies in these boxes. */
  take(objects: Objects, boxes: readonly (readonly number[])[]): void {
    if (objects === this.objects) return;
    this.objects = objects;
    for (const key of [...this.tiles.keys()]) if (touches(key, boxes)) this.tiles.delete(key);
    this.whole.clear();
    this.index();
  }

  private index(): void {
    const { boxes, size, keys } = this.objects;
    [this.rows, this.columns] = [Math.ceil(size[0] / CELL), Math.ceil(size[1] / CELL)];
    this.starts = new Int32Array(this.rows * this.columns + 1);
    const own = new Int32Array(keys.length);
    this.widest = 0;
    for (let i = 0, b = 0; i < own.length; i++, b += 4) {
      const column = (boxes[b] + boxes[b + 2]) >> 1;
      const row = (boxes[b + 1] + boxes[b + 3]) >> 1;
      own[i] = Math.floor(row / CELL) * this.columns + Math.floor(column / CELL);
      this.starts[own[i] + 1]++;
      this.widest = Math.max(this.widest, boxes[b + 2] - boxes[b], boxes[b + 3] - boxes[b + 1]);
    }
    for (let k = 1; k < this.starts.length; k++) this.starts[k] += this.starts[k - 1];
    const next = this.starts.slice();
    this.items = new Int32Array(own.length);
    for (let i = 0; i < own.length; i++) this.items[next[own[i]]++] = i;
    this.ranked = null;
  }

  /** Call with each object whose middle lies in a box that is wider by `margin` on all sides. */
  private near(x0: number, y0: number, x1: number, y1: number, margin: number, each: (i: number) => void): void {
    const clip = (v: number, most: number): number => Math.min(Math.max(Math.floor(v / CELL), 0), most - 1);
    const [left, right] = [clip(x0 - margin, this.columns), clip(x1 + margin, this.columns)];
    const last = clip(y1 + margin, this.rows);
    for (let row = clip(y0 - margin, this.rows); row <= last; row++) {
      const end = this.starts[row * this.columns + right + 1];
      for (let k = this.starts[row * this.columns + left]; k < end; k++) each(this.items[k]);
    }
  }

  /** Paint a tile, or return false: its masks are being read. */
  paint(style: Style, level: number, column: number, row: number, out: Uint32Array<ArrayBuffer>): boolean {
    const part = this.tile(level, column, row);
    if (!part) return false;
    this.rankBy(style.order);
    const { objects, rank } = this;
    const places = Int32Array.from(part.keys, (key) => place(objects.keys, key));
    const order = [...places.keys()].filter((k) => places[k] >= 0 && rank[places[k]] >= 0).sort((a, b) => rank[places[a]] - rank[places[b]]);
    const boxes = new Int32Array(4 * places.length);
    places.forEach((i, k) => i >= 0 && boxes.set(objects.boxes.subarray(4 * i, 4 * i + 4), 4 * k));
    const colours = Uint32Array.from(places, (i) => style.colours[i]);
    const shown = { ...style, colours, order: Int32Array.from(order) };
    paint({ ...part, boxes }, shown, level, column * TILE, row * TILE, TILE, out, this.dots(style, level, column, row));
    return true;
  }

  /** The objects that are too small to be more than a dot in a tile. */
  private dots(style: Style, level: number, column: number, row: number): Dots {
    const { boxes } = this.objects;
    const found: number[] = [];
    const side = TILE << level;
    const least = SEEN << level;
    const [x, y] = [column * side, row * side];
    if (level)
      this.near(x, y, x + side, y + side, least, (i) => {
        if (this.rank[i] >= 0 && Math.max(boxes[4 * i + 2] - boxes[4 * i], boxes[4 * i + 3] - boxes[4 * i + 1]) < least) found.push(i);
      });
    return { boxes, places: Int32Array.from(found), colours: style.colours };
  }

  private rankBy(order: Int32Array): void {
    if (this.ranked === order) return;
    this.ranked = order;
    this.rank = new Int32Array(this.objects.keys.length).fill(-1);
    order.forEach((i, k) => (this.rank[i] = k));
  }

  private tile(level: number, column: number, row: number): Objects | null {
    if (level && this.widest < SEEN << level) return NOTHING;
    const key = `${level}/${column}/${row}`;
    const known = this.tiles.get(key);
    if (known !== undefined) return known;
    this.read(this.tiles, key, `objects/${key}`, () => this.arrived(true));
    for (const old of [...this.tiles.keys()].slice(0, Math.max(this.tiles.size - KEPT, 0))) this.tiles.delete(old);
    return null;
  }

  /** An object with its whole mask and its place there, once it is read. */
  mask(i: number): { objects: Objects; at: number } | null {
    const key = this.objects.keys[i];
    const known = this.whole.get(key);
    if (known === undefined) this.read(this.whole, key, `masks?key=${key}`, () => this.arrived(false));
    return known ? { objects: known, at: 0 } : null;
  }

  private read<K>(kept: Map<K, Objects | null>, key: K, path: string, done: () => void): void {
    kept.set(key, null);
    readObjects(`images/${this.number}/${path}`).then(
      (answer) => {
        if (!kept.has(key) || (kept.get(key)?.revision ?? 0) > answer.objects.revision) return;
        kept.set(key, answer.objects);
        done();
      },
      (error: Error) => this.failed(error.message),
    );
  }

  /** The topmost object that is shown at a pixel of a tile, or -1. */
  pick(style: Style, level: number, x: number, y: number): number {
    this.rankBy(style.order);
    const { boxes, keys } = this.objects;
    const part = this.tiles.get(`${level}/${Math.floor(x / (TILE << level))}/${Math.floor(y / (TILE << level))}`);
    const step = 1 << level;
    const column = (x >> level << level) + (step >> 1);
    let best = -1;
    part?.keys.forEach((key, k) => {
      const i = place(keys, key);
      const wide = boxes[4 * i + 2] - boxes[4 * i] >= 3 * step;
      if (i >= 0 && this.rank[i] > (best < 0 ? -1 : this.rank[best]) && covers(part, k, wide && level ? column : x, y)) best = i;
    });
    if (best >= 0 || !level) return best;
    this.near(x, y, x, y, SEEN << level, (i) => {
      const b = 4 * i;
      const inside = boxes[b] - step <= x && x < boxes[b + 2] + step && boxes[b + 1] - step <= y && y < boxes[b + 3] + step;
      if (inside && this.rank[i] > (best < 0 ? -1 : this.rank[best])) best = i;
    });
    return best;
  }

  /** The shown objects that may be seen in a box, the highest first; none where there are more than `most`. */
  within(style: Style, x0: number, y0: number, x1: number, y1: number, most: number): number[] {
    this.rankBy(style.order);
    const found: number[] = [];
    this.near(x0, y0, x1, y1, Math.min(this.widest, CELL), (i) => found.length <= most && this.rank[i] >= 0 && found.push(i));
    return found.length > most ? [] : found.sort((a, b) => this.rank[b] - this.rank[a]);
  }
}

const NOTHING: Objects = {
  size: [0, 0],
  revision: 0,
  keys: new Int32Array(0),
  labels: new Int32Array(0),
  areas: new Int32Array(0),
  scores: null,
  ids: null,
  orders: null,
  x: new Int32Array(0),
  y0: new Int32Array(0),
  y1: new Int32Array(0),
  offsets: new Int32Array(1),
  boxes: new Int32Array(0),
};

/** Whether a tile, or what is drawn a pixel beside it, touches one of some boxes. */
export function touches(tile: string, boxes: readonly (readonly number[])[]): boolean {
  const [level, column, row] = tile.split("/").map(Number);
  const side = TILE << level;
  const beside = side / TILE;
  return boxes.some(
    ([x0, y0, x1, y1]) =>
      x0 - beside <= (column + 1) * side && x1 + beside >= column * side && y0 - beside <= (row + 1) * side && y1 + beside >= row * side,
  );
}

/** The place of a key among ascending keys, or -1. */
export function place(keys: Int32Array, key: number): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (keys[middle] < key) low = middle + 1;
    else high = middle;
  }
  return keys[low] === key ? low : -1;
}

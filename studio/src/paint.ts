// Masks to pixels, a tile at a time, from run-lengths: fill, and an outline where the topmost object changes.

import { type Objects, firstRun } from "./wire";

export interface Style {
  /** Colour of each object, 0xBBGGRR. */
  readonly colours: Uint32Array;
  /** Objects to paint, the lowest first. */
  readonly order: Int32Array;
  readonly fill: boolean;
  readonly outline: boolean;
}

/** Objects that are too small for a mask: their boxes are filled, above all masks. */
export interface Dots {
  readonly boxes: Int32Array;
  /** Which of the boxes. */
  readonly places: Int32Array;
  readonly colours: Uint32Array;
}

let owner = new Int32Array(0); // kept: a tile is painted in milliseconds, and its memory would be collected as often

/** Paint the square of `side` pixels at (left, top) of the picture halved `level` times, as RGBA into `out`. */
export function paint(o: Objects, style: Style, level: number, left: number, top: number, side: number, out = new Uint32Array(side * side), dots?: Dots): Uint32Array {
  const wide = side + 2; // a margin of a pixel, so that outlines do not end at tiles
  if (owner.length === wide * wide) owner.fill(0);
  else owner = new Int32Array(wide * wide);
  const { boxes } = o;
  const [right, bottom] = [(left + side + 1) << level, (top + side + 1) << level];
  for (const i of style.order) {
    if (boxes[4 * i] >= right || boxes[4 * i + 1] >= bottom) continue;
    if ((boxes[4 * i + 2] - 1) >> level < left - 1 || (boxes[4 * i + 3] - 1) >> level < top - 1) continue;
    own(o, i, owner, wide, level, left - 1, top - 1);
  }
  const count = o.offsets.length - 1;
  if (dots) dot(dots, count, wide, level, left - 1, top - 1);
  out.fill(0);
  for (let row = 0; row < side; row++) {
    let at = (row + 1) * wide + 1;
    for (let column = 0; column < side; column++, at++) {
      const me = owner[at];
      if (me === 0) continue;
      if (me > count) {
        if (style.fill || style.outline) out[row * side + column] = 0x99000000 | dots!.colours[dots!.places[me - 1 - count]];
        continue;
      }
      const edge = owner[at - 1] !== me || owner[at + 1] !== me || owner[at - wide] !== me || owner[at + wide] !== me;
      const alpha = edge && style.outline ? 0xff : style.fill ? 0x66 : 0;
      if (alpha) out[row * side + column] = (alpha << 24) | style.colours[me - 1];
    }
  }
  return out;
}

function own(o: Objects, i: number, owner: Int32Array, wide: number, level: number, left: number, top: number): void {
  // of the columns that fall on one pixel the middle one is enough, unless the object is small
  const step = 1 << level;
  const every = level === 0 || o.boxes[4 * i + 2] - o.boxes[4 * i] < 3 * step;
  const end = o.offsets[i + 1];
  for (let r = firstRun(o, i, left << level); r < end; r++) {
    const x = o.x[r];
    const column = (x >> level) - left;
    if (column >= wide) break;
    if (column < 0 || (!every && (x & (step - 1)) !== step >> 1)) continue;
    const from = Math.max((o.y0[r] >> level) - top, 0);
    const to = Math.min(((o.y1[r] - 1) >> level) - top, wide - 1);
    for (let y = from, at = from * wide + column; y <= to; y++, at += wide) owner[at] = i + 1;
  }
}

function dot({ boxes, places }: Dots, count: number, wide: number, level: number, left: number, top: number): void {
  for (let k = 0; k < places.length; k++) {
    const b = 4 * places[k];
    const x1 = Math.min(((boxes[b + 2] - 1) >> level) - left, wide - 1);
    const y1 = Math.min(((boxes[b + 3] - 1) >> level) - top, wide - 1);
    for (let y = Math.max((boxes[b + 1] >> level) - top, 0); y <= y1; y++)
      for (let x = Math.max((boxes[b] >> level) - left, 0); x <= x1; x++) owner[y * wide + x] = count + 1 + k;
  }
}

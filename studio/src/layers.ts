// What of the objects is shown, and in which colours.

import { colour } from "./colours";
import type { Layer } from "./viewer";
import { type Objects, changed } from "./wire";

export interface Shown {
  labels: boolean;
  predictions: boolean;
  fill: boolean;
  outline: boolean;
  names: boolean;
  boxes: boolean;
  /** Ids follow objects from frame to frame, and so do colours. */
  tracks: boolean;
}

export interface Filter {
  hidden: ReadonlySet<string>;
  score: number;
  least: number;
}

export interface Found {
  objects: Objects;
  classes: readonly string[];
}

/** What a person reads of an object: class, score, id. */
export function nameOf(o: Objects, i: number, classes: readonly string[]): string {
  const score = o.scores ? ` ${o.scores[i].toFixed(2)}` : "";
  return `${classes[o.labels[i]] ?? "?"}${score}${o.ids ? ` #${o.ids[i]}` : ""}`;
}

/** The objects that the filter lets through, in their order of overlap and then the smallest on top, in their own colours or in those that are given. */
export function layerOf({ objects, classes }: Found, shown: Shown, filter: Filter, colours?: Uint32Array): Layer {
  const { areas, orders, labels, scores } = objects;
  const hidden = classes.map((name) => filter.hidden.has(name));
  const passed = new Int32Array(labels.length);
  let count = 0;
  for (let i = 0; i < labels.length; i++) if (!hidden[labels[i]] && areas[i] >= filter.least && (!scores || scores[i] >= filter.score)) passed[count++] = i;
  const order = inOrder(passed.subarray(0, count), areas, orders);
  const own = colours ?? Uint32Array.from((shown.tracks && objects.ids) || objects.keys, (key) => colour(key + 1));
  return { objects, style: { colours: own, order, fill: shown.fill, outline: shown.outline } };
}

const PLACES = 2 ** 21;

/** Rows in their order of overlap, then from the largest to the smallest. */
export function inOrder(rows: Int32Array, areas: Int32Array, orders: Int32Array | null): Int32Array {
  if (orders || rows.length > PLACES) return rows.sort((a, b) => (orders ? orders[a] - orders[b] : 0) || areas[b] - areas[a]);
  // numbers are sorted many times as fast without a function that compares them
  return Int32Array.from(Float64Array.from(rows, (i, k) => (2 ** 31 - areas[i]) * PLACES + k).sort(), (packed) => rows[packed % PLACES]);
}

/** Labels and predictions on one picture, the smallest on top. */
export function together(labels: Layer, found: Layer): Layer {
  const count = labels.objects.keys.length;
  const moved = { ...found.objects, keys: found.objects.keys.map((key) => key + 1 + Math.max(0, ...labels.objects.keys)) };
  const objects = changed({ ...labels.objects, scores: null, ids: null, orders: null }, { ...moved, scores: null, ids: null, orders: null }, []);
  const order = [...labels.style.order, ...found.style.order.map((i) => i + count)].sort((a, b) => objects.areas[b] - objects.areas[a]);
  const colours = Uint32Array.from([...labels.style.colours, ...found.style.colours]);
  return { objects, style: { ...labels.style, colours, order: Int32Array.from(order) } };
}

/** The boxes of the objects that have these keys. */
export function boxesOf(o: Objects, keys: readonly number[]): number[][] {
  return keys.flatMap((key) => {
    const i = o.keys.indexOf(key);
    return i < 0 ? [] : [[...o.boxes.subarray(4 * i, 4 * i + 4)]];
  });
}

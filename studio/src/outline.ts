// The outline of an object: along pixel edges, around every part and hole.

import type { Objects } from "./wire";

export function outline(o: Objects, i: number): Path2D {
  const path = new Path2D();
  const [from, to] = [o.offsets[i], o.offsets[i + 1]];
  for (let r = from; r < to; r++) {
    for (const y of [o.y0[r], o.y1[r]]) {
      path.moveTo(o.x[r], y);
      path.lineTo(o.x[r] + 1, y);
    }
  }
  for (const [x, y0, y1] of sides(o, from, to)) {
    path.moveTo(x, y0);
    path.lineTo(x, y1);
  }
  return path;
}

/** Draw a white line with dark edges. */
export function strokeOutline(context: CanvasRenderingContext2D, path: Path2D, thin: number): void {
  for (const [style, width] of [["#000", 4], ["#fff", 2]] as const) {
    context.strokeStyle = style;
    context.lineWidth = width * thin;
    context.stroke(path);
  }
}

/** Vertical edges of an object: where a column is inside and its neighbour is not. */
function sides(o: Objects, from: number, to: number): [x: number, y0: number, y1: number][] {
  const columns = new Map<number, [number, number][]>();
  for (let r = from; r < to; r++) columns.set(o.x[r], [...(columns.get(o.x[r]) ?? []), [o.y0[r], o.y1[r]]]);
  const found: [number, number, number][] = [];
  for (const [x, runs] of columns) {
    for (const [edge, other] of [[x, x - 1], [x + 1, x + 1]]) {
      for (const [y0, y1] of runs) {
        let at = y0;
        for (const [a, b] of columns.get(other) ?? []) {
          if (b <= at || a >= y1) continue;
          if (a > at) found.push([edge, at, a]);
          at = Math.max(at, b);
        }
        if (at < y1) found.push([edge, at, y1]);
      }
    }
  }
  return found;
}

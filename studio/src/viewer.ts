// One image with its objects: picture and masks in tiles on one canvas; strokes, boxes and names on another above it.

import { css } from "./colours";
import { type Style, paint } from "./paint";
import { type Objects, covers } from "./wire";

const TILE = 512;
const BUDGET = 9; // milliseconds of a frame that go into painting tiles
const KEPT = 220; // tiles of each kind

export interface Layer {
  readonly objects: Objects;
  readonly style: Style;
}

export interface Above {
  readonly layer: Layer;
  readonly boxes: boolean;
  readonly text: ((i: number) => string) | null;
  readonly selected: ReadonlySet<number>;
}

/** What is being drawn, in pixels of the image; `how` once it was sent and not saved. */
export interface Stroke {
  points: Point[];
  radius: number;
  closed: boolean;
  how?: "new" | "add" | "cut";
}

export type Point = [x: number, y: number];

export class Viewer {
  readonly width: number;
  readonly height: number;
  private readonly levels: number;
  private scale = 1;
  private x = 0;
  private y = 0;
  private readonly pictures = new Map<string, ImageBitmap | null>();
  private stale = new Map<string, ImageBitmap | null>(); // tiles of the look before, until the new ones are there
  private look = "";
  private readonly masks = new Map<string, OffscreenCanvas>();
  private layer: Layer | null = null;
  private above: Above | null = null;
  private readonly pixels = new Uint32Array(TILE * TILE); // of the tile that is painted
  private readonly image = new ImageData(new Uint8ClampedArray(this.pixels.buffer), TILE, TILE);
  private blank = false; // nothing lies above
  private dirty = 0;
  private readonly size: ResizeObserver;
  private closed = false;
  stroke: Stroke | null = null;
  cursor: { at: Point; radius: number } | null = null;

  constructor(
    private readonly base: HTMLCanvasElement,
    private readonly over: HTMLCanvasElement,
    private readonly number: number,
    { width, height, levels }: { width: number; height: number; levels: number },
    private readonly missing: (why: string) => void,
  ) {
    [this.width, this.height, this.levels] = [width, height, levels];
    this.size = new ResizeObserver(() => this.resize());
    this.size.observe(base);
    this.resize();
    this.fit();
  }

  close(): void {
    this.closed = true;
    this.size.disconnect();
    this.pictures.forEach((bitmap) => bitmap?.close());
  }

  private resize(): void {
    const ratio = window.devicePixelRatio;
    for (const canvas of [this.base, this.over]) {
      canvas.width = Math.max(Math.round(canvas.clientWidth * ratio), 1);
      canvas.height = Math.max(Math.round(canvas.clientHeight * ratio), 1);
    }
    this.redraw();
  }

  fit(): void {
    this.scale = Math.min(this.base.width / this.width, this.base.height / this.height) * 0.98 || 1;
    this.x = (this.base.width - this.width * this.scale) / 2;
    this.y = (this.base.height - this.height * this.scale) / 2;
    this.redraw();
  }

  /** Show the box in the middle, not smaller than it is now. */
  show(box: ArrayLike<number>): void {
    const wide = Math.max(box[2] - box[0], box[3] - box[1], 1);
    const wanted = (0.4 * Math.min(this.base.width, this.base.height)) / wide;
    this.scale = Math.max(Math.min(wanted, 16), this.scale);
    this.x = this.base.width / 2 - ((box[0] + box[2]) / 2) * this.scale;
    this.y = this.base.height / 2 - ((box[1] + box[3]) / 2) * this.scale;
    this.redraw();
  }

  zoom(factor: number, at?: { clientX: number; clientY: number }): void {
    const ratio = window.devicePixelRatio;
    const frame = this.base.getBoundingClientRect();
    const px = at ? (at.clientX - frame.left) * ratio : this.base.width / 2;
    const py = at ? (at.clientY - frame.top) * ratio : this.base.height / 2;
    const scale = Math.min(Math.max(this.scale * factor, 0.01), 64);
    this.x = px - ((px - this.x) * scale) / this.scale;
    this.y = py - ((py - this.y) * scale) / this.scale;
    this.scale = scale;
    this.redraw();
  }

  pan(dx: number, dy: number): void {
    this.x += dx * window.devicePixelRatio;
    this.y += dy * window.devicePixelRatio;
    this.redraw();
  }

  /** Where a pointer is, in pixels of the image. */
  at(event: { clientX: number; clientY: number }): Point {
    const frame = this.base.getBoundingClientRect();
    const ratio = window.devicePixelRatio;
    const inside = (v: number, most: number): number => Math.min(Math.max(v, -8), most + 8);
    return [
      inside(((event.clientX - frame.left) * ratio - this.x) / this.scale, this.width),
      inside(((event.clientY - frame.top) * ratio - this.y) / this.scale, this.height),
    ];
  }

  /** The smallest shown object at a point, or -1. */
  pick([x, y]: Point): number {
    if (!this.layer) return -1;
    const { objects, style } = this.layer;
    const [column, row] = [Math.floor(x), Math.floor(y)];
    for (let k = style.order.length - 1; k >= 0; k--) if (covers(objects, style.order[k], column, row)) return style.order[k];
    return -1;
  }

  /** Show these objects; `boxes` of objects that changed, if all others are as they were. */
  setLayer(layer: Layer, boxes?: readonly (readonly number[])[]): void {
    this.layer = layer;
    if (!boxes) this.masks.clear();
    for (const key of boxes ? [...this.masks.keys()] : []) {
      const [level, column, row] = key.split("/").map(Number);
      const side = TILE << level;
      const touched = boxes!.some(
        ([x0, y0, x1, y1]) =>
          x0 - side / TILE <= (column + 1) * side && x1 + side / TILE >= column * side &&
          y0 - side / TILE <= (row + 1) * side && y1 + side / TILE >= row * side,
      );
      if (touched) this.masks.delete(key);
    }
    this.redraw();
  }

  /** Show other channels or another contrast: words of a tile's address. */
  setLook(look: string): void {
    if (look === this.look) return;
    this.look = look;
    this.stale = new Map(this.pictures);
    this.pictures.clear();
    this.redraw();
  }

  setAbove(above: Above): void {
    this.above = above;
    this.redraw(1);
  }

  /** Draw with the next frame: 1 what lies above, 3 all. */
  redraw(what = 3): void {
    if (!this.dirty) requestAnimationFrame(() => this.frame());
    this.dirty |= what;
  }

  private frame(): void {
    const what = this.dirty;
    this.dirty = 0;
    if (this.closed) return;
    if (what & 2) this.drawBase();
    this.drawAbove();
  }

  private drawBase(): void {
    const context = this.base.getContext("2d")!;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.base.width, this.base.height);
    context.setTransform(this.scale, 0, 0, this.scale, this.x, this.y);
    const level = Math.min(Math.max(Math.floor(Math.log2(1 / this.scale) + 0.25), 0), this.levels - 1);
    context.imageSmoothingEnabled = this.scale < 2;
    const seen = this.seen(level);
    const pictures = seen.map(([column, row]) => this.picture(level, column, row));
    // what is coarser is there sooner: it is drawn below, until the right tiles are there
    const coarsest = this.levels - 1;
    if (pictures.includes(null)) for (const [column, row] of this.seen(coarsest)) this.put(context, this.picture(coarsest, column, row), coarsest, column, row);
    seen.forEach(([column, row], k) => this.put(context, pictures[k], level, column, row));
    if (!this.layer) return;
    const until = performance.now() + BUDGET;
    let [late, cost] = [false, 0];
    for (const [column, row] of seen) {
      const key = `${level}/${column}/${row}`;
      let tile = this.masks.get(key);
      const began = performance.now();
      if (!tile && began + cost < until) {
        this.masks.set(key, (tile = this.painted(level, column, row)));
        cost = performance.now() - began;
      }
      if (tile) this.put(context, tile, level, column, row);
      else {
        late = true;
        this.putCoarser(context, level, column, row);
      }
    }
    for (const key of [...this.masks.keys()].slice(0, Math.max(this.masks.size - KEPT, 0))) this.masks.delete(key);
    this.trim();
    if (late) this.redraw();
    else once("all masks shown");
  }

  private seen(level: number): [number, number][] {
    const side = TILE << level;
    const clip = (v: number, most: number): number => Math.min(Math.max(Math.floor(v / side), 0), Math.ceil(most / side) - 1);
    const found: [number, number][] = [];
    const [x1, y1] = [clip((this.base.width - this.x) / this.scale, this.width), clip((this.base.height - this.y) / this.scale, this.height)];
    for (let row = clip(-this.y / this.scale, this.height); row <= y1; row++)
      for (let column = clip(-this.x / this.scale, this.width); column <= x1; column++) found.push([column, row]);
    return found;
  }

  private put(context: CanvasRenderingContext2D, tile: ImageBitmap | OffscreenCanvas | null, level: number, column: number, row: number): void {
    const side = TILE << level;
    if (tile) context.drawImage(tile, column * side, row * side, tile.width << level, tile.height << level);
  }

  private putCoarser(context: CanvasRenderingContext2D, level: number, column: number, row: number): void {
    for (let up = 1; level + up < this.levels; up++) {
      const tile = this.masks.get(`${level + up}/${column >> up}/${row >> up}`);
      if (!tile) continue;
      const part = TILE >> up;
      const [sx, sy] = [(column - ((column >> up) << up)) * part, (row - ((row >> up) << up)) * part];
      const side = TILE << level;
      context.drawImage(tile, sx, sy, part, part, column * side, row * side, side, side);
      return;
    }
  }

  private picture(level: number, column: number, row: number): ImageBitmap | null {
    const key = `${level}/${column}/${row}`;
    const known = this.pictures.get(key);
    if (known !== undefined) return known ?? this.stale.get(key) ?? null;
    this.pictures.set(key, null);
    void this.fetched(key, this.look);
    return this.stale.get(key) ?? null;
  }

  private async fetched(key: string, look: string): Promise<void> {
    try {
      const answer = await fetch(`api/images/${this.number}/tiles/${key}${look && `?${look}`}`);
      if (!answer.ok) throw new Error(((await answer.json()) as { message: string }).message);
      const bitmap = await createImageBitmap(await answer.blob());
      if (this.closed || look !== this.look) return bitmap.close();
      once("picture shown");
      this.stale.get(key)?.close();
      this.stale.delete(key);
      this.pictures.set(key, bitmap);
      this.redraw();
    } catch (error) {
      if (!this.closed) this.missing((error as Error).message);
    }
  }

  /** Let go of the tiles that were asked for first, but never of the coarsest, which lie below all others. */
  private trim(): void {
    const coarsest = `${this.levels - 1}/`;
    for (const [key, bitmap] of this.pictures) {
      if (this.pictures.size <= KEPT) return;
      if (!bitmap || key.startsWith(coarsest)) continue;
      bitmap.close();
      this.pictures.delete(key);
    }
  }

  private painted(level: number, column: number, row: number): OffscreenCanvas {
    const canvas = new OffscreenCanvas(TILE, TILE);
    paint(this.layer!.objects, this.layer!.style, level, column * TILE, row * TILE, TILE, this.pixels);
    canvas.getContext("2d")!.putImageData(this.image, 0, 0);
    return canvas;
  }

  private drawAbove(): void {
    const empty = !this.stroke && !this.cursor && !(this.above && (this.above.boxes || this.above.text || this.above.selected.size));
    if (empty && this.blank) return;
    this.blank = empty;
    const context = this.over.getContext("2d")!;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.over.width, this.over.height);
    context.setTransform(this.scale, 0, 0, this.scale, this.x, this.y);
    if (this.above) this.drawMarks(context, this.above);
    this.drawStroke(context);
  }

  private drawMarks(context: CanvasRenderingContext2D, above: Above): void {
    const { objects, style } = above.layer;
    const thin = window.devicePixelRatio / this.scale;
    for (const i of above.selected) this.drawSelected(context, objects, i, thin);
    const taken: number[][] = [];
    context.font = `${12 * thin}px system-ui, sans-serif`;
    context.textBaseline = "bottom";
    for (let k = style.order.length - 1; k >= 0 && (above.boxes || above.text); k--) {
      const i = style.order[k];
      const [x0, y0, x1, y1] = objects.boxes.subarray(4 * i, 4 * i + 4);
      if (!this.visible(x0, y0, x1, y1)) continue;
      if (above.boxes) {
        context.strokeStyle = css(style.colours[i]);
        context.lineWidth = 1.5 * thin;
        context.strokeRect(x0, y0, x1 - x0, y1 - y0);
      }
      if (!above.text || taken.length > 400) continue;
      // names keep out of each other's way: one that would cover another is left out
      const text = above.text(i);
      const wide = context.measureText(text).width + 6 * thin;
      const place = [x0, Math.max(y0 - 16 * thin, 0), x0 + wide, Math.max(y0, 16 * thin)];
      if (taken.some((t) => t[0] < place[2] && place[0] < t[2] && t[1] < place[3] && place[1] < t[3])) continue;
      taken.push(place);
      context.fillStyle = "rgb(0 0 0 / 75%)";
      context.fillRect(place[0], place[1], wide, 16 * thin);
      context.fillStyle = "#fff";
      context.fillText(text, place[0] + 3 * thin, place[3] - thin);
    }
  }

  private visible(x0: number, y0: number, x1: number, y1: number): boolean {
    const s = this.scale;
    return x1 * s + this.x > 0 && y1 * s + this.y > 0 && x0 * s + this.x < this.base.width && y0 * s + this.y < this.base.height;
  }

  /** Draw a white and a dark line around every part and hole of an object, along pixel edges. */
  private drawSelected(context: CanvasRenderingContext2D, o: Objects, i: number, thin: number): void {
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
    for (const [style, width] of [["#000", 4], ["#fff", 2]] as const) {
      context.strokeStyle = style;
      context.lineWidth = width * thin;
      context.stroke(path);
    }
  }

  private drawStroke(context: CanvasRenderingContext2D): void {
    const thin = window.devicePixelRatio / this.scale;
    if (this.stroke?.points.length) {
      const { points, radius, closed } = this.stroke;
      context.beginPath();
      points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
      if (points.length === 1) context.lineTo(points[0][0] + 0.01, points[0][1]);
      if (closed) context.closePath();
      context.lineJoin = context.lineCap = "round";
      context.strokeStyle = radius ? "rgb(255 255 255 / 55%)" : "#fff";
      context.lineWidth = radius ? 2 * radius : 2 * thin;
      context.stroke();
      if (!radius) for (const [x, y] of points) context.fillRect(x - 2 * thin, y - 2 * thin, 4 * thin, 4 * thin);
    }
    if (this.cursor?.radius) {
      context.beginPath();
      context.arc(this.cursor.at[0], this.cursor.at[1], this.cursor.radius, 0, 2 * Math.PI);
      context.strokeStyle = "#fff";
      context.lineWidth = thin;
      context.stroke();
    }
  }
}

/** Note when something was on the screen for the first time. */
function once(name: string): void {
  if (!performance.getEntriesByName(name).length) performance.mark(name);
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

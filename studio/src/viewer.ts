// One image with its objects: picture and masks in tiles on one canvas; strokes, boxes and names on another above it.

import { css } from "./colours";
import { Large, touches } from "./large";
import { outline, strokeOutline } from "./outline";
import { type Style, paint } from "./paint";
import { type Objects, covers } from "./wire";

const TILE = 512;
const BUDGET = 9; // milliseconds of a frame that go into painting tiles
const KEPT = 96; // tiles of each kind, a megabyte each; twice as many as are seen, if these are more
const NAMED = 3000; // objects of a large image that are seen at once, of more no boxes and names are drawn

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
  private large: Large | null = null; // of an image whose masks are not all here
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
    const scale = Math.min(Math.max(this.scale * factor, Math.min(0.01, 0.5 ** this.levels)), 64);
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
    if (this.large) return this.large.pick(style, this.level(), column, row);
    for (let k = style.order.length - 1; k >= 0; k--) if (covers(objects, style.order[k], column, row)) return style.order[k];
    return -1;
  }

  /** Show these objects; `boxes` of objects that changed, if all others are as they were. */
  setLayer(layer: Layer, boxes?: readonly (readonly number[])[]): void {
    this.layer = layer;
    if (!layer.objects.large || (this.large && !boxes && !this.large.has(layer.objects))) this.large = null;
    if (layer.objects.large && !this.large) this.large = new Large(this.number, layer.objects, (tile) => this.redraw(tile ? 3 : 1), this.missing);
    this.large?.take(layer.objects, boxes ?? []);
    if (!boxes) this.masks.clear();
    else for (const key of [...this.masks.keys()]) if (touches(key, boxes)) this.masks.delete(key);
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
    const level = this.level();
    context.imageSmoothingEnabled = this.scale < 2;
    const seen = this.seen(level);
    const pictures = seen.map(([column, row]) => this.picture(level, column, row));
    // what is coarser is there sooner: it is drawn below, until the right tiles are there
    const coarsest = this.levels - 1;
    if (pictures.includes(null)) for (const [column, row] of this.seen(coarsest)) this.put(context, this.picture(coarsest, column, row), coarsest, column, row);
    seen.forEach(([column, row], k) => this.put(context, pictures[k], level, column, row));
    if (!this.layer) return;
    const until = performance.now() + BUDGET;
    let [late, cost, awaited] = [false, 0, false];
    for (const [column, row] of seen) {
      const key = `${level}/${column}/${row}`;
      let tile = this.masks.get(key) ?? null;
      const began = performance.now();
      if (!tile && began + cost < until) {
        tile = this.painted(level, column, row);
        if (tile) this.masks.set(key, tile);
        else awaited = true;
        cost = performance.now() - began;
      } else if (!tile) late = true;
      if (tile) this.put(context, tile, level, column, row);
      else this.putCoarser(context, level, column, row);
    }
    const most = Math.max(KEPT, 2 * seen.length);
    for (const key of [...this.masks.keys()].slice(0, Math.max(this.masks.size - most, 0))) if (!key.startsWith(`${coarsest}/`)) this.masks.delete(key);
    this.trim(most);
    if (late) this.redraw();
    else if (!awaited) once("all masks shown");
  }

  private level(): number {
    return Math.min(Math.max(Math.floor(Math.log2(1 / this.scale) + 0.25), 0), this.levels - 1);
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
  private trim(most: number): void {
    const coarsest = `${this.levels - 1}/`;
    for (const [key, bitmap] of this.pictures) {
      if (this.pictures.size <= most) return;
      if (!bitmap || key.startsWith(coarsest)) continue;
      bitmap.close();
      this.pictures.delete(key);
    }
  }

  /** The masks of a tile; null while they are being read. */
  private painted(level: number, column: number, row: number): OffscreenCanvas | null {
    const { objects, style } = this.layer!;
    if (!this.large) paint(objects, style, level, column * TILE, row * TILE, TILE, this.pixels);
    else if (!this.large.paint(style, level, column, row, this.pixels)) return null;
    const canvas = new OffscreenCanvas(TILE, TILE);
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
    for (const i of above.selected) {
      const mask = this.large ? above.selected.size <= NAMED / 10 && this.large.mask(i) : { objects, at: i };
      if (mask) strokeOutline(context, outline(mask.objects, mask.at), thin);
    }
    const taken: number[][] = [];
    context.font = `${12 * thin}px system-ui, sans-serif`;
    context.textBaseline = "bottom";
    if (!above.boxes && !above.text) return;
    const [left, top, right, bottom] = [-this.x, -this.y, this.over.width - this.x, this.over.height - this.y].map((v) => v / this.scale);
    const order = this.large ? this.large.within(style, left, top, right, bottom, NAMED) : style.order.slice().reverse();
    for (const i of order) {
      const [x0, y0, x1, y1] = objects.boxes.subarray(4 * i, 4 * i + 4);
      if (x1 <= left || y1 <= top || x0 >= right || y0 >= bottom) continue;
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

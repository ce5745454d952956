// Frames of a sequence with their objects, drawn once each at a size for the screen, and read ahead of what is shown.

import { imageInfo, readObjects } from "./api";
import { layerOf } from "./layers";
import { paint } from "./paint";
import type { Objects } from "./wire";

const TILE = 512;
const KEPT = 24; // frames
const AHEAD = 8;

export interface Frame {
  readonly canvas: OffscreenCanvas;
  readonly objects: Objects;
  /** Pixels of the image for one of the canvas. */
  readonly step: number;
}

export class Frames {
  private readonly asked = new Map<number, Promise<Frame>>();
  private readonly ready = new Map<number, Frame>();

  constructor(
    private readonly count: number,
    private readonly classes: readonly string[],
  ) {}

  /** A frame, if it is there. */
  now(number: number): Frame | undefined {
    return this.ready.get(number);
  }

  /** Read a frame, and those after it. */
  get(number: number): Promise<Frame> {
    for (let n = number; n <= Math.min(number + AHEAD, this.count - 1); n++) {
      if (this.asked.has(n)) continue;
      const asked = this.drawn(n);
      this.asked.set(n, asked);
      asked.then(
        (frame) => this.asked.has(n) && this.ready.set(n, frame),
        () => this.asked.delete(n),
      );
    }
    for (const n of this.asked.keys()) {
      if (this.asked.size <= KEPT) break;
      if (n >= number && n <= number + AHEAD) continue;
      this.asked.delete(n);
      this.ready.delete(n);
    }
    return this.asked.get(number)!;
  }

  private async drawn(number: number): Promise<Frame> {
    const [info, { objects }] = await Promise.all([imageInfo(number), readObjects(`images/${number}/objects`)]);
    const level = Math.max(info.levels - 2, 0);
    const [width, height] = [Math.ceil(info.width / (1 << level)), Math.ceil(info.height / (1 << level))];
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d")!;
    const { style } = layerOf({ objects, classes: this.classes }, SHOWN, FILTER);
    const places: [number, number][] = [];
    for (let row = 0; row * TILE < height; row++) for (let column = 0; column * TILE < width; column++) places.push([column, row]);
    const tiles = await Promise.all(places.map(([column, row]) => pictureOf(number, level, column, row)));
    const masks = new OffscreenCanvas(TILE, TILE);
    places.forEach(([column, row], k) => {
      context.drawImage(tiles[k], column * TILE, row * TILE);
      tiles[k].close();
      const pixels = paint(objects, style, level, column * TILE, row * TILE, TILE);
      masks.getContext("2d")!.putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer as ArrayBuffer), TILE, TILE), 0, 0);
      context.drawImage(masks, column * TILE, row * TILE);
    });
    return { canvas, objects, step: 1 << level };
  }
}

const SHOWN = { labels: true, predictions: false, fill: true, outline: true, names: false, boxes: false, tracks: true };
const FILTER = { hidden: new Set<string>(), score: 0, least: 0 };

async function pictureOf(number: number, level: number, column: number, row: number): Promise<ImageBitmap> {
  const answer = await fetch(`api/images/${number}/tiles/${level}/${column}/${row}`);
  if (!answer.ok) throw new Error(((await answer.json()) as { message: string }).message);
  return createImageBitmap(await answer.blob());
}

import { describe, expect, it } from "vitest";
import { type Actions, type Desk, keysOf } from "../src/actions";
import { colour } from "../src/colours";
import { inOrder } from "../src/layers";
import { place, touches } from "../src/large";
import { paint } from "../src/paint";
import { KEYS } from "../src/tools";
import { changed, covers, decode } from "../src/wire";

/** Two objects on 4 x 6 pixels: a ring of 3 x 3 at (1, 0), and the column 300 rows long would not fit, so one pixel. */
function sent(): ArrayBuffer {
  const header = { size: [4, 6], revision: 3, keys: [0, 7], labels: [0, 1], areas: [8, 1], scores: null, ids: [5, 9] };
  const text = new TextEncoder().encode(JSON.stringify(header));
  const zig = (v: number): number => (v < 0 ? -2 * v - 1 : 2 * v);
  const streams = [4, 1, ...[1, 1, 0, 1], 5, ...[0, 0, 2, -2].map(zig), zig(3), ...[3, -2, 0, 2].map(zig), zig(1)];
  const data = new Uint8Array(4 + text.length + streams.length);
  new DataView(data.buffer).setUint32(0, text.length, true);
  data.set(text, 4);
  data.set(streams, 4 + text.length);
  return data.buffer;
}

describe("objects", () => {
  const { objects } = decode(sent());

  it("are decoded with a hole", () => {
    expect([...objects.x]).toEqual([1, 2, 2, 3, 5]);
    expect([...objects.y0]).toEqual([0, 0, 2, 0, 3]);
    expect([...objects.y1]).toEqual([3, 1, 3, 3, 4]);
    expect([...objects.boxes]).toEqual([1, 0, 4, 3, 5, 3, 6, 4]);
    expect(covers(objects, 0, 2, 1)).toBe(false);
    expect(covers(objects, 0, 2, 2)).toBe(true);
    expect(covers(objects, 1, 5, 3)).toBe(true);
  });

  it("change in place, by key", () => {
    const after = changed(objects, { ...objects, revision: 4, keys: Int32Array.of(7, 8) }, [0]);
    expect([...after.keys]).toEqual([7, 8]);
    expect([...after.areas]).toEqual([8, 1]);
    expect(after.revision).toBe(4);
    expect([...changed(objects, { ...objects, keys: Int32Array.of() }, [7]).x]).toEqual([1, 2, 2, 3]);
  });

  it("are painted with fill and outline, also across tiles and halved", () => {
    const style = { colours: Uint32Array.of(0x0000ff, 0x00ff00), order: Int32Array.of(0, 1), fill: true, outline: false };
    const alphas = [...paint(objects, style, 0, 0, 0, 6)].map((v) => (v >>> 24 ? 1 : 0));
    expect(alphas.reduce((a: number, b) => a + b, 0)).toBe(9);
    expect(alphas[1 * 6 + 2]).toBe(0);
    const right = [...paint(objects, style, 0, 3, 0, 3)].map((v) => v & 0xffffff);
    expect(right).toEqual([0xff, 0, 0, 0xff, 0, 0, 0xff, 0, 0]);
    const half = [...paint(objects, style, 1, 0, 0, 3)].filter((v) => v >>> 24).length;
    expect(half).toBeGreaterThan(3);
  });
});

describe("objects of a large image", () => {
  const header = { size: [1000, 2000], revision: 2, count: 3, scored: true };
  const text = new TextEncoder().encode(JSON.stringify(header));
  const far = [172, 2, 2, 2]; // 300, then steps of 2
  const streams = [...far.slice(0, 2), 2, 2, 0, 1, 0, 9, 8, 7, 20, 40, 39, 2, 4, 6, 5, 6, 7, 1, 2, 3, 136, 39, 0, 144, 78];
  const data = new Uint8Array(4 + text.length + streams.length);
  new DataView(data.buffer).setUint32(0, text.length, true);
  data.set(text, 4);
  data.set(streams, 4 + text.length);
  const { objects } = decode(data.buffer);

  it("are decoded without masks", () => {
    expect(objects.large).toBe(true);
    expect([...objects.keys]).toEqual([300, 302, 304]);
    expect([[...objects.labels], [...objects.areas]]).toEqual([[0, 1, 0], [9, 8, 7]]);
    expect([...objects.boxes]).toEqual([10, 1, 15, 2, 30, 3, 36, 5, 10, 6, 17, 9]);
    expect([...objects.scores!].map((v) => Math.round(v * 1000))).toEqual([500, 0, 1000]);
  });

  it("change by key, and take no masks", () => {
    const after = changed(objects, { ...decode(sent()).objects, keys: Int32Array.of(0, 302), scores: null }, [304]);
    expect([...after.keys]).toEqual([0, 300, 302]);
    expect([...after.boxes]).toEqual([1, 0, 4, 3, 10, 1, 15, 2, 5, 3, 6, 4]);
    expect([after.large, after.offsets.length, after.x.length]).toEqual([true, 4, 0]);
    expect([...after.scores!]).toEqual([1, 0.5, 1]);
  });

  it("are found by key, and tiles by box", () => {
    expect([299, 300, 303, 304, 305].map((key) => place(objects.keys, key))).toEqual([-1, 0, -1, 2, -1]);
    expect(touches("1/1/0", [[1000, 0, 1023, 5]])).toBe(true); // drawn a pixel beside it
    expect(touches("1/1/0", [[1000, 0, 1021, 5]])).toBe(false);
  });

  it("are dots where they are small, above masks", () => {
    const style = { colours: Uint32Array.of(0x0000ff), order: Int32Array.of(), fill: true, outline: true };
    const none = { ...objects, offsets: Int32Array.of(0) };
    const pixels = paint(none, style, 2, 0, 0, 8, undefined, { boxes: objects.boxes, places: Int32Array.of(0, 2), colours: Uint32Array.of(1, 2, 3) });
    const seen = [...pixels.keys()].filter((k) => pixels[k]).map((k) => [k % 8, k >> 3, pixels[k] & 255]);
    expect(seen).toEqual([[2, 0, 1], [3, 0, 1], [2, 1, 3], [3, 1, 3], [4, 1, 3], [2, 2, 3], [3, 2, 3], [4, 2, 3]]);
  });

  it("lie in order, the smallest on top", () => {
    const areas = Int32Array.of(5, 9, 5, 2_000_000_000);
    expect([...inOrder(Int32Array.of(0, 1, 2, 3), areas, null)]).toEqual([3, 1, 0, 2]);
    expect([...inOrder(Int32Array.of(0, 1, 2, 3), areas, Int32Array.of(0, 0, -1, 2))]).toEqual([2, 1, 0, 3]);
  });
});

describe("the keyboard card", () => {
  it("names every key of the page of an image", () => {
    const desk = { classes: ["a", "b"] } as unknown as Desk;
    const signs: Record<string, string> = { ArrowLeft: "←", ArrowRight: "→", "-": "−", "=": "+", Escape: "Esc", "1": "1 … 9", "2": "1 … 9" };
    const card = KEYS.flatMap(([keys]) => keys.split(/, | (?!…)(?<!…\s)/));
    const keys = Object.keys(keysOf(desk, {} as Actions, () => undefined, () => undefined));
    const written = keys.map((key) => signs[key] ?? key.replace(/^shift\+/, "Shift+").replace(/(^|\+)[a-z]$/, (v) => v.toUpperCase()));
    expect(written.filter((key) => !card.includes(key))).toEqual([]);
  });
});

describe("colours", () => {
  it("are stable and differ between neighbours", () => {
    const first = Array.from({ length: 50 }, (_, key) => colour(key));
    expect(new Set(first).size).toBe(50);
    expect(colour(3)).toBe(first[3]);
  });
});

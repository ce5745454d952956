import { describe, expect, it } from "vitest";
import { colour } from "../src/colours";
import { paint } from "../src/paint";
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

describe("colours", () => {
  it("are stable and differ between neighbours", () => {
    const first = Array.from({ length: 50 }, (_, key) => colour(key));
    expect(new Set(first).size).toBe(50);
    expect(colour(3)).toBe(first[3]);
  });
});

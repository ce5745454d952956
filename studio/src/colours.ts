// One stable colour per object: the palette of apiece.draw, hues by the golden ratio in OKLCH.

/** Colour of a key as 0xBBGGRR, as a little-endian canvas stores it. */
export function colour(key: number): number {
  const turn = (step: number): number => ((key * step) % 1 + 1) % 1;
  const level = turn(0.7548776662466927);
  const hue = (turn(0.6180339887498949) + 0.02) * 2 * Math.PI;
  const [l, c] = [0.62 + 0.2 * level, 0.21 - 0.05 * level];
  for (const dull of [1, 0.85, 0.7, 0.55, 0.4, 0.2, 0]) {
    const rgb = linear(l, c * dull * Math.cos(hue), c * dull * Math.sin(hue));
    if (rgb.every((v) => v >= -1e-4 && v <= 1 + 1e-4)) {
      const [r, g, b] = rgb.map((v) => Math.round(255 * shown(Math.min(Math.max(v, 0), 1))));
      return (b << 16) | (g << 8) | r;
    }
  }
  return 0x808080;
}

function linear(l: number, a: number, b: number): number[] {
  const long = (l + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const middle = (l - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const short = (l - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
    -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
    -0.0041960863 * long - 0.7034186147 * middle + 1.707614701 * short,
  ];
}

const shown = (v: number): number => (v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055);

/** A colour as CSS has it. */
export function css(bgr: number): string {
  return `rgb(${bgr & 255} ${(bgr >> 8) & 255} ${bgr >> 16})`;
}

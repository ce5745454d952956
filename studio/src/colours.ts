// One stable colour per object: the palette of apiece.draw, hues by the golden ratio in OKLCH.

const DULL = [1, 0.85, 0.7, 0.55, 0.4, 0.2, 0];

/** Colour of a key as 0xBBGGRR, as a little-endian canvas stores it. A picture may have a million. */
export function colour(key: number): number {
  const level = turn(key * 0.7548776662466927);
  const hue = (turn(key * 0.6180339887498949) + 0.02) * 2 * Math.PI;
  const [l, c] = [0.62 + 0.2 * level, 0.21 - 0.05 * level];
  const [across, along] = [Math.cos(hue), Math.sin(hue)];
  for (const dull of DULL) {
    const [a, b] = [c * dull * across, c * dull * along];
    const long = (l + 0.3963377774 * a + 0.2158037573 * b) ** 3;
    const middle = (l - 0.1055613458 * a - 0.0638541728 * b) ** 3;
    const short = (l - 0.0894841775 * a - 1.291485548 * b) ** 3;
    const red = 4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short;
    const green = -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short;
    const blue = -0.0041960863 * long - 0.7034186147 * middle + 1.707614701 * short;
    if (inside(red) && inside(green) && inside(blue)) return (byte(blue) << 16) | (byte(green) << 8) | byte(red);
  }
  return 0x808080;
}

const turn = (v: number): number => ((v % 1) + 1) % 1;
const inside = (v: number): boolean => v >= -1e-4 && v <= 1 + 1e-4;

function byte(v: number): number {
  const linear = Math.min(Math.max(v, 0), 1);
  return Math.round(255 * (linear <= 0.0031308 ? 12.92 * linear : 1.055 * linear ** (1 / 2.4) - 0.055));
}

/** A colour as CSS has it. */
export function css(bgr: number): string {
  return `rgb(${bgr & 255} ${(bgr >> 8) & 255} ${bgr >> 16})`;
}

import { useEffect, useState } from "preact/hooks";
import { type LookInfo, read } from "./api";
import type { Viewer } from "./viewer";

const NAMES = ["Red", "Green", "Blue"];

/** How the picture is turned into colours: which channels, and which values are black and white. */
export function Look({ number, viewer, tell }: { number: number; viewer: { current: Viewer | null }; tell: (text: string) => void }) {
  const [info, setInfo] = useState<LookInfo | null>(null);
  const [limits, setLimits] = useState<[number, number] | null>(null);
  const [channels, setChannels] = useState<number[]>([]);
  useEffect(() => {
    read<LookInfo>(`images/${number}/look`).then(setInfo, (error: Error) => tell(error.message));
  }, [number]);
  useEffect(() => {
    if (!info) return;
    const words = [...channels.map((c) => `channels=${c}`), ...(limits ? [`low=${limits[0]}`, `high=${limits[1]}`] : [])];
    const timer = setTimeout(() => viewer.current?.setLook(words.join("&")), 80);
    return () => clearTimeout(timer);
  }, [info, limits, channels]);
  if (!info) return <p class="quiet">Reading …</p>;
  const [least, most] = rangeOf(info);
  const [low, high] = limits ?? [info.low, info.high];
  const step = info.dtype.startsWith("float") ? (most - least) / 1000 || 1 : 1;
  return (
    <>
      <p class="quiet">
        {info.channels} {info.channels === 1 ? "channel" : "channels"}, {info.dtype}
      </p>
      <label>
        Black at {round(low)}
        <input type="range" min={least} max={most} step={step} value={low} onInput={(e) => setLimits([Math.min(Number(e.currentTarget.value), high - step), high])} />
      </label>
      <label>
        White at {round(high)}
        <input type="range" min={least} max={most} step={step} value={high} onInput={(e) => setLimits([low, Math.max(Number(e.currentTarget.value), low + step)])} />
      </label>
      {info.channels > 1 && <Channels count={info.channels} channels={channels} setChannels={setChannels} />}
      <button
        onClick={() => {
          setLimits(null);
          setChannels([]);
        }}
      >
        As at first
      </button>
    </>
  );
}

function Channels({ count, channels, setChannels }: { count: number; channels: number[]; setChannels: (channels: number[]) => void }) {
  const shown = channels.length ? channels : count >= 3 ? [0, 1, 2] : [0];
  const all = [...Array(count).keys()];
  return (
    <fieldset>
      <legend>Channels</legend>
      <label>
        <input type="radio" checked={shown.length === 1} onChange={() => setChannels([shown[0]])} /> one, as grey
      </label>
      <label>
        <input type="radio" checked={shown.length === 3} onChange={() => setChannels([0, Math.min(1, count - 1), Math.min(2, count - 1)])} /> three, as colours
      </label>
      {shown.map((channel, k) => (
        <label key={k}>
          {shown.length === 1 ? "Grey" : NAMES[k]}{" "}
          <select value={channel} onChange={(e) => setChannels(shown.map((c, i) => (i === k ? Number(e.currentTarget.value) : c)))}>
            {all.map((c) => (
              <option key={c} value={c}>
                {c + 1}
              </option>
            ))}
          </select>
        </label>
      ))}
    </fieldset>
  );
}

/** The range of the sliders: of the dtype where that is small, else around what is shown. */
function rangeOf(info: LookInfo): [number, number] {
  if (info.dtype === "uint8" || info.dtype === "bool") return [0, 255];
  const wide = info.high - info.low;
  return [info.dtype.startsWith("uint") ? 0 : info.low - wide, info.high + 2 * wide];
}

const round = (v: number): string => String(Number(v.toPrecision(4)));

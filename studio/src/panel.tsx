import { useMemo, useRef, useState } from "preact/hooks";
import { type Exported, type SetAnswer, send } from "./api";
import { colour, css } from "./colours";
import { type Filter, type Shown, nameOf } from "./editor";
import type { Layer } from "./viewer";
import type { Objects } from "./wire";

const ROW = 26;

interface Props {
  set: SetAnswer;
  number: number;
  objects: Objects | null;
  names: readonly string[];
  layer: Layer | null;
  shown: Shown;
  setShown: (shown: Shown) => void;
  filter: Filter;
  setFilter: (filter: Filter) => void;
  selected: ReadonlySet<number>;
  setSelected: (keys: ReadonlySet<number>) => void;
  label: string;
  relabel: (name: string) => void;
  predictions: boolean;
  found: boolean;
  accept: () => void;
  show: (i: number) => void;
  tell: (text: string) => void;
}

const SWITCHES: readonly [keyof Shown, string][] = [
  ["labels", "Labels (L)"],
  ["predictions", "Predictions (K)"],
  ["fill", "Fill (I)"],
  ["outline", "Outlines (O)"],
  ["boxes", "Boxes (R)"],
  ["names", "Names (N)"],
];

/** Beside the image: what is shown, classes, thresholds with counts, the objects, export. */
export function Panel(p: Props) {
  const counts = useMemo(() => {
    const found = new Map<string, number>();
    p.layer?.style.order.forEach((i) => {
      const name = p.names[p.layer!.objects.labels[i]];
      found.set(name, (found.get(name) ?? 0) + 1);
    });
    return found;
  }, [p.layer]);
  const toggle = (name: string) => {
    const hidden = new Set(p.filter.hidden);
    if (!hidden.delete(name)) hidden.add(name);
    p.setFilter({ ...p.filter, hidden });
  };
  return (
    <aside aria-label="Objects">
      <fieldset>
        <legend>Show</legend>
        {SWITCHES.filter(([name]) => name !== "predictions" || p.found).map(([name, text]) => (
          <label key={name}>
            <input type="checkbox" checked={p.shown[name]} onChange={() => p.setShown({ ...p.shown, [name]: !p.shown[name] })} /> {text}
          </label>
        ))}
        {p.found && p.shown.labels && p.shown.predictions && !p.predictions && <p>Green: labels. Orange: predictions.</p>}
      </fieldset>
      <fieldset>
        <legend>Classes</legend>
        {p.names.map((name, i) => (
          <div class="class" key={name}>
            <label>
              <input type="checkbox" checked={!p.filter.hidden.has(name)} onChange={() => toggle(name)} /> {name}
              <span class="count">{(counts.get(name) ?? 0).toLocaleString()}</span>
            </label>
            {!p.predictions && (
              <button aria-pressed={p.label === name} title={`Draw ${name}`} onClick={() => p.relabel(name)}>
                <span class="hidden">Draw {name}, </span>
                {i < 9 ? i + 1 : "·"}
              </button>
            )}
          </div>
        ))}
      </fieldset>
      {p.found && (
        <label>
          Score at least {p.filter.score.toFixed(2)}
          <input type="range" min="0" max="1" step="0.01" value={p.filter.score} onInput={(e) => p.setFilter({ ...p.filter, score: Number(e.currentTarget.value) })} />
        </label>
      )}
      <label>
        Area at least{" "}
        <input type="number" min="0" value={p.filter.least} onInput={(e) => p.setFilter({ ...p.filter, least: Number(e.currentTarget.value) || 0 })} /> px
      </label>
      {p.predictions && (
        <button onClick={p.accept} disabled={!p.selected.size}>
          Take over {p.selected.size} selected (A)
        </button>
      )}
      <List {...p} />
      <ExportForm set={p.set} tell={p.tell} />
    </aside>
  );
}

/** All shown objects as a table; only the rows that are seen are in the page. */
function List(p: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const rows = useMemo(() => (p.layer ? [...p.layer.style.order].reverse() : []), [p.layer]);
  const o = p.objects;
  if (!o) return null;
  const first = Math.max(Math.floor(top / ROW) - 5, 0);
  return (
    <div class="list" ref={frame} onScroll={(e) => setTop(e.currentTarget.scrollTop)}>
      <ul style={{ height: rows.length * ROW }} aria-label={`${rows.length} objects`}>
        {rows.slice(first, first + 40).map((i, k) => (
          <li key={o.keys[i]} style={{ transform: `translateY(${(first + k) * ROW}px)` }}>
            <button
              aria-pressed={p.selected.has(o.keys[i])}
              onClick={(e) => {
                p.setSelected(new Set(e.shiftKey ? [...p.selected, o.keys[i]] : [o.keys[i]]));
                p.show(i);
              }}
            >
              <i style={{ background: css(colour(o.keys[i] + 1)) }} />
              <span>{nameOf(o, i, p.names)}</span>
              <span class="count">{o.areas[i].toLocaleString()} px</span>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

function ExportForm({ set, tell }: { set: SetAnswer; tell: (text: string) => void }) {
  const [format, setFormat] = useState(set.formats.includes("coco") ? "coco" : set.formats[0]);
  const [lossy, setLossy] = useState(false);
  const write = async () => {
    try {
      const done = await send<Exported>("export", { format, name: format, allow_lossy: lossy });
      const lost = done.lost.length ? ` Lost: ${done.lost.slice(0, 3).join("; ")}${done.lost.length > 3 ? " …" : ""}` : "";
      tell(`Wrote ${done.instances.toLocaleString()} objects of ${done.images.toLocaleString()} images to ${done.paths.join(", ")}.${lost}`);
    } catch (error) {
      tell((error as Error).message);
    }
  };
  return (
    <fieldset>
      <legend>Export all images</legend>
      <label>
        Format{" "}
        <select value={format} onChange={(e) => setFormat(e.currentTarget.value)}>
          {set.formats.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      <label>
        <input type="checkbox" checked={lossy} onChange={(e) => setLossy(e.currentTarget.checked)} /> also what it cannot hold whole
      </label>
      <button onClick={() => void write()}>Export</button>
    </fieldset>
  );
}

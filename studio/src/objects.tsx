import { useMemo, useRef, useState } from "preact/hooks";
import { css } from "./colours";
import { type Shown, nameOf } from "./layers";
import type { PanelProps } from "./panel";

const ROW = 26;

const SWITCHES: readonly [Exclude<keyof Shown, "tracks">, string][] = [
  ["labels", "Labels (L)"],
  ["predictions", "Predictions (K)"],
  ["fill", "Fill (I)"],
  ["outline", "Outlines (O)"],
  ["boxes", "Boxes (R)"],
  ["names", "Names (N)"],
];

type Props = PanelProps & { show: (i: number) => void };

/** What is shown, the classes with counts, filters, and the objects. */
export function ObjectList(p: Props) {
  const both = p.work.found !== null && p.shown.labels && p.shown.predictions && !p.predicted;
  return (
    <>
      <fieldset class="switches">
        <legend>Show</legend>
        {SWITCHES.filter(([name]) => name !== "predictions" || p.work.found).map(([name, text]) => (
          <label key={name}>
            <input type="checkbox" checked={p.shown[name]} onChange={() => p.setShown({ ...p.shown, [name]: !p.shown[name] })} /> {text}
          </label>
        ))}
        {both && <p>Green: labels. Orange: predictions.</p>}
      </fieldset>
      <Classes {...p} />
      {p.work.found && (
        <label>
          Score at least {p.filter.score.toFixed(2)}
          <input type="range" min="0" max="1" step="0.01" value={p.filter.score} onInput={(e) => p.setFilter({ ...p.filter, score: Number(e.currentTarget.value) })} />
        </label>
      )}
      <label>
        Area at least{" "}
        <input type="number" min="0" value={p.filter.least} onInput={(e) => p.setFilter({ ...p.filter, least: Number(e.currentTarget.value) || 0 })} /> px
      </label>
      {p.predicted && (
        <button onClick={p.accept} disabled={!p.selected.size}>
          Take over {p.selected.size} selected (A)
        </button>
      )}
      <List {...p} />
    </>
  );
}

function Classes(p: Props) {
  const names = p.active?.classes ?? p.set.classes;
  const counts = useMemo(() => {
    const found = new Uint32Array(names.length);
    p.layer?.style.order.forEach((i) => found[p.layer!.objects.labels[i]]++);
    return found;
  }, [p.layer]);
  const toggle = (name: string) => {
    const hidden = new Set(p.filter.hidden);
    if (!hidden.delete(name)) hidden.add(name);
    p.setFilter({ ...p.filter, hidden });
  };
  return (
    <fieldset class="classes">
      <legend>Classes</legend>
      {names.map((name, i) => (
        <div class="class" key={name}>
          <label>
            <input type="checkbox" checked={!p.filter.hidden.has(name)} onChange={() => toggle(name)} /> {name}
            <span class="count">{counts[i].toLocaleString()}</span>
          </label>
          {!p.predicted && (
            <button aria-pressed={p.label === name} title={`Draw ${name}`} onClick={() => p.relabel(name)}>
              <span class="hidden">Draw {name}, </span>
              {i < 9 ? i + 1 : "·"}
            </button>
          )}
        </div>
      ))}
    </fieldset>
  );
}

/** All shown objects; only the rows that are seen are in the page. */
function List(p: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const rows = useMemo(() => (p.layer ? p.layer.style.order.slice().reverse() : new Int32Array(0)), [p.layer]);
  if (!p.active) return null;
  const { objects: o, classes } = p.active;
  const first = Math.max(Math.floor(top / ROW) - 5, 0);
  return (
    <div class="list" ref={frame} onScroll={(e) => setTop(e.currentTarget.scrollTop)}>
      <ul style={{ height: rows.length * ROW }} aria-label={`${rows.length} objects`}>
        {[...rows.subarray(first, first + 40)].map((i, k) => (
          <li key={o.keys[i]} style={{ transform: `translateY(${(first + k) * ROW}px)` }}>
            <button
              aria-pressed={p.selected.has(o.keys[i])}
              onClick={(e) => {
                p.setSelected(new Set(e.shiftKey ? [...p.selected, o.keys[i]] : [o.keys[i]]));
                p.show(i);
              }}
            >
              <i style={{ background: css(p.layer!.style.colours[i]) }} />
              <span>{nameOf(o, i, classes)}</span>
              <span class="count">{o.areas[i].toLocaleString()} px</span>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

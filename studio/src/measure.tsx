import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Measured, read } from "./api";

const ROW = 26;
const BARS = 32;

interface Props {
  path: string;
  /** Changes with the objects. */
  version: unknown;
  nameOf: (key: number) => string;
  selected: ReadonlySet<number>;
  setSelected: (keys: ReadonlySet<number>) => void;
  show: (key: number) => void;
  tell: (text: string) => void;
}

/** Measurements of the objects: a histogram that selects, and a table that is linked with the picture both ways. */
export function Measure(p: Props) {
  const [told, setTold] = useState<Measured | null>(null);
  const [name, setName] = useState("area");
  useEffect(() => {
    let late = false;
    read<Measured>(p.path).then(
      (answer) => !late && setTold(answer),
      (error: Error) => !late && p.tell(error.message),
    );
    return () => {
      late = true;
    };
  }, [p.path, p.version]);
  if (!told) return <p class="quiet">Measuring …</p>;
  const column = told.columns.find((one) => one.name === name) ?? told.columns[0];
  if (!column || !told.keys.length) return <p class="quiet">There is nothing to be measured.</p>;
  return (
    <>
      <label>
        Measure{" "}
        <select value={column.name} onChange={(e) => setName(e.currentTarget.value)}>
          {told.columns.map((one) => (
            <option key={one.name} value={one.name}>
              {one.name}
              {one.unit && ` (${one.unit})`}
            </option>
          ))}
        </select>
      </label>
      <Histogram key={column.name} keys={told.keys} values={column.values} unit={column.unit} selected={p.selected} select={p.setSelected} />
      <Rows {...p} keys={told.keys} values={column.values} unit={column.unit} />
    </>
  );
}

interface HistogramProps {
  keys: readonly number[];
  values: readonly (number | null)[];
  unit: string;
  selected: ReadonlySet<number>;
  select: (keys: ReadonlySet<number>) => void;
}

function Histogram({ keys, values, unit, selected, select }: HistogramProps) {
  const drag = useRef<number | null>(null);
  const [range, setRange] = useState<[number, number] | null>(null);
  const known = values.filter((v): v is number => v !== null);
  const low = known.reduce((a, b) => Math.min(a, b), Infinity);
  const high = known.reduce((a, b) => Math.max(a, b), -Infinity);
  const bar = (v: number): number => (high > low ? Math.min(Math.floor(((v - low) / (high - low)) * BARS), BARS - 1) : 0);
  const all = new Array<number>(BARS).fill(0);
  const chosen = new Array<number>(BARS).fill(0);
  values.forEach((v, i) => {
    if (v === null) return;
    all[bar(v)]++;
    if (selected.has(keys[i])) chosen[bar(v)]++;
  });
  const most = Math.max(...all, 1);
  const brush = (from: number, to: number) => {
    setRange([from, to]);
    select(new Set(keys.filter((_, i) => values[i] !== null && values[i]! >= from && values[i]! <= to)));
  };
  const at = (e: PointerEvent): number => {
    const frame = (e.currentTarget as Element).getBoundingClientRect();
    return low + ((high - low) * Math.min(Math.max(e.clientX - frame.left, 0), frame.width)) / frame.width;
  };
  return (
    <div class="histogram">
      <svg
        viewBox={`0 0 ${BARS} 100`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Histogram of ${known.length} objects from ${text(low)} to ${text(high)} ${unit}`}
        onPointerDown={(e) => {
          e.currentTarget.setPointerCapture(e.pointerId);
          drag.current = at(e);
        }}
        onPointerMove={(e) => drag.current !== null && brush(Math.min(drag.current, at(e)), Math.max(drag.current, at(e)))}
        onPointerUp={() => (drag.current = null)}
      >
        {all.map((count, k) => (
          <rect key={k} x={k + 0.05} width="0.9" y={100 - (96 * count) / most} height={(96 * count) / most} class="all" />
        ))}
        {chosen.map((count, k) => (
          <rect key={k} x={k + 0.05} width="0.9" y={100 - (96 * count) / most} height={(96 * count) / most} class="chosen" />
        ))}
      </svg>
      <p>
        <label>
          from <input type="number" step="any" value={text(range?.[0] ?? low)} onChange={(e) => brush(Number(e.currentTarget.value), range?.[1] ?? high)} />
        </label>
        <label>
          to <input type="number" step="any" value={text(range?.[1] ?? high)} onChange={(e) => brush(range?.[0] ?? low, Number(e.currentTarget.value))} />
        </label>
        {unit}
      </p>
    </div>
  );
}

const text = (v: number): string => (Number.isFinite(v) ? String(Number(v.toPrecision(5))) : "");

function Rows({ keys, values, unit, nameOf, selected, setSelected, show }: Props & { keys: readonly number[]; values: readonly (number | null)[]; unit: string }) {
  const frame = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [down, setDown] = useState(true);
  const order = useMemo(() => {
    const rows = [...keys.keys()].sort((a, b) => (values[a] ?? -Infinity) - (values[b] ?? -Infinity));
    return down ? rows.reverse() : rows;
  }, [keys, values, down]);
  // what is selected in the picture comes into view in the table
  const [one] = selected;
  useEffect(() => {
    const place = order.findIndex((i) => keys[i] === one);
    const node = frame.current;
    if (place < 0 || !node || selected.size !== 1) return;
    if (place * ROW < node.scrollTop || (place + 1) * ROW > node.scrollTop + node.clientHeight) node.scrollTop = place * ROW - node.clientHeight / 2;
  }, [one, selected.size, order]);
  const first = Math.max(Math.floor(top / ROW) - 5, 0);
  return (
    <>
      <button onClick={() => setDown(!down)}>{down ? "Largest first" : "Smallest first"}</button>
      <div class="list" ref={frame} onScroll={(e) => setTop(e.currentTarget.scrollTop)}>
        <ul style={{ height: order.length * ROW }} aria-label={`${order.length} rows`}>
          {order.slice(first, first + 40).map((i, k) => (
            <li key={keys[i]} style={{ transform: `translateY(${(first + k) * ROW}px)` }}>
              <button
                aria-pressed={selected.has(keys[i])}
                onClick={() => {
                  setSelected(new Set([keys[i]]));
                  show(keys[i]);
                }}
              >
                <span>{nameOf(keys[i])}</span>
                <span class="count">
                  {values[i] === null ? "–" : text(values[i])} {unit}
                </span>
              </button>
            </li>
          ))}
        </ul>
      </div>
    </>
  );
}

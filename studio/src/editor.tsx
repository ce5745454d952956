import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Edit, Refused, type SetAnswer, change, readObjects } from "./api";
import { colour } from "./colours";
import { Panel } from "./panel";
import { KEYS, TOOLS, type Tool } from "./tools";
import { type Above, type Layer, type Point, Viewer } from "./viewer";
import { type Header, type Objects, changed } from "./wire";

export interface Shown {
  labels: boolean;
  predictions: boolean;
  fill: boolean;
  outline: boolean;
  names: boolean;
  boxes: boolean;
}

export interface Filter {
  hidden: ReadonlySet<string>;
  score: number;
  least: number;
}

interface Props {
  set: SetAnswer;
  number: number;
  open: (n: number) => void;
  close: () => void;
  reload: () => Promise<void>;
}

/** One image: its objects, and everything that changes them. */
export function Editor({ set, number, open, close, reload }: Props) {
  const base = useRef<HTMLCanvasElement>(null);
  const over = useRef<HTMLCanvasElement>(null);
  const viewer = useRef<Viewer | null>(null);
  const [labels, setLabels] = useState<Objects | null>(null);
  const [found, setFound] = useState<{ objects: Objects; classes: string[] } | null>(null);
  const [tool, setTool] = useState<Tool>("select");
  const [selected, setSelected] = useState<ReadonlySet<number>>(new Set());
  const [label, setLabel] = useState(set.classes[0]);
  const [radius, setRadius] = useState(8);
  const [told, setTold] = useState("");
  const [card, setCard] = useState(false);
  const [shown, setShown] = useState<Shown>({ labels: true, predictions: true, fill: true, outline: true, names: false, boxes: false });
  const [filter, setFilter] = useState<Filter>({ hidden: new Set(), score: Math.min(...(set.thresholds ?? [0])), least: 0 });
  const clicks = useRef<{ x: number; y: number; on: boolean }[]>([]);
  const waiting = useRef<Promise<unknown>>(Promise.resolve());
  const now = useRef<Objects | null>(null);

  const predictions = !shown.labels || (labels?.keys.length === 0 && found !== null) ? found : null;
  const active = predictions ? predictions.objects : labels;
  const names = predictions ? predictions.classes : set.classes;
  const layer = useMemo(() => active && layerOf(active, names, shown, filter), [active, names, shown.fill, shown.outline, filter]);
  const both = useMemo(
    () => (labels && found && shown.labels && shown.predictions && labels.keys.length ? compared(labels, found, set.classes, shown, filter) : null),
    [labels, found, shown, filter, set],
  );

  const load = async () => {
    try {
      const { header, objects } = await readObjects(`images/${number}/objects`);
      now.current = objects;
      setLabels(objects);
      if (header.gone) setTold(`The label file has changed: ${header.gone} objects that it had are gone. Your changes were kept.`);
      viewer.current ??= new Viewer(base.current!, over.current!, number, ...objects.size);
      if (set.model) {
        const answer = await readObjects(`images/${number}/predictions`);
        setFound({ objects: answer.objects, classes: answer.header.classes ?? [] });
      }
    } catch (error) {
      setTold((error as Error).message);
    }
  };
  useEffect(() => {
    void load();
    return () => {
      viewer.current?.close();
      viewer.current = null;
    };
  }, []);

  const last = useRef<readonly number[][] | undefined>(undefined);
  useEffect(() => {
    if (!layer) return;
    viewer.current?.setLayer(both ?? layer, both ? undefined : last.current);
    last.current = undefined;
  }, [layer, both]);
  useEffect(() => {
    if (!layer || !active) return;
    const text = shown.names ? (i: number) => nameOf(active, i, names) : null;
    const rows = new Set([...selected].map((key) => active.keys.indexOf(key)).filter((i) => i >= 0));
    viewer.current?.setAbove({ layer, boxes: shown.boxes, text, selected: rows } satisfies Above);
  }, [layer, selected, shown.names, shown.boxes]);

  /** Send a change after those before it; the picture follows the answer. */
  const save = (path: string, body: unknown, done?: (answer: { header: Header; objects: Objects }) => void) => {
    const next = waiting.current.then(async () => {
      try {
        const before = now.current!;
        const answer = await change(`images/${number}/${path}`, body, before.revision);
        const after = changed(before, answer.objects, answer.header.removed ?? []);
        const touched = [...answer.objects.keys, ...(answer.header.removed ?? [])];
        last.current = [...boxesOf(before, touched), ...boxesOf(after, touched)];
        now.current = after;
        setLabels(after);
        setTold(`saved, change ${after.revision}`);
        done?.(answer);
      } catch (error) {
        setTold((error as Error).message);
        if (error instanceof Refused && error.stale) await load();
      }
    });
    waiting.current = next;
    return next;
  };
  const edit = (made: Edit) =>
    save("edits", { edit: made }, ({ objects }) => {
      if (made.op === "draw" && made.how === "new" && objects.keys.length) setSelected(new Set(objects.keys));
    });
  const one = (): number | null => (selected.size === 1 && !predictions ? [...selected][0] : null);
  const keys = () => [...selected];

  const draw = (points: Point[], how: "new" | "add" | "cut", brush: number) => {
    const key = one();
    if (how !== "new" && key === null) return setTold("Select one object first.");
    return edit({ op: "draw", how, points, radius: brush, key: how === "new" ? null : key, label: how === "new" ? label : null });
  };
  const finish = (add: boolean) => {
    const stroke = viewer.current?.stroke;
    if (!stroke || stroke.points.length < 3) return;
    viewer.current!.stroke = null;
    viewer.current!.redraw(1);
    void draw(stroke.points, tool === "cut" ? "cut" : add ? "add" : "new", 0);
  };
  const pick = (at: Point, add: boolean) => {
    const i = viewer.current!.pick(at);
    const key = i < 0 || !active ? null : active.keys[i];
    setSelected(new Set(key === null ? (add ? selected : []) : add ? [...selected, key] : [key]));
  };
  const relabel = (name: string) => {
    setLabel(name);
    if (selected.size && !predictions) void edit({ op: "relabel", keys: keys(), label: name });
  };
  const accept = () => {
    if (!predictions || !selected.size) return;
    void save("accepted", { op: "accept", predictions: keys() }, () => {
      setSelected(new Set());
      void reload();
    });
  };

  const pointer = usePointer({ viewer, tool, radius, one, pick, draw, save, edit, clicks, label });
  useKeys({
    ArrowLeft: () => number > 0 && open(number - 1),
    ArrowRight: () => number + 1 < set.images.length && open(number + 1),
    g: close,
    "+": () => viewer.current?.zoom(1.4),
    "=": () => viewer.current?.zoom(1.4),
    "-": () => viewer.current?.zoom(1 / 1.4),
    "0": () => viewer.current?.fit(),
    "[": () => setRadius(Math.max(radius / 1.25, 0.5)),
    "]": () => setRadius(Math.min(radius * 1.25, 500)),
    m: () => selected.size > 1 && !predictions && edit({ op: "merge", keys: keys() }).then(() => setSelected(new Set([keys()[0]]))),
    f: () => one() !== null && edit({ op: "fill", key: one()! }),
    a: accept,
    Delete: () => selected.size && !predictions && edit({ op: "delete", keys: keys() }).then(() => setSelected(new Set())),
    Enter: () => finish(false),
    "shift+Enter": () => finish(true),
    z: () => save("undo", {}),
    "shift+z": () => save("redo", {}),
    l: () => setShown({ ...shown, labels: !shown.labels }),
    k: () => setShown({ ...shown, predictions: !shown.predictions }),
    n: () => setShown({ ...shown, names: !shown.names }),
    r: () => setShown({ ...shown, boxes: !shown.boxes }),
    o: () => setShown({ ...shown, outline: !shown.outline }),
    i: () => setShown({ ...shown, fill: !shown.fill }),
    "?": () => setCard(!card),
    Escape: () => {
      if (viewer.current) viewer.current.stroke = null;
      clicks.current = [];
      setCard(false);
      setSelected(new Set());
    },
    ...Object.fromEntries(TOOLS.map((t) => [t.key, () => setTool(t.tool)])),
    ...Object.fromEntries(set.classes.slice(0, 9).map((name, i) => [String(i + 1), () => relabel(name)])),
  });

  return (
    <main class="editor">
      <header>
        <button onClick={close}>All images</button>
        <button onClick={() => open(number - 1)} disabled={number === 0} aria-label="Image before">
          ←
        </button>
        <button onClick={() => open(number + 1)} disabled={number + 1 >= set.images.length} aria-label="Image after">
          →
        </button>
        <h1 title={set.images[number].name}>{set.images[number].name}</h1>
        <span>
          {number + 1} of {set.images.length}
        </span>
        <button onClick={() => save("undo", {})}>Undo</button>
        <button onClick={() => save("redo", {})}>Redo</button>
        <button onClick={() => setCard(!card)} aria-expanded={card}>
          Keys
        </button>
      </header>
      <div class="tools" role="toolbar" aria-label="Tools" aria-orientation="vertical">
        {TOOLS.map((t) => (
          <button key={t.tool} aria-pressed={tool === t.tool} title={`${t.hint} (${t.key.toUpperCase()})`} onClick={() => setTool(t.tool)}>
            {t.name} <kbd>{t.key.toUpperCase()}</kbd>
          </button>
        ))}
        {(tool === "brush" || tool === "erase") && (
          <label>
            Radius <input type="range" min="0.5" max="100" step="0.5" value={radius} onInput={(e) => setRadius(Number(e.currentTarget.value))} />
          </label>
        )}
      </div>
      <div class="view" {...pointer}>
        <canvas ref={base} role="img" aria-label={`${set.images[number].name}: ${active?.keys.length ?? 0} objects`} />
        <canvas ref={over} aria-hidden="true" />
      </div>
      <Panel
        {...{ set, objects: active, names, layer, shown, setShown, filter, setFilter, selected, setSelected, label, relabel, number }}
        predictions={predictions !== null}
        accept={accept}
        found={found !== null}
        show={(i) => active && viewer.current?.show(active.boxes.subarray(4 * i, 4 * i + 4))}
        tell={setTold}
      />
      <p role="status">{told || TOOLS.find((t) => t.tool === tool)!.hint}</p>
      {card && (
        <dialog open aria-label="Keys">
          <h2>Keys</h2>
          <dl>
            {KEYS.map(([key, does]) => (
              <div key={key}>
                <dt>
                  <kbd>{key}</kbd>
                </dt>
                <dd>{does}</dd>
              </div>
            ))}
          </dl>
        </dialog>
      )}
    </main>
  );
}

/** What a person reads of an object: class, score, id. */
export function nameOf(o: Objects, i: number, classes: readonly string[]): string {
  const score = o.scores ? ` ${o.scores[i].toFixed(2)}` : "";
  return `${classes[o.labels[i]] ?? "?"}${score}${o.ids ? ` #${o.ids[i]}` : ""}`;
}

function layerOf(objects: Objects, classes: readonly string[], shown: Shown, filter: Filter): Layer {
  const kept = [...objects.keys.keys()].filter(
    (i) =>
      !filter.hidden.has(classes[objects.labels[i]]) &&
      objects.areas[i] >= filter.least &&
      (objects.scores === null || objects.scores[i] >= filter.score),
  );
  kept.sort((a, b) => objects.areas[b] - objects.areas[a]);
  const colours = Uint32Array.from(objects.keys, (key) => colour(key + 1));
  return { objects, style: { colours, order: Int32Array.from(kept), fill: shown.fill, outline: shown.outline } };
}

/** Labels in green and predictions in orange on one picture. */
function compared(labels: Objects, found: { objects: Objects; classes: string[] }, classes: readonly string[], shown: Shown, filter: Filter): Layer {
  const below = layerOf(labels, classes, shown, { ...filter, score: 0 });
  const above = layerOf(found.objects, found.classes, shown, filter);
  const count = labels.keys.length;
  const moved = { ...found.objects, keys: found.objects.keys.map((key) => key + 1 + Math.max(0, ...labels.keys)) };
  return {
    objects: changed({ ...labels, scores: null, ids: null }, { ...moved, scores: null, ids: null }, []),
    style: {
      colours: Uint32Array.from({ length: count + moved.keys.length }, (_, i) => (i < count ? 0x60d020 : 0x2080ff)),
      order: Int32Array.from([...below.style.order, ...above.style.order.map((i) => i + count)]),
      fill: shown.fill,
      outline: shown.outline,
    },
  };
}

function boxesOf(o: Objects, keys: readonly number[]): number[][] {
  return keys.flatMap((key) => {
    const i = o.keys.indexOf(key);
    return i < 0 ? [] : [[...o.boxes.subarray(4 * i, 4 * i + 4)]];
  });
}

interface Drawing {
  viewer: { current: Viewer | null };
  tool: Tool;
  radius: number;
  one: () => number | null;
  pick: (at: Point, add: boolean) => void;
  draw: (points: Point[], how: "new" | "add" | "cut", brush: number) => unknown;
  save: (path: string, body: unknown, done?: (answer: { objects: Objects }) => void) => unknown;
  edit: (made: Edit) => unknown;
  clicks: { current: { x: number; y: number; on: boolean }[] };
  label: string;
}

/** What the pointer does with each tool. */
function usePointer(d: Drawing) {
  const down = useRef<{ at: Point; x: number; y: number; moved: boolean; pan: boolean } | null>(null);
  const asked = useRef<number | null>(null);
  const ask = (points: { x: number; y: number; on: boolean }[], box: number[] | null) =>
    d.save("clicks", { points, box, key: points.length > 1 ? asked.current : null, label: d.label }, ({ objects }) => {
      if (objects.keys.length) asked.current = objects.keys[0];
    });
  return {
    onWheel: (e: WheelEvent) => {
      e.preventDefault();
      d.viewer.current?.zoom(Math.exp(-e.deltaY / 400), e);
    },
    onPointerDown: (e: PointerEvent) => {
      const view = d.viewer.current;
      if (!view) return;
      (e.currentTarget as HTMLElement).setPointerCapture(e.pointerId);
      const at = view.at(e);
      const pan = d.tool === "select" || e.button === 1;
      down.current = { at, x: e.clientX, y: e.clientY, moved: false, pan };
      if (pan) return;
      if (d.tool === "brush" || d.tool === "erase") view.stroke = { points: [at], radius: d.radius, closed: false };
      if (d.tool === "split" || d.tool === "box") view.stroke = { points: [at, at], radius: 0, closed: d.tool === "box" };
      if (d.tool === "polygon" || d.tool === "cut") view.stroke = { points: [...(view.stroke?.points ?? []), at], radius: 0, closed: true };
      view.redraw(1);
    },
    onPointerMove: (e: PointerEvent) => {
      const view = d.viewer.current;
      if (!view) return;
      const brush = d.tool === "brush" || d.tool === "erase";
      view.cursor = brush ? { at: view.at(e), radius: d.radius } : null;
      const from = down.current;
      if (from?.pan) {
        if (Math.hypot(e.clientX - from.x, e.clientY - from.y) > 3) from.moved = true;
        if (from.moved) view.pan(e.movementX, e.movementY);
        return;
      }
      if (from && view.stroke && brush) view.stroke.points.push(...(e.getCoalescedEvents?.() ?? [e]).map((part) => view.at(part)), view.at(e));
      if (from && view.stroke && d.tool === "split") view.stroke.points[1] = view.at(e);
      if (from && view.stroke && d.tool === "box") {
        const [[x0, y0], [x1, y1]] = [from.at, view.at(e)];
        view.stroke.points = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
      }
      view.redraw(1);
    },
    onPointerUp: (e: PointerEvent) => {
      const [view, from] = [d.viewer.current, down.current];
      down.current = null;
      if (!view || !from) return;
      const points = view.stroke?.points ?? [];
      if (from.pan) {
        if (!from.moved) d.pick(from.at, e.shiftKey);
      } else if (d.tool === "brush") void d.draw(points, d.one() === null ? "new" : "add", d.radius);
      else if (d.tool === "erase") void d.draw(points, "cut", d.radius);
      else if (d.tool === "split" && d.one() !== null) void d.edit({ op: "split", key: d.one()!, points });
      else if (d.tool === "box" && points.length === 4) void ask([], [Math.min(points[0][0], points[2][0]), Math.min(points[0][1], points[2][1]), Math.max(points[0][0], points[2][0]), Math.max(points[0][1], points[2][1])]);
      else if (d.tool === "click") {
        const [x, y] = view.at(e);
        d.clicks.current = e.altKey || e.shiftKey ? [...d.clicks.current, { x, y, on: !e.altKey }] : [{ x, y, on: true }];
        void ask(d.clicks.current, null);
      }
      if (d.tool !== "polygon" && d.tool !== "cut") view.stroke = null;
      view.redraw(1);
    },
  };
}

/** Keys that do something while no field is being typed into. */
function useKeys(keys: Record<string, () => unknown>): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const pressed = (e: KeyboardEvent) => {
      const target = e.target as HTMLElement;
      if (target.matches("input:not([type=range]):not([type=checkbox]), select, textarea") || (e.key === "Enter" && target.matches("button"))) return;
      const undoes = (e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "z";
      if (((e.ctrlKey || e.metaKey) && !undoes) || e.altKey) return;
      const key = e.key.length === 1 ? e.key.toLowerCase() : e.key;
      const does = latest.current[e.shiftKey && `shift+${key}` in latest.current ? `shift+${key}` : key];
      if (!does) return;
      e.preventDefault();
      does();
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, []);
}

// What a person does with the objects of an image, by key, button or pointer.

import { change, readObjects } from "./api";
import type { Found, Shown } from "./layers";
import type { Prompted } from "./pointer";
import { TOOLS, type Tool } from "./tools";
import type { Point, Viewer } from "./viewer";
import type { Work } from "./work";

export interface Desk {
  viewer: { current: Viewer | null };
  work: Work;
  /** What is looked at and selected from: labels, or predictions. */
  active: Found | null;
  predicted: boolean;
  classes: readonly string[];
  /** The class that predictions get when they become labels; null: their own, which the labels know. */
  named: string | null;
  tool: Tool;
  setTool: (tool: Tool) => void;
  selected: ReadonlySet<number>;
  setSelected: (keys: ReadonlySet<number>) => void;
  label: string;
  setLabel: (name: string) => void;
  radius: number;
  setRadius: (radius: number) => void;
  shown: Shown;
  setShown: (shown: Shown) => void;
  card: boolean;
  setCard: (card: boolean) => void;
  clicks: { current: Prompted[] };
  number: number;
  /** The next image, if there is one, and the way to it. */
  next: number | null;
  goOn: () => void;
  /** Predictions became labels: classes may be new. */
  accepted: () => void;
}

export type Actions = ReturnType<typeof actionsOf>;

export function actionsOf(d: Desk) {
  const { viewer, work, selected, setSelected } = d;
  const editable = selected.size > 0 && !d.predicted;
  const one = (): number | null => (selected.size === 1 && editable ? [...selected][0] : null);
  const draw = (points: Point[], how: "new" | "add" | "cut", brush: number) => {
    const key = one();
    if (how !== "new" && key === null) return work.tell("Select one object first.");
    return work.edit({ op: "draw", how, points, radius: brush, key: how === "new" ? null : key, label: how === "new" ? d.label : null }, ({ objects }) => {
      if (how === "new" && objects.keys.length) setSelected(new Set(objects.keys));
    }).then((saved) => {
      // what was drawn is not lost: it stays on the picture
      if (saved || !viewer.current || viewer.current.stroke) return;
      viewer.current.stroke = { points, radius: brush, closed: !brush, how };
      viewer.current.redraw(1);
    });
  };
  return {
    one,
    editable,
    draw,
    /** Close the polygon that is being drawn, or send again what was not saved. */
    finish: (add: boolean) => {
      const stroke = viewer.current?.stroke;
      if (!stroke || (!stroke.radius && stroke.points.length < 3)) return;
      viewer.current!.stroke = null;
      viewer.current!.redraw(1);
      void draw(stroke.points, stroke.how ?? (d.tool === "cut" ? "cut" : add ? "add" : "new"), stroke.radius);
    },
    pick: (at: Point, add: boolean) => {
      const i = viewer.current!.pick(at);
      const key = i < 0 || !d.active ? [] : [d.active.objects.keys[i]];
      setSelected(new Set(add ? [...selected, ...key] : key));
    },
    relabel: (name: string) => {
      d.setLabel(name);
      if (editable) void work.edit({ op: "relabel", keys: [...selected], label: name });
    },
    accept: () => {
      if (!d.predicted || !selected.size) return;
      void work.save("accepted", { op: "accept", predictions: [...selected], label: d.named }, () => {
        setSelected(new Set());
        d.accepted();
      });
    },
    merge: () => {
      const keys = [...selected];
      if (editable && keys.length > 1) void work.edit({ op: "merge", keys }, () => setSelected(new Set([keys[0]])));
    },
    order: (to: "front" | "back") => editable && work.edit({ op: "order", keys: [...selected], to }),
    fill: () => one() !== null && work.edit({ op: "fill", key: one()! }),
    remove: () => editable && work.edit({ op: "delete", keys: [...selected] }, () => setSelected(new Set())),
    copyOn: () => {
      if (editable && d.next !== null) void copied(d.next, d.number, [...selected]).then(() => d.goOn(), (error: Error) => work.tell(error.message));
    },
    undo: () => work.save("undo", {}),
    redo: () => work.save("redo", {}),
    giveUp: () => {
      if (viewer.current) viewer.current.stroke = null;
      viewer.current?.redraw(1);
      d.clicks.current = [];
      d.setCard(false);
      setSelected(new Set());
    },
  };
}

/** Copy objects of one image into another. */
async function copied(into: number, source: number, keys: number[]): Promise<void> {
  const { objects } = await readObjects(`images/${into}/objects`);
  await change(`images/${into}/copied`, { source, keys }, objects.revision);
}

/** The keys of the page of one image. */
export function keysOf(d: Desk, does: Actions, open: (step: number) => unknown, close: () => void): Record<string, () => unknown> {
  const flip = (name: keyof Shown) => () => d.setShown({ ...d.shown, [name]: !d.shown[name] });
  return {
    ArrowLeft: () => open(-1),
    ArrowRight: () => open(1),
    g: close,
    "+": () => d.viewer.current?.zoom(1.4),
    "=": () => d.viewer.current?.zoom(1.4),
    "-": () => d.viewer.current?.zoom(1 / 1.4),
    "0": () => d.viewer.current?.fit(),
    "[": () => d.setRadius(Math.max(d.radius / 1.25, 0.5)),
    "]": () => d.setRadius(Math.min(d.radius * 1.25, 500)),
    m: does.merge,
    f: does.fill,
    u: () => does.order("front"),
    "shift+u": () => does.order("back"),
    a: does.accept,
    j: does.copyOn,
    Delete: does.remove,
    Enter: () => does.finish(false),
    "shift+Enter": () => does.finish(true),
    z: does.undo,
    "shift+z": does.redo,
    l: flip("labels"),
    k: flip("predictions"),
    n: flip("names"),
    r: flip("boxes"),
    o: flip("outline"),
    i: flip("fill"),
    "?": () => d.setCard(!d.card),
    Escape: does.giveUp,
    ...Object.fromEntries(TOOLS.map((t) => [t.key, () => d.setTool(t.tool)])),
    ...Object.fromEntries(d.classes.slice(0, 9).map((name, i) => [String(i + 1), () => does.relabel(name)])),
  };
}

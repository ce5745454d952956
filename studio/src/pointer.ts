import { useRef } from "preact/hooks";
import type { Edit } from "./api";
import type { Tool } from "./tools";
import type { Point, Viewer } from "./viewer";
import type { Save } from "./work";

export interface Prompted {
  x: number;
  y: number;
  on: boolean;
}

interface Drawing {
  viewer: { current: Viewer | null };
  tool: Tool;
  radius: number;
  one: () => number | null;
  pick: (at: Point, add: boolean) => void;
  draw: (points: Point[], how: "new" | "add" | "cut", brush: number) => unknown;
  save: Save;
  edit: (made: Edit) => unknown;
  clicks: { current: Prompted[] };
  label: string;
}

interface Down {
  at: Point;
  x: number;
  y: number;
  moved: boolean;
  pan: boolean;
}

/** What the pointer does with each tool. */
export function usePointer(d: Drawing) {
  const down = useRef<Down | null>(null);
  const asked = useRef<number | null>(null);
  const ask = (points: Prompted[], box: number[] | null) =>
    d.save("clicks", { points, box, wand: d.tool === "wand", key: points.length > 1 ? asked.current : null, label: d.label }, ({ objects }) => {
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
      begin(view, d, at);
      view.redraw(1);
    },
    onPointerMove: (e: PointerEvent) => {
      const view = d.viewer.current;
      if (!view) return;
      view.cursor = brushes(d.tool) ? { at: view.at(e), radius: d.radius } : null;
      const from = down.current;
      if (from?.pan) {
        if (Math.hypot(e.clientX - from.x, e.clientY - from.y) > 3) from.moved = true;
        if (from.moved) view.pan(e.movementX, e.movementY);
        return;
      }
      if (from) goOn(view, d.tool, from.at, e);
      view.redraw(1);
    },
    onPointerUp: (e: PointerEvent) => {
      const [view, from] = [d.viewer.current, down.current];
      down.current = null;
      if (!view || !from) return;
      if (!from.pan) end(view, d, e, ask);
      else if (!from.moved) d.pick(from.at, e.shiftKey);
      if (d.tool !== "polygon" && d.tool !== "cut") view.stroke = null;
      view.redraw(1);
    },
  };
}

const brushes = (tool: Tool): boolean => tool === "brush" || tool === "erase";

/** Begin what the tool draws. */
function begin(view: Viewer, { tool, radius }: Drawing, at: Point): void {
  if (brushes(tool)) view.stroke = { points: [at], radius, closed: false };
  if (tool === "split" || tool === "box") view.stroke = { points: [at, at], radius: 0, closed: tool === "box" };
  if (tool === "polygon" || tool === "cut") view.stroke = { points: [...(view.stroke?.radius ? [] : (view.stroke?.points ?? [])), at], radius: 0, closed: true };
}

/** Go on drawing to where the pointer is. */
function goOn(view: Viewer, tool: Tool, from: Point, e: PointerEvent): void {
  if (!view.stroke) return;
  if (brushes(tool)) view.stroke.points.push(...(e.getCoalescedEvents?.() ?? [e]).map((part) => view.at(part)), view.at(e));
  if (tool === "split") view.stroke.points[1] = view.at(e);
  if (tool === "box") {
    const [[x0, y0], [x1, y1]] = [from, view.at(e)];
    view.stroke.points = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
  }
}

/** Send what was drawn. */
function end(view: Viewer, d: Drawing, e: PointerEvent, ask: (points: Prompted[], box: number[] | null) => unknown): void {
  const points = view.stroke?.points ?? [];
  const key = d.one();
  if (d.tool === "brush") void d.draw(points, key === null ? "new" : "add", d.radius);
  else if (d.tool === "erase") void d.draw(points, "cut", d.radius);
  else if (d.tool === "split" && key !== null) void d.edit({ op: "split", key, points });
  else if (d.tool === "box" && points.length === 4) void ask([], boxOf(points));
  else if (d.tool === "click" || d.tool === "wand") {
    const [x, y] = view.at(e);
    d.clicks.current = e.altKey || e.shiftKey ? [...d.clicks.current, { x, y, on: !e.altKey }] : [{ x, y, on: true }];
    void ask(d.clicks.current, null);
  }
}

function boxOf(points: readonly Point[]): number[] {
  const [xs, ys] = [points.map((p) => p[0]), points.map((p) => p[1])];
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Desk, actionsOf, keysOf } from "./actions";
import { type Comparison, type Finding, type Judged, type SetAnswer, imageInfo, send } from "./api";
import { KeyCard, ToolBar, TopBar } from "./bars";
import { useKeys } from "./keys";
import { MARKS, useComparison } from "./compare";
import { type Filter, type Found, type Shown, layerOf, nameOf, together } from "./layers";
import { Panel, type Tab } from "./panel";
import type { Queue } from "./review";
import { ReviewBar } from "./reviewbar";
import { type Prompted, usePointer } from "./pointer";
import { OUTCOMES, useJudged, worst } from "./rules";
import { TOOLS, type Tool } from "./tools";
import { Viewer } from "./viewer";
import type { Objects } from "./wire";
import { type Work, useWork } from "./work";

interface Props {
  set: SetAnswer;
  number: number;
  open: (n: number) => void;
  close: () => void;
  reload: () => Promise<void>;
  /** The finding that is looked at, if it is one. */
  review?: { finding: Finding; queue: Queue; open: (id: string) => void; list: () => void };
}

const LABELS = 0x60d020; // green and orange, as 0xBBGGRR
const FOUND = 0x2080ff;

/** One image: its objects, and everything that changes them. */
export function Editor({ set, number, open, close, reload, review }: Props) {
  const work = useWork(number, set.model !== null);
  const { base, over, viewer, ready } = useViewer(number, work.tell);
  const [tool, setTool] = useState<Tool>("select");
  const [selected, setSelected] = useState<ReadonlySet<number>>(new Set());
  const [label, setLabel] = useState(set.classes[0]);
  const [radius, setRadius] = useState(8);
  const [card, setCard] = useState(false);
  const [shown, setShown] = useState<Shown>({ labels: true, predictions: true, fill: true, outline: true, names: false, boxes: false, tracks: set.tracks });
  const [filter, setFilter] = useState<Filter>({ hidden: new Set(), score: Math.min(...(set.thresholds ?? [0])), least: 0 });
  const clicks = useRef<Prompted[]>([]);

  const [tab, setTab] = useState<Tab>("objects");
  const of = `of=${lookedAt(set, work, shown).predicted ? `predictions&score=${filter.score}` : "labels"}`;
  const comparison = useComparison(number, tab === "compare" && work.found !== null, filter.score, work.labels, work.tell);
  const judged = useJudged(tab === "rules" ? `images/${number}/judged?${of}` : null, work.labels, work.tell);
  useEffect(() => {
    if (tool === "click" || tool === "box") void send(`images/${number}/clicks/ready`, {}).catch(() => undefined);
  }, [tool]);
  const { active, predicted, layer } = useLayers(set, work, ready && viewer.current, shown, filter, selected, { tab, comparison, judged });
  const accepted = () => void reload();
  const named = set.model?.some((name) => set.classes.includes(name)) ? null : label;
  const desk: Desk = { viewer, work, active, predicted, classes: set.classes, named, tool, setTool, selected, setSelected, label, setLabel, radius, setRadius, shown, setShown, card, setCard, clicks, number, next: number + 1 < set.images.length ? number + 1 : null, goOn: () => open(number + 1), accepted };
  const does = actionsOf(desk);
  const step = (by: number) => number + by >= 0 && number + by < set.images.length && open(number + by);
  useKeys(keysOf(desk, does, step, close));
  const pointer = usePointer({ viewer, tool, radius, clicks, label, save: work.save, edit: work.edit, ...does });

  useFinding(review?.finding, work, ready && viewer.current, setSelected);

  return (
    <main class="editor">
      <TopBar name={set.images[number].name} number={number} count={set.images.length} open={open} close={close}>
        <button onClick={does.undo}>Undo</button>
        <button onClick={does.redo}>Redo</button>
        {set.tracks && <a href={`#/play/${number}`}>Play</a>}
        <button onClick={() => setCard(!card)} aria-expanded={card}>
          Keys
        </button>
      </TopBar>
      {review && <ReviewBar {...review} changed={work.load} tell={work.tell} />}
      <ToolBar {...{ does, tool, setTool, radius, setRadius }} />
      <div class="view" {...pointer}>
        <canvas ref={base} role="img" aria-label={`${set.images[number].name}: ${active?.objects.keys.length ?? 0} objects`} />
        <canvas ref={over} aria-hidden="true" />
      </div>
      <Panel
        {...{ set, work, number, of, tab, setTab, active, layer, shown, setShown, filter, setFilter, selected, setSelected, label, predicted, comparison, judged, viewer }}
        relabel={does.relabel}
        accept={does.accept}
      />
      <p role="status">{work.told || TOOLS.find((t) => t.tool === tool)!.hint}</p>
      {card && <KeyCard />}
    </main>
  );
}

/** The viewer on its canvases: it knows the size of the picture before anything else is there. */
function useViewer(number: number, tell: (text: string) => void) {
  const base = useRef<HTMLCanvasElement>(null);
  const over = useRef<HTMLCanvasElement>(null);
  const viewer = useRef<Viewer | null>(null);
  const [ready, setReady] = useState(false);
  useLayoutEffect(() => {
    let gone = false;
    imageInfo(number).then(
      (info) => {
        if (gone) return;
        viewer.current = new Viewer(base.current!, over.current!, number, info, tell);
        setReady(true);
      },
      (error: Error) => tell(error.message),
    );
    return () => {
      gone = true;
      viewer.current?.close();
      viewer.current = null;
    };
  }, []);
  return { base, over, viewer, ready };
}

/** What is looked at: labels, or predictions where labels are off or there are none. */
function lookedAt(set: SetAnswer, { labels, found }: Work, shown: Shown): { active: Found | null; predicted: boolean } {
  const predicted = found !== null && (!shown.labels || labels?.keys.length === 0);
  return { active: predicted ? found : labels && { objects: labels, classes: set.classes }, predicted };
}

interface Painting {
  tab: Tab;
  comparison: Comparison | null;
  judged: Judged | null;
}

/** Objects as the viewer draws them, in the colours of the open tab. */
function useLayers(set: SetAnswer, work: Work, viewer: Viewer | null | false, shown: Shown, filter: Filter, selected: ReadonlySet<number>, painting: Painting) {
  const { labels, found, touched } = work;
  const { active, predicted } = useMemo(() => lookedAt(set, work, shown), [labels, found, shown.labels, set.classes]);
  const layer = useMemo(() => active && layerOf(active, shown, filter), [active, shown.fill, shown.outline, filter]);
  const painted = useMemo(() => {
    if (!active) return null;
    if (painting.tab === "rules" && painting.judged) return layerOf(active, shown, filter, byVerdict(active.objects, painting.judged));
    if (!labels || !found || predicted || !shown.predictions) return null;
    const drawn = { objects: labels, classes: set.classes };
    const marked = painting.tab === "compare" ? painting.comparison : null;
    const below = layerOf(drawn, shown, { ...filter, score: 0 }, marked ? byMark(marked.labels) : evenly(labels, LABELS));
    const above = layerOf(found, shown, filter, marked ? byMark(marked.predictions) : evenly(found.objects, FOUND));
    if (!marked) return together(below, above);
    // a prediction that is right would hide the label that it finds
    const order = above.style.order.filter((i) => marked.predictions[i] && marked.predictions[i] !== "found");
    return together(below, { ...above, style: { ...above.style, order } });
  }, [active, labels, found, predicted, shown, filter, painting.tab, painting.comparison, painting.judged]);
  // before the next frame, not after it: the answer to a click is on the screen a frame or two sooner
  useLayoutEffect(() => {
    if (!layer || !viewer) return;
    viewer.setLayer(painted ?? layer, painted ? undefined : touched.current);
    touched.current = undefined;
  }, [viewer, layer, painted]);
  useLayoutEffect(() => {
    if (!layer || !active || !viewer) return;
    const text = shown.names ? (i: number) => nameOf(active.objects, i, active.classes) : null;
    const rows = new Set([...selected].map((key) => active.objects.keys.indexOf(key)).filter((i) => i >= 0));
    viewer.setAbove({ layer, boxes: shown.boxes, text, selected: rows });
  }, [viewer, layer, selected, shown.names, shown.boxes]);
  return { active, predicted, layer };
}

const evenly = (objects: Objects, colour: number): Uint32Array => new Uint32Array(objects.keys.length).fill(colour);
const byMark = (marks: readonly string[]): Uint32Array => Uint32Array.from(marks, (mark) => MARKS[mark] ?? 0);

function byVerdict(objects: Objects, judged: Judged): Uint32Array {
  const outcome = worst(judged);
  return Uint32Array.from(objects.keys, (key) => OUTCOMES[outcome.get(key) ?? "pass"]);
}

/** Select and show the objects of a finding, once the labels are there. */
function useFinding(finding: Finding | undefined, work: Work, viewer: Viewer | null | false, select: (keys: ReadonlySet<number>) => void) {
  const there = work.labels !== null;
  useEffect(() => {
    if (!finding || !viewer || !there) return;
    select(new Set(finding.keys));
    if (finding.box) viewer.show(finding.box);
  }, [finding?.id, viewer, there]);
}

import { useState } from "preact/hooks";
import { type Comparison, type Exported, type Judged, type SetAnswer, send } from "./api";
import { Compare } from "./compare";
import { type Filter, type Found, type Shown, nameOf } from "./layers";
import { Look } from "./look";
import { Measure } from "./measure";
import { ObjectList } from "./objects";
import { Rules } from "./rules";
import type { Layer, Viewer } from "./viewer";
import type { Work } from "./work";

export type Tab = "objects" | "compare" | "measure" | "rules" | "picture";

export interface PanelProps {
  set: SetAnswer;
  work: Work;
  number: number;
  /** Which objects the server is asked about: words of an address. */
  of: string;
  tab: Tab;
  setTab: (tab: Tab) => void;
  active: Found | null;
  layer: Layer | null;
  shown: Shown;
  setShown: (shown: Shown) => void;
  filter: Filter;
  setFilter: (filter: Filter) => void;
  selected: ReadonlySet<number>;
  setSelected: (keys: ReadonlySet<number>) => void;
  label: string;
  relabel: (name: string) => void;
  predicted: boolean;
  comparison: Comparison | null;
  judged: Judged | null;
  accept: () => void;
  viewer: { current: Viewer | null };
}

/** Beside the image: its objects, labels beside predictions, measurements, rules, and how the picture is shown. */
export function Panel(p: PanelProps) {
  const tabs: [Tab, string][] = [["objects", "Objects"]];
  if (p.set.model) tabs.push(["compare", "Errors"]);
  const large = p.work.labels?.large; // measured and judged where there is time: apiece measure, apiece inspect
  if (!large) tabs.push(["measure", "Measure"]);
  if (p.set.rules && !large) tabs.push(["rules", "Rules"]);
  tabs.push(["picture", "Picture"]);
  return (
    <aside aria-label="Objects">
      <div role="tablist" aria-label="Beside the image">
        {tabs.map(([tab, name]) => (
          <button key={tab} role="tab" id={`tab-${tab}`} aria-selected={p.tab === tab} aria-controls="tabpanel" onClick={() => p.setTab(tab)}>
            {name}
          </button>
        ))}
      </div>
      <div role="tabpanel" id="tabpanel" aria-labelledby={`tab-${p.tab}`}>
        <Content {...p} />
      </div>
    </aside>
  );
}

function Content(p: PanelProps) {
  const { active, work, viewer } = p;
  const rowOf = (key: number): number => active?.objects.keys.indexOf(key) ?? -1;
  const showRow = (found: Found, i: number) => i >= 0 && viewer.current?.show(found.objects.boxes.subarray(4 * i, 4 * i + 4));
  if (p.tab === "picture") return <Look number={p.number} viewer={viewer} tell={work.tell} />;
  if (!active) return null;
  if (p.tab === "measure")
    return (
      <Measure
        path={`images/${p.number}/measured?${p.of}`}
        version={work.labels}
        nameOf={(key) => (rowOf(key) < 0 ? "" : nameOf(active.objects, rowOf(key), active.classes))}
        selected={p.selected}
        setSelected={p.setSelected}
        show={(key) => showRow(active, rowOf(key))}
        tell={work.tell}
      />
    );
  if (p.tab === "rules") return <Rules judged={p.judged} select={p.setSelected} show={(keys, spot) => (keys.length ? showRow(active, rowOf(keys[0])) : spot && viewer.current?.show([spot[0] - 20, spot[1] - 20, spot[0] + 20, spot[1] + 20]))} />;
  if (p.tab === "compare") {
    if (!work.labels || !work.found) return <p class="quiet">The model is looking …</p>;
    const labels = { objects: work.labels, classes: p.set.classes };
    return (
      <Compare
        labels={work.labels}
        found={work.found}
        told={p.comparison}
        score={p.filter.score}
        setScore={(score) => p.setFilter({ ...p.filter, score })}
        show={(side, i) => {
          showRow(side === "labels" ? labels : work.found!, i);
          p.setSelected(new Set(side === "labels" && !p.predicted ? [work.labels!.keys[i]] : []));
        }}
      />
    );
  }
  return (
    <>
      <ObjectList {...p} show={(i) => showRow(active, i)} />
      <ExportForm set={p.set} tell={work.tell} />
    </>
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

import type { ComponentChildren } from "preact";
import type { Actions } from "./actions";
import { KEYS, TOOLS, type Tool } from "./tools";

interface TopProps {
  name: string;
  number: number;
  count: number;
  open: (n: number) => void;
  close: () => void;
  children: ComponentChildren;
}

/** Above the image: its name, and the way to others. */
export function TopBar({ name, number, count, open, close, children }: TopProps) {
  return (
    <header>
      <button onClick={close}>All images</button>
      <button onClick={() => open(number - 1)} disabled={number === 0} aria-label="Image before">
        ←
      </button>
      <button onClick={() => open(number + 1)} disabled={number + 1 >= count} aria-label="Image after">
        →
      </button>
      <h1 title={name}>{name}</h1>
      <span>
        {(number + 1).toLocaleString()} of {count.toLocaleString()}
      </span>
      {children}
    </header>
  );
}

interface ToolProps {
  does: Actions;
  tool: Tool;
  setTool: (tool: Tool) => void;
  radius: number;
  setRadius: (radius: number) => void;
}

/** What is done with the selected objects. */
const DOES: readonly [name: string, key: string, act: (does: Actions) => unknown][] = [
  ["Merge", "M", (does) => does.merge()],
  ["Fill holes", "F", (does) => does.fill()],
  ["To front", "U", (does) => does.order("front")],
  ["To back", "⇧U", (does) => does.order("back")],
  ["Copy on", "J", (does) => does.copyOn()],
  ["Delete", "Del", (does) => does.remove()],
];

/** Left of the image: the tools, and what is done with the selected objects. */
export function ToolBar({ does, tool, setTool, radius, setRadius }: ToolProps) {
  return (
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
      <hr />
      {DOES.map(([name, key, act]) => (
        <button key={name} disabled={!does.editable} onClick={() => act(does)}>
          {name} <kbd>{key}</kbd>
        </button>
      ))}
    </div>
  );
}

/** The keyboard card. */
export function KeyCard() {
  return (
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
  );
}

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { SetAnswer } from "./api";
import { Person } from "./person";

const CELL = 176;

/** All images of the set; only the rows that are seen are in the page. */
export function Grid({ set, last, open }: { set: SetAnswer; last: number; open: (n: number) => void }) {
  const frame = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 800, columns: 6 });
  const [split, setSplit] = useState("");
  const [words, setWords] = useState("");
  const [onlyChanged, setOnlyChanged] = useState(false);
  const shown = useMemo(
    () =>
      set.images.flatMap((image, n) =>
        (!split || image.split === split) && image.name.includes(words) && (!onlyChanged || image.revision) ? [n] : [],
      ),
    [set, split, words, onlyChanged],
  );
  const splits = [...new Set(set.images.map((image) => image.split))];

  useEffect(() => {
    const node = frame.current!;
    const look = () =>
      setView({ top: node.scrollTop, height: node.clientHeight, columns: Math.max(Math.floor(node.clientWidth / CELL), 1) });
    const size = new ResizeObserver(look);
    size.observe(node);
    node.addEventListener("scroll", look, { passive: true });
    return () => {
      size.disconnect();
      node.removeEventListener("scroll", look);
    };
  }, []);
  useEffect(() => {
    const place = shown.indexOf(last);
    const columns = Math.max(Math.floor(frame.current!.clientWidth / CELL), 1);
    if (place > 0) frame.current!.scrollTop = Math.max(Math.floor(place / columns) * CELL - 200, 0);
    frame.current!.querySelector<HTMLElement>(`[data-n="${last}"]`)?.focus();
  }, []);

  const rows = Math.ceil(shown.length / view.columns);
  const first = Math.max(Math.floor(view.top / CELL) - 2, 0);
  const beyond = Math.min(Math.ceil((view.top + view.height) / CELL) + 2, rows);

  const move = (event: KeyboardEvent) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -view.columns, ArrowDown: view.columns }[event.key];
    const at = Number((event.target as HTMLElement).dataset.place);
    if (step === undefined || Number.isNaN(at)) return;
    event.preventDefault();
    const next = Math.min(Math.max(at + step, 0), shown.length - 1);
    const row = Math.floor(next / view.columns) * CELL;
    const node = frame.current!;
    if (row < node.scrollTop || row + CELL > node.scrollTop + node.clientHeight) node.scrollTop = row - CELL;
    requestAnimationFrame(() => node.querySelector<HTMLElement>(`[data-place="${next}"]`)?.focus());
  };

  return (
    <main class="gridpage">
      <header>
        <h1>{set.title}</h1>
        <span>{shown.length.toLocaleString()} images</span>
        {splits.length > 1 && (
          <label>
            Split{" "}
            <select value={split} onChange={(e) => setSplit(e.currentTarget.value)}>
              <option value="">all</option>
              {splits.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </label>
        )}
        <label>
          Name <input value={words} onInput={(e) => setWords(e.currentTarget.value)} />
        </label>
        <label>
          <input type="checkbox" checked={onlyChanged} onChange={(e) => setOnlyChanged(e.currentTarget.checked)} /> changed
        </label>
        {set.tracks && <a href="#/play/0">Play</a>}
        <a href="#/review">Review</a>
        <a href="#/report">Report</a>
        <Person />
      </header>
      {set.notice && <p role="status">{set.notice}</p>}
      <div class="grid" ref={frame} onKeyDown={move}>
        <ul style={{ height: rows * CELL }}>
          {shown.slice(first * view.columns, beyond * view.columns).map((n, k) => {
            const place = first * view.columns + k;
            const image = set.images[n];
            const [left, top] = [(place % view.columns) * CELL, Math.floor(place / view.columns) * CELL];
            return (
              <li key={n} style={{ transform: `translate(${left}px, ${top}px)` }}>
                <button data-n={n} data-place={place} onClick={() => open(n)} title={image.name}>
                  <Thumb number={n} seen={top + CELL > view.top && top < view.top + view.height} />
                  <span>
                    {image.revision ? "✎ " : ""}
                    {image.name}
                  </span>
                </button>
              </li>
            );
          })}
        </ul>
      </div>
    </main>
  );
}

/** A small picture: what is seen is asked for first, and what has scrolled away no more. */
function Thumb({ number, seen }: { number: number; seen: boolean }) {
  const image = useRef<HTMLImageElement>(null);
  useEffect(() => {
    const node = image.current!;
    return () => node.removeAttribute("src");
  }, []);
  return <img ref={image} fetchpriority={seen ? "high" : "low"} src={`api/images/${number}/thumb`} alt="" decoding="async" />;
}

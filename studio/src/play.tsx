import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type SetAnswer, type Track, read } from "./api";
import { colour, css } from "./colours";
import { type Frame, Frames } from "./frames";
import { useKeys } from "./keys";

const ROW = 24;

interface Props {
  set: SetAnswer;
  number: number;
  edit: (n: number) => void;
  close: () => void;
}

/** Frames as a film: a timeline to drag, and below it the frames in which each track is. */
export function PlayPage({ set, number, edit, close }: Props) {
  const count = set.images.length;
  const [at, setAt] = useState(number);
  const [plays, setPlays] = useState(false);
  const [fps, setFps] = useState(12);
  const [chosen, choose] = useState<number | null>(null);
  const [told, setTold] = useState("");
  const frames = useMemo(() => new Frames(count, set.classes), []);
  const canvas = useRef<HTMLCanvasElement>(null);

  useEffect(() => {
    let gone = false;
    frames.get(at).then(
      (frame) => !gone && draw(canvas.current!, frame, chosen),
      (error: Error) => setTold(error.message),
    );
    // the person may be on the way to another page
    if (window.location.hash.startsWith("#/play")) history.replaceState(null, "", `#/play/${at}`);
    return () => {
      gone = true;
    };
  }, [at, chosen]);
  useEffect(() => {
    if (!plays) return;
    let [asked, last] = [0, performance.now()];
    const tick = (now: number) => {
      asked = requestAnimationFrame(tick);
      // every frame is shown: one that is not there yet is waited for
      if (now - last < 1000 / fps - 2 || !frames.now((at + 1) % count)) return;
      cancelAnimationFrame(asked);
      setAt((at + 1) % count);
    };
    void frames.get((at + 1) % count).catch(() => setPlays(false));
    asked = requestAnimationFrame((now) => tick((last = now)));
    return () => cancelAnimationFrame(asked);
  }, [plays, at, fps]);

  const go = (n: number) => setAt(Math.min(Math.max(n, 0), count - 1));
  useKeys({
    p: () => setPlays(!plays),
    ArrowLeft: () => go(at - 1),
    ArrowRight: () => go(at + 1),
    Home: () => go(0),
    End: () => go(count - 1),
    e: () => edit(at),
    g: close,
  });

  return (
    <main class="gridpage">
      <header>
        <button onClick={close}>All images</button>
        <h1>{set.images[at].name}</h1>
        <span>
          {(at + 1).toLocaleString()} of {count.toLocaleString()}
        </span>
        <button onClick={() => edit(at)}>Correct (E)</button>
      </header>
      {told && <p role="status">{told}</p>}
      <div class="film">
        <canvas ref={canvas} role="img" aria-label={set.images[at].name} />
      </div>
      <div class="timeline">
        <button aria-pressed={plays} onClick={() => setPlays(!plays)}>
          {plays ? "Pause" : "Play"} <kbd>P</kbd>
        </button>
        <input type="range" aria-label="Frame" min="0" max={count - 1} value={at} onInput={(e) => go(Number(e.currentTarget.value))} />
        <label>
          <select value={fps} onChange={(e) => setFps(Number(e.currentTarget.value))}>
            {[2, 6, 12, 25, 50].map((n) => (
              <option key={n}>{n}</option>
            ))}
          </select>{" "}
          frames/s
        </label>
      </div>
      <TrackRows {...{ at, count, chosen, choose, go }} />
    </main>
  );
}

interface RowsProps {
  at: number;
  count: number;
  chosen: number | null;
  choose: (id: number | null) => void;
  go: (n: number) => void;
}

/** A row for each track: where it is, in its colour; a click goes to where it begins. */
function TrackRows({ at, count, chosen, choose, go }: RowsProps) {
  const [tracks, setTracks] = useState<readonly Track[]>([]);
  const [top, setTop] = useState(0);
  useEffect(() => {
    read<{ tracks: Track[] }>("tracks").then(
      (answer) => setTracks(answer.tracks),
      () => undefined,
    );
  }, []);
  const first = Math.max(Math.floor(top / ROW) - 3, 0);
  const share = (n: number): string => `${(100 * n) / count}%`;
  return (
    <div class="tracks" onScroll={(e) => setTop(e.currentTarget.scrollTop)}>
      <ul style={{ height: tracks.length * ROW }} aria-label={`${tracks.length} tracks`}>
        {tracks.slice(first, first + 20).map((track, k) => (
          <li key={track.id} style={{ transform: `translateY(${(first + k) * ROW}px)` }}>
            <button
              aria-pressed={track.id === chosen}
              onClick={() => {
                choose(track.id === chosen ? null : track.id);
                if (!track.spans.some(([a, b]) => a <= at && at <= b)) go(track.spans[0][0]);
              }}
            >
              {track.label} #{track.id}
            </button>
            <div class="spans">
              {track.spans.map(([a, b]) => (
                <i key={a} style={{ left: share(a), width: share(b + 1 - a), background: css(colour(track.id + 1)) }} />
              ))}
              <b style={{ left: share(at + 0.5) }} />
            </div>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** Show a frame as large as its place allows, with a box around the chosen track. */
function draw(canvas: HTMLCanvasElement, frame: Frame, chosen: number | null): void {
  const { objects: o, step } = frame;
  [canvas.width, canvas.height] = [frame.canvas.width, frame.canvas.height];
  const context = canvas.getContext("2d")!;
  context.drawImage(frame.canvas, 0, 0);
  const i = chosen === null || !o.ids ? -1 : o.ids.indexOf(chosen);
  if (i < 0) return;
  const [x0, y0, x1, y1] = [...o.boxes.subarray(4 * i, 4 * i + 4)].map((v) => v / step);
  context.strokeStyle = "#fff";
  context.lineWidth = 3;
  context.strokeRect(x0 - 3, y0 - 3, x1 - x0 + 6, y1 - y0 + 6);
}

import { useState } from "preact/hooks";
import type { Finding, SetAnswer } from "./api";
import { Person } from "./person";
import { QUEUES, type Queue, settled } from "./review";

const ROW = 92;

/** All findings of the check and all questions of the model, the gravest and surest of each queue first, and how far the review is. */
export function ReviewPage({ set, queue, open, close }: { set: SetAnswer; queue: Queue; open: (id: string) => void; close: () => void }) {
  const { answer, all, shown, choice, choose } = queue;
  const [top, setTop] = useState(0);
  const queues = QUEUES.filter(([from]) => answer?.findings.some((f) => f.queue === from));
  const kinds = [...new Set(all.map((f) => f.kind))];
  const first = Math.max(Math.floor(top / ROW) - 3, 0);
  return (
    <main class="gridpage">
      <header>
        <button onClick={close}>All images</button>
        <h1>Review of {set.title}</h1>
        <Progress queue={queue} />
        {queues.length > 1 && (
          <label>
            Queue{" "}
            <select value={choice.from} onChange={(e) => choose({ ...choice, from: e.currentTarget.value as typeof choice.from, kind: "" })}>
              <option value="">all</option>
              {queues.map(([from, words]) => (
                <option key={from} value={from}>
                  {words} ({answer!.findings.filter((f) => f.queue === from).length.toLocaleString()})
                </option>
              ))}
            </select>
          </label>
        )}
        <label>
          Kind{" "}
          <select value={choice.kind} onChange={(e) => choose({ ...choice, kind: e.currentTarget.value })}>
            <option value="">all</option>
            {kinds.map((kind) => (
              <option key={kind} value={kind}>
                {kind} ({all.filter((f) => f.kind === kind).length.toLocaleString()})
              </option>
            ))}
          </select>
        </label>
        <label>
          <input type="checkbox" checked={choice.open} onChange={(e) => choose({ ...choice, open: e.currentTarget.checked })} /> open only
        </label>
        <button onClick={queue.again} disabled={answer?.state === "running"}>
          Check again
        </button>
        <a href="#/report">Report</a>
        <Person />
      </header>
      {(queue.told || answer?.told) && <p role="status">{queue.told || answer?.told}</p>}
      <div class="grid findings" onScroll={(e) => setTop(e.currentTarget.scrollTop)}>
        {answer?.state === "done" && !shown.length && <p class="quiet">{all.length ? "Nothing is open." : "The check finds nothing."}</p>}
        <ul style={{ height: shown.length * ROW }} aria-label={`${shown.length} findings`}>
          {shown.slice(first, first + 30).map((f, k) => (
            <li key={f.id} style={{ transform: `translateY(${(first + k) * ROW}px)` }}>
              <Row finding={f} open={open} />
            </li>
          ))}
        </ul>
      </div>
    </main>
  );
}

function Progress({ queue }: { queue: Queue }) {
  const { answer, all } = queue;
  if (!answer || answer.state === "failed") return null;
  if (answer.state === "running" || answer.state === "none")
    return (
      <label class="progress">
        <progress value={answer.done} max={answer.total} /> checked {answer.done.toLocaleString()} of {answer.total.toLocaleString()}
      </label>
    );
  return (
    <label class="progress">
      <progress value={settled(all)} max={Math.max(all.length, 1)} /> {settled(all).toLocaleString()} of {all.length.toLocaleString()} settled
    </label>
  );
}

function Row({ finding: f, open }: { finding: Finding; open: (id: string) => void }) {
  return (
    <button onClick={() => open(f.id)} disabled={f.image === null}>
      {f.image === null ? <span class="nothumb" /> : <img src={`api/review/${f.id}/picture`} alt="" />}
      <span class={`level ${f.level}`}>{f.level}</span>
      <span class="words">
        <b>{f.kind}</b> {f.message}
        <small>
          {f.name}
          {f.others.length > 0 && `, ${f.others.slice(0, 2).join(", ")}`} · {f.said ? saidOf(f) : f.fix}
        </small>
      </span>
    </button>
  );
}

const WORDS = { accept: "accepted", dismiss: "dismissed", repair: "repaired", reopen: "open again" };

/** What was said of a finding, in words. */
export function saidOf({ said }: Finding): string {
  if (!said) return "";
  return `${WORDS[said.what]}${said.by && ` by ${said.by}`}, ${said.at.slice(0, 10)}${said.reason && `: ${said.reason}`}`;
}

import { useEffect, useState } from "preact/hooks";
import type { Finding } from "./api";
import { useKeys } from "./keys";
import { type Queue, type What, settled } from "./review";
import { saidOf } from "./reviewpage";

interface Props {
  finding: Finding;
  queue: Queue;
  open: (id: string) => void;
  list: () => void;
  /** The labels of the image were changed by the server. */
  changed: () => Promise<void>;
  tell: (text: string) => void;
}

/** Above the picture: one finding, and what a person can say of it. */
export function ReviewBar({ finding, queue, open, list, changed, tell }: Props) {
  const [asking, setAsking] = useState(false);
  const [reason, setReason] = useState("");
  // what is settled leaves the queue of open findings, but not from under the person
  const [order] = useState(() => queue.shown.filter((f) => f.image !== null).map((f) => f.id));
  useEffect(() => setAsking(false), [finding.id]);
  const { all } = queue;
  const step = (by: number) => {
    const at = order.indexOf(finding.id);
    const next = order[at + by];
    if (next) open(next);
    else tell(by > 0 ? "This was the last finding." : "This is the first finding.");
  };
  const say = async (what: What, why = "") => {
    try {
      await queue.decide(finding.id, what, why);
      setAsking(false);
      setReason("");
      if (what === "repair") await changed();
      tell(`${finding.kind}: ${what === "repair" ? "repaired; Z takes it back" : what === "dismiss" ? "dismissed" : what === "accept" ? "accepted" : "open again"}`);
      if (what === "accept" || what === "dismiss") step(1);
    } catch (error) {
      tell((error as Error).message);
    }
  };
  useKeys({
    ",": () => step(-1),
    ".": () => step(1),
    y: () => void say("accept"),
    t: () => finding.repair && void say("repair"),
    d: () => setAsking(true),
  });
  return (
    <section class="finding" aria-label="Finding">
      <span class={`level ${finding.level}`}>{finding.level}</span>
      <p>
        <b>{finding.kind}</b> {finding.message}
        <small>{finding.said ? saidOf(finding) : finding.fix}</small>
      </p>
      <span class="quiet">
        {settled(all).toLocaleString()} of {all.length.toLocaleString()} settled
      </span>
      <button onClick={() => step(-1)} aria-label="Finding before">
        ← <kbd>,</kbd>
      </button>
      <button onClick={() => step(1)} aria-label="Finding after">
        → <kbd>.</kbd>
      </button>
      {finding.said ? (
        <button onClick={() => void say("reopen")}>Open again</button>
      ) : (
        <>
          <button onClick={() => void say("accept")} title="The finding is right; you have changed the labels by hand, or will">
            Accept <kbd>Y</kbd>
          </button>
          {finding.repair && (
            <button onClick={() => void say("repair")} title={finding.repair === "model" ? "Take over what the model finds here" : finding.fix}>
              {finding.repair === "model" ? "Take the model's" : "Repair"} <kbd>T</kbd>
            </button>
          )}
          <button onClick={() => setAsking(!asking)} aria-expanded={asking} title="The labels are right as they are">
            Dismiss <kbd>D</kbd>
          </button>
        </>
      )}
      <button onClick={list}>List</button>
      {asking && (
        <form
          onSubmit={(e) => {
            e.preventDefault();
            void say("dismiss", reason);
          }}
        >
          <label>
            Why are the labels right? <input value={reason} onInput={(e) => setReason(e.currentTarget.value)} ref={(node) => node?.focus()} required />
          </label>
          <button>Dismiss</button>
        </form>
      )}
    </section>
  );
}

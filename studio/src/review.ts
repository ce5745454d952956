import { useEffect, useState } from "preact/hooks";
import { type Finding, type ReviewAnswer, type Said, read, send } from "./api";

export type What = Said["what"] | "reopen";

export interface Queue {
  answer: ReviewAnswer | null;
  told: string;
  /** All findings of the chosen queue. */
  all: readonly Finding[];
  /** The findings that the person has chosen to look at, in order. */
  shown: readonly Finding[];
  choice: Choice;
  choose: (choice: Choice) => void;
  again: () => void;
  decide: (id: string, what: What, reason?: string) => Promise<void>;
}

/** Where findings come from, in words. */
export const QUEUES: readonly [from: Finding["queue"], words: string][] = [
  ["labels", "labels that look wrong"],
  ["disagreement", "model and label disagree"],
  ["unsure", "the model is unsure"],
  ["unlike", "unlike the baseline"],
];

export interface Choice {
  /** Where findings come from; empty: from everywhere. */
  from: Finding["queue"] | "";
  kind: string;
  open: boolean;
}

/** The queue of findings: asked for once it is needed, and again while the check runs. */
export function useQueue(needed: boolean): Queue {
  const [answer, setAnswer] = useState<ReviewAnswer | null>(null);
  const [told, setTold] = useState("");
  const [choice, choose] = useState<Choice>({ from: "", kind: "", open: true });
  const take = (next: Promise<ReviewAnswer>) => next.then(setAnswer, (error: Error) => setTold(error.message));
  useEffect(() => {
    if (needed && !answer) void take(read("review"));
  }, [needed]);
  useEffect(() => {
    if (answer?.state !== "running") return;
    const timer = setTimeout(() => void take(read("review")), 700);
    return () => clearTimeout(timer);
  }, [answer]);

  const decide = async (id: string, what: What, reason = "") => {
    const said = await send<Said>(`review/${id}`, { what, reason });
    setAnswer((now) => now && { ...now, findings: now.findings.map((f) => (f.id === id ? { ...f, said: what === "reopen" ? null : said } : f)) });
  };
  const all = answer?.findings.filter((f) => !choice.from || f.queue === choice.from) ?? [];
  const shown = all.filter((f) => (!choice.kind || f.kind === choice.kind) && !(choice.open && f.said));
  return { answer, told, all, shown, choice, choose, again: () => void take(send("review", {})), decide };
}

/** How many findings are settled. */
export function settled(findings: readonly Finding[]): number {
  return findings.filter((f) => f.said).length;
}

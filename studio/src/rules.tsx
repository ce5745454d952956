import { useEffect, useState } from "preact/hooks";
import { type Judged, read } from "./api";

export const OUTCOMES = { pass: 0x50b030, unsure: 0x1fb4ff, fail: 0x3838e8 } as const; // 0xBBGGRR

/** What the rules say of the objects that are looked at. */
export function useJudged(path: string | null, version: unknown, tell: (text: string) => void): Judged | null {
  const [told, setTold] = useState<Judged | null>(null);
  useEffect(() => {
    if (path === null) return;
    let late = false;
    read<Judged>(path).then(
      (answer) => !late && setTold(answer),
      (error: Error) => {
        if (late) return;
        setTold(null);
        tell(error.message);
      },
    );
    return () => {
      late = true;
    };
  }, [path, version]);
  return path === null ? null : told;
}

/** The worst outcome of each object that a rule names. */
export function worst(judged: Judged): Map<number, "fail" | "unsure"> {
  const found = new Map<number, "fail" | "unsure">();
  for (const one of judged.rules.flatMap((rule) => rule.findings))
    if (one.outcome !== "pass") for (const key of one.keys) if (found.get(key) !== "fail") found.set(key, one.outcome);
  return found;
}

interface Props {
  judged: Judged | null;
  select: (keys: ReadonlySet<number>) => void;
  show: (keys: readonly number[], spot: readonly number[] | null) => void;
}

/** The verdict of every rule; a click shows what it is about. */
export function Rules({ judged, select, show }: Props) {
  if (!judged) return <p class="quiet">Judging …</p>;
  return (
    <>
      <p class={`verdict ${judged.outcome}`}>{judged.outcome}</p>
      <ul class="rules">
        {judged.rules.map((rule) => (
          <li key={rule.rule}>
            <span class={`verdict ${rule.outcome}`}>{rule.outcome}</span> <b>{rule.rule}</b>
            {rule.findings.map((one, k) => (
              <button
                key={k}
                disabled={!one.keys.length && !one.spot}
                onClick={() => {
                  select(new Set(one.keys));
                  show(one.keys, one.spot);
                }}
              >
                {one.text}
              </button>
            ))}
          </li>
        ))}
      </ul>
    </>
  );
}

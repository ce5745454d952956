import { useEffect, useMemo, useState } from "preact/hooks";
import { type Comparison, read } from "./api";
import { css } from "./colours";
import type { Found } from "./layers";
import type { Objects } from "./wire";

/** Colour of each mark, 0xBBGGRR. */
export const MARKS: Readonly<Record<string, number>> = {
  found: 0x50b030,
  missed: 0xff7b2f,
  false: 0x1f8aff,
  loose: 0x00c8e8,
  merged: 0xe04ac0,
  split: 0xc8b400,
  class: 0xa34fff,
  double: 0x3a68b0,
};

/** What each label and prediction is beside the other, at a score; asked for again once the slider rests. */
export function useComparison(number: number, on: boolean, score: number, labels: Objects | null, tell: (text: string) => void): Comparison | null {
  const [told, setTold] = useState<Comparison | null>(null);
  const revision = labels?.revision;
  useEffect(() => {
    if (!on) return;
    let late = false;
    const timer = setTimeout(() => {
      read<Comparison>(`images/${number}/compared?score=${score}`).then(
        (answer) => !late && setTold(answer),
        (error: Error) => !late && tell(error.message),
      );
    }, 60);
    return () => {
      late = true;
      clearTimeout(timer);
    };
  }, [on, score, revision]);
  return on && told?.labels.length === labels?.keys.length ? told : null;
}

interface Props {
  labels: Objects;
  found: Found;
  told: Comparison | null;
  score: number;
  setScore: (score: number) => void;
  show: (side: "labels" | "predictions", i: number) => void;
}

/** Labels beside predictions: how many are right at a score, and the errors by kind. */
export function Compare({ labels, found, told, score, setScore, show }: Props) {
  const [at, setAt] = useState<Record<string, number>>({});
  const scores = found.objects.scores;
  const counts = useMemo(() => {
    if (!told) return null;
    let right = 0;
    let kept = 0;
    told.right.forEach((yes, i) => {
      if (scores && scores[i] < score) return;
      kept++;
      if (yes) right++;
    });
    return { right, wrong: kept - right, missed: labels.keys.length - right };
  }, [told, score]);
  const places = useMemo(() => {
    const byMark = new Map<string, ["labels" | "predictions", number][]>();
    told?.labels.forEach((mark, i) => mark !== "found" && byMark.set(mark, [...(byMark.get(mark) ?? []), ["labels", i]]));
    told?.predictions.forEach((mark, i) => mark && mark !== "found" && byMark.set(mark, [...(byMark.get(mark) ?? []), ["predictions", i]]));
    return byMark;
  }, [told]);
  const step = (mark: string) => {
    const all = places.get(mark)!;
    const next = (at[mark] ?? -1) + 1;
    setAt({ ...at, [mark]: next % all.length });
    show(...all[next % all.length]);
  };
  return (
    <>
      <label>
        Score at least {score.toFixed(2)}
        <input type="range" min="0" max="1" step="0.01" value={score} onInput={(e) => setScore(Number(e.currentTarget.value))} />
      </label>
      {counts && <Rates {...counts} />}
      <fieldset>
        <legend>Errors by kind</legend>
        {told && !places.size && <p>None.</p>}
        <ul class="marks">
          {Object.keys(MARKS)
            .filter((mark) => places.has(mark))
            .map((mark) => (
              <li key={mark}>
                <button onClick={() => step(mark)} title={`${told!.meaning[mark]}; click for the next one`}>
                  <i style={{ background: css(MARKS[mark]) }} /> {mark} <span class="count">{places.get(mark)!.length.toLocaleString()}</span>
                </button>
              </li>
            ))}
        </ul>
      </fieldset>
      <p class="quiet">Green: labels that are found at an IoU of 0.5. Other colours: an error, on the label or on the prediction. The smallest lie on top.</p>
    </>
  );
}

function Rates({ right, wrong, missed }: { right: number; wrong: number; missed: number }) {
  const share = (part: number, of: number) => (of ? `${((100 * part) / of).toFixed(1)} %` : "–");
  return (
    <dl class="rates" aria-live="polite">
      <div>
        <dt>Right</dt>
        <dd>{right.toLocaleString()}</dd>
      </div>
      <div>
        <dt>False</dt>
        <dd>
          {wrong.toLocaleString()} <small>{share(wrong, right + wrong)} of predictions</small>
        </dd>
      </div>
      <div>
        <dt>Missed</dt>
        <dd>
          {missed.toLocaleString()} <small>{share(missed, right + missed)} of labels</small>
        </dd>
      </div>
    </dl>
  );
}

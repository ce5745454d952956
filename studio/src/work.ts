import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { type Edit, Refused, change, readObjects } from "./api";
import { type Found, boxesOf } from "./layers";
import { type Header, type Objects, changed } from "./wire";

export type Changed = { header: Header; objects: Objects };
/** Send a change; whether it is saved. */
export type Save = (path: string, body: unknown, done?: (answer: Changed) => void) => Promise<boolean>;

export interface Work {
  labels: Objects | null;
  found: Found | null;
  told: string;
  tell: (text: string) => void;
  save: Save;
  /** Read the labels again. */
  load: () => Promise<void>;
  edit: (made: Edit, done?: (answer: Changed) => void) => Promise<boolean>;
  /** Boxes of what changed last, until they are taken: all else is as it was. */
  touched: { current: readonly number[][] | undefined };
}

/** The labels of an image as they stand, what the model finds on it, and how they are changed: one change after another. */
export function useWork(number: number, predicts: boolean): Work {
  const [labels, setLabels] = useState<Objects | null>(null);
  const [found, setFound] = useState<Found | null>(null);
  const [told, tell] = useState("");
  const now = useRef<Objects | null>(null);
  const waiting = useRef<Promise<unknown>>(Promise.resolve());
  const touched = useRef<readonly number[][] | undefined>(undefined);

  const gone = useRef(false);

  const load = async (): Promise<void> => {
    const { header, objects } = await readObjects(`images/${number}/objects`);
    if (gone.current) return;
    if (header.reading !== undefined) {
      tell(`Reading the objects of this image for the first time: ${header.reading.toLocaleString()} so far …`);
      await new Promise((done) => setTimeout(done, 1000));
      return gone.current ? undefined : load();
    }
    if (objects.large) tell("");
    now.current = objects;
    setLabels(objects);
    if (header.notice) tell(header.notice);
    if (header.gone) tell(`The label file has changed: ${header.gone} objects that it had are gone. Your changes were kept.`);
  };
  const predict = async () => {
    tell("The model is looking …");
    const { header, objects } = await readObjects(`images/${number}/predictions`);
    setFound({ objects, classes: header.classes ?? [] });
    tell(`The model finds ${objects.keys.length.toLocaleString()} objects of any score.`);
  };
  useLayoutEffect(() => {
    load()
      .then(() => (predicts ? predict() : undefined))
      .catch((error: Error) => tell(error.message));
    return () => {
      gone.current = true;
    };
  }, []);

  const save: Save = (path, body, done) => {
    const next = waiting.current.then(async () => {
      try {
        const before = now.current;
        if (!before) return false;
        const answer = await change(`images/${number}/${path}`, body, before.revision);
        const after = changed(before, answer.objects, answer.header.removed ?? []);
        const keys = [...answer.objects.keys, ...(answer.header.removed ?? [])];
        touched.current = [...boxesOf(before, keys), ...boxesOf(after, keys)];
        now.current = after;
        setLabels(after);
        tell(after.revision === before.revision ? "nothing to change" : `saved, change ${after.revision}`);
        done?.(answer);
        return true;
      } catch (error) {
        if (error instanceof Refused && error.stale) await load();
        tell((error as Error).message);
        return false;
      }
    });
    waiting.current = next;
    return next;
  };
  const edit: Work["edit"] = (made, done) => save("edits", { edit: made }, done);
  return { labels, found, told, tell, load, save, edit, touched };
}

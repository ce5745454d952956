import type { components } from "./schema";
import { type Header, type Objects, decode } from "./wire";

type Schemas = components["schemas"];
export type SetAnswer = Schemas["SetAnswer"];
export type Edit = Schemas["Make"]["edit"];
export type Click = Schemas["Click"];
export type ImageInfo = Schemas["ImageInfo"];
export type LookInfo = Schemas["LookInfo"];
export type Comparison = Schemas["Comparison"];
export type Finding = Schemas["FindingEntry"];
export type ReviewAnswer = Schemas["ReviewAnswer"];
export type Track = Schemas["Track"];
export type Said = Schemas["Said"];
export type Report = Schemas["ReportAnswer"];
export type Measured = Schemas["Measured"];
export type Judged = Schemas["Judged"];
export type Exported = Schemas["Exported"];

/** Why the server did not do what was asked; `stale` if the image was changed elsewhere. */
export class Refused extends Error {
  constructor(
    message: string,
    readonly stale: boolean,
  ) {
    super(message);
  }
}

const NAME = "apiece studio: name";

/** The name that the person has given, for the report; may be empty. */
export const person = {
  get name(): string {
    return localStorage.getItem(NAME) ?? "";
  },
  set name(text: string) {
    localStorage.setItem(NAME, text.trim());
  },
};

async function ask(path: string, body?: unknown, revision?: number): Promise<Response> {
  const headers: Record<string, string> = {};
  if (body !== undefined) headers["content-type"] = "application/json";
  if (person.name) headers["x-by"] = encodeURIComponent(person.name);
  if (revision !== undefined) headers["if-match"] = String(revision);
  let answer: Response;
  try {
    answer = await fetch(`api/${path}`, body === undefined ? {} : { method: "POST", headers, body: JSON.stringify(body) });
  } catch {
    throw new Refused("The studio does not answer. Is it still running? What was confirmed is saved.", false);
  }
  if (answer.ok) return answer;
  const problem = (await answer.json().catch(() => ({}))) as { message?: string };
  throw new Refused(problem.message ?? `the studio answered ${answer.status}`, answer.status === 409);
}

export async function read<T>(path: string): Promise<T> {
  return (await ask(path)).json() as Promise<T>;
}

const sizes = new Map<number, Promise<ImageInfo>>();

/** The size of an image; the server begins to read its pixels. */
export function imageInfo(number: number): Promise<ImageInfo> {
  const known = sizes.get(number);
  if (known) return known;
  const asked = read<ImageInfo>(`images/${number}`);
  sizes.set(number, asked);
  asked.catch(() => sizes.delete(number));
  return asked;
}

export async function send<T>(path: string, body: unknown): Promise<T> {
  return (await ask(path, body)).json() as Promise<T>;
}

export async function readObjects(path: string): Promise<{ header: Header; objects: Objects }> {
  return decode(await (await ask(path)).arrayBuffer());
}

/** Make a change of an image that is at `revision`; the answer holds what it changed. */
export async function change(path: string, body: unknown, revision: number): Promise<{ header: Header; objects: Objects }> {
  return decode(await (await ask(path, body, revision)).arrayBuffer());
}

// What the server answers; see society/view/app.py.

export type Clock = [number, number, number];

export interface Run {
  name: string;
  folder: string;
  about: string;
  created: string;
  world: Record<string, unknown>;
  graph: Record<string, unknown> | null;
  groups: { name: string; count: number; policy: string }[];
  generations: number;
  seeds: number[];
  channels: string[];
  backend: string | null;
  commit: { id: string; changed: boolean } | null;
  versions: Record<string, string>;
  scenario: string;
}

export interface Measure {
  name: string;
  mean: number | null;
  ci95: [number, number] | null;
}

export interface State {
  status: string;
  reason: string;
  rows: Record<"calls" | "messages" | "events" | "metrics", number>;
  tokens: number;
  cost_usd: number;
  faults: number;
  measures: Measure[] | null;
  steps: number | null;
  wall_s: number | null;
  trace: Trace | null;
}

export interface Trace {
  status: "starting" | "running" | "done" | "stopped" | "failed" | "waiting";
  note: string;
  tick: number;
  total: number;
  rows: number;
}

export interface Band {
  mean: (number | null)[];
  low?: (number | null)[];
  high?: (number | null)[];
}

export interface Series {
  clock: Clock[];
  series: Record<string, Band>;
  ends: string[];
}

export interface LogRow {
  row: number;
  clock: [number, number, number, number];
  uid: number;
  text: string;
  channel?: string;
  to?: number[];
  purpose?: string;
  status?: string;
  kind?: string;
}

export interface Log {
  rows: LogRow[];
  last: number;
  more: boolean;
}

export interface Call {
  clock: [number, number, number, number];
  uid: number;
  purpose: string;
  prompt: [string, string][];
  options: string[] | null;
  answer: string;
  status: string;
  backend: string;
  model: string;
  prompt_tokens: number;
  completion_tokens: number;
  faults: number;
  latency_s: number;
  cached: boolean;
}

export interface Person {
  uid: number;
  slot: number;
  born: Clock;
  died?: Clock;
  parents: number[];
  name?: string;
  text?: string;
}

export interface Stage {
  num_slots: number;
  groups: {
    name: string;
    start: number;
    stop: number;
    text: boolean;
    policy: string;
    role: string;
    types: string[];
  }[];
  names: Record<string, string>;
  attributes: Record<string, Record<string, unknown>>;
  edges: [number, number][] | null;
  directed: boolean;
  places: [number, number][] | null;
  pictures: boolean;
  interviews: boolean;
}

export interface Snapshot {
  seq: number;
  tick: number;
  clock: Clock;
  alive: number[] | null;
  uid: number[] | null;
  types: number[] | null;
  edges: number;
  at: number[] | null;
  doing: string[] | null;
  things: string[][] | null;
  places: string[] | null;
  picture: boolean;
}

export interface Interview {
  id: number;
  uid: number;
  name: string;
  clock: Clock;
  question: string;
  answer: string | null;
  status: "asking" | "answered" | "failed";
  note: string;
}

const token = readToken();

function readToken(): string {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given !== null) {
    sessionStorage.setItem("token", given);
    history.replaceState(null, "", location.pathname);
  }
  return given ?? sessionStorage.getItem("token") ?? "";
}

export const mayWrite = token !== "";

async function answer<T>(response: Response): Promise<T> {
  const found = (await response.json()) as T & { error?: string };
  if (!response.ok) throw new Error(found.error ?? response.statusText);
  return found;
}

export async function get<T>(path: string, query: Record<string, string | number> = {}): Promise<T> {
  const values = Object.entries(query).map(([name, value]) => [name, String(value)]);
  const search = values.length ? `?${new URLSearchParams(values)}` : "";
  return answer<T>(await fetch(`/api/${path}${search}`, { credentials: "omit" }));
}

export async function post<T>(path: string, body: unknown): Promise<T> {
  return answer<T>(
    await fetch(`/api/${path}`, {
      method: "POST",
      credentials: "omit",
      headers: { "Content-Type": "application/json", "X-Society-Token": token },
      body: JSON.stringify(body),
    }),
  );
}
